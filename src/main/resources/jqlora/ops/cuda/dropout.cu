// dropout.cu: products of adapters whose input is dropped by a mask, which is made in passing and never stored.
// The mask of an element goes by key, module and index (CPU twin DropoutMask): 8 elements share a block of random bits.
// Oracle: LinearTest, DropoutTest; CPU twin CpuLinear
#include "common.cuh"

// ---- columns that are a multiple of 8: products by the tensor cores, whose inner index may have any order as long as both factors have it

// c += a b, of 16 x 16 and 16 x 8
__device__ __forceinline__ void multiply_add(float* c, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

__device__ __forceinline__ u32 kept_pair(u32 bits, u32 threshold) {
    return ((bits & 0xffffu) >= threshold ? 0xffffu : 0u) | (bits >> 16 >= threshold ? 0xffff0000u : 0u);
}

// eight elements of x, zero where they are dropped
__device__ __forceinline__ uint4 masked(const bf16* x, i64 stride, i64 row, int column, int columns, u64 key, u64 module, u32 threshold) {
    uint4 v = *(const uint4*)(x + row * stride + column), bits = philox(key, (u64)(row * columns + column) >> 3, module);
    v.x &= kept_pair(bits.x, threshold);
    v.y &= kept_pair(bits.y, threshold);
    v.z &= kept_pair(bits.z, threshold);
    v.w &= kept_pair(bits.w, threshold);
    return v;
}

// out[rows, rank] = scale (mask x) a^T; a [rank, columns]. A block has 16 rows, its warps share the columns; a lane's eight columns serve two products.
template <int TILES>
__device__ __forceinline__ void product(bf16* out, i64 out_stride, const bf16* x, i64 x_stride, const bf16* a, i64 a_stride, i64 rows, int columns, int rank,
                                        u64 key, u64 module, u32 threshold, float scale) {
    __shared__ float part[8][16][TILES * 8 + 1];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    i64 first = (i64)blockIdx.x * 16, row = first + g;
    float sum[TILES][4] = {};
#pragma unroll 2
    for (int from = warp * 32; from < columns; from += 256) {
        int column = from + 8 * t;
        uint4 zero = make_uint4(0, 0, 0, 0), upper = zero, lower = zero;
        if (column < columns && row < rows) upper = masked(x, x_stride, row, column, columns, key, module, threshold);
        if (column < columns && row + 8 < rows) lower = masked(x, x_stride, row + 8, column, columns, key, module, threshold);
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
    for (int i = threadIdx.x; i < 16 * TILES * 8; i += 256) {
        int own = i / (TILES * 8), column = i % (TILES * 8);
        if (column >= rank || first + own >= rows) continue;
        float total = 0.f;
        for (int w = 0; w < 8; w++) total += part[w][own][column];
        out[(first + own) * out_stride + column] = to_bf16(total * scale);
    }
}

// Launch: block 256, grid rows / 16; rank at most 16
extern "C" __global__ void dropped_product(bf16* out, i64 out_stride, const bf16* x, i64 x_stride, const bf16* a, i64 a_stride, i64 rows, int columns, int rank,
                                           u64 key, u64 module, u32 threshold, float scale) {
    product<2>(out, out_stride, x, x_stride, a, a_stride, rows, columns, rank, key, module, threshold, scale);
}

// Launch: block 256, grid (rows / 16, rank / 64)
extern "C" __global__ void __launch_bounds__(256, 2) dropped_product_of_many(bf16* out, i64 out_stride, const bf16* x, i64 x_stride, const bf16* a, i64 a_stride, i64 rows, int columns, int rank,
                                                   u64 key, u64 module, u32 threshold, float scale) {
    int before = blockIdx.y * 64;
    product<8>(out + before, out_stride, x, x_stride, a + before * a_stride, a_stride, rows, columns, rank - before < 64 ? rank - before : 64, key, module, threshold, scale);
}

// parts[grid.y][rank, columns] = du^T (mask x) over the rows of each part. A block has 64 columns, its warps share the rows; a lane's eight columns lie in
// eight products.
template <int TILES>
__device__ __forceinline__ void gradient(float* parts, const bf16* du, i64 du_stride, const bf16* x, i64 x_stride, i64 rows, int columns, int rank,
                                         u64 key, u64 module, u32 threshold, i64 rows_of_part) {
    __shared__ float part[8][16][65];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3, stripes = (columns + 63) / 64;
    int first = blockIdx.x % stripes * 64, before = blockIdx.x / stripes * 16 * TILES, column = first + 8 * g;
    i64 start = blockIdx.y * rows_of_part, end = start + rows_of_part < rows ? start + rows_of_part : rows;
    float sum[TILES][8][4] = {};
    for (i64 from = start + 16 * warp; from < end; from += 128) {
        u32 v[4][4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            i64 row = from + 2 * t + (i & 1) + 8 * (i >> 1);
            uint4 own = row < end && column < columns ? masked(x, x_stride, row, column, columns, key, module, threshold) : make_uint4(0, 0, 0, 0);
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
                    int r = before + tile * 16 + half * 8 + g;
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
            int r = before + tile * 16 + i / 64, own = first + i % 64;
            if (r >= rank || own >= columns) continue;
            float total = 0.f;
            for (int w = 0; w < 8; w++) total += part[w][i / 64][i % 64];
            parts[((i64)blockIdx.y * rank + r) * columns + own] = total;
        }
    }
}

// Launch: block 256, grid (columns / 64, parts); rank at most 16
extern "C" __global__ void __launch_bounds__(256, 2) dropped_gradient(float* parts, const bf16* du, i64 du_stride, const bf16* x, i64 x_stride, i64 rows, int columns, int rank,
                                            u64 key, u64 module, u32 threshold, i64 rows_of_part) {
    gradient<1>(parts, du, du_stride, x, x_stride, rows, columns, rank, key, module, threshold, rows_of_part);
}

// Launch: block 256, grid (columns / 64 * rank / 32, parts)
extern "C" __global__ void __launch_bounds__(256, 2) dropped_gradient_of_many(float* parts, const bf16* du, i64 du_stride, const bf16* x, i64 x_stride, i64 rows, int columns, int rank,
                                                    u64 key, u64 module, u32 threshold, i64 rows_of_part) {
    gradient<2>(parts, du, du_stride, x, x_stride, rows, columns, rank, key, module, threshold, rows_of_part);
}

// gradient += scale times the sum of the parts. Launch: a thread an element
extern "C" __global__ void add_parts(float* gradient, const float* parts, int count, i64 size, float scale) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= size) return;
    float sum = 0.f;
    for (int part = 0; part < count; part++) sum += parts[part * size + i];
    gradient[i] += sum * scale;
}

// dx += scale times the sum of mask_i (du_i a_i), for up to four adapters whose columns in du and rows in a follow each other.
// A warp has 32 rows and 32 columns, eight of them a lane. Launch: block 256, grid (columns / 256, rows / 32)
extern "C" __global__ void __launch_bounds__(256, 2) add_dropped_products(bf16* dx, i64 dx_stride, const bf16* du, i64 du_stride, const bf16* a, i64 a_stride, i64 rows, int columns, u64 key,
                                                u32 threshold, float scale, int count, int rank0, int rank1, int rank2, int rank3,
                                                int module0, int module1, int module2, int module3) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3, first = (blockIdx.x * 8 + warp) * 32, column = first + 8 * t;
    i64 first_row = (i64)blockIdx.y * 32;
    float total[4][8] = {};
#pragma unroll
    for (int adapter = 0; adapter < 4; adapter++) {
        if (adapter >= count) break;
        int rank = adapter == 0 ? rank0 : adapter == 1 ? rank1 : adapter == 2 ? rank2 : rank3;
        u64 module = (u64)(i64)(adapter == 0 ? module0 : adapter == 1 ? module1 : adapter == 2 ? module2 : module3);
        float sum[2][4][4] = {};
        for (int from = 0; from < rank; from += 16) {
            u32 b[4][2];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                int own = first + 8 * (g >> 1) + 2 * j + (g & 1);
                u32 f[4];
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    int r = from + 2 * t + (i & 1) + 8 * (i >> 1);
                    f[i] = r < rank && own < columns ? a[r * a_stride + own] : 0;
                }
                b[j][0] = f[0] | f[1] << 16;
                b[j][1] = f[2] | f[3] << 16;
            }
#pragma unroll
            for (int tile = 0; tile < 2; tile++) {
                u32 d[2][4];
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    i64 row = first_row + tile * 16 + half * 8 + g;
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        int r = from + 2 * t + (i & 1) + 8 * (i >> 1);
                        d[half][i] = row < rows && r < rank ? du[row * du_stride + r] : 0;
                    }
                }
#pragma unroll
                for (int j = 0; j < 4; j++)
                    multiply_add(sum[tile][j], d[0][0] | d[0][1] << 16, d[1][0] | d[1][1] << 16, d[0][2] | d[0][3] << 16, d[1][2] | d[1][3] << 16, b[j][0], b[j][1]);
            }
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            i64 row = first_row + i * 8 + g;
            uint4 bits = philox(key, (u64)(row * columns + column) >> 3, module);
            u32 words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
            for (int j = 0; j < 4; j++) {
                if ((words[j] & 0xffffu) >= threshold) total[i][2 * j] += sum[i / 2][j][2 * (i & 1)];
                if (words[j] >> 16 >= threshold) total[i][2 * j + 1] += sum[i / 2][j][2 * (i & 1) + 1];
            }
        }
        du += rank;
        a += rank * a_stride;
    }
    if (column >= columns) return;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        i64 row = first_row + i * 8 + g;
        if (row >= rows) return;
        float v[8];
        load8(dx + row * dx_stride + column, v);
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] += total[i][k] * scale;
        store8(dx + row * dx_stride + column, v);
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
