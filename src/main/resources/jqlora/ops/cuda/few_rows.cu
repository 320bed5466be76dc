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

// d += a b, a [16, 16] and b [16, 8] in bfloat16
__device__ __forceinline__ void multiply(float* d, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// memory that is read once: it need not stay in the first cache
__device__ __forceinline__ uint4 stream(const void* p) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}

// The sums of the warps, the adapter, the bias and what is added: 16 lanes a row of W. part [parts][TILE][MOST_ROWS] of the block's shared memory
__device__ __forceinline__ void finish(const float* part, int parts, const Layer& layer, const Work& w, i64 first) {
    int row = threadIdx.x >> 4, lane = threadIdx.x & 15;
    i64 out = first + row;
    bool inside = out < layer.outs;
    float sum[MOST_ROWS];
#pragma unroll
    for (int m = 0; m < MOST_ROWS; m++) sum[m] = lane < parts ? part[(lane * TILE + row) * MOST_ROWS + m] : 0.f;
    if (inside)
        for (int j = lane; j < layer.rank; j += 16) {
            float b = layer.b[out * layer.rank + j] * layer.scaling;
#pragma unroll
            for (int m = 0; m < MOST_ROWS; m++)
                if (m < w.rows) sum[m] += b * to_float(w.inner[m * w.inner_stride + layer.inner + j]);
        }
#pragma unroll
    for (int m = 0; m < MOST_ROWS; m++)
        for (int distance = 8; distance > 0; distance >>= 1) sum[m] += __shfl_xor_sync(0xffffffffu, sum[m], distance);
    float own = lane == 0 ? sum[0] : lane == 1 ? sum[1] : lane == 2 ? sum[2] : sum[3];
    if (inside && lane < w.rows) {
        i64 column = layer.column + out;
        if (layer.bias) own += read(layer.bias, out, layer.bias_type);
        if (w.added) own += to_float(w.added[lane * w.added_stride + column]);
        w.y[lane * w.y_stride + column] = to_bf16(own);
    }
}

// ---- 4 bits: ins a multiple of 64, quantization blocks of 64 or more: 64 columns from a multiple of 64 on share an absmax

// 128 columns of 16 rows of W: what a lane loads of them
struct Chunk { uint4 a, b; float absmax; };

__device__ __forceinline__ float absmax_at(const Layer& layer, i64 block, const float* values) {
    if (!layer.nested) return ((const float*)layer.absmax)[block];
    return values[((const u8*)layer.absmax)[block]] * __ldg(layer.nested + (block >> 8)) + layer.offset;
}

// what byte `index` of codes stands for; at is the table's place in shared memory, for this lane. Set once: no order with other accesses is needed
__device__ __forceinline__ u32 pair_at(u32 at, u32 codes, int index) {
    u32 pair;
    asm("ld.shared.u32 %0, [%1];" : "=r"(pair) : "r"(at + __byte_perm(codes, 0, 0x4440 + index) * 128));
    return pair;
}

// Lane t of four holds 32 columns of a row, so half a block of 64: x of the first two lanes goes to column 2 m of the narrow factor, of the other two
// to column 2 m + 1, and the two sums of a row come out apart, each to be multiplied by its own absmax. The lanes hold those in turn:
// first and second half of row g, first and second half of row g + 8.
extern "C" __global__ void __launch_bounds__(256, 4) four_bit_few_rows(const __grid_constant__ Work w) {
    __shared__ __align__(16) u32 pairs[256 * 32];          // what a byte stands for, for each lane in its own bank
    __shared__ float values[256];
    __shared__ float part[2][WARPS * TILE * MOST_ROWS];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    for (int i = threadIdx.x; i < 256 * 8; i += 256) {
        u32 pair = pack(__ldg(w.table + (i >> 7)), __ldg(w.table + (i >> 3 & 15)));
        ((uint4*)pairs)[i] = make_uint4(pair, pair, pair, pair);
    }
    values[threadIdx.x] = w.map[threadIdx.x];
    __syncthreads();
    u32 own = (u32)__cvta_generic_to_shared(pairs) + lane * 4;
    int m = g >> 1;
    bool feeds = m < w.rows && (g & 1) == (t >> 1);
    const bf16* x = w.x + m * w.x_stride + t * 32;
    int turn = 0;
    for (int tile = blockIdx.x; tile < w.tiles; tile += gridDim.x, turn ^= 1) {
        const Layer& layer = w.layer[layer_of(w, tile)];
        i64 first = (i64)(tile - layer.first_tile) * TILE, last = layer.outs - 1, row_a = first + g < last ? first + g : last, row_b = first + g + 8 < last ? first + g + 8 : last;
        const u8 *codes_a = (const u8*)layer.weight + (row_a * w.ins >> 1) + t * 16, *codes_b = (const u8*)layer.weight + (row_b * w.ins >> 1) + t * 16;
        i64 scaled = (t < 2 ? row_a : row_b) * w.ins + (t & 1) * 64;
        auto load = [&](int column) {
            Chunk c;
            bool there = column + t * 32 < w.ins;
            c.a = there ? stream(codes_a + (column >> 1)) : make_uint4(0, 0, 0, 0);
            c.b = there ? stream(codes_b + (column >> 1)) : make_uint4(0, 0, 0, 0);
            c.absmax = column + (t & 1) * 64 < w.ins ? absmax_at(layer, (scaled + column) >> layer.block_shift, values) : 0.f;
            return c;
        };
        float sum_a = 0.f, sum_b = 0.f;
        int column = warp * 256;                              // two chunks a warp, then those of the other warps
        Chunk next = load(column);
        while (column < w.ins) {
            Chunk now = next;
            int at = column;
            column += at & 128 ? 2048 - 128 : 128;
            next = load(column);
            float d[4] = {0.f, 0.f, 0.f, 0.f};
            bool there = feeds && at + t * 32 < w.ins;
            u32 wa[4] = {now.a.x, now.a.y, now.a.z, now.a.w}, wb[4] = {now.b.x, now.b.y, now.b.z, now.b.w};
#pragma unroll
            for (int i = 0; i < 4; i++) {
                uint4 v = there ? *(const uint4*)(x + at + i * 8) : make_uint4(0, 0, 0, 0);
                multiply(d, pair_at(own, wa[i], 0), pair_at(own, wb[i], 0),
                         pair_at(own, wa[i], 1), pair_at(own, wb[i], 1), v.x, v.y);
                multiply(d, pair_at(own, wa[i], 2), pair_at(own, wb[i], 2),
                         pair_at(own, wa[i], 3), pair_at(own, wb[i], 3), v.z, v.w);
            }
            int from = lane & 28;
            sum_a += __shfl_sync(0xffffffffu, now.absmax, from) * d[0] + __shfl_sync(0xffffffffu, now.absmax, from | 1) * d[1];
            sum_b += __shfl_sync(0xffffffffu, now.absmax, from | 2) * d[2] + __shfl_sync(0xffffffffu, now.absmax, from | 3) * d[3];
        }
        part[turn][(warp * TILE + g) * MOST_ROWS + t] = sum_a;
        part[turn][(warp * TILE + g + 8) * MOST_ROWS + t] = sum_b;
        __syncthreads();
        finish(part[turn], WARPS, layer, w, first);
    }
}

// ---- bfloat16: ins a multiple of 8

extern "C" __global__ void __launch_bounds__(256, 3) bf16_few_rows(const __grid_constant__ Work w) {
    __shared__ float part[2][WARPS * TILE * MOST_ROWS];
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
                multiply(d, a[c].x, b[c].x, a[c].y, b[c].y, v[c].x, v[c].y);
                multiply(d, a[c].z, b[c].z, a[c].w, b[c].w, v[c].z, v[c].w);
            }
        }
        if (t < 2) {                                          // columns 2 t and 2 t + 1 of the narrow factor are rows of x
            *(float2*)&part[turn][(warp * TILE + g) * MOST_ROWS + 2 * t] = make_float2(d[0], d[1]);
            *(float2*)&part[turn][(warp * TILE + g + 8) * MOST_ROWS + 2 * t] = make_float2(d[2], d[3]);
        }
        __syncthreads();
        finish(part[turn], WARPS, layer, w, first);
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
    __shared__ float part[2][TILE * MOST_ROWS];
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
        __syncthreads();
        finish(part[turn], 1, layer, w, first);
    }
}

// ---- inner = A x of the group's adapters. Launch: a block of 256 a column of inner

extern "C" __global__ void __launch_bounds__(256) inner_few_rows(const __grid_constant__ Work w) {
    __shared__ float shared[33];
    int at = 0;
    while (at + 1 < w.layers && (int)blockIdx.x >= w.layer[at + 1].inner) at++;
    const Layer& layer = w.layer[at];
    const float* a = layer.a + (i64)((int)blockIdx.x - layer.inner) * w.ins;
    float sum[MOST_ROWS] = {0.f, 0.f, 0.f, 0.f};
    if (w.ins % 8 == 0) {
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
