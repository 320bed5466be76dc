// four_bit.cu: NF4 and FP4 with and without double quantization, encoded and decoded as bitsandbytes does. arXiv 2305.14314
// Layout codes u8 [elements / 2], even element in the high half; absmax float [blocks], or u8 [blocks] with nested float [blocks / 256].
// table: float values[16]; int codes[16] in the order of their values; float thresholds[33] and int codes[33], see encoded; map: float [256], the 8-bit code.
// Oracle: FourBitCudaTest (bit for bit); CPU twin PlainFourBitCodec
#include "common.cuh"

__device__ __forceinline__ float absmax_of(const void* absmax, const float* nested, float offset, const float* map, i64 block) {
    if (nested == 0) return ((const float*)absmax)[block];
    return __fadd_rn(__fmul_rn(__ldg(map + ((const u8*)absmax)[block]), __ldg(nested + (block >> 8))), offset);
}

// Decodes [rows, columns] into bfloat16 with a row stride; columns is a multiple of 8. Launch: block 256, each thread 4 times 8 elements.
extern "C" __global__ void four_bit_decode(bf16* out, i64 stride, const u32* codes, const void* absmax, const float* nested, float offset,
                                           const float* map, const float* table, u32 chunks, u32 chunks_in_row, int block_shift, int type) {
    __shared__ float values[16];
    if (threadIdx.x < 16) values[threadIdx.x] = table[threadIdx.x];
    __syncthreads();
    u32 first = blockIdx.x * 1024 + threadIdx.x;
    u32 pairs[4];
    float scale[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        u32 chunk = first + i * 256;
        if (chunk < chunks) {
            pairs[i] = __ldcs(codes + chunk);
            scale[i] = absmax_of(absmax, nested, offset, map, ((i64)chunk * 8) >> block_shift);
        }
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        u32 chunk = first + i * 256;
        if (chunk >= chunks) return;
        u32 row = chunk / chunks_in_row, column = (chunk - row * chunks_in_row) * 8;
        float v[8];
#pragma unroll
        for (int b = 0; b < 4; b++) {
            u32 pair = (pairs[i] >> (8 * b)) & 255;
            v[2 * b] = __fmul_rn(values[pair >> 4], scale[i]);
            v[2 * b + 1] = __fmul_rn(values[pair & 15], scale[i]);
        }
        if (type == F16) {
#pragma unroll
            for (int k = 0; k < 8; k++) v[k] = round_half(v[k]);
        }
        store8(out + row * stride + column, v);
    }
}

__device__ __forceinline__ float decoded(const u8* codes, const void* absmax, const float* nested, float offset, const float* map,
                                         const float* table, i64 element, int block_shift, int type) {
    int pair = codes[element >> 1], code = element & 1 ? pair & 15 : pair >> 4;
    return rounded(__fmul_rn(__ldg(table + code), absmax_of(absmax, nested, offset, map, element >> block_shift)), type);
}

// As four_bit_decode, for any number of columns. Launch: a thread an element
extern "C" __global__ void four_bit_decode_any(bf16* out, i64 stride, const u8* codes, const void* absmax, const float* nested, float offset,
                                               const float* map, const float* table, i64 elements, i64 columns, int block_shift, int type) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < elements) out[i / columns * stride + i % columns] = to_bf16(decoded(codes, absmax, nested, offset, map, table, i, block_shift, type));
}

// Decodes into float32, rounded to the format's type. Launch: a thread an element
extern "C" __global__ void four_bit_to_float(float* out, const u8* codes, const void* absmax, const float* nested, float offset,
                                             const float* map, const float* table, i64 elements, int block_shift, int type) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < elements) out[i] = decoded(codes, absmax, nested, offset, map, table, i, block_shift, type);
}

// 1 / x as bitsandbytes, built with fast arithmetic, computes it
__device__ __forceinline__ float reciprocal(float x) { float r; asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x)); return r; }
__device__ __forceinline__ float flushed(float x) { return x < 1.17549435e-38f ? 0.f : x; }

#define ORDER 16
#define BINS 33
#define THRESHOLDS 32
#define CODES (THRESHOLDS + BINS)
#define TABLE (CODES + BINS)

// The code of a weight divided by its block's absmax. Numbers are sorted into bins of 1/16, of which none has more than one threshold: it is what remains to
// be compared with. codes: the code below it in the low half, the one above in the high half. A NaN has the code of the lowest bin.
__device__ __forceinline__ int encoded(float scaled, const float* table, int is_fp4) {
    float compared = fminf(fmaxf(is_fp4 ? fabsf(scaled) : scaled, is_fp4 ? 0.f : -1.f), 1.f);
    int bin = (__float_as_int(__fmaf_rn(compared, 16.f, 12582912.f)) & 63) ^ 32;         // rounded to a whole number, plus 16
    bin -= 16;
    int codes = ((const int*)table)[CODES + bin];
    int code = compared > table[THRESHOLDS + bin] ? codes >> 4 : codes & 15;
    // products below the normal range are flushed to zero there, so they are not negative
    return code + (is_fp4 && scaled <= -1.17549435e-38f ? 8 : 0);
}

// Encodes; absmax float [blocks]; for block sizes to 256, whose blocks lie in a warp. Launch: block 256, each thread 4 times 8 elements
extern "C" __global__ void four_bit_encode8(u32* codes, float* absmax, const void* x, const float* table, i64 elements, int block_shift, int type, int is_fp4) {
    __shared__ float shared[TABLE];
    for (int i = threadIdx.x; i < TABLE; i += 256) shared[i] = table[i];
    __syncthreads();
    i64 start = (i64)blockIdx.x * 8192 + threadIdx.x * 8;
    int lanes = 1 << block_shift >> 3;
    float v[4][8];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        i64 first = start + i * 2048;
        if (first + 8 <= elements) {
            if (type == F32) {
                float4 low = __ldcs((const float4*)((const float*)x + first)), high = __ldcs((const float4*)((const float*)x + first + 4));
                v[i][0] = low.x; v[i][1] = low.y; v[i][2] = low.z; v[i][3] = low.w;
                v[i][4] = high.x; v[i][5] = high.y; v[i][6] = high.z; v[i][7] = high.w;
            } else {
                uint4 u = __ldcs((const uint4*)((const bf16*)x + first));
                u32 words[4] = {u.x, u.y, u.z, u.w};
#pragma unroll
                for (int k = 0; k < 4; k++) {
                    v[i][2 * k] = type == BF16 ? low_half(words[k]) : half_to_float(words[k]);
                    v[i][2 * k + 1] = type == BF16 ? high_half(words[k]) : half_to_float(words[k] >> 16);
                }
            }
        } else {
#pragma unroll
            for (int k = 0; k < 8; k++) v[i][k] = first + k < elements ? read(x, first + k, type) : 0.f;
        }
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        i64 first = start + i * 2048;
        float largest = 0.f;
#pragma unroll
        for (int k = 0; k < 8; k++) {
            float magnitude = fabsf(v[i][k]);
            if (magnitude > largest) largest = magnitude;      // a NaN does not count
        }
        for (int distance = lanes / 2; distance > 0; distance >>= 1) largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, distance));
        largest = flushed(largest);
        if (first >= elements) continue;
        if ((threadIdx.x & (lanes - 1)) == 0) absmax[first >> block_shift] = largest;
        float scale = reciprocal(largest);
        u32 packed = 0;
#pragma unroll
        for (int k = 0; k < 8; k++) packed |= (u32)encoded(__fmul_rn(v[i][k], scale), shared, is_fp4) << (8 * (k / 2) + 4 * (1 - k % 2));
        if (first + 8 <= elements) codes[first >> 3] = packed;
        else for (int k = 0; first + 2 * k < elements; k++) ((u8*)codes)[(first >> 1) + k] = (u8)(packed >> (8 * k));
    }
}

// As four_bit_encode8, for any block size. Launch: block 256, a warp a quantization block
extern "C" __global__ void four_bit_encode(u8* codes, float* absmax, const void* x, const float* table, i64 elements, int block_size, int type, int is_fp4) {
    __shared__ float shared[TABLE];
    for (int i = threadIdx.x; i < TABLE; i += 256) shared[i] = table[i];
    __syncthreads();
    i64 block = ((i64)blockIdx.x * blockDim.x + threadIdx.x) >> 5, first = block * block_size;
    int lane = threadIdx.x & 31;
    if (first >= elements) return;
    float largest = 0.f;
    for (int i = lane; i < block_size && first + i < elements; i += 32) {
        float magnitude = fabsf(read(x, first + i, type));
        if (magnitude > largest) largest = magnitude;
    }
    largest = flushed(warp_max(largest));
    if (lane == 0) absmax[block] = largest;
    if (codes == 0) return;
    float scale = reciprocal(largest);
    for (int i = 2 * lane; i < block_size && first + i < elements; i += 64) {
        int high = encoded(__fmul_rn(read(x, first + i, type), scale), shared, is_fp4);
        int low = encoded(__fmul_rn(first + i + 1 < elements ? read(x, first + i + 1, type) : 0.f, scale), shared, is_fp4);
        codes[(first + i) >> 1] = (u8)(high << 4 | low);
    }
}

// Rounds at random between the two nearest codes; x float. Element i draws word i mod 4 of philox(seed, i / 4, stream). CPU twin StochasticRounding.
// Launch: a thread 8 elements
extern "C" __global__ void four_bit_encode_at_random(u8* codes, const void* absmax, const float* nested, float offset, const float* map, const float* table,
                                                     const float* x, i64 elements, int block_shift, u64 seed, u64 stream, int is_fp4) {
    __shared__ float shared[TABLE];
    for (int i = threadIdx.x; i < TABLE; i += 256) shared[i] = table[i];
    __syncthreads();
    i64 first = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * 8;
    if (first >= elements) return;
    float largest = absmax_of(absmax, nested, offset, map, first >> block_shift);
    // what double quantization restores may be negative; such a block has no scale
    float scale = largest >= 1.17549435e-38f ? reciprocal(largest) : largest != largest ? largest : INFINITY;
    const int* order = (const int*)shared + ORDER;
    for (int half = 0; half < 2; half++) {
        uint4 bits = philox(seed, first / 4 + half, stream);
        u32 words[4] = {bits.x, bits.y, bits.z, bits.w};
        int four[4];
#pragma unroll
        for (int k = 0; k < 4; k++) {
            i64 i = first + 4 * half + k;
            if (i >= elements) { four[k] = encoded(0.f, shared, is_fp4); continue; }
            float scaled = __fmul_rn(x[i], scale), draw = (float)(words[k] >> 8) * 5.9604644775390625e-8f;
            int above = 1;
            while (above < 15 && scaled > shared[order[above]]) above++;
            float low = shared[order[above - 1]], high = shared[order[above]];
            float share = high > low ? __fdiv_rn(__fsub_rn(scaled, low), __fsub_rn(high, low)) : 0.f;
            four[k] = !(scaled > shared[order[0]]) ? order[0] : draw < share ? order[above] : order[above - 1];
        }
        i64 at = first + 4 * half;
        if (at < elements) codes[at >> 1] = (u8)(four[0] << 4 | four[1]);
        if (at + 2 < elements) codes[(at >> 1) + 1] = (u8)(four[2] << 4 | four[3]);
    }
}

// halves the distance between the summands down to 1
__device__ __forceinline__ float tree_sum(float x, float* shared) {
    shared[threadIdx.x] = x;
    __syncthreads();
    for (int distance = blockDim.x / 2; distance >= 1; distance /= 2) {
        if (threadIdx.x < distance) shared[threadIdx.x] += shared[threadIdx.x + distance];
        __syncthreads();
    }
    return shared[0];
}

// The sum of each block's part, in the order of torch.mean (CPU twin CudaMean). Launch: the grid and block that it takes
extern "C" __global__ void mean_partial(float* sums, const float* x, i64 n, int vectorized) {
    __shared__ float shared[512];
    float lane[4] = {0.f, 0.f, 0.f, 0.f};
    i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x, threads = (i64)gridDim.x * blockDim.x;
    if (vectorized) {
        i64 groups = n / 4;
        for (i64 group = thread; group < groups; group += threads)
            for (int i = 0; i < 4; i++) lane[i] += x[group * 4 + i];
        if (groups * 4 + thread < n) lane[0] += x[groups * 4 + thread];
    } else {
        int which = 0;
        for (i64 i = thread; i < n; i += threads, which = (which + 1) & 3) lane[which] += x[i];
    }
    float sum = tree_sum(((lane[0] + lane[1]) + lane[2]) + lane[3], shared);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// Launch: one block, of as many threads as mean_partial had
extern "C" __global__ void mean_total(float* mean, const float* sums, int blocks, float factor) {
    __shared__ float shared[512];
    float sum = 0.f;
    for (int block = threadIdx.x; block < blocks; block += blockDim.x) sum += sums[block];
    if (blocks > 1) sum = tree_sum(sum, shared);
    if (threadIdx.x == 0) *mean = sum * factor;
}

// Double quantization: absmax less its mean in 8 bits. Launch: a block of 256 threads for each 256 values
extern "C" __global__ void nested_encode(u8* codes, float* nested, const float* absmax, const float* mean, const float* map, i64 n) {
    __shared__ float shared[33];
    __shared__ float values[256];
    values[threadIdx.x] = map[threadIdx.x];
    i64 i = (i64)blockIdx.x * 256 + threadIdx.x;
    float centred = i < n ? absmax[i] - *mean : 0.f, magnitude = fabsf(centred);
    float largest = warp_max(magnitude > 0.f ? magnitude : 0.f);
    if ((threadIdx.x & 31) == 0) shared[threadIdx.x >> 5] = largest;
    __syncthreads();
    for (int warp = 0; warp < 8; warp++) largest = fmaxf(largest, shared[warp]);
    largest = flushed(largest);
    if (threadIdx.x == 0) nested[blockIdx.x] = largest;
    if (i >= n) return;
    codes[i] = (u8)dynamic_code(values, __fmul_rn(centred, reciprocal(largest)));
}
