// layer_norm.cu: y = (x - mean) rstd (offset + weight) + bias over the last axis, and its gradients. arXiv 1607.06450
// Layout x, y, dx, dy [rows, hidden] bfloat16 with strides; statistics float [rows][2]: mean, rstd; bias 0 for none. Sums in float, the result rounded
// once; the mean of squares is that of the deviations: a row is read again for it, which is near by then.  Launch: a block of 256 a row
// Oracle: NormTest; CPU twin CpuLayerNorm
#include "common.cuh"

// y from at on, v that part of x. The same instructions wherever y is made: the same bits
__device__ __forceinline__ void store_normalized(bf16* y, const float* v, float mean, float rstd, const void* weight, const void* bias, int at, int hidden, int type, int bias_type, float offset) {
    float w[8], b[8] = {0.f, 0.f, 0.f, 0.f, 0.f, 0.f, 0.f, 0.f};
    read_some(weight, at, w, hidden - at, type);
    if (bias) read_some(bias, at, b, hidden - at, bias_type);
#pragma unroll
    for (int k = 0; k < 8; k++) w[k] = __fmaf_rn(__fmul_rn(v[k] - mean, rstd), offset + w[k], b[k]);
    store_some(y + at, w, hidden - at);
}

__device__ __forceinline__ void normalize_row(bf16* y, const bf16* x, float mean, float rstd, const void* weight, const void* bias, int hidden, int type, int bias_type, float offset) {
    for (int at = threadIdx.x * 8; at < hidden; at += blockDim.x * 8) {
        float v[8];
        load_some(x + at, v, hidden - at);
        store_normalized(y, v, mean, rstd, weight, bias, at, hidden, type, bias_type, offset);
    }
}

extern "C" __global__ void layer_norm(bf16* y, i64 y_stride, float* statistics, const bf16* x, i64 x_stride, const void* weight, const void* bias, float eps, int hidden, int type,
                                      int bias_type, float offset) {
    __shared__ float shared[33];
    let_next_begin();
    wait_for_previous();
    i64 row = blockIdx.x;
    x += row * x_stride;
    float sum = 0.f, squares = 0.f;
    for (int at = threadIdx.x * 8; at < hidden; at += blockDim.x * 8) {
        float v[8];
        load_some(x + at, v, hidden - at);
#pragma unroll
        for (int k = 0; k < 8; k++) sum += v[k];
    }
    float mean = block_sum(sum, shared) / hidden;
    for (int at = threadIdx.x * 8; at < hidden; at += blockDim.x * 8) {
        float v[8];
        load_some(x + at, v, hidden - at);
#pragma unroll
        for (int k = 0; k < 8; k++)
            if (at + k < hidden) squares += (v[k] - mean) * (v[k] - mean);
    }
    float rstd = rsqrtf(block_sum(squares, shared) / hidden + eps);
    if (threadIdx.x == 0) {
        statistics[2 * row] = mean;
        statistics[2 * row + 1] = rstd;
    }
    normalize_row(y + row * y_stride, x, mean, rstd, weight, bias, hidden, type, bias_type, offset);
}

extern "C" __global__ void layer_norm_again(bf16* y, i64 y_stride, const float* statistics, const bf16* x, i64 x_stride, const void* weight, const void* bias, int hidden, int type,
                                            int bias_type, float offset) {
    i64 row = blockIdx.x;
    normalize_row(y + row * y_stride, x + row * x_stride, statistics[2 * row], statistics[2 * row + 1], weight, bias, hidden, type, bias_type, offset);
}

// dx += rstd (t - mean(t) - n mean(t n)), t = dy (offset + weight), n = (x - mean) rstd; then y again in the place of dy where `again` is set
extern "C" __global__ void layer_norm_backward(bf16* dx, i64 dx_stride, bf16* dy, i64 dy_stride, const bf16* x, i64 x_stride, const void* weight, const void* bias,
                                               const float* statistics, int hidden, int type, int bias_type, float offset, int again) {
    __shared__ float shared[33];
    i64 row = blockIdx.x;
    dx += row * dx_stride; dy += row * dy_stride; x += row * x_stride;
    float mean = statistics[2 * row], rstd = statistics[2 * row + 1], sum = 0.f, product = 0.f;
    for (int at = threadIdx.x * 8; at < hidden; at += blockDim.x * 8) {
        float d[8], v[8], w[8];
        load_some(dy + at, d, hidden - at);
        load_some(x + at, v, hidden - at);
        read_some(weight, at, w, hidden - at, type);
#pragma unroll
        for (int k = 0; k < 8; k++) {
            float t = d[k] * (offset + w[k]);                 // d is 0 beyond the row
            sum += t;
            product += t * ((v[k] - mean) * rstd);
        }
    }
    float mean_t = block_sum(sum, shared) / hidden, mean_tn = block_sum(product, shared) / hidden;
    for (int at = threadIdx.x * 8; at < hidden; at += blockDim.x * 8) {
        float d[8], v[8], w[8], total[8];
        load_some(dy + at, d, hidden - at);
        load_some(x + at, v, hidden - at);
        read_some(weight, at, w, hidden - at, type);
        load_some(dx + at, total, hidden - at);
#pragma unroll
        for (int k = 0; k < 8; k++) total[k] += rstd * (d[k] * (offset + w[k]) - mean_t - (v[k] - mean) * rstd * mean_tn);
        store_some(dx + at, total, hidden - at);
        if (again) store_normalized(dy, v, mean, rstd, weight, bias, at, hidden, type, bias_type, offset);
    }
}

// dweight += sum over rows of dy (x - mean) rstd, dbias += sum over rows of dy; either may be 0. Launch: block (32, 8), grid.x hidden / 32
extern "C" __global__ void layer_norm_weight_gradients(float* dweight, float* dbias, const bf16* dy, i64 dy_stride, const bf16* x, i64 x_stride, const float* statistics, i64 rows,
                                                       int hidden) {
    __shared__ float part[2][8][33];
    int column = blockIdx.x * 32 + threadIdx.x;
    float products = 0.f, sum = 0.f;
    if (column < hidden)
        for (i64 row = threadIdx.y; row < rows; row += 8) {
            float d = to_float(dy[row * dy_stride + column]);
            products += d * ((to_float(x[row * x_stride + column]) - statistics[2 * row]) * statistics[2 * row + 1]);
            sum += d;
        }
    part[0][threadIdx.y][threadIdx.x] = products;
    part[1][threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && column < hidden) {
        for (int i = 1; i < 8; i++) {
            products += part[0][i][threadIdx.x];
            sum += part[1][i][threadIdx.x];
        }
        if (dweight) dweight[column] += products;
        if (dbias) dbias[column] += sum;
    }
}
