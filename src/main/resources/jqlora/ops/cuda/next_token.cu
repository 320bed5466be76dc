// next_token.cu: the token that follows each sequence: the one with the highest score, or one at random among the top k and the top p. arXiv 1904.09751
// Layout logits [rows, vocab] bfloat16 with a stride; ids, positions int [rows]: ids overwritten, positions one higher.
// bfloat16 scores have 65 536 values, so a limit is found by halving a range of them 16 times.  Launch: a block of 1024 a row
// Oracle: NextTokensTest; CPU twin Sampler
#include "common.cuh"

#define THREADS 1024

// Scores in the order of their values; a NaN is the lowest
__device__ __forceinline__ u32 order(bf16 x) {
    if ((x & 0x7fff) > 0x7f80) return 0;
    if (x == 0x8000) x = 0;
    return x & 0x8000 ? 0xffff ^ x : x | 0x8000;
}
__device__ __forceinline__ float value_of(u32 order) { return to_float((bf16)(order & 0x8000 ? order ^ 0x8000 : 0xffff ^ order)); }

template <class T> __device__ __forceinline__ T block_total(T x, T* shared) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    for (int distance = 16; distance > 0; distance >>= 1) x += __shfl_xor_sync(0xffffffffu, x, distance);
    if (lane == 0) shared[warp] = x;
    __syncthreads();
    if (warp == 0) {
        T y = shared[lane];
        for (int distance = 16; distance > 0; distance >>= 1) y += __shfl_xor_sync(0xffffffffu, y, distance);
        if (lane == 0) shared[32] = y;
    }
    __syncthreads();
    x = shared[32];
    __syncthreads();
    return x;
}

// the sum over the threads before this one
template <class T> __device__ __forceinline__ T block_before(T x, T* shared) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    T own = x;
    for (int distance = 1; distance < 32; distance <<= 1) {
        T y = __shfl_up_sync(0xffffffffu, x, distance);
        if (lane >= distance) x += y;
    }
    if (lane == 31) shared[warp] = x;
    __syncthreads();
    T before = 0;
    for (int i = 0; i < warp; i++) before += shared[i];
    __syncthreads();
    return before + x - own;
}

// visit(index, order) for each score of the thread's part of the row, in the order of the ids
template <class Visit> __device__ __forceinline__ void each(const bf16* logits, int vocab, Visit visit) {
    int part = ((vocab + THREADS - 1) / THREADS + 7) & ~7, begin = threadIdx.x * part, end = begin + part < vocab ? begin + part : vocab;
    int i = begin;
    for (; i + 8 <= end; i += 8) {
        uint4 u = *(const uint4*)(logits + i);
        u32 words[4] = {u.x, u.y, u.z, u.w};
#pragma unroll
        for (int k = 0; k < 8; k++) visit(i + k, order((bf16)(words[k / 2] >> 16 * (k % 2))));
    }
    for (; i < end; i++) visit(i, order(logits[i]));
}

// The same in an order in which the threads of a warp read side by side
template <class Visit> __device__ __forceinline__ void each_anyhow(const bf16* logits, int vocab, Visit visit) {
    int whole = vocab & ~7;
#pragma unroll 4
    for (int at = threadIdx.x * 8; at < whole; at += THREADS * 8) {
        uint4 u = *(const uint4*)(logits + at);
        u32 words[4] = {u.x, u.y, u.z, u.w};
#pragma unroll
        for (int k = 0; k < 8; k++) visit(at + k, order((bf16)(words[k / 2] >> 16 * (k % 2))));
    }
    if (threadIdx.x < vocab - whole) visit(whole + threadIdx.x, order(logits[whole + threadIdx.x]));
}

// Of equal scores the lowest id; a NaN is never the highest
extern "C" __global__ void __launch_bounds__(THREADS) highest_token(int* ids, int* positions, const bf16* logits, i64 stride, int vocab) {
    __shared__ float scores[32];
    __shared__ int tokens[32];
    let_next_begin();
    wait_for_previous();
    i64 row = blockIdx.x;
    logits += row * stride;
    float best = -INFINITY;
    int token = vocab;
    auto take = [&](float score, int id) {
        if (score > best || score == best && id < token) { best = score; token = id; }
    };
    int whole = vocab & ~7;
#pragma unroll 8
    for (int at = threadIdx.x * 8; at < whole; at += THREADS * 8) {
        float v[8];
        load8(logits + at, v);
#pragma unroll
        for (int k = 0; k < 8; k++)
            if (v[k] > best) { best = v[k]; token = at + k; }
    }
    if (threadIdx.x < vocab - whole) take(to_float(logits[whole + threadIdx.x]), whole + threadIdx.x);
    for (int distance = 16; distance > 0; distance >>= 1) take(__shfl_xor_sync(0xffffffffu, best, distance), __shfl_xor_sync(0xffffffffu, token, distance));
    if ((threadIdx.x & 31) == 0) { scores[threadIdx.x >> 5] = best; tokens[threadIdx.x >> 5] = token; }
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int i = 1; i < 32; i++) take(scores[i], tokens[i]);
        ids[row] = token < vocab ? token : 0;
        positions[row]++;
    }
}

// uniform double [rows, length]: the random number for what follows each position
extern "C" __global__ void __launch_bounds__(THREADS) random_token(int* ids, int* positions, const bf16* logits, i64 stride, const double* uniform, int vocab, int length,
                                                                   double temperature, int top_k, double top_p) {
    __shared__ double doubles[33];
    __shared__ int integers[33];
    __shared__ int chosen, last;
    i64 row = blockIdx.x;
    logits += row * stride;
    let_next_begin();
    wait_for_previous();
    if (threadIdx.x == 0) { chosen = vocab; last = 0; integers[32] = 0; }
    __syncthreads();
    u32 highest = 0;
    each_anyhow(logits, vocab, [&](int, u32 score) { highest = score > highest ? score : highest; });
    atomicMax(integers + 32, (int)highest);
    __syncthreads();
    highest = integers[32];
    __syncthreads();
    float max = value_of(highest), inverse = (float)(1 / temperature);
    auto weight = [&](u32 score) { return score == 0 ? 0.f : expf((value_of(score) - max) * inverse); };
    // scores of `lowest` and above stay: the greatest limit that leaves k of them
    u32 lowest = 0;
    if (top_k > 0 && top_k < vocab)
        for (u32 bit = 0x8000; bit > 0; bit >>= 1) {
            int count = 0;
            each_anyhow(logits, vocab, [&](int, u32 score) { count += score >= (lowest | bit); });
            if (block_total(count, integers) >= top_k) lowest |= bit;
        }
    double sum = 0;
    each_anyhow(logits, vocab, [&](int, u32 score) { if (score >= lowest) sum += weight(score); });
    double total = block_total(sum, doubles);
    int equals = vocab;                       // how many of the scores that equal the limit stay: those with the lowest ids
    if (top_p < 1) {
        u32 limit = 0;
        double above = 0;                     // the weight above the limit
        for (u32 bit = 0x8000; bit > 0; bit >>= 1) {
            u32 next = limit | bit;
            double part = 0;
            each_anyhow(logits, vocab, [&](int, u32 score) { if (score >= next && score >= lowest) part += weight(score); });
            part = block_total(part, doubles);
            if (part >= top_p * total) limit = next;
            else above = part;
        }
        lowest = limit > lowest ? limit : lowest;
        double each_has = weight(lowest), more = (top_p * total - above) / each_has;
        equals = each_has > 0 && more < vocab ? (int)ceil(more) : vocab;
        equals = equals < 1 ? 1 : equals;
    }
    int own_equals = 0;
    each(logits, vocab, [&](int, u32 score) { own_equals += score == lowest; });
    int equals_before = block_before(own_equals, integers), seen = equals_before;
    sum = 0;
    each(logits, vocab, [&](int, u32 score) {
        if (score > lowest || score == lowest && seen++ < equals) sum += weight(score);
    });
    double before = block_before(sum, doubles);
    total = block_total(sum, doubles);
    int position = positions[row];
    double target = uniform[row * length + (position < length ? position : length - 1)] * total;
    if (sum > 0) {
        double reached = before;
        seen = equals_before;
        int mine = vocab, final = 0;
        each(logits, vocab, [&](int i, u32 score) {
            if (score > lowest || score == lowest && seen++ < equals) {
                float w = weight(score);
                if (w > 0.f) final = i;
                reached += w;
                if (reached > target && mine == vocab && w > 0.f) mine = i;
            }
        });
        atomicMin(&chosen, mine);
        atomicMax(&last, final);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        ids[row] = chosen < vocab ? chosen : last;
        positions[row] = position + 1;
    }
}
