// attention.cu: causal attention with grouped queries, a warp a query (or key) of a head: for shapes that cuDNN does not take, and for cached keys.
// Layout qkv [rows, qkv], y [rows, q_heads dim] bfloat16 with strides; lse, delta float [rows, q_heads]; dim at most 256.
// first[row]: row of the storage of keys and values that holds its sequence's first key; count[row]: keys that it sees, window aside.
// Oracle: AttentionTest; CPU twin CpuAttention.  arXiv 2307.08691 for the order of the sums
#include "common.cuh"

#define MAX_DIM 256
#define PER_LANE (MAX_DIM / 32)

// dot of a vector in shared memory with a row of bfloat16
__device__ __forceinline__ float dot(const float* q, const bf16* k, int dim) {
    float sum = 0.f;
    int i = 0;
    if (((u64)k & 15) == 0)
        for (; i + 8 <= dim; i += 8) {
            float v[8];
            load8(k + i, v);
#pragma unroll
            for (int j = 0; j < 8; j++) sum += q[i + j] * v[j];
        }
    for (; i < dim; i++) sum += q[i] * to_float(k[i]);
    return sum;
}

// The linear bias of a head for each position back, as AttentionShape.slope; 0 without
__device__ __forceinline__ float slope_of(int head, int heads, float alibi_max) {
    if (alibi_max == 0.f) return 0.f;
    int lower = 1;
    while (2 * lower <= heads) lower *= 2;
    float exponent = head < lower ? (head + 1.f) / lower : (2.f * (head - lower) + 1.f) / (2 * lower);
    return exp2f(-alibi_max * exponent);
}

// A scaled product as a score: capped where cap > 0, biased by the positions from query back to key; `derivative` of the cap
__device__ __forceinline__ float scored(float product, float cap, float slope, int positions_back, float* derivative) {
    *derivative = 1.f;
    if (cap > 0.f) {
        float t = tanhf(product / cap);
        *derivative = 1.f - t * t;
        product = cap * t;
    }
    return product - slope * positions_back;
}

// Launch: block 128 (4 warps), a warp a head of a row
extern "C" __global__ void attention_forward(bf16* y, i64 y_stride, float* lse, const bf16* q, i64 q_stride, const bf16* keys, const bf16* values, i64 kv_stride,
                                             const int* first, const int* count, i64 rows, int q_heads, int kv_heads, int dim, int window, float scale, float cap, float alibi_max) {
    __shared__ float shared[4][MAX_DIM];
    i64 warp = (i64)blockIdx.x * 4 + (threadIdx.x >> 5);
    if (warp >= rows * q_heads) return;
    int lane = threadIdx.x & 31, head = (int)(warp % q_heads);
    i64 row = warp / q_heads;
    float* query = shared[threadIdx.x >> 5];
    for (int i = lane; i < dim; i += 32) query[i] = to_float(q[row * q_stride + head * dim + i]) * scale;
    __syncwarp();
    i64 column = (i64)(head / (q_heads / kv_heads)) * dim, base = first[row];
    int seen = count[row], from = window > 0 && seen > window ? seen - window : 0;
    float max = -INFINITY, sum = 0.f, out[PER_LANE] = {}, slope = slope_of(head, q_heads, alibi_max), derivative;
    for (int tile = from & ~31; tile < seen; tile += 32) {
        int key = tile + lane;
        float score = key >= from && key < seen ? scored(dot(query, keys + (base + key) * kv_stride + column, dim), cap, slope, seen - 1 - key, &derivative) : -INFINITY;
        float m = fmaxf(max, warp_max(score)), p = expf(score - m), correction = expf(max - m);
        sum = sum * correction + warp_sum(p);
        max = m;
#pragma unroll
        for (int j = 0; j < PER_LANE; j++) out[j] *= correction;
        int end = seen - tile < 32 ? seen - tile : 32;
        for (int k = 0; k < end; k++) {
            float weight = __shfl_sync(0xffffffffu, p, k);
            if (weight == 0.f) continue;
            const bf16* value = values + (base + tile + k) * kv_stride + column;
#pragma unroll
            for (int j = 0; j < PER_LANE; j++)
                if (lane + 32 * j < dim) out[j] += weight * to_float(value[lane + 32 * j]);
        }
    }
#pragma unroll
    for (int j = 0; j < PER_LANE; j++)
        if (lane + 32 * j < dim) y[row * y_stride + head * dim + lane + 32 * j] = to_bf16(out[j] / sum);
    if (lse && lane == 0) lse[row * q_heads + head] = max + logf(sum);
}

// delta = sum of dy y. Launch: block 128, a warp a head of a row
extern "C" __global__ void attention_delta(float* delta, const bf16* dy, i64 dy_stride, const bf16* y, i64 y_stride, i64 rows, int q_heads, int dim) {
    i64 warp = (i64)blockIdx.x * 4 + (threadIdx.x >> 5);
    if (warp >= rows * q_heads) return;
    int lane = threadIdx.x & 31, head = (int)(warp % q_heads);
    i64 row = warp / q_heads;
    float sum = 0.f;
    for (int i = lane; i < dim; i += 32) sum += to_float(dy[row * dy_stride + head * dim + i]) * to_float(y[row * y_stride + head * dim + i]);
    sum = warp_sum(sum);
    if (lane == 0) delta[warp] = sum;
}

// Gradient of the queries. Launch: as the forward
extern "C" __global__ void attention_backward_q(bf16* dqkv, i64 d_stride, const bf16* dy, i64 dy_stride, const bf16* qkv, i64 stride, const float* lse, const float* delta,
                                                const int* first, const int* count, i64 rows, int q_heads, int kv_heads, int dim, int window, float scale, float cap, float alibi_max) {
    __shared__ float shared[4][2 * MAX_DIM];
    i64 warp = (i64)blockIdx.x * 4 + (threadIdx.x >> 5);
    if (warp >= rows * q_heads) return;
    int lane = threadIdx.x & 31, head = (int)(warp % q_heads);
    i64 row = warp / q_heads;
    float *query = shared[threadIdx.x >> 5], *d = query + MAX_DIM;
    for (int i = lane; i < dim; i += 32) {
        query[i] = to_float(qkv[row * stride + head * dim + i]) * scale;
        d[i] = to_float(dy[row * dy_stride + head * dim + i]);
    }
    __syncwarp();
    i64 column = (i64)(q_heads + head / (q_heads / kv_heads)) * dim, base = first[row];
    const bf16 *keys = qkv + column, *values = keys + (i64)kv_heads * dim;
    int seen = count[row], from = window > 0 && seen > window ? seen - window : 0;
    float normalizer = lse[warp], product = delta[warp], out[PER_LANE] = {}, slope = slope_of(head, q_heads, alibi_max), derivative;
    for (int tile = from & ~31; tile < seen; tile += 32) {
        int key = tile + lane;
        float ds = 0.f;
        if (key >= from && key < seen) {
            float p = expf(scored(dot(query, keys + (base + key) * stride, dim), cap, slope, seen - 1 - key, &derivative) - normalizer);
            ds = p * (dot(d, values + (base + key) * stride, dim) - product) * scale * derivative;
        }
        int end = seen - tile < 32 ? seen - tile : 32;
        for (int k = 0; k < end; k++) {
            float weight = __shfl_sync(0xffffffffu, ds, k);
            if (weight == 0.f) continue;
            const bf16* at = keys + (base + tile + k) * stride;
#pragma unroll
            for (int j = 0; j < PER_LANE; j++)
                if (lane + 32 * j < dim) out[j] += weight * to_float(at[lane + 32 * j]);
        }
    }
#pragma unroll
    for (int j = 0; j < PER_LANE; j++)
        if (lane + 32 * j < dim) dqkv[row * d_stride + head * dim + lane + 32 * j] = to_bf16(out[j]);
}

// Gradients of keys and values: the queries that see the key are the next ones of its sequence. Launch: block 128, a warp a key head of a row
extern "C" __global__ void attention_backward_kv(bf16* dqkv, i64 d_stride, const bf16* dy, i64 dy_stride, const bf16* qkv, i64 stride, const float* lse, const float* delta,
                                                 const int* end_of_sequence, i64 rows, int q_heads, int kv_heads, int dim, int window, float scale, float cap, float alibi_max) {
    __shared__ float shared[4][2 * MAX_DIM];
    i64 warp = (i64)blockIdx.x * 4 + (threadIdx.x >> 5);
    if (warp >= rows * kv_heads) return;
    int lane = threadIdx.x & 31, kv_head = (int)(warp % kv_heads), group = q_heads / kv_heads;
    i64 row = warp / kv_heads, column = (i64)(q_heads + kv_head) * dim;
    float *key = shared[threadIdx.x >> 5], *value = key + MAX_DIM;
    for (int i = lane; i < dim; i += 32) {
        key[i] = to_float(qkv[row * stride + column + i]) * scale;
        value[i] = to_float(qkv[row * stride + column + (i64)kv_heads * dim + i]);
    }
    __syncwarp();
    i64 last = end_of_sequence[row];
    if (window > 0 && row + window < last) last = row + window;
    float dk[PER_LANE] = {}, dv[PER_LANE] = {};
    for (int head = kv_head * group; head < (kv_head + 1) * group; head++) {
        float slope = slope_of(head, q_heads, alibi_max), derivative;
        for (i64 tile = row; tile < last; tile += 32) {
            i64 at = tile + lane;
            float p = 0.f, ds = 0.f;
            if (at < last) {
                p = expf(scored(dot(key, qkv + at * stride + head * dim, dim), cap, slope, (int)(at - row), &derivative) - lse[at * q_heads + head]);
                ds = p * (dot(value, dy + at * dy_stride + head * dim, dim) - delta[at * q_heads + head]) * scale * derivative;
            }
            int end = last - tile < 32 ? (int)(last - tile) : 32;
            for (int k = 0; k < end; k++) {
                float weight = __shfl_sync(0xffffffffu, p, k), gradient = __shfl_sync(0xffffffffu, ds, k);
                const bf16 *query = qkv + (tile + k) * stride + head * dim, *d = dy + (tile + k) * dy_stride + head * dim;
#pragma unroll
                for (int j = 0; j < PER_LANE; j++)
                    if (lane + 32 * j < dim) {
                        dv[j] += weight * to_float(d[lane + 32 * j]);
                        dk[j] += gradient * to_float(query[lane + 32 * j]);
                    }
            }
        }
    }
#pragma unroll
    for (int j = 0; j < PER_LANE; j++)
        if (lane + 32 * j < dim) {
            dqkv[row * d_stride + column + lane + 32 * j] = to_bf16(dk[j]);
            dqkv[row * d_stride + column + (i64)kv_heads * dim + lane + 32 * j] = to_bf16(dv[j]);
        }
}
