// next_token.cu: the token that follows each sequence: the one with the highest score, or one at random among the top k and the top p. arXiv 1904.09751
// Layout logits [rows, vocab] bfloat16 with a stride; ids, positions int [rows]: ids overwritten, positions one higher.
// bfloat16 scores have 65 536 values, and equal scores have equal weights: how often each occurs says which stay, so the scores are read once for that and
// once to choose. Counts are whole numbers; sums of weights are in double and in a fixed order: the same number chooses the same token.
// Oracle: NextTokensTest; CPU twin Sampler
#include "common.cuh"

#define THREADS 1024
#define CHUNK 2048
#define VALUES 65536
#define GROUP 128
#define GROUPS (VALUES / GROUP)
#define ALL 0xffffffffu

// Scores in the order of their values; a NaN is the lowest
__device__ __forceinline__ u32 order(bf16 x) {
    if ((x & 0x7fff) > 0x7f80) return 0;
    if (x == 0x8000) x = 0;
    return x & 0x8000 ? 0xffff ^ x : x | 0x8000;
}
__device__ __forceinline__ float value_of(u32 order) { return to_float((bf16)(order & 0x8000 ? order ^ 0x8000 : 0xffff ^ order)); }

// Of equal scores the lowest id; a NaN is never the highest. Launch: a block of 1024 a row
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

// ---- at random

// Of a row, between the two kernels: which scores stay. counts and arrived are zero before the first and after the second.
struct Stay {
    u32 counts[VALUES];   // how often a value occurs
    float highest;
    u32 lowest;           // this value and those above stay
    int equals;           // of the scores with that very value, how many stay: those with the lowest ids
    u32 arrived;          // blocks that are done
};

__device__ __forceinline__ float weight(u32 score, float highest, float inverse) { return score == 0 ? 0.f : expf((value_of(score) - highest) * inverse); }

// the two scores of a thread in chunk `chunk` of a row; returns how many there are
__device__ __forceinline__ int two_scores(const bf16* logits, int chunk, int vocab, int& id, u32& a, u32& b) {
    id = chunk * CHUNK + 2 * threadIdx.x;
    int count = vocab - id < 0 ? 0 : vocab - id < 2 ? vocab - id : 2;
    u32 word = count == 2 ? *(const u32*)(logits + id) : count == 1 ? logits[id] : 0;
    a = order((bf16)word);
    b = order((bf16)(word >> 16));
    return count;
}

// whether this block is the last of its row to come here; it then sees what the others wrote before
__device__ __forceinline__ bool is_last_of_row(u32* arrived) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(arrived, 1u) == gridDim.x - 1;
        if (last) *arrived = 0;
    }
    __syncthreads();
    __threadfence();
    return last;
}

// the sum over the lanes before this one
template <class T> __device__ __forceinline__ T warp_before(T x) {
    int lane = threadIdx.x & 31;
    for (int distance = 1; distance < 32; distance <<= 1) {
        T y = __shfl_up_sync(ALL, x, distance);
        if (lane >= distance) x += y;
    }
    T before = __shfl_up_sync(ALL, x, 1);
    return lane == 0 ? 0 : before;
}

// the sum over the threads of the block before this one; shared holds 32 and may be used again at once
template <class T> __device__ __forceinline__ T block_before(T x, T* shared) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    T before = warp_before(x);
    if (lane == 31) shared[warp] = before + x;
    __syncthreads();
    T warps = 0;
    for (int i = 0; i < warp; i++) warps += shared[i];
    __syncthreads();
    return warps + before;
}

// Of 32 each values that follow each other, the last above zero at whose beginning begins(the sum of those before it), -1 if there is none; `before` is the
// sum before the first value, then before the one that is returned. For a whole warp; value(i) is asked by lane i / each.
template <class T, class Value, class Begins> __device__ __forceinline__ int last_begun(T& before, int each, Value value, Begins begins) {
    int lane = threadIdx.x & 31, first = lane * each, at = 0;
    T own = 0;
    for (int i = first; i < first + each; i++) own += value(i);
    T reached = before + warp_before(own), begin = reached;
    u32 lanes = __ballot_sync(ALL, own > 0 && begins(reached));
    if (lanes == 0) return -1;
    for (int i = first; i < first + each; i++) {
        T x = value(i);
        if (x > 0 && begins(reached)) { at = i; begin = reached; }
        reached += x;
    }
    int chosen = 31 - __clz(lanes);
    before = __shfl_sync(ALL, begin, chosen);
    return __shfl_sync(ALL, at, chosen);
}

// The highest value at which, with those above, `wanted` is reached: groups[i] is the sum of `of` over 128 values; `above` is what those above have.
// 0 if nothing is above zero. For a whole warp
template <class T, class Of> __device__ __forceinline__ u32 reaching(const T* groups, T wanted, T& above, Of of) {
    auto begins = [&](T before) { return before < wanted; };
    above = 0;
    int group = last_begun(above, GROUPS / 32, [&](int i) { return groups[GROUPS - 1 - i]; }, begins);
    if (group < 0) return 0;
    int top = (GROUPS - group) * GROUP - 1, value = last_begun(above, GROUP / 32, [&](int i) { return of(top - i); }, begins);
    return value < 0 ? 0 : top - value;
}

// Writes stay. Launch: block 1024, grid (chunks of 2048 ids, rows); the last block of a row decides
extern "C" __global__ void __launch_bounds__(THREADS, 1) scores_that_stay(Stay* stay, const bf16* logits, i64 stride, int vocab, float inverse, int top_k, double top_p) {
    __shared__ int counts[GROUPS];
    __shared__ double weights[GROUPS];
    __shared__ u32 limits[2];
    let_next_begin();
    wait_for_previous();
    stay += blockIdx.y;
    logits += blockIdx.y * stride;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, id;
    u32 a, b;
    int count = two_scores(logits, blockIdx.x, vocab, id, a, b), same;
    // many equal scores would wait for each other: those of a warp are counted at once if all are equal
    __match_all_sync(ALL, count == 2 && a == b ? a : VALUES + lane, &same);
    if (same) {
        if (lane == 0) atomicAdd(stay->counts + a, 64u);
    } else {
        if (count > 0) atomicAdd(stay->counts + a, 1u);
        if (count > 1) atomicAdd(stay->counts + b, 1u);
    }
    if (!is_last_of_row(&stay->arrived)) return;

    const uint4* four = (const uint4*)stay->counts + lane;
#pragma unroll 8
    for (int i = 0; i < GROUPS / 32; i++) {
        int group = 32 * i + warp;
        uint4 c = __ldcg(four + group * (GROUP / 4));
        int total = __reduce_add_sync(ALL, (int)(c.x + c.y + c.z + c.w));
        if (lane == 0) counts[group] = total;
    }
    __syncthreads();
    if (warp < 2) {
        int above;
        u32 limit = reaching(counts, warp == 0 ? 1 : top_k, above, [&](int value) { return (int)__ldcg(stay->counts + value); });
        if (lane == 0) limits[warp] = limit;
    }
    __syncthreads();
    float highest = value_of(limits[0]);
    u32 lowest = top_k > 0 && top_k < vocab ? limits[1] : 0;
    int equals = vocab;
    if (top_p < 1) {
        auto weight_of = [&](int value, u32 times) { return times > 0 && value >= lowest ? (double)times * weight(value, highest, inverse) : 0.; };
        for (int i = 0; i < GROUPS / 32; i++) {
            int group = 32 * i + warp, value = group * GROUP + 4 * lane;
            double sum = 0;
            if (counts[group] > 0) {
                uint4 c = __ldcg(four + group * (GROUP / 4));
                sum = warp_sum(weight_of(value, c.x) + weight_of(value + 1, c.y) + weight_of(value + 2, c.z) + weight_of(value + 3, c.w));
            }
            if (lane == 0) weights[group] = sum;
        }
        __syncthreads();
        if (warp == 0) {
            double wanted = 0, above;
            for (int i = 0; i < GROUPS / 32; i++) wanted += weights[32 * i + lane];
            wanted = top_p * warp_sum(wanted);
            u32 limit = reaching(weights, wanted, above, [&](int value) { return weight_of(value, __ldcg(stay->counts + value)); });
            lowest = limit > lowest ? limit : lowest;
            double each_has = weight(lowest, highest, inverse), more = (wanted - above) / each_has;
            equals = each_has > 0 && more < vocab ? (int)ceil(more) : vocab;
            equals = equals < 1 ? 1 : equals;
        }
    }
    if (threadIdx.x == 0) {
        stay->highest = highest;
        stay->lowest = lowest;
        stay->equals = equals;
    }
}

// uniform double [rows, length]: the random number for what follows each position; stay as scores_that_stay wrote it; parts double [rows, chunks, 2] to work in.
// Launch as that one; the last block of a row chooses
extern "C" __global__ void __launch_bounds__(THREADS) random_token(int* ids, int* positions, const bf16* logits, i64 stride, const double* uniform, Stay* stay, double* parts,
                                                                   int vocab, int length, float inverse) {
    __shared__ double doubles[32];
    __shared__ int integers[32];
    __shared__ double before_chunk, target;
    __shared__ int chosen_chunk, equals_before_chunk, chosen;
    let_next_begin();
    wait_for_previous();
    int row = blockIdx.y, chunks = gridDim.x, lane = threadIdx.x & 31, warp = threadIdx.x >> 5, id;
    stay += row;
    logits += row * stride;
    parts += 2 * (i64)row * chunks;
    float highest = stay->highest;
    u32 lowest = stay->lowest, a, b;
    int equals = stay->equals;
    for (int i = blockIdx.x * THREADS + threadIdx.x; i < VALUES / 4; i += chunks * THREADS) ((uint4*)stay->counts)[i] = make_uint4(0, 0, 0, 0);

    // of each chunk: the weight of the scores above the lowest that stays, and how many are equal to it
    int count = two_scores(logits, blockIdx.x, vocab, id, a, b);
    double sum = count > 0 && a > lowest ? weight(a, highest, inverse) : 0.;
    if (count > 1 && b > lowest) sum += weight(b, highest, inverse);
    sum = warp_sum(sum);
    if (lane == 0) doubles[warp] = sum;
    int equal = __syncthreads_count(count > 0 && a == lowest) + __syncthreads_count(count > 1 && b == lowest);
    if (warp == 0) {
        sum = warp_sum(doubles[lane]);
        if (lane == 0) { parts[2 * blockIdx.x] = sum; parts[2 * blockIdx.x + 1] = equal; }
    }
    if (!is_last_of_row(&stay->arrived)) return;

    int position = positions[row];
    if (warp == 0) {
        int each = (chunks + 31) / 32, first = lane * each, own = 0;
        auto equals_of = [&](int i) { return i < chunks ? (int)__ldcg(parts + 2 * i + 1) : 0; };
        for (int i = first; i < first + each; i++) own += equals_of(i);
        int before_lane = warp_before(own);
        float lowest_weight = weight(lowest, highest, inverse);
        auto equals_before = [&](int chunk) {
            int before = before_lane;
            for (int i = first; i < chunk; i++) before += equals_of(i);
            return before;
        };
        auto weight_of = [&](int chunk) {
            int left = equals - equals_before(chunk), here = equals_of(chunk), stays = left < 0 ? 0 : left < here ? left : here;
            return (chunk < chunks ? __ldcg(parts + 2 * chunk) : 0.) + (stays > 0 ? stays * (double)lowest_weight : 0.);
        };
        double total = 0, before = 0;
        for (int i = first; i < first + each; i++) total += weight_of(i);
        double number = uniform[(i64)row * length + (position < length ? position : length - 1)] * warp_sum(total);
        int chunk = last_begun(before, each, weight_of, [&](double reached) { return reached <= number; });
        int seen = __shfl_sync(ALL, equals_before(chunk < first + each ? chunk : first), chunk < 0 ? 0 : chunk / each);
        if (lane == 0) { chosen_chunk = chunk; before_chunk = before; target = number; equals_before_chunk = seen; chosen = 0; }
    }
    __syncthreads();
    if (chosen_chunk >= 0) {
        count = two_scores(logits, chosen_chunk, vocab, id, a, b);
        bool a_equal = count > 0 && a == lowest, b_equal = count > 1 && b == lowest;
        int seen = equals_before_chunk + block_before((int)a_equal + (int)b_equal, integers);
        float wa = count > 0 && (a > lowest || a_equal && seen < equals) ? weight(a, highest, inverse) : 0.f;
        float wb = count > 1 && (b > lowest || b_equal && seen + a_equal < equals) ? weight(b, highest, inverse) : 0.f;
        double reached = before_chunk + block_before((double)wa + wb, doubles);
        int mine = wb > 0.f && reached + wa <= target ? id + 1 : wa > 0.f && reached <= target ? id : 0;
        mine = __reduce_max_sync(ALL, mine);
        if (lane == 0) atomicMax(&chosen, mine);
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        ids[row] = chosen;
        positions[row] = position + 1;
    }
}
