// few_rows.cu: linear layers of at most 4 rows, as when tokens are made one after the other: y = W x + bias + scaling B inner + added, inner = A x.
// Every weight is read once, as it is stored; the absmax of a block multiplies the sum over the block, in float.
// Layout W [outs, ins] in 4 bits, or numbers with a row stride; x, added, inner, y bfloat16 with strides; A [rank, ins], B [outs, rank] float.
// A block of 256 takes tiles of 16 rows of W in turn, its warps share the columns. The products run on the tensor cores, m16n8k16, where lane
// 4 g + t holds rows g and g + 8 of W and column g of x^T: which columns of W a step takes is free as long as x follows.
// Launch: block 256, blocks as fill the device, tiles in turn.  Oracle: LinearTest, FewRowsTest; CPU twin CpuLinear
#include "common.cuh"

#define TILE 16
#define WARPS 8
#define MOST_ROWS 4
#define MOST_LAYERS 4
#define PART (TILE * MOST_ROWS + 8)     // of a warp: the rest of a row of banks apart from the next

// A layer of the group, as CudaFewRows lays it out
struct Layer {
    const void* weight;
    const void* absmax;
    const float* nested;
    const void* bias;
    const float* a;
    const float* b;
    i64 stride;
    i64 outs;
    i64 column;               // its first column of y
    int first_tile; int unused7;   // tiles of the layers before
    float offset; int unused0;
    float scaling; int unused1;
    int rank; int unused2;
    int inner; int unused3;   // its first column of inner
    int block_shift; int unused4;
    int type; int unused5;
    int bias_type; int unused6;
};
struct Work {
    const bf16* x; i64 x_stride;
    bf16* y; i64 y_stride;
    const bf16* added; i64 added_stride;
    bf16* inner; i64 inner_stride;
    const float* table;
    const float* map;
    int rows; int unused0;
    int ins; int unused1;
    int layers; int unused2;
    int tiles; int unused3;
    Layer layer[MOST_LAYERS];
};

__device__ __forceinline__ int layer_of(const Work& w, int tile) {
    int at = 0;
    while (at + 1 < w.layers && tile >= w.layer[at + 1].first_tile) at++;
    return at;
}

// memory that is read once: it need not stay in the first cache
__device__ __forceinline__ uint4 stream(const void* p) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}

// The rows of W of a tile, or what 1024 lines of 128 bytes hold of them, while the block waits
__device__ __forceinline__ void bring_tile(const Work& w, int tile, i64 bytes_of_row, i64 bytes_apart) {
    const Layer& layer = w.layer[layer_of(w, tile)];
    int lines = (int)((bytes_of_row + 127) >> 7);
    for (int i = threadIdx.x, n = 0; n < 4 && i < TILE * lines; i += 256, n++) {
        i64 row = (i64)(tile - layer.first_tile) * TILE + i / lines;
        if (row < layer.outs) bring((const char*)layer.weight + row * bytes_apart + (i64)(i % lines) * 128);
    }
}

// What the adapter, the bias and `added` give an element of y: four lanes an element, lane 16 row + 4 m + p of warp w has a share of row 2 w + row
__device__ __forceinline__ float beside_weight(const Layer& layer, const Work& w, i64 first) {
    int lane = threadIdx.x & 31, p = lane & 3, m = lane >> 2 & 3;
    i64 out = first + (threadIdx.x >> 5) * 2 + (lane >> 4);
    float sum = 0.f;
    if (out < layer.outs && m < w.rows) {
        for (int from = p * 4; from < layer.rank; from += 16) {
#pragma unroll
            for (int j = from; j < from + 4; j++)
                if (j < layer.rank) sum += layer.b[out * layer.rank + j] * to_float(w.inner[m * w.inner_stride + layer.inner + j]);
        }
        sum *= layer.scaling;
        if (p == 0) {
            if (layer.bias) sum += read(layer.bias, out, layer.bias_type);
            if (w.added) sum += to_float(w.added[m * w.added_stride + layer.column + out]);
        }
    }
    return sum;
}

// The sums of the warps, part [parts][TILE][MOST_ROWS] with some room between, and what is beside them
__device__ __forceinline__ void finish(const float* part, int parts, float beside, const Layer& layer, const Work& w, i64 first) {
    int lane = threadIdx.x & 31, p = lane & 3, m = lane >> 2 & 3, row = (threadIdx.x >> 5) * 2 + (lane >> 4);
    for (int i = p; i < parts; i += 4) beside += part[i * PART + row * MOST_ROWS + m];
    beside += __shfl_xor_sync(0xffffffffu, beside, 1);
    beside += __shfl_xor_sync(0xffffffffu, beside, 2);
    if (p == 0 && m < w.rows && first + row < layer.outs) w.y[m * w.y_stride + layer.column + first + row] = to_bf16(beside);
}

// ---- 4 bits: ins a multiple of 64, quantization blocks of 64 or more: 64 columns from a multiple of 64 on share an absmax

// what byte `index` of codes stands for; at is the table's place in shared memory, for this lane. Set once: no order with other accesses is needed
__device__ __forceinline__ u32 pair_at(u32 at, u32 codes, int index) {
    u32 pair;
    asm("ld.shared.u32 %0, [%1];" : "=r"(pair) : "r"(at + __byte_perm(codes, 0, 0x4440 + index) * 128));
    return pair;
}

// Copies to shared memory while the thread goes on; where not `there`, zeros
__device__ __forceinline__ void copy16(u32 to, const void* p, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(to), "l"(p), "r"(there ? 16 : 0) : "memory");
}
__device__ __forceinline__ void copy4(u32 to, const void* p, bool there) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" :: "r"(to), "l"(p), "r"(there ? 4 : 0) : "memory");
}
// Loads where `there`, without a branch; elsewhere v stays as it is
__device__ __forceinline__ void load_where(bool there, uint4& v, const void* p) {
    asm volatile("{.reg .pred q; setp.ne.u32 q, %5, 0; @q ld.global.v4.u32 {%0,%1,%2,%3}, [%4];}"
                 : "+r"(v.x), "+r"(v.y), "+r"(v.z), "+r"(v.w) : "l"(p), "r"((u32)there));
}
__device__ __forceinline__ uint4 shared16(u32 at) {
    uint4 v;
    asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(at) : "memory");
    return v;
}
__device__ __forceinline__ u32 shared4(u32 at) {
    u32 v;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(v) : "r"(at) : "memory");
    return v;
}

// Shared memory of a block, in bytes: the table, 32 KiB, then for each warp STAGES chunks on their way
#define STAGES 5
#define CHUNK_BYTES (2 * 512 + 2 * 128)

// A chunk is 128 columns of 16 rows of W. Lane t of four holds 32 columns of a row, so half a block of 64: x of the first two lanes goes to column 2 m of
// the narrow factor, of the other two to column 2 m + 1, and the two sums of a row come out apart, each to be multiplied by its own absmax. The lanes
// hold those in turn: first and second half of row g, first and second half of row g + 8. A warp takes two chunks side by side, then two behind those of
// the other warps, tile after tile; up to four are on their way while one is used, each lane's part for that lane alone.
// Launch: as above, and 32 KiB + 8 STAGES CHUNK_BYTES of dynamic shared memory
template <bool NESTED> __device__ __forceinline__ void four_bit(const Work& w) {
    extern __shared__ __align__(16) u32 pairs[];              // what a byte stands for, for each lane in its own bank
    __shared__ float values[256];
    __shared__ float part[2][WARPS * PART];
    let_next_begin();
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    u32 own = (u32)__cvta_generic_to_shared(pairs) + lane * 4, ring = (u32)__cvta_generic_to_shared(pairs) + 256 * 128 + warp * STAGES * CHUNK_BYTES;
    u32 ring16 = ring + lane * 16, ring4 = ring + 1024 + lane * 4;
    int ins = w.ins, m = g >> 1, own_end = ins - t * 32, scale_end = ins - (t & 1) * 64;

    // what is to be fetched next
    const u8 *codes_a, *codes_b;
    const void* absmax;
    const float* nested;
    int fetch_tile = blockIdx.x, fetch_column = warp * 256, in_block, shift;
    u32 fetch_stage = 0;
    auto enter = [&]() {
        const Layer& layer = w.layer[layer_of(w, fetch_tile)];
        int first = (fetch_tile - layer.first_tile) * TILE, last = (int)layer.outs - 1, a = first + g < last ? first + g : last, b = first + g + 8 < last ? first + g + 8 : last;
        i64 element = (i64)(t < 2 ? a : b) * ins, block = element >> layer.block_shift;
        codes_a = (const u8*)layer.weight + ((i64)a * ins >> 1) + t * 16;
        codes_b = (const u8*)layer.weight + ((i64)b * ins >> 1) + t * 16;
        shift = layer.block_shift;
        in_block = ((int)element & ((1 << shift) - 1)) + (t & 1) * 64;
        if (NESTED) {                                         // both count from a multiple of 256 blocks on
            absmax = (const u8*)layer.absmax + (block & ~255LL);
            nested = layer.nested + (block >> 8);
            in_block += (int)(block & 255) << shift;
        } else {
            absmax = (const float*)layer.absmax + block;
        }
    };
    auto fetch = [&]() {
        if (fetch_tile < w.tiles) {
            bool there = fetch_column < own_end, scaled = fetch_column < scale_end;
            copy16(ring16 + fetch_stage, codes_a + (fetch_column >> 1), there);
            copy16(ring16 + fetch_stage + 512, codes_b + (fetch_column >> 1), there);
            int at = (in_block + fetch_column) >> shift;
            if (NESTED) {
                copy4(ring4 + fetch_stage, (const u8*)absmax + (at & ~3), scaled);
                copy4(ring4 + fetch_stage + 128, nested + (at >> 8), scaled);
            } else {
                copy4(ring4 + fetch_stage, (const float*)absmax + at, scaled);
            }
            fetch_column += fetch_column & 128 ? 256 * WARPS - 128 : 128;
            if (fetch_column >= ins) {
                fetch_tile += gridDim.x;
                fetch_column = warp * 256;
                if (fetch_tile < w.tiles) enter();
            }
        }
        asm volatile("cp.async.commit_group;" ::: "memory");
        fetch_stage = fetch_stage == (STAGES - 1) * CHUNK_BYTES ? 0 : fetch_stage + CHUNK_BYTES;
    };
    if (warp * 256 >= ins) fetch_tile = w.tiles;              // nothing for this warp
    if (fetch_tile < w.tiles) enter();
    for (int i = 0; i < STAGES - 1; i++) fetch();
    for (int i = threadIdx.x; i < 256 * 8; i += 256) {
        u32 pair = pack(__ldg(w.table + (i >> 7)), __ldg(w.table + (i >> 3 & 15)));
        ((uint4*)pairs)[i] = make_uint4(pair, pair, pair, pair);
    }
    if (NESTED) values[threadIdx.x] = w.map[threadIdx.x];
    __syncthreads();
    wait_for_previous();

    bool feeds = m < w.rows && (g & 1) == (t >> 1);
    const bf16* x = w.x + m * w.x_stride + t * 32;
    uint4 v[4] = {};                                          // 0 for good in lanes that do not feed
    u32 stage = 0;
    int turn = 0;
    for (int tile = blockIdx.x; tile < w.tiles; tile += gridDim.x, turn ^= 1) {
        const Layer& layer = w.layer[layer_of(w, tile)];
        i64 first = (i64)(tile - layer.first_tile) * TILE;
        int row = (int)first + g + (t < 2 ? 0 : 8), last = (int)layer.outs - 1, byte = 0;
        float offset = layer.offset, sum_a = 0.f, sum_b = 0.f;
        i64 element = (i64)(row < last ? row : last) * ins + (t & 1) * 64;     // where the lane's absmax codes begin, for the byte in a word
        if (NESTED) byte = ((int)(element >> layer.block_shift) & 3) << layer.block_shift | (int)element & ((1 << layer.block_shift) - 1);
        for (int column = warp * 256; column < ins; column += column & 128 ? 256 * WARPS - 128 : 128) {
            bool there = feeds && column < own_end;
#pragma unroll
            for (int i = 0; i < 4; i++) load_where(there, v[i], x + column + i * 8);
            asm volatile("cp.async.wait_group %0;" :: "n"(STAGES - 2) : "memory");
            uint4 a = shared16(ring16 + stage), b = shared16(ring16 + stage + 512);
            float scale = __uint_as_float(shared4(ring4 + stage + (NESTED ? 128 : 0)));
            if (NESTED) {
                u32 code = shared4(ring4 + stage) >> 8 * ((byte + column) >> layer.block_shift & 3) & 255;
                scale = column < scale_end ? values[code] * scale + offset : 0.f;
            }
            fetch();
            stage = stage == (STAGES - 1) * CHUNK_BYTES ? 0 : stage + CHUNK_BYTES;
            float d[4] = {0.f, 0.f, 0.f, 0.f};
            u32 wa[4] = {a.x, a.y, a.z, a.w}, wb[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
            for (int i = 0; i < 4; i++) {
                multiply_add(d, pair_at(own, wa[i], 0), pair_at(own, wb[i], 0), pair_at(own, wa[i], 1), pair_at(own, wb[i], 1), v[i].x, v[i].y);
                multiply_add(d, pair_at(own, wa[i], 2), pair_at(own, wb[i], 2), pair_at(own, wa[i], 3), pair_at(own, wb[i], 3), v[i].z, v[i].w);
            }
            int from = lane & 28;
            sum_a += __shfl_sync(0xffffffffu, scale, from) * d[0] + __shfl_sync(0xffffffffu, scale, from | 1) * d[1];
            sum_b += __shfl_sync(0xffffffffu, scale, from | 2) * d[2] + __shfl_sync(0xffffffffu, scale, from | 3) * d[3];
        }
        part[turn][warp * PART + g * MOST_ROWS + t] = sum_a;
        part[turn][warp * PART + (g + 8) * MOST_ROWS + t] = sum_b;
        float beside = beside_weight(layer, w, first);
        __syncthreads();
        finish(part[turn], WARPS, beside, layer, w, first);
    }
}

extern "C" __global__ void __launch_bounds__(256, 2) four_bit_few_rows(const __grid_constant__ Work w) { four_bit<false>(w); }
extern "C" __global__ void __launch_bounds__(256, 2) four_bit_nested_few_rows(const __grid_constant__ Work w) { four_bit<true>(w); }

// ---- bfloat16: ins a multiple of 8

extern "C" __global__ void __launch_bounds__(256, 3) bf16_few_rows(const __grid_constant__ Work w) {
    __shared__ float part[2][WARPS * PART];
    let_next_begin();
    bring_tile(w, blockIdx.x, 2LL * w.ins, 2 * w.layer[layer_of(w, blockIdx.x)].stride);
    wait_for_previous();
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3, chunks = (w.ins + 31) / 32, turn = 0;
    const bf16* x = w.x + g * w.x_stride + t * 8;
    for (int tile = blockIdx.x; tile < w.tiles; tile += gridDim.x, turn ^= 1) {
        const Layer& layer = w.layer[layer_of(w, tile)];
        i64 first = (i64)(tile - layer.first_tile) * TILE, last = layer.outs - 1, row_a = first + g < last ? first + g : last, row_b = first + g + 8 < last ? first + g + 8 : last;
        const bf16 *in_a = (const bf16*)layer.weight + row_a * layer.stride + t * 8, *in_b = (const bf16*)layer.weight + row_b * layer.stride + t * 8;
        float d[4] = {0.f, 0.f, 0.f, 0.f};
        for (int chunk = warp * 4; chunk < chunks; chunk += 4 * WARPS) {
            uint4 a[4], b[4], v[4];
#pragma unroll
            for (int c = 0; c < 4; c++) {
                int at = (chunk + c) * 32;
                bool there = at + t * 8 < w.ins;
                a[c] = there ? stream(in_a + at) : make_uint4(0, 0, 0, 0);
                b[c] = there ? stream(in_b + at) : make_uint4(0, 0, 0, 0);
                v[c] = there && g < w.rows ? *(const uint4*)(x + at) : make_uint4(0, 0, 0, 0);
            }
#pragma unroll
            for (int c = 0; c < 4; c++) {
                multiply_add(d, a[c].x, b[c].x, a[c].y, b[c].y, v[c].x, v[c].y);
                multiply_add(d, a[c].z, b[c].z, a[c].w, b[c].w, v[c].z, v[c].w);
            }
        }
        if (t < 2) {                                          // columns 2 t and 2 t + 1 of the narrow factor are rows of x
            *(float2*)&part[turn][warp * PART + g * MOST_ROWS + 2 * t] = make_float2(d[0], d[1]);
            *(float2*)&part[turn][warp * PART + (g + 8) * MOST_ROWS + 2 * t] = make_float2(d[2], d[3]);
        }
        float beside = beside_weight(layer, w, first);
        __syncthreads();
        finish(part[turn], WARPS, beside, layer, w, first);
    }
}

// ---- every other weight: a warp a row of W at a time

__device__ __forceinline__ float weight_at(const Layer& layer, i64 row, int column, const Work& w) {
    if (!layer.absmax) return read(layer.weight, row * layer.stride + column, layer.type);
    i64 i = row * w.ins + column, block = i >> layer.block_shift;
    int pair = ((const u8*)layer.weight)[i >> 1], code = i & 1 ? pair & 15 : pair >> 4;
    float absmax = layer.nested ? __fadd_rn(__fmul_rn(__ldg(w.map + ((const u8*)layer.absmax)[block]), __ldg(layer.nested + (block >> 8))), layer.offset)
                                : ((const float*)layer.absmax)[block];
    return rounded(__fmul_rn(__ldg(w.table + code), absmax), layer.type);
}

extern "C" __global__ void __launch_bounds__(256) any_few_rows(const __grid_constant__ Work w) {
    __shared__ float part[2][PART];
    let_next_begin();
    wait_for_previous();
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, turn = 0;
    for (int tile = blockIdx.x; tile < w.tiles; tile += gridDim.x, turn ^= 1) {
        const Layer& layer = w.layer[layer_of(w, tile)];
        i64 first = (i64)(tile - layer.first_tile) * TILE;
        for (int row = warp; row < TILE; row += WARPS) {
            float sum[MOST_ROWS] = {0.f, 0.f, 0.f, 0.f};
            if (first + row < layer.outs)
                for (int column = lane; column < w.ins; column += 32) {
                    float number = weight_at(layer, first + row, column, w);
#pragma unroll
                    for (int m = 0; m < MOST_ROWS; m++)
                        if (m < w.rows) sum[m] += number * to_float(w.x[m * w.x_stride + column]);
                }
#pragma unroll
            for (int m = 0; m < MOST_ROWS; m++) {
                sum[m] = warp_sum(sum[m]);
                if (lane == 0) part[turn][row * MOST_ROWS + m] = sum[m];
            }
        }
        float beside = beside_weight(layer, w, first);
        __syncthreads();
        finish(part[turn], 1, beside, layer, w, first);
    }
}

// ---- inner = A x of the group's adapters. Launch: a block of 256 a column of inner

extern "C" __global__ void __launch_bounds__(256) inner_few_rows(const __grid_constant__ Work w) {
    __shared__ float shared[33];
    let_next_begin();
    int at = 0;
    while (at + 1 < w.layers && (int)blockIdx.x >= w.layer[at + 1].inner) at++;
    const Layer& layer = w.layer[at];
    const float* a = layer.a + (i64)((int)blockIdx.x - layer.inner) * w.ins;
    for (int i = threadIdx.x; i < w.ins / 32; i += 256) bring(a + i * 32);
    wait_for_previous();
    float sum[MOST_ROWS] = {0.f, 0.f, 0.f, 0.f};
    if (w.ins % 8 == 0) {
#pragma unroll 2
        for (int i = threadIdx.x * 8; i < w.ins; i += 256 * 8) {
            float4 low = *(const float4*)(a + i), high = *(const float4*)(a + i + 4);
            float numbers[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
            for (int m = 0; m < MOST_ROWS; m++)
                if (m < w.rows) {
                    float v[8];
                    load8(w.x + m * w.x_stride + i, v);
#pragma unroll
                    for (int k = 0; k < 8; k++) sum[m] += numbers[k] * v[k];
                }
        }
    } else {
        for (int i = threadIdx.x; i < w.ins; i += 256)
#pragma unroll
            for (int m = 0; m < MOST_ROWS; m++)
                if (m < w.rows) sum[m] += a[i] * to_float(w.x[m * w.x_stride + i]);
    }
#pragma unroll
    for (int m = 0; m < MOST_ROWS; m++)
        if (m < w.rows) {
            float total = block_sum(sum[m], shared);
            if (threadIdx.x == 0) w.inner[m * w.inner_stride + blockIdx.x] = to_bf16(total);
        }
}
