// merge.cu: W + scaling B A in float32, bit for bit as the CPU: products summed over the rank in order, then scaled, then added to W.
// Layout out [outs, ins] of type with a row stride; a [rank, ins], b [outs, rank] float; bad u64, 0 before: the complement of the first index
// whose sum is not finite. Oracle: MergeOpsTest; CPU twin LoraDelta.addTo
#include "common.cuh"

#define ROWS 8                // of a warp
#define COLUMNS 4             // of a thread
#define DEPTH 16              // rank at once

__device__ __forceinline__ void load4(const void* array, i64 at, int type, bool whole, int count, float* v) {
    if (type == F32) {
        if (whole) { float4 f = *(const float4*)((const float*)array + at); v[0] = f.x; v[1] = f.y; v[2] = f.z; v[3] = f.w; return; }
    } else if (whole) {
        uint2 u = *(const uint2*)((const bf16*)array + at);
        if (type == BF16) { v[0] = low_half(u.x); v[1] = high_half(u.x); v[2] = low_half(u.y); v[3] = high_half(u.y); }
        else { v[0] = half_to_float(u.x); v[1] = half_to_float(u.x >> 16); v[2] = half_to_float(u.y); v[3] = half_to_float(u.y >> 16); }
        return;
    }
#pragma unroll
    for (int i = 0; i < COLUMNS; i++) v[i] = i < count ? read(array, at + i, type) : 0.f;
}

__device__ __forceinline__ unsigned short half_bits(float x) { unsigned short h; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x)); return h; }

__device__ __forceinline__ void store4(void* array, i64 at, int type, bool whole, int count, const float* v) {
    if (type == F32) {
        float* out = (float*)array + at;
        if (whole) { *(float4*)out = make_float4(v[0], v[1], v[2], v[3]); return; }
#pragma unroll
        for (int i = 0; i < COLUMNS; i++) if (i < count) out[i] = v[i];
        return;
    }
    unsigned short* out = (unsigned short*)array + at;
    unsigned short bits[COLUMNS];
#pragma unroll
    for (int i = 0; i < COLUMNS; i++) bits[i] = type == BF16 ? to_bf16(v[i]) : half_bits(v[i]);
    if (whole) { *(uint2*)out = make_uint2(bits[0] | (u32)bits[1] << 16, bits[2] | (u32)bits[3] << 16); return; }
#pragma unroll
    for (int i = 0; i < COLUMNS; i++) if (i < count) out[i] = bits[i];
}

// sum[row][column] = (B A), for ROWS rows and COLUMNS columns of a thread
__device__ __forceinline__ void product(float (*sum)[COLUMNS], float (*factor)[8 * ROWS + 4], const float* a, const float* b, i64 first_row, int column, int outs, int ins, int rank) {
    int warp = threadIdx.x >> 5, count = ins - column;
    bool whole = ins % COLUMNS == 0;
    for (int from = 0; from < rank; from += DEPTH) {
        int depth = rank - from < DEPTH ? rank - from : DEPTH;
        __syncthreads();
        for (int i = threadIdx.x; i < DEPTH * 8 * ROWS; i += 256) {
            int row = i / DEPTH, k = i % DEPTH;
            if (k < depth) factor[k][row] = first_row + row < outs ? b[(first_row + row) * rank + from + k] : 0.f;
        }
        __syncthreads();
        if (count > 0) {
            for (int k = 0; k < depth; k++) {
                float v[COLUMNS];
                load4(a, (i64)(from + k) * ins + column, F32, whole, count, v);
#pragma unroll
                for (int row = 0; row < ROWS; row++) {
                    float f = factor[k][warp * ROWS + row];
#pragma unroll
                    for (int i = 0; i < COLUMNS; i++) sum[row][i] = __fmaf_rn(f, v[i], sum[row][i]);
                }
            }
        }
    }
}

__device__ __forceinline__ void finish(void* out, i64 stride, int type, u64* bad, const float* base, const float* sum, float scaling, i64 row, int column, int ins) {
    float v[COLUMNS];
    int count = ins - column;
    bool whole = ins % COLUMNS == 0;
#pragma unroll
    for (int i = 0; i < COLUMNS; i++) {
        v[i] = __fadd_rn(base[i], __fmul_rn(sum[i], scaling));
        if (i < count && !(fabsf(v[i]) < INFINITY)) atomicMax(bad, ~(u64)(row * ins + column + i));
    }
    store4(out, row * stride + column, type, whole && stride % COLUMNS == 0, count, v);
}

// Onto numbers. Launch: block 256, grid (ins / 128, outs / 64)
extern "C" __global__ void merge_numbers(void* out, i64 stride, int type, u64* bad, const void* weight, i64 weight_stride, int weight_type,
                                         const float* a, const float* b, float scaling, int outs, int ins, int rank) {
    __shared__ __align__(16) float factor[DEPTH][8 * ROWS + 4];
    int column = (blockIdx.x * 32 + (threadIdx.x & 31)) * COLUMNS;
    for (i64 first = (i64)blockIdx.y * 8 * ROWS; first < outs; first += (i64)gridDim.y * 8 * ROWS) {
        float sum[ROWS][COLUMNS] = {};
        product(sum, factor, a, b, first, column, outs, ins, rank);
        if (column >= ins) continue;
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            i64 row = first + (threadIdx.x >> 5) * ROWS + i;
            float base[COLUMNS];
            if (row < outs) {
                load4(weight, row * weight_stride + column, weight_type, ins % COLUMNS == 0 && weight_stride % COLUMNS == 0, ins - column, base);
                finish(out, stride, type, bad, base, sum[i], scaling, row, column, ins);
            }
        }
    }
}

// Onto 4 bits as they are decoded; codes to type as in four_bit.cu. Launch: as merge_numbers
extern "C" __global__ void merge_four_bit(void* out, i64 stride, int type, u64* bad, const u8* codes, const void* absmax, const float* nested, float offset,
                                          const float* map, const float* table, int block_shift, int weight_type,
                                          const float* a, const float* b, float scaling, int outs, int ins, int rank) {
    __shared__ __align__(16) float factor[DEPTH][8 * ROWS + 4];
    __shared__ float values[16];
    if (threadIdx.x < 16) values[threadIdx.x] = table[threadIdx.x];
    int column = (blockIdx.x * 32 + (threadIdx.x & 31)) * COLUMNS;
    for (i64 first = (i64)blockIdx.y * 8 * ROWS; first < outs; first += (i64)gridDim.y * 8 * ROWS) {
        float sum[ROWS][COLUMNS] = {};
        product(sum, factor, a, b, first, column, outs, ins, rank);        // its barrier is also that of values
        if (column >= ins) continue;
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            i64 row = first + (threadIdx.x >> 5) * ROWS + i;
            if (row >= outs) break;
            float base[COLUMNS];
            i64 at = row * ins + column;
            if (ins % COLUMNS == 0) {                                      // then a block holds all four
                u32 pairs = *(const unsigned short*)(codes + (at >> 1));
                i64 block = at >> block_shift;
                float scale = nested == 0 ? ((const float*)absmax)[block]
                        : __fadd_rn(__fmul_rn(__ldg(map + ((const u8*)absmax)[block]), __ldg(nested + (block >> 8))), offset);
#pragma unroll
                for (int k = 0; k < COLUMNS; k++) base[k] = rounded(__fmul_rn(values[pairs >> (8 * (k / 2) + 4 * (1 - k % 2)) & 15], scale), weight_type);
            } else {
#pragma unroll
                for (int k = 0; k < COLUMNS; k++) {
                    base[k] = 0.f;
                    if (column + k >= ins) continue;
                    i64 block = (at + k) >> block_shift;
                    float scale = nested == 0 ? ((const float*)absmax)[block]
                            : __fadd_rn(__fmul_rn(__ldg(map + ((const u8*)absmax)[block]), __ldg(nested + (block >> 8))), offset);
                    int pair = codes[(at + k) >> 1];
                    base[k] = rounded(__fmul_rn(values[(at + k) & 1 ? pair & 15 : pair >> 4], scale), weight_type);
                }
            }
            finish(out, stride, type, bad, base, sum[i], scaling, row, column, ins);
        }
    }
}
