// cross_entropy.cu: -log softmax(logits)[target] of each row, and its gradient over the logits.
// Layout logits [rows, vocab] bfloat16 with a stride, before `bounded`, overwritten with their gradient, (softmax - onehot) scale where nothing is bounded; losses double [rows].  Launch: a block of 512 a row
// Oracle: HeadLossTest; CPU twin CpuLoss
#include "common.cuh"

__device__ __forceinline__ void merge(float& max, float& sum, float other_max, float other_sum) {
    float m = fmaxf(max, other_max);
    if (m == -INFINITY) return;
    sum = sum * expf(max - m) + other_sum * expf(other_max - m);
    max = m;
}

// what the output layer does with its product: a factor, and a cap where cap > 0
__device__ __forceinline__ float bounded(float x, float factor, float cap) { return cap > 0.f ? cap * tanhf(x * factor / cap) : x * factor; }

// Launch: a thread an element
extern "C" __global__ void bound_scores(bf16* scores, i64 stride, i64 rows, int vocab, float factor, float cap) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x, row = i / vocab;
    if (row >= rows) return;
    bf16* at = scores + row * stride + (i - row * vocab);
    *at = to_bf16(bounded(to_float(*at), factor, cap));
}

extern "C" __global__ void cross_entropy(bf16* logits, i64 stride, const int* targets, double* losses, int vocab, float scale, float factor_of_logits, float cap, int gradient) {
    __shared__ float maxima[33], sums[33];
    i64 row = blockIdx.x;
    logits += row * stride;
    int target = targets[row], lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    float max = -INFINITY, sum = 0.f, at_target = bounded(to_float(logits[target]), factor_of_logits, cap);
    for (int at = threadIdx.x * 8; at < vocab; at += blockDim.x * 8) {
        float v[8];
        int count = vocab - at < 8 ? vocab - at : 8;
        load_some(logits + at, v, count);
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] = bounded(v[k], factor_of_logits, cap);
        float m = max;
        for (int k = 0; k < count; k++) m = fmaxf(m, v[k]);
        if (m > max) { sum *= expf(max - m); max = m; }
        for (int k = 0; k < count; k++) sum += expf(v[k] - max);
    }
    for (int distance = 16; distance > 0; distance >>= 1)
        merge(max, sum, __shfl_xor_sync(0xffffffffu, max, distance), __shfl_xor_sync(0xffffffffu, sum, distance));
    if (lane == 0) { maxima[warp] = max; sums[warp] = sum; }
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int i = 1; i < blockDim.x / 32; i++) merge(max, sum, maxima[i], sums[i]);
        maxima[32] = max;
        sums[32] = sum;
        losses[row] = log((double)sum) + max - at_target;
    }
    __syncthreads();
    if (!gradient) return;
    max = maxima[32];
    float factor = scale / sums[32];
    for (int at = threadIdx.x * 8; at < vocab; at += blockDim.x * 8) {
        float v[8];
        load_some(logits + at, v, vocab - at);
#pragma unroll
        for (int k = 0; k < 8; k++) {
            float x = bounded(v[k], factor_of_logits, cap), relative = cap > 0.f ? x / cap : 0.f;
            v[k] = (expf(x - max) * factor - (at + k == target ? scale : 0.f)) * factor_of_logits * (1.f - relative * relative);
        }
        store_some(logits + at, v, vocab - at);
    }
}

// sum += all losses, in a fixed order. Launch: one block of 256
extern "C" __global__ void add_losses(double* sum, const double* losses, int rows) {
    __shared__ double shared[256];
    double part = 0;
    for (int i = threadIdx.x; i < rows; i += 256) part += losses[i];
    sum_of_256(part, shared);
    if (threadIdx.x == 0) *sum += shared[0];
}
