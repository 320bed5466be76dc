// fp8.cu: rows of numbers and 4-bit weights in e4m3 with float scales, a number is its code times its scale. arXiv 2209.05433
// Scales are the largest magnitude of a row (for weights: of its quantization blocks, a bound that NF4 and FP4 reach) divided by 448.
// Weights [rows, columns], columns a multiple of 64, blocks of 64 or more; codes, absmax, nested, map and table as in four_bit.cu.
// Oracle: Fp8Test.  Without compute capability 8.9 there is nothing here.
#include "common.cuh"

#if __CUDA_ARCH__ >= 890
#define SEGMENT 64
#define HELD 7

__device__ __forceinline__ float block_absmax(const void* absmax, const float* nested, float offset, const float* map, i64 block) {
    if (nested == 0) return ((const float*)absmax)[block];
    return __fadd_rn(__fmul_rn(__ldg(map + ((const u8*)absmax)[block]), __ldg(nested + (block >> 8))), offset);
}

// out u8 [rows, columns] = x / scales, scales [rows]; columns is a multiple of 8. Launch: a block a row
extern "C" __global__ void e4m3_rows(u8* out, float* scales, const bf16* x, i64 stride, int columns) {
    __shared__ float shared[33];
    i64 row = blockIdx.x;
    const uint4* in = (const uint4*)(x + row * stride);
    uint2* to = (uint2*)(out + row * columns);
    int chunks = columns / 8, beyond = HELD * blockDim.x;
    uint4 held[HELD];
    float largest = 0.f;
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        int chunk = i * blockDim.x + threadIdx.x;
        held[i] = chunk < chunks ? in[chunk] : make_uint4(0, 0, 0, 0);
    }
#pragma unroll
    for (int i = 0; i < HELD; i++) largest = fmaxf(largest, largest8(held[i]));
    for (int chunk = beyond + threadIdx.x; chunk < chunks; chunk += blockDim.x) largest = fmaxf(largest, largest8(in[chunk]));
    float scale = scale_of(block_max(largest, shared)), inverse = 1.f / scale;
    if (threadIdx.x == 0) scales[row] = scale;
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        int chunk = i * blockDim.x + threadIdx.x;
        if (chunk < chunks) to[chunk] = e4m3_of8(held[i], inverse);
    }
    for (int chunk = beyond + threadIdx.x; chunk < chunks; chunk += blockDim.x) to[chunk] = e4m3_of8(in[chunk], inverse);
}

// scales [rows] of a weight. Launch: block 256, a warp a row
extern "C" __global__ void weight_row_scales(float* scales, const void* absmax, const float* nested, float offset, const float* map, int rows, int columns, int block_shift) {
    i64 row = ((i64)blockIdx.x * blockDim.x + threadIdx.x) >> 5;
    if (row >= rows) return;
    int segments = columns / SEGMENT;
    float largest = 0.f;
    for (int segment = threadIdx.x & 31; segment < segments; segment += 32)
        largest = fmaxf(largest, fabsf(block_absmax(absmax, nested, offset, map, (row * columns + segment * SEGMENT) >> block_shift)));
    largest = warp_max(largest);
    if ((threadIdx.x & 31) == 0) scales[row] = scale_of(largest);
}

// scales [columns] of weights one below the other: the first one's, then no less than those of each further one. Launch: a block of 256 for each 64 columns
extern "C" __global__ void weight_column_scales(float* scales, const void* absmax, const float* nested, float offset, const float* map, int rows, int columns, int block_shift, int first) {
    __shared__ float shared[33];
    i64 column = (i64)blockIdx.x * SEGMENT;
    float largest = 0.f;
    for (i64 row = threadIdx.x; row < rows; row += blockDim.x)
        largest = fmaxf(largest, fabsf(block_absmax(absmax, nested, offset, map, (row * columns + column) >> block_shift)));
    float scale = scale_of(block_max(largest, shared));
    if (threadIdx.x < SEGMENT) scales[column + threadIdx.x] = first ? scale : fmaxf(scale, scales[column + threadIdx.x]);
}

// out u8 [rows, columns] = w / scales[row]. Launch: block 256, each thread 2 times 16 elements
extern "C" __global__ void four_bit_to_e4m3(u8* out, const float* scales, const u64* codes, const void* absmax, const float* nested, float offset,
                                            const float* map, const float* table, u32 chunks, u32 chunks_in_row, int block_shift) {
    __shared__ float values[16];
    if (threadIdx.x < 16) values[threadIdx.x] = table[threadIdx.x];
    __syncthreads();
    u32 first = blockIdx.x * 512 + threadIdx.x;
    u64 pairs[2];
    float factor[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        u32 chunk = first + i * 256;
        if (chunk < chunks) {
            pairs[i] = __ldcs(codes + chunk);
            factor[i] = block_absmax(absmax, nested, offset, map, ((i64)chunk * 16) >> block_shift) * (1.f / scales[chunk / chunks_in_row]);
        }
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        u32 chunk = first + i * 256;
        if (chunk >= chunks) return;
        u32 words[4];
#pragma unroll
        for (int w = 0; w < 4; w++) {
            u32 four = (u32)(pairs[i] >> (16 * w));
            words[w] = e4m3_pair(values[four >> 4 & 15] * factor[i], values[four & 15] * factor[i])
                       | e4m3_pair(values[four >> 12 & 15] * factor[i], values[four >> 8 & 15] * factor[i]) << 16;
        }
        *(uint4*)(out + (i64)chunk * 16) = make_uint4(words[0], words[1], words[2], words[3]);
    }
}

// out u8 [columns, out_stride], this weight's rows from out on = w / scales[column]; rows is a multiple of 16. Launch: block 256, grid (columns / 64, rows / 128)
extern "C" __global__ void four_bit_to_e4m3_transposed(u8* out, i64 out_stride, const float* scales, const u32* codes, const void* absmax, const float* nested, float offset,
                                                       const float* map, const float* table, int rows, int columns, int block_shift) {
    // eight words of codes a row, and a word between each four rows: neither writing rows nor reading every fourth row meets a bank twice
    __shared__ u32 tile[128 * 8 + 32];
    __shared__ float factors[128];
    __shared__ float values[16];
    int from_column = blockIdx.x * SEGMENT, from_row = blockIdx.y * 128;
    if (threadIdx.x < 16) values[threadIdx.x] = table[threadIdx.x];
    i64 words_in_row = columns / 8;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int row = i * 32 + (threadIdx.x >> 3), word = threadIdx.x & 7;
        if (from_row + row < rows) tile[row * 8 + word + (row >> 2)] = __ldcs(codes + (from_row + row) * words_in_row + from_column / 8 + word);
    }
    if (threadIdx.x < 128) {
        i64 row = from_row + threadIdx.x;
        factors[threadIdx.x] = row < rows ? block_absmax(absmax, nested, offset, map, (row * columns + from_column) >> block_shift) : 0.f;
    }
    __syncthreads();
    int first = (threadIdx.x & 31) * 4, word = threadIdx.x >> 5;
    if (from_row + first >= rows) return;
    u32 four[4];
    float factor[4];
#pragma unroll
    for (int r = 0; r < 4; r++) {
        four[r] = tile[(first + r) * 8 + word + (threadIdx.x & 31)];
        factor[r] = factors[first + r];
    }
#pragma unroll
    for (int k = 0; k < 8; k++) {
        int column = from_column + word * 8 + k, shift = 8 * (k / 2) + (k % 2 ? 0 : 4);
        float inverse = 1.f / scales[column];
        float v[4];
#pragma unroll
        for (int r = 0; r < 4; r++) v[r] = values[four[r] >> shift & 15] * (factor[r] * inverse);
        *(u32*)(out + column * out_stride + from_row + first) = e4m3_pair(v[0], v[1]) | e4m3_pair(v[2], v[3]) << 16;
    }
}

// y = product row_scales column_scales, plus added unless that is null; columns is a multiple of 8. Launch: a thread 8 columns of a row, grid.y rows
extern "C" __global__ void scaled_product(bf16* y, i64 stride, const bf16* product, i64 product_stride, const float* row_scales, const float* column_scales,
                                          const bf16* added, i64 added_stride, i64 rows, int columns) {
    int column = (blockIdx.x * blockDim.x + threadIdx.x) * 8;
    for (i64 row = blockIdx.y; row < rows && column < columns; row += gridDim.y) {
        float v[8], c[8] = {};
        load8(product + row * product_stride + column, v);
        if (added) load8(added + row * added_stride + column, c);
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] = v[k] * row_scales[row] * column_scales[column + k] + c[k];
        store8(y + row * stride + column, v);
    }
}
#endif
