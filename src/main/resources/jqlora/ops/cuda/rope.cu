// rope.cu: rotates coordinates i and i + half, i < half, of queries and keys by their row's position, in place; direction -1 rotates back. arXiv 2104.09864
// Layout qkv [rows, qkv] bfloat16 with a stride, heads of dim >= 2 half columns; cos, sin float [positions, half].  Launch: a thread `width` pairs of a head of a row
// Oracle: AttentionTest; CPU twin CpuOps.rotate
#include "common.cuh"

// dim and half are multiples of 8
extern "C" __global__ void rope8(bf16* qkv, i64 stride, const float* cos, const float* sin, const int* positions, i64 rows, int heads, int half, float direction, int dim) {
    let_next_begin();
    wait_for_previous();
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    int parts = half / 8, in_row = heads * parts;
    i64 row = i / in_row;
    if (row >= rows) return;
    int rest = (int)(i - row * in_row), head = rest / parts, at = (rest - head * parts) * 8;
    bf16* x = qkv + row * stride + (i64)head * dim + at;
    const float4* c4 = (const float4*)(cos + (i64)positions[row] * half + at);
    const float4* s4 = (const float4*)(sin + (i64)positions[row] * half + at);
    float4 c0 = c4[0], c1 = c4[1], s0 = s4[0], s1 = s4[1];
    float c[8] = {c0.x, c0.y, c0.z, c0.w, c1.x, c1.y, c1.z, c1.w}, s[8] = {s0.x, s0.y, s0.z, s0.w, s1.x, s1.y, s1.z, s1.w};
    float a[8], b[8];
    load8(x, a);
    load8(x + half, b);
#pragma unroll
    for (int k = 0; k < 8; k++) {
        float u = a[k], v = b[k], t = s[k] * direction;
        a[k] = u * c[k] - v * t;
        b[k] = v * c[k] + u * t;
    }
    store8(x, a);
    store8(x + half, b);
}

extern "C" __global__ void rope(bf16* qkv, i64 stride, const float* cos, const float* sin, const int* positions, i64 rows, int heads, int half, float direction, int dim) {
    let_next_begin();
    wait_for_previous();
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    int in_row = heads * half;
    i64 row = i / in_row;
    if (row >= rows) return;
    int rest = (int)(i - row * in_row), head = rest / half, at = rest - head * half;
    bf16* x = qkv + row * stride + (i64)head * dim + at;
    float c = cos[(i64)positions[row] * half + at], t = sin[(i64)positions[row] * half + at] * direction, u = to_float(x[0]), v = to_float(x[half]);
    x[0] = to_bf16(u * c - v * t);
    x[half] = to_bf16(v * c + u * t);
}

// The same for neighbours 2 i and 2 i + 1. Launch: a thread a pair
extern "C" __global__ void rope_neighbours(bf16* qkv, i64 stride, const float* cos, const float* sin, const int* positions, i64 rows, int heads, int half, float direction, int dim) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    int in_row = heads * half;
    i64 row = i / in_row;
    if (row >= rows) return;
    int rest = (int)(i - row * in_row), head = rest / half, at = rest - head * half;
    bf16* x = qkv + row * stride + (i64)head * dim + 2 * at;
    float c = cos[(i64)positions[row] * half + at], t = sin[(i64)positions[row] * half + at] * direction, u = to_float(x[0]), v = to_float(x[1]);
    x[0] = to_bf16(u * c - v * t);
    x[1] = to_bf16(v * c + u * t);
}

// Heads from the order of a fused projection (for each key head its queries, the key, the value) to all queries, all keys, all values; or back.
// Launch: a thread an element.  Oracle: HeadsTest; CPU twin CpuHeads
extern "C" __global__ void arrange_heads(bf16* to, i64 to_stride, const bf16* from, i64 stride, i64 rows, int queries, int keys, int dim, int back) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    int columns = (queries + 2 * keys) * dim;
    i64 row = i / columns;
    if (row >= rows) return;
    int column = (int)(i - row * columns), block = column / dim, within = column - block * dim, group = queries / keys;
    int key = block < queries ? block / group : (block - queries) % keys;
    int place = block < queries ? block % group : group + (block - queries) / keys;
    int ordered = (key * (group + 2) + place) * dim + within;
    to[row * to_stride + (back ? ordered : column)] = from[row * stride + (back ? column : ordered)];
}
