// four_bit.cu: NF4 and FP4 with and without double quantization, encoded and decoded as bitsandbytes does. arXiv 2305.14314
// Layout codes u8 [elements / 2], even element in the high half; absmax float [blocks], or u8 [blocks] with nested float [blocks / 256].
// table: float values[16], float thresholds[16] (unused ones are infinity), int code_of_rank[16]; map: float [256], the 8-bit code.
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

__device__ __forceinline__ int encoded(float scaled, const float* table, int is_fp4) {
    float compared = is_fp4 ? fabsf(scaled) : scaled;
    int rank = 0;
#pragma unroll
    for (int i = 0; i < 15; i++) rank += compared > table[16 + i];
    // products below the normal range are flushed to zero there, so they are not negative
    return (is_fp4 && scaled <= -1.17549435e-38f ? 8 : 0) + ((const int*)table)[32 + rank];
}

// Encodes; absmax float [blocks]. Launch: block 256, a warp a quantization block
extern "C" __global__ void four_bit_encode(u8* codes, float* absmax, const void* x, const float* table, i64 elements, int block_size, int type, int is_fp4) {
    __shared__ float shared[48];
    if (threadIdx.x < 48) shared[threadIdx.x] = table[threadIdx.x];
    __syncthreads();
    i64 block = ((i64)blockIdx.x * blockDim.x + threadIdx.x) >> 5, first = block * block_size;
    int lane = threadIdx.x & 31;
    if (first >= elements) return;
    float largest = 0.f;
    for (int i = lane; i < block_size && first + i < elements; i += 32) {
        float magnitude = fabsf(read(x, first + i, type));
        if (magnitude > largest) largest = magnitude;          // a NaN does not count
    }
    largest = flushed(warp_max(largest));
    if (lane == 0) absmax[block] = largest;
    float scale = reciprocal(largest);
    for (int i = 2 * lane; i < block_size && first + i < elements; i += 64) {
        int high = encoded(__fmul_rn(read(x, first + i, type), scale), shared, is_fp4);
        int low = encoded(__fmul_rn(first + i + 1 < elements ? read(x, first + i + 1, type) : 0.f, scale), shared, is_fp4);
        codes[(first + i) >> 1] = (u8)(high << 4 | low);
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
    float x = __fmul_rn(centred, reciprocal(largest));
    int pivot = 127, upper_pivot = 255, lower_pivot = 0;
    float lower = values[0], upper = values[255];
    for (int step = 64; step > 0; step >>= 1) {
        if (x > values[pivot]) { lower_pivot = pivot; lower = values[pivot]; pivot += step; }
        else { upper_pivot = pivot; upper = values[pivot]; pivot -= step; }
    }
    float value = values[pivot];
    if (x > value) codes[i] = (u8)(x > __fmul_rn(upper + value, 0.5f) ? upper_pivot : pivot);
    else codes[i] = (u8)(x < __fmul_rn(lower + value, 0.5f) ? lower_pivot : pivot);
}
