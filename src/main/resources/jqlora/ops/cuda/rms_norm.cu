// rms_norm.cu: y = x rstd (offset + weight) over the last axis, and its gradients; the same for each query and key head, without offset. arXiv 1910.07467
// Layout x, y, dx, dy [rows, hidden] bfloat16 with strides; rstd [rows] float; sums in float, the result rounded once.
// Oracle: NormTest; CPU twin CpuNorm
#include "common.cuh"

// offset + weight from i on
__device__ __forceinline__ void read_factors(const void* weight, float offset, int i, float* w, int count, int type) {
    read_some(weight, i, w, count, type);
#pragma unroll
    for (int k = 0; k < 8; k++) w[k] += offset;
}

__device__ __forceinline__ void scaled_row(bf16* y, const bf16* x, const void* weight, float offset, float rstd, int hidden, int type, int thread, int threads) {
    for (int i = thread * 8; i < hidden; i += threads * 8) {
        float v[8], w[8];
        load_some(x + i, v, hidden - i);
        read_factors(weight, offset, i, w, hidden - i, type);
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] = v[k] * rstd * w[k];
        store_some(y + i, v, hidden - i);
    }
}

// Launch: a block of 256 a row
extern "C" __global__ void rms_norm(bf16* y, i64 y_stride, float* rstd, const bf16* x, i64 x_stride, const void* weight, float offset, float eps, int hidden, int type) {
    __shared__ float shared[33];
    let_next_begin();
    wait_for_previous();
    i64 row = blockIdx.x;
    x += row * x_stride;
    float squares = 0.f;
    for (int i = threadIdx.x * 8; i < hidden; i += blockDim.x * 8) {
        float v[8];
        load_some(x + i, v, hidden - i);
#pragma unroll
        for (int k = 0; k < 8; k++) squares += v[k] * v[k];
    }
    float r = rsqrtf(block_sum(squares, shared) / hidden + eps);
    if (threadIdx.x == 0) rstd[row] = r;
    scaled_row(y + row * y_stride, x, weight, offset, r, hidden, type, threadIdx.x, blockDim.x);
}

#define HELD 4

// As rms_norm with the row in registers; y in e4m3 too unless codes is null: codes u8 [rows, hidden], scales [rows].
// hidden is a multiple of 8. Launch: a block a row, of at least hidden / 8 / HELD threads
extern "C" __global__ void rms_norm8(bf16* y, i64 y_stride, float* rstd, const bf16* x, i64 x_stride, const void* weight, float offset, float eps, int hidden, int type,
                                     u8* codes, float* scales) {
    __shared__ float shared[33];
    let_next_begin();
    wait_for_previous();
    i64 row = blockIdx.x;
    const uint4* in = (const uint4*)(x + row * x_stride);
    uint4* to = (uint4*)(y + row * y_stride);
    int chunks = hidden / 8;
    uint4 held[HELD];
    float squares = 0.f, largest = 0.f;
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        int chunk = i * blockDim.x + threadIdx.x;
        held[i] = chunk < chunks ? in[chunk] : make_uint4(0, 0, 0, 0);
    }
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        u32 words[4] = {held[i].x, held[i].y, held[i].z, held[i].w};
#pragma unroll
        for (int k = 0; k < 4; k++) squares += low_half(words[k]) * low_half(words[k]) + high_half(words[k]) * high_half(words[k]);
    }
    float r = rsqrtf(block_sum(squares, shared) / hidden + eps);
    if (threadIdx.x == 0) rstd[row] = r;
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        int chunk = i * blockDim.x + threadIdx.x;
        if (chunk < chunks) {
            u32 words[4] = {held[i].x, held[i].y, held[i].z, held[i].w};
            float w[8];
            read_factors(weight, offset, chunk * 8, w, 8, type);
#pragma unroll
            for (int k = 0; k < 4; k++) words[k] = pack(low_half(words[k]) * r * w[2 * k], high_half(words[k]) * r * w[2 * k + 1]);
            held[i] = make_uint4(words[0], words[1], words[2], words[3]);
            to[chunk] = held[i];
            largest = fmaxf(largest, largest8(held[i]));
        }
    }
#if __CUDA_ARCH__ >= 890
    if (codes == 0) return;
    float scale = scale_of(block_max(largest, shared)), inverse = 1.f / scale;
    if (threadIdx.x == 0) scales[row] = scale;
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        int chunk = i * blockDim.x + threadIdx.x;
        if (chunk < chunks) ((uint2*)(codes + row * hidden))[chunk] = e4m3_of8(held[i], inverse);
    }
#endif
}

extern "C" __global__ void rms_norm_again(bf16* y, i64 y_stride, const float* rstd, const bf16* x, i64 x_stride, const void* weight, float offset, int hidden, int type) {
    i64 row = blockIdx.x;
    scaled_row(y + row * y_stride, x + row * x_stride, weight, offset, rstd[row], hidden, type, threadIdx.x, blockDim.x);
}

// dx += rstd (t - x rstd^2 mean(t x)), t = dy (offset + weight); then y again in the place of dy where `again` is set. Launch: a block of 256 a row
extern "C" __global__ void rms_norm_backward(bf16* dx, i64 dx_stride, bf16* dy, i64 dy_stride, const bf16* x, i64 x_stride, const void* weight,
                                             float offset, const float* rstd, int hidden, int type, int again) {
    __shared__ float shared[33];
    i64 row = blockIdx.x;
    dx += row * dx_stride; dy += row * dy_stride; x += row * x_stride;
    float r = rstd[row], product = 0.f;
    for (int i = threadIdx.x * 8; i < hidden; i += blockDim.x * 8) {
        float d[8], v[8], w[8];
        load_some(dy + i, d, hidden - i);
        load_some(x + i, v, hidden - i);
        read_factors(weight, offset, i, w, hidden - i, type);
#pragma unroll
        for (int k = 0; k < 8; k++) product += d[k] * w[k] * v[k];
    }
    float c = block_sum(product, shared) / hidden * r * r;
    for (int i = threadIdx.x * 8; i < hidden; i += blockDim.x * 8) {
        float d[8], v[8], w[8], sum[8];
        load_some(dy + i, d, hidden - i);
        load_some(x + i, v, hidden - i);
        read_factors(weight, offset, i, w, hidden - i, type);
        load_some(dx + i, sum, hidden - i);
#pragma unroll
        for (int k = 0; k < 8; k++) {
            sum[k] += r * (d[k] * w[k] - v[k] * c);
            v[k] = v[k] * r * w[k];
        }
        store_some(dx + i, sum, hidden - i);
        if (again) store_some(dy + i, v, hidden - i);
    }
}

// As rms_norm_backward with the row in registers; dx in e4m3 too unless codes is null: codes u8 [rows, hidden], scales [rows].
// hidden is a multiple of 8. Launch: a block a row, of at least hidden / 8 / HELD threads
extern "C" __global__ void rms_norm_backward8(bf16* dx, i64 dx_stride, bf16* dy, i64 dy_stride, const bf16* x, i64 x_stride, const void* weight,
                                              float offset, const float* rstd, int hidden, int type, int again, u8* codes, float* scales) {
    __shared__ float shared[33];
    i64 row = blockIdx.x;
    uint4* to = (uint4*)(dx + row * dx_stride);
    uint4* d_in = (uint4*)(dy + row * dy_stride);
    const uint4* in = (const uint4*)(x + row * x_stride);
    int chunks = hidden / 8;
    uint4 held_d[HELD], held_x[HELD];
    float r = rstd[row], product = 0.f;
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        int chunk = i * blockDim.x + threadIdx.x;
        held_d[i] = chunk < chunks ? d_in[chunk] : make_uint4(0, 0, 0, 0);
        held_x[i] = chunk < chunks ? in[chunk] : make_uint4(0, 0, 0, 0);
    }
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        int chunk = i * blockDim.x + threadIdx.x;
        if (chunk < chunks) {
            float d[8], v[8], w[8];
            unpack8(held_d[i], d);
            unpack8(held_x[i], v);
            read_factors(weight, offset, chunk * 8, w, 8, type);
#pragma unroll
            for (int k = 0; k < 8; k++) product += d[k] * w[k] * v[k];
        }
    }
    float c = block_sum(product, shared) / hidden * r * r, largest = 0.f;
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        int chunk = i * blockDim.x + threadIdx.x;
        if (chunk < chunks) {
            float d[8], v[8], w[8], sum[8];
            unpack8(held_d[i], d);
            unpack8(held_x[i], v);
            read_factors(weight, offset, chunk * 8, w, 8, type);
            unpack8(to[chunk], sum);
#pragma unroll
            for (int k = 0; k < 8; k++) {
                sum[k] += r * (d[k] * w[k] - v[k] * c);
                v[k] = v[k] * r * w[k];
            }
            held_x[i] = pack8(sum);
            to[chunk] = held_x[i];
            largest = fmaxf(largest, largest8(held_x[i]));
            if (again) d_in[chunk] = pack8(v);
        }
    }
#if __CUDA_ARCH__ >= 890
    if (codes == 0) return;
    float scale = scale_of(block_max(largest, shared)), inverse = 1.f / scale;
    if (threadIdx.x == 0) scales[row] = scale;
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        int chunk = i * blockDim.x + threadIdx.x;
        if (chunk < chunks) ((uint2*)(codes + row * hidden))[chunk] = e4m3_of8(held_x[i], inverse);
    }
#endif
}

// dweight += sum over rows of dy x rstd. Launch: block (32, 8), grid.x hidden / 32
extern "C" __global__ void rms_norm_weight_gradient(float* dweight, const bf16* dy, i64 dy_stride, const bf16* x, i64 x_stride, const float* rstd, i64 rows, int hidden) {
    __shared__ float part[8][33];
    int column = blockIdx.x * 32 + threadIdx.x;
    float sum = 0.f;
    if (column < hidden)
        for (i64 row = threadIdx.y; row < rows; row += 8) sum += to_float(dy[row * dy_stride + column]) * to_float(x[row * x_stride + column]) * rstd[row];
    part[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && column < hidden) {
        for (int i = 1; i < 8; i++) sum += part[i][threadIdx.x];
        dweight[column] += sum;
    }
}

// Queries and keys head by head, values copied. Launch: block 256, a warp a head of a row; heads counts queries, keys and values
extern "C" __global__ void head_norm(bf16* y, i64 y_stride, float* rstd, const bf16* x, i64 x_stride, const void* q_weight, const void* k_weight, float offset, float eps,
                                     i64 rows, int q_heads, int kv_heads, int dim, int q_type, int k_type) {
    let_next_begin();
    wait_for_previous();
    i64 warp = ((i64)blockIdx.x * blockDim.x + threadIdx.x) >> 5;
    int heads = q_heads + 2 * kv_heads, lane = threadIdx.x & 31;
    if (warp >= rows * heads) return;
    i64 row = warp / heads;
    int head = (int)(warp % heads);
    x += row * x_stride + head * dim; y += row * y_stride + head * dim;
    if (head >= q_heads + kv_heads) {
        for (int i = lane; i < dim; i += 32) y[i] = x[i];
        return;
    }
    float squares = 0.f;
    for (int i = lane; i < dim; i += 32) squares += to_float(x[i]) * to_float(x[i]);
    float r = rsqrtf(warp_sum(squares) / dim + eps);
    if (lane == 0) rstd[row * (q_heads + kv_heads) + head] = r;
    const void* weight = head < q_heads ? q_weight : k_weight;
    int type = head < q_heads ? q_type : k_type;
    for (int i = lane; i < dim; i += 32) y[i] = to_bf16(to_float(x[i]) * r * (offset + read(weight, i, type)));
}

// dqkv: gradient of the result, overwritten with that of x; values keep theirs. Launch: as head_norm, over queries and keys
extern "C" __global__ void head_norm_backward(bf16* dqkv, i64 d_stride, const bf16* x, i64 x_stride, const void* q_weight, const void* k_weight, float offset, const float* rstd,
                                              i64 rows, int q_heads, int kv_heads, int dim, int q_type, int k_type) {
    i64 warp = ((i64)blockIdx.x * blockDim.x + threadIdx.x) >> 5;
    int heads = q_heads + kv_heads, lane = threadIdx.x & 31;
    if (warp >= rows * heads) return;
    i64 row = warp / heads;
    int head = (int)(warp % heads);
    x += row * x_stride + head * dim; dqkv += row * d_stride + head * dim;
    const void* weight = head < q_heads ? q_weight : k_weight;
    int type = head < q_heads ? q_type : k_type;
    float r = rstd[row * heads + head], product = 0.f;
    for (int i = lane; i < dim; i += 32) product += to_float(dqkv[i]) * (offset + read(weight, i, type)) * to_float(x[i]);
    float c = warp_sum(product) / dim * r * r;
    for (int i = lane; i < dim; i += 32) dqkv[i] = to_bf16(r * (to_float(dqkv[i]) * (offset + read(weight, i, type)) - to_float(x[i]) * c));
}

// dweight[i] += sum over rows and heads of dy x rstd, before head_norm_backward overwrites dy. Launch: a block of 256 for each i < dim
extern "C" __global__ void head_norm_weight_gradient(float* dweight, const bf16* dy, i64 dy_stride, const bf16* x, i64 x_stride, const float* rstd,
                                                     i64 rows, int first_head, int heads, int all_heads, int dim) {
    __shared__ float shared[33];
    int i = blockIdx.x;
    float sum = 0.f;
    for (i64 at = threadIdx.x; at < rows * heads; at += blockDim.x) {
        i64 row = at / heads;
        int head = first_head + (int)(at % heads);
        sum += to_float(dy[row * dy_stride + head * dim + i]) * to_float(x[row * x_stride + head * dim + i]) * rstd[row * all_heads + head];
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) dweight[i] += sum;
}
