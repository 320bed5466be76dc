// decode_attention.cu: attention of one new token a sequence to the keys and values in the cache, and its own into the cache; grouped queries, sliding window.
// Layout qkv [rows, qkv], y [rows, q_heads dim], keys, values [rows max_length, kv_heads dim] bfloat16 with strides; positions[row]: tokens in the cache.
// dim is 8, 16, 32, 64, 128 or 256. Blocks share the keys of a sequence; each has its own maximum and sums, and the last of them to come brings them together,
// in their order, so that the same inputs give the same bits.  arXiv 2307.08691
// Oracle: AttentionTest; CPU twin CpuAttention
#include "common.cuh"

#define MAX_DIM 256
#define WARPS 16
#define THREADS (32 * WARPS)
#define AT_ONCE 4
#define FEWEST_KEYS 32
#define MOST_SPLITS 64

// Rescales (max, sum, out) and (other ...) to the greater maximum and adds them
__device__ __forceinline__ void join(float& max, float& sum, float* out, float other_max, float other_sum, const float* other) {
    float m = fmaxf(max, other_max), reference = m > -INFINITY ? m : 0.f, f = expf(max - reference), g = expf(other_max - reference);
    sum = sum * f + other_sum * g;
#pragma unroll
    for (int k = 0; k < 8; k++) out[k] = out[k] * f + other[k] * g;
    max = m;
}

// Launch: block 512, grid (splits kv_heads, rows); arrived u32 [rows kv_heads] zero before and after; partial float [rows][kv_heads][splits][q_heads / kv_heads][dim]
// and behind it [rows][kv_heads][splits][q_heads / kv_heads][2]: maximum, sum of the weights
extern "C" __global__ void __launch_bounds__(THREADS) decode_attention(bf16* y, i64 y_stride, const bf16* qkv, i64 stride, bf16* keys, bf16* values, i64 kv_stride,
                                                                   const int* positions, float* partial, u32* arrived, int max_length, int splits, int q_heads,
                                                                   int kv_heads, int dim, int window, float scale) {
    __shared__ float shared[WARPS][MAX_DIM + 2];
    __shared__ float weights[WARPS][MOST_SPLITS];
    __shared__ bool is_last;
    let_next_begin();
    wait_for_previous();
    int kv_head = blockIdx.x / splits, split = blockIdx.x - kv_head * splits, group = q_heads / kv_heads, lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    i64 row = blockIdx.y;
    int position = positions[row], seen = position + 1, from = window > 0 && seen > window ? seen - window : 0;
    if (position < 0 || position >= max_length) return;
    int share = ((seen - from + splits - 1) / splits + 7) & ~7;
    if (share < FEWEST_KEYS) share = FEWEST_KEYS;
    int begin = from + split * share, end = begin + share < seen ? begin + share : seen, active = (seen - from + share - 1) / share;
    if (begin >= end) return;
    const bf16 *own_key = qkv + row * stride + (i64)(q_heads + kv_head) * dim, *own_value = own_key + (i64)kv_heads * dim;
    keys += row * max_length * kv_stride + (i64)kv_head * dim;
    values += row * max_length * kv_stride + (i64)kv_head * dim;
    if (split == 0)
        for (int i = threadIdx.x; i < dim; i += THREADS) {
            keys[position * kv_stride + i] = own_key[i];
            values[position * kv_stride + i] = own_value[i];
        }
    int lanes = dim >> 3, side = 32 / lanes, sub = lane / lanes, column = (lane - sub * lanes) * 8;      // a key takes `lanes` lanes, a warp `side` keys side by side
    int heads = group < WARPS ? group : WARPS, parts = WARPS / heads, part = warp / heads;
    i64 parts_before = ((row * kv_heads + kv_head) * splits) * group;
    float2* stats = (float2*)(partial + (i64)gridDim.y * kv_heads * splits * group * dim) + parts_before;
    partial += parts_before * dim;
    for (int first = 0; first < group; first += heads) {
        int head = first + warp % heads;
        bool works = part < parts && head < group;
        float max = -INFINITY, sum = 0.f, out[8] = {}, q[8];
        load8(qkv + row * stride + (i64)(kv_head * group + (works ? head : 0)) * dim + column, q);
#pragma unroll
        for (int k = 0; k < 8; k++) q[k] *= scale;
        for (int base = works ? begin + part * side : end; base < end; base += AT_ONCE * parts * side) {
            uint4 key[AT_ONCE], value[AT_ONCE];
            float score[AT_ONCE];
#pragma unroll
            for (int u = 0; u < AT_ONCE; u++) {
                int at = base + u * parts * side + sub;
                bool there = at < end;
                key[u] = there ? *(const uint4*)((at == position ? own_key : keys + at * kv_stride) + column) : make_uint4(0, 0, 0, 0);
                value[u] = there ? *(const uint4*)((at == position ? own_value : values + at * kv_stride) + column) : make_uint4(0, 0, 0, 0);
            }
            float m = max;
#pragma unroll
            for (int u = 0; u < AT_ONCE; u++) {
                float dot = q[0] * low_half(key[u].x) + q[1] * high_half(key[u].x) + q[2] * low_half(key[u].y) + q[3] * high_half(key[u].y)
                          + q[4] * low_half(key[u].z) + q[5] * high_half(key[u].z) + q[6] * low_half(key[u].w) + q[7] * high_half(key[u].w);
                for (int distance = lanes >> 1; distance > 0; distance >>= 1) dot += __shfl_xor_sync(0xffffffffu, dot, distance);
                score[u] = base + u * parts * side + sub < end ? dot : -INFINITY;
                m = fmaxf(m, score[u]);
            }
            float reference = m > -INFINITY ? m : 0.f, correction = expf(max - reference);      // these lanes may have had no key yet
            sum *= correction;
#pragma unroll
            for (int k = 0; k < 8; k++) out[k] *= correction;
#pragma unroll
            for (int u = 0; u < AT_ONCE; u++) {
                float p = expf(score[u] - reference);
                sum += p;
                out[0] += p * low_half(value[u].x); out[1] += p * high_half(value[u].x); out[2] += p * low_half(value[u].y); out[3] += p * high_half(value[u].y);
                out[4] += p * low_half(value[u].z); out[5] += p * high_half(value[u].z); out[6] += p * low_half(value[u].w); out[7] += p * high_half(value[u].w);
            }
            max = m;
        }
        for (int distance = lanes; distance < 32; distance <<= 1) {
            float other[8], other_max = __shfl_xor_sync(0xffffffffu, max, distance), other_sum = __shfl_xor_sync(0xffffffffu, sum, distance);
#pragma unroll
            for (int k = 0; k < 8; k++) other[k] = __shfl_xor_sync(0xffffffffu, out[k], distance);
            join(max, sum, out, other_max, other_sum, other);
        }
        if (sub == 0) {
#pragma unroll
            for (int k = 0; k < 8; k++) shared[warp][column + k] = out[k];
            if (lane == 0) { shared[warp][dim] = max; shared[warp][dim + 1] = sum; }
        }
        __syncthreads();
        if (works && part == 0 && sub == 0) {
            for (int i = 1; i < parts; i++) join(max, sum, out, shared[warp + i * heads][dim], shared[warp + i * heads][dim + 1], &shared[warp + i * heads][column]);
            if (active == 1) {
#pragma unroll
                for (int k = 0; k < 8; k++) out[k] /= sum;
                store8(y + row * y_stride + (i64)(kv_head * group + head) * dim + column, out);
            } else {
#pragma unroll
                for (int k = 0; k < 8; k++) partial[(i64)(split * group + head) * dim + column + k] = out[k];
                if (lane == 0) stats[split * group + head] = make_float2(max, sum);
            }
        }
        __syncthreads();
    }
    if (active == 1) return;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) is_last = atomicAdd(arrived + row * kv_heads + kv_head, 1u) == active - 1;
    __syncthreads();
    if (!is_last) return;
    __threadfence();
    if (threadIdx.x == 0) arrived[row * kv_heads + kv_head] = 0;
    for (int first = 0; first < group; first += WARPS) {
        int head = first + warp;
        float most = -INFINITY, sum = 0.f;
        if (head < group)
            for (int i = lane; i < active; i += 32) most = fmaxf(most, __ldcg(stats + i * group + head).x);
        most = warp_max(most);
        if (head < group)
            for (int i = lane; i < active; i += 32) {
                float2 of_split = __ldcg(stats + i * group + head);
                weights[warp][i] = expf(of_split.x - most);
                sum += of_split.y * weights[warp][i];
            }
        sum = warp_sum(sum);
        for (int i = lane; i < active; i += 32) weights[warp][i] /= sum;
        __syncthreads();
        int here = group - first < WARPS ? group - first : WARPS;
        for (int at = threadIdx.x * 4; at < here * dim; at += THREADS * 4) {
            int of = at / dim;
            const float4* p = (const float4*)(partial + (i64)first * dim + at);
            float4 total = make_float4(0.f, 0.f, 0.f, 0.f);
#pragma unroll 8
            for (int i = 0; i < active; i++) {
                float4 part_of = __ldcg(p + (i64)i * group * dim / 4);
                float weight = weights[of][i];
                total.x += weight * part_of.x; total.y += weight * part_of.y; total.z += weight * part_of.z; total.w += weight * part_of.w;
            }
            *(uint2*)(y + row * y_stride + (i64)(kv_head * group + first) * dim + at) = make_uint2(pack(total.x, total.y), pack(total.z, total.w));
        }
        __syncthreads();
    }
}

// For other dims: what append_to_cache and attention_forward read. tables int [3][rows]: row of a sequence's first key, keys that are seen, row of the own key. Launch: a thread a row
extern "C" __global__ void decode_tables(int* tables, const int* positions, int rows, int max_length) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    tables[row] = row * max_length;
    tables[rows + row] = positions[row] + 1;
    tables[2 * rows + row] = row * max_length + positions[row];
}
