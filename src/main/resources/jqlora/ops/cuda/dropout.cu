// dropout.cu: products of adapters whose input is dropped by a mask, which is made in passing.
// The mask of an element goes by key, module and index (CPU twin DropoutMask): 8 elements share a block of random bits.
// Adapters that are taken together, four at most, have the same dropout; their columns in u and du and their rows in a follow each other.
// Oracle: LinearTest, DropoutTest; CPU twin CpuLinear
#include "common.cuh"

// ---- columns that are a multiple of 8: products by the tensor cores, whose inner index may have any order as long as both factors have it

// ones in the low half where low is negative, in the high half where high is
__device__ __forceinline__ u32 signs(int low, int high) { u32 r; asm("prmt.b32 %0, %1, %2, 0xFFBB;" : "=r"(r) : "r"(low), "r"(high)); return r; }

// for the eight elements of a group negative numbers where they are dropped
__device__ __forceinline__ void draws(int* drawn, u64 key, u64 group, u64 module, u32 threshold) {
    uint4 bits = philox(key, group, module);
    u32 words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        drawn[2 * i] = (int)(words[i] & 0xffffu) - (int)threshold;
        drawn[2 * i + 1] = (int)(words[i] >> 16) - (int)threshold;
    }
}

// eight elements of x, zero where they are dropped; drops has a bit for each element, or is 0: then the mask is made anew
__device__ __forceinline__ uint4 masked(const bf16* x, i64 stride, i64 row, int column, int columns, const u8* drops, u64 key, u64 module, u32 threshold) {
    uint4 v = *(const uint4*)(x + row * stride + column);
    i64 group = (row * columns + column) >> 3;
    int drawn[8];
    if (drops) {
        int bits = drops[group];
#pragma unroll
        for (int i = 0; i < 8; i++) drawn[i] = bits << (31 - i);
    } else {
        draws(drawn, key, group, module, threshold);
    }
    v.x &= ~signs(drawn[0], drawn[1]);
    v.y &= ~signs(drawn[2], drawn[3]);
    v.z &= ~signs(drawn[4], drawn[5]);
    v.w &= ~signs(drawn[6], drawn[7]);
    return v;
}

struct Four { int v[4]; };

__device__ __forceinline__ Four halves(u64 x) { return {{(int)(x & 0xffff), (int)(x >> 16 & 0xffff), (int)(x >> 32 & 0xffff), (int)(x >> 48)}}; }
__device__ __forceinline__ Four words(u64 low, u64 high) { return {{(int)low, (int)(low >> 32), (int)high, (int)(high >> 32)}}; }

// of the adapter: its rank, and the sum of those before it
__device__ __forceinline__ int rank_of(Four ranks, int adapter, int* before) {
    int rank = 0;
    *before = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (i < adapter) *before += ranks.v[i];
        if (i == adapter) rank = ranks.v[i];
    }
    return rank;
}

__device__ __forceinline__ u64 module_of(Four modules, int adapter) {
    return (u64)(i64)(adapter == 0 ? modules.v[0] : adapter == 1 ? modules.v[1] : adapter == 2 ? modules.v[2] : modules.v[3]);
}

// u[rows, rank] = scale (mask x) a^T. A block has 16 rows of one adapter, its warps share the columns; a lane's eight columns serve two products.
template <int TILES, int WARPS>
__device__ __forceinline__ void product(bf16* u, i64 u_stride, const bf16* x, i64 x_stride, const bf16* a, i64 a_stride, i64 rows, int columns, u64 key, u32 threshold,
                                        float scale, int parts, Four ranks, Four modules) {
    __shared__ float part[WARPS][16][TILES * 8 + 1];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3, before, rank = rank_of(ranks, blockIdx.y / parts, &before);
    int skipped = blockIdx.y % parts * TILES * 8;
    if (skipped >= rank) return;
    rank -= skipped;
    u += before + skipped;
    a += (before + skipped) * a_stride;
    u64 module = module_of(modules, blockIdx.y / parts);
    i64 first = (i64)blockIdx.x * 16, row = first + g;
    float sum[TILES][4] = {};
#pragma unroll 2
    for (int from = warp * 32; from < columns; from += 32 * WARPS) {
        int column = from + 8 * t;
        uint4 zero = make_uint4(0, 0, 0, 0), upper = zero, lower = zero;
        if (column < columns && row < rows) upper = masked(x, x_stride, row, column, columns, 0, key, module, threshold);
        if (column < columns && row + 8 < rows) lower = masked(x, x_stride, row + 8, column, columns, 0, key, module, threshold);
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
            int r = tile * 8 + g;
            if (tile * 8 >= rank) break;
            uint4 f = column < columns && r < rank ? *(const uint4*)(a + r * a_stride + column) : zero;
            multiply_add(sum[tile], upper.x, lower.x, upper.y, lower.y, f.x, f.y);
            multiply_add(sum[tile], upper.z, lower.z, upper.w, lower.w, f.z, f.w);
        }
    }
#pragma unroll
    for (int tile = 0; tile < TILES; tile++) {
        int column = tile * 8 + 2 * t;
        part[warp][g][column] = sum[tile][0];
        part[warp][g][column + 1] = sum[tile][1];
        part[warp][g + 8][column] = sum[tile][2];
        part[warp][g + 8][column + 1] = sum[tile][3];
    }
    __syncthreads();
    for (int i = threadIdx.x; i < 16 * TILES * 8; i += 32 * WARPS) {
        int own = i / (TILES * 8), column = i % (TILES * 8);
        if (column >= rank || first + own >= rows) continue;
        float total = 0.f;
        for (int w = 0; w < WARPS; w++) total += part[w][own][column];
        u[(first + own) * u_stride + column] = to_bf16(total * scale);
    }
}

// Launch: block 512, grid (rows / 16, adapters); ranks at most 16
extern "C" __global__ void __launch_bounds__(512, 2) dropped_product(bf16* u, i64 u_stride, const bf16* x, i64 x_stride, const bf16* a, i64 a_stride, i64 rows, int columns,
                                                                     u64 key, u32 threshold, float scale, int parts, u64 all_ranks, u64 modules01, u64 modules23) {
    product<2, 16>(u, u_stride, x, x_stride, a, a_stride, rows, columns, key, threshold, scale, parts, halves(all_ranks), words(modules01, modules23));
}

// Launch: block 256, grid (rows / 16, adapters times parts of 64 of the highest rank)
extern "C" __global__ void __launch_bounds__(256, 2) dropped_product_of_many(bf16* u, i64 u_stride, const bf16* x, i64 x_stride, const bf16* a, i64 a_stride, i64 rows, int columns,
                                                                             u64 key, u32 threshold, float scale, int parts, u64 all_ranks, u64 modules01, u64 modules23) {
    product<8, 8>(u, u_stride, x, x_stride, a, a_stride, rows, columns, key, threshold, scale, parts, halves(all_ranks), words(modules01, modules23));
}

// sums[grid.y][sum of ranks, columns] = du^T (mask x) over some of the rows. A block has 64 columns of one adapter, its warps share the rows; a lane's eight
// columns lie in eight products. drops: as add_dropped_products wrote them, or 0
template <int TILES>
__device__ __forceinline__ void gradient(float* sums, const bf16* du, i64 du_stride, const bf16* x, i64 x_stride, i64 rows, int columns, u64 key, u32 threshold,
                                         i64 rows_of_part, const u8* drops, int parts, Four ranks, Four modules) {
    __shared__ float part[8][16][65];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3, stripes = (columns + 63) / 64;
    int first = blockIdx.x % stripes * 64, column = first + 8 * g, adapter = blockIdx.x / stripes / parts, before, rank = rank_of(ranks, adapter, &before);
    int skipped = blockIdx.x / stripes % parts * 16 * TILES;
    if (skipped >= rank) return;
    u64 module = module_of(modules, adapter);
    du += before;
    if (drops) drops += adapter * (rows * columns >> 3);
    i64 start = blockIdx.y * rows_of_part, end = start + rows_of_part < rows ? start + rows_of_part : rows;
    float sum[TILES][8][4] = {};
    for (i64 from = start + 16 * warp; from < end; from += 128) {
        u32 v[4][4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            i64 row = from + 2 * t + (i & 1) + 8 * (i >> 1);
            uint4 own = row < end && column < columns ? masked(x, x_stride, row, column, columns, drops, key, module, threshold) : make_uint4(0, 0, 0, 0);
            v[i][0] = own.x; v[i][1] = own.y; v[i][2] = own.z; v[i][3] = own.w;
        }
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
            u32 d[2][4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                i64 row = from + 2 * t + (i & 1) + 8 * (i >> 1);
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    int r = skipped + tile * 16 + half * 8 + g;
                    d[half][i] = row < end && r < rank ? du[row * du_stride + r] : 0;
                }
            }
            u32 a0 = d[0][0] | d[0][1] << 16, a1 = d[1][0] | d[1][1] << 16, a2 = d[0][2] | d[0][3] << 16, a3 = d[1][2] | d[1][3] << 16;
#pragma unroll
            for (int j = 0; j < 8; j++) {
                u32 which = j % 2 ? 0x7632 : 0x5410;
                multiply_add(sum[tile][j], a0, a1, a2, a3, __byte_perm(v[0][j / 2], v[1][j / 2], which), __byte_perm(v[2][j / 2], v[3][j / 2], which));
            }
        }
    }
    i64 together = ranks.v[0] + ranks.v[1] + ranks.v[2] + ranks.v[3];
#pragma unroll
    for (int tile = 0; tile < TILES; tile++) {
        __syncthreads();
#pragma unroll
        for (int j = 0; j < 8; j++) {
            part[warp][g][16 * t + j] = sum[tile][j][0];
            part[warp][g][16 * t + 8 + j] = sum[tile][j][1];
            part[warp][g + 8][16 * t + j] = sum[tile][j][2];
            part[warp][g + 8][16 * t + 8 + j] = sum[tile][j][3];
        }
        __syncthreads();
        for (int i = threadIdx.x; i < 16 * 64; i += 256) {
            int r = skipped + tile * 16 + i / 64, own = first + i % 64;
            if (r >= rank || own >= columns) continue;
            float total = 0.f;
            for (int w = 0; w < 8; w++) total += part[w][i / 64][i % 64];
            sums[(blockIdx.y * together + before + r) * columns + own] = total;
        }
    }
}

// Launch: block 256, grid (columns / 64 times adapters, parts of the rows); ranks at most 16
extern "C" __global__ void __launch_bounds__(256, 2) dropped_gradient(float* sums, const bf16* du, i64 du_stride, const bf16* x, i64 x_stride, i64 rows, int columns, u64 key,
                                                                      u32 threshold, i64 rows_of_part, const u8* drops, int parts, u64 all_ranks, u64 modules01, u64 modules23) {
    gradient<1>(sums, du, du_stride, x, x_stride, rows, columns, key, threshold, rows_of_part, drops, parts, halves(all_ranks), words(modules01, modules23));
}

// Launch: block 256, grid (columns / 64 times adapters times parts of 32 of the highest rank, parts of the rows)
extern "C" __global__ void __launch_bounds__(256, 2) dropped_gradient_of_many(float* sums, const bf16* du, i64 du_stride, const bf16* x, i64 x_stride, i64 rows, int columns, u64 key,
                                                                              u32 threshold, i64 rows_of_part, const u8* drops, int parts, u64 all_ranks, u64 modules01, u64 modules23) {
    gradient<2>(sums, du, du_stride, x, x_stride, rows, columns, key, threshold, rows_of_part, drops, parts, halves(all_ranks), words(modules01, modules23));
}

// gradient += scale times the sum of the parts, which lie stride elements apart. Launch: a thread an element
extern "C" __global__ void add_parts(float* gradient, const float* parts, int count, i64 stride, i64 size, float scale) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    float sum = 0.f;
    for (int part = 0; part < count; part++) sum += parts[part * stride + i];
    gradient[i] += sum * scale;
}

// dx += scale times the sum of mask_i (du_i a_i); drops, unless 0, a bit for each element of each adapter, 1 where it is dropped, overwritten.
// A warp has 32 rows and 32 columns, eight of them a lane. Launch: block 256, grid (columns / 256, rows / 32)
extern "C" __global__ void __launch_bounds__(256, 2) add_dropped_products(bf16* dx, i64 dx_stride, const bf16* du, i64 du_stride, const bf16* a, i64 a_stride, i64 rows, int columns,
                                                                          u64 key, u32 threshold, float scale, u8* drops, int count, u64 all_ranks, u64 modules01, u64 modules23) {
    Four ranks = halves(all_ranks), modules = words(modules01, modules23);
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3, first = (blockIdx.x * 8 + warp) * 32, column = first + 8 * t;
    int first_row = blockIdx.y * 32, last = (int)rows;
    float total[4][8];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int row = first_row + i * 8 + g;
        if (column < columns && row < last) load8(dx + row * dx_stride + column, total[i]);
    }
#pragma unroll 1
    for (int adapter = 0; adapter < count; adapter++) {
        int before, rank = rank_of(ranks, adapter, &before);
        u64 module = module_of(modules, adapter);
        bool pairs = rank % 2 == 0 && ((u64)du & 3) == 0;                  // then two columns of du are read at once
#pragma unroll
        for (int tile = 0; tile < 2; tile++) {
            int upper = first_row + tile * 16 + g;
            float sum[4][4] = {};
            for (int from = 0; from < rank; from += 16) {
                u32 f[4][4], d[2][2], which = g & 1 ? 0x7632 : 0x5410;
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    int r = from + 2 * t + (i & 1) + 8 * (i >> 1), own = first + 8 * (g >> 1);
                    uint4 w = r < rank && own < columns ? *(const uint4*)(a + r * a_stride + own) : make_uint4(0, 0, 0, 0);
                    f[i][0] = w.x; f[i][1] = w.y; f[i][2] = w.z; f[i][3] = w.w;
                }
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    int row = upper + 8 * half;
#pragma unroll
                    for (int i = 0; i < 2; i++) {
                        int r = from + 2 * t + 8 * i;
                        const bf16* at = du + row * du_stride + r;
                        d[half][i] = row >= last || r >= rank ? 0 : pairs ? *(const u32*)at : at[0] | (r + 1 < rank ? (u32)at[1] << 16 : 0);
                    }
                }
#pragma unroll
                for (int j = 0; j < 4; j++)
                    multiply_add(sum[j], d[0][0], d[1][0], d[0][1], d[1][1], __byte_perm(f[0][j], f[1][j], which), __byte_perm(f[2][j], f[3][j], which));
            }
#pragma unroll
            for (int half = 0; half < 2; half++) {
                int row = upper + 8 * half, drawn[8];
                i64 group = ((i64)row * columns + column) >> 3;
                draws(drawn, key, group, module, threshold);
#pragma unroll
                for (int k = 0; k < 8; k++)
                    if (drawn[k] >= 0) total[2 * tile + half][k] += sum[k / 2][2 * half + (k & 1)] * scale;
                if (drops && column < columns && row < last) {
                    u32 bits = signs(drawn[0], drawn[1]) & 0x00020001u | signs(drawn[2], drawn[3]) & 0x00080004u | signs(drawn[4], drawn[5]) & 0x00200010u
                            | signs(drawn[6], drawn[7]) & 0x00800040u;
                    drops[adapter * (rows * columns >> 3) + group] = (u8)(bits | bits >> 16);
                }
            }
        }
        du += rank;
        a += rank * a_stride;
    }
    if (column >= columns) return;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int row = first_row + i * 8 + g;
        if (row < last) store8(dx + row * dx_stride + column, total[i]);
    }
}

// ---- any number of columns. Launch: a thread 8 consecutive elements

__device__ __forceinline__ void kept(u64 key, u64 group, u64 module, u32 threshold, bool* keep) {
    uint4 bits = philox(key, group, module);
    u32 words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < 8; i++) keep[i] = (words[i / 2] >> (16 * (i % 2)) & 0xffff) >= threshold;
}

// out = mask x
extern "C" __global__ void dropped(bf16* out, i64 out_stride, const bf16* x, i64 x_stride, i64 elements, i64 columns, u64 key, u64 module, u32 threshold, float scale) {
    i64 group = (i64)blockIdx.x * blockDim.x + threadIdx.x, first = group * 8;
    if (first >= elements) return;
    bool keep[8];
    kept(key, group, module, threshold, keep);
    i64 row = first / columns, column = first % columns;
    for (int i = 0; i < 8 && first + i < elements; i++) {
        out[row * out_stride + column] = keep[i] ? to_bf16(to_float(x[row * x_stride + column]) * scale) : 0;
        if (++column == columns) { column = 0; row++; }
    }
}

// dx += mask through
extern "C" __global__ void add_dropped(bf16* dx, i64 dx_stride, const bf16* through, i64 through_stride, i64 elements, i64 columns, u64 key, u64 module, u32 threshold, float scale) {
    i64 group = (i64)blockIdx.x * blockDim.x + threadIdx.x, first = group * 8;
    if (first >= elements) return;
    bool keep[8];
    kept(key, group, module, threshold, keep);
    i64 row = first / columns, column = first % columns;
    for (int i = 0; i < 8 && first + i < elements; i++) {
        bf16* at = dx + row * dx_stride + column;
        if (keep[i]) *at = to_bf16(to_float(*at) + to_float(through[row * through_stride + column]) * scale);
        if (++column == columns) { column = 0; row++; }
    }
}
