// Types and small functions of every kernel. bfloat16 is its bits in an unsigned short; no toolkit header is needed.
// A row of a bfloat16 matrix begins at a multiple of its stride, and strides are multiples of 8: 16-byte access is always allowed there.
typedef unsigned short bf16;
typedef unsigned int u32;
typedef unsigned char u8;
typedef long long i64;
typedef unsigned long long u64;

#define INFINITY __int_as_float(0x7f800000)
#define F32 0
#define BF16 1
#define F16 2

__device__ __forceinline__ float to_float(bf16 x) { return __uint_as_float((u32)x << 16); }
__device__ __forceinline__ bf16 to_bf16(float x) { bf16 r; asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r) : "f"(x)); return r; }
__device__ __forceinline__ u32 pack(float low, float high) { u32 r; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low)); return r; }
__device__ __forceinline__ float low_half(u32 x) { return __uint_as_float(x << 16); }
__device__ __forceinline__ float high_half(u32 x) { return __uint_as_float(x & 0xffff0000u); }
__device__ __forceinline__ float half_to_float(unsigned short x) { float r; asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(x)); return r; }
__device__ __forceinline__ float round_half(float x) { unsigned short h; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x)); return half_to_float(h); }

// In a chain of recorded kernels the next one may begin, up to its wait, as soon as all blocks of this one have: it prepares what does not depend on
// this one meanwhile. Every kernel that lets the next begin must wait itself. On older devices, and otherwise launched, neither does anything.
__device__ __forceinline__ void let_next_begin() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}
__device__ __forceinline__ void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Asks for the 128 bytes at p to be brought near
__device__ __forceinline__ void bring(const void* p) { asm volatile("prefetch.global.L2 [%0];" :: "l"(p)); }

// element i of an array of a weight's type
__device__ __forceinline__ float read(const void* array, i64 i, int type) {
    if (type == F32) return ((const float*)array)[i];
    unsigned short bits = ((const unsigned short*)array)[i];
    return type == BF16 ? to_float(bits) : half_to_float(bits);
}

// x rounded to a weight's type
__device__ __forceinline__ float rounded(float x, int type) {
    return type == F32 ? x : type == BF16 ? to_float(to_bf16(x)) : round_half(x);
}

// eight bfloat16 as floats, and back
__device__ __forceinline__ void unpack8(uint4 u, float* v) {
    v[0] = low_half(u.x); v[1] = high_half(u.x); v[2] = low_half(u.y); v[3] = high_half(u.y);
    v[4] = low_half(u.z); v[5] = high_half(u.z); v[6] = low_half(u.w); v[7] = high_half(u.w);
}
__device__ __forceinline__ uint4 pack8(const float* v) { return make_uint4(pack(v[0], v[1]), pack(v[2], v[3]), pack(v[4], v[5]), pack(v[6], v[7])); }
// the same in memory; p is a multiple of 16 bytes
__device__ __forceinline__ void load8(const bf16* p, float* v) { unpack8(*(const uint4*)p, v); }
__device__ __forceinline__ void store8(bf16* p, const float* v) { *(uint4*)p = pack8(v); }

// the first count elements of eight; beyond them v is 0, and memory is left alone
__device__ __forceinline__ void load_some(const bf16* p, float* v, int count) {
    if (count >= 8) { load8(p, v); return; }
    for (int i = 0; i < 8; i++) v[i] = i < count ? to_float(p[i]) : 0.f;
}
__device__ __forceinline__ void store_some(bf16* p, const float* v, int count) {
    if (count >= 8) { store8(p, v); return; }
#pragma unroll
    for (int i = 0; i < 8; i++)
        if (i < count) p[i] = to_bf16(v[i]);
}
// as load_some, of a weight; a bfloat16 weight's rows have strides of a multiple of 8, so that at is a multiple of 8
__device__ __forceinline__ void read_some(const void* array, i64 at, float* v, int count, int type) {
    if (type == BF16 && count >= 8) { load8((const bf16*)array + at, v); return; }
    for (int i = 0; i < 8; i++) v[i] = i < count ? read(array, at + i, type) : 0.f;
}

// d += a b, a [16, 16] and b [16, 8] in bfloat16
__device__ __forceinline__ void multiply_add(float* d, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

template <class T> __device__ __forceinline__ T warp_sum(T x) {
    for (int distance = 16; distance > 0; distance >>= 1) x += __shfl_xor_sync(0xffffffffu, x, distance);
    return x;
}
__device__ __forceinline__ float warp_max(float x) {
    for (int distance = 16; distance > 0; distance >>= 1) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, distance));
    return x;
}

// the sum over the block, in every thread; shared holds 33 floats and may be used again at once
__device__ __forceinline__ float block_sum(float x, float* shared) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = (blockDim.x + 31) >> 5;
    x = warp_sum(x);
    if (lane == 0) shared[warp] = x;
    __syncthreads();
    if (warp == 0) {
        float y = warp_sum(lane < warps ? shared[lane] : 0.f);
        if (lane == 0) shared[32] = y;
    }
    __syncthreads();
    x = shared[32];
    __syncthreads();
    return x;
}

// the sum over a block of 256 in an order that does not change, for thread 0 to read from shared[0]
__device__ __forceinline__ void sum_of_256(double x, double* shared) {
    shared[threadIdx.x] = x;
    __syncthreads();
    for (int distance = 128; distance > 0; distance >>= 1) {
        if (threadIdx.x < distance) shared[threadIdx.x] += shared[threadIdx.x + distance];
        __syncthreads();
    }
}

// the largest over the block, in every thread; shared holds 33 floats
__device__ __forceinline__ float block_max(float x, float* shared) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = (blockDim.x + 31) >> 5;
    x = warp_max(x);
    if (lane == 0) shared[warp] = x;
    __syncthreads();
    if (warp == 0) {
        x = warp_max(lane < warps ? shared[lane] : 0.f);
        if (lane == 0) shared[32] = x;
    }
    __syncthreads();
    return shared[32];
}

__device__ __forceinline__ float largest8(uint4 u) {
    float a = fmaxf(fmaxf(fabsf(low_half(u.x)), fabsf(high_half(u.x))), fmaxf(fabsf(low_half(u.y)), fabsf(high_half(u.y))));
    float b = fmaxf(fmaxf(fabsf(low_half(u.z)), fabsf(high_half(u.z))), fmaxf(fabsf(low_half(u.w)), fabsf(high_half(u.w))));
    return fmaxf(a, b);
}

#if __CUDA_ARCH__ >= 890
// Numbers in e4m3 with a float scale for each row: the row's largest magnitude becomes 448
__device__ __forceinline__ u32 e4m3_pair(float low, float high) {
    unsigned short r;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(r) : "f"(high), "f"(low));
    return r;
}
__device__ __forceinline__ float scale_of(float largest) { return fmaxf(largest, 1e-30f) / 448.f; }
__device__ __forceinline__ uint2 e4m3_of8(uint4 u, float inverse) {
    return make_uint2(e4m3_pair(low_half(u.x) * inverse, high_half(u.x) * inverse) | e4m3_pair(low_half(u.y) * inverse, high_half(u.y) * inverse) << 16,
                      e4m3_pair(low_half(u.z) * inverse, high_half(u.z) * inverse) | e4m3_pair(low_half(u.w) * inverse, high_half(u.w) * inverse) << 16);
}
#endif

// Philox4x32-10: the 128 random bits of a counter. doi 10.1145/2063384.2063405
__device__ __forceinline__ uint4 philox(u64 key, u64 low, u64 high) {
    u32 k0 = (u32)key, k1 = (u32)(key >> 32), c0 = (u32)low, c1 = (u32)(low >> 32), c2 = (u32)high, c3 = (u32)(high >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        u32 h0 = __umulhi(0xD2511F53u, c0), l0 = 0xD2511F53u * c0, h1 = __umulhi(0xCD9E8D57u, c2), l1 = 0xCD9E8D57u * c2;
        c0 = h1 ^ c1 ^ k0; c1 = l1; c2 = h0 ^ c3 ^ k1; c3 = l0;
        k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;
    }
    return make_uint4(c0, c1, c2, c3);
}

// The 8-bit code nearest to x in [-1, 1] among 256 ascending values; halfway it stays on the pivot of bitsandbytes' search. CPU twin DynamicMap
__device__ __forceinline__ int dynamic_code(const float* values, float x) {
    int pivot = 127, upper_pivot = 255, lower_pivot = 0;
    float lower = values[0], upper = values[255];
#pragma unroll
    for (int step = 64; step > 0; step >>= 1) {
        float value = values[pivot];
        if (x > value) { lower_pivot = pivot; lower = value; pivot += step; }
        else { upper_pivot = pivot; upper = value; pivot -= step; }
    }
    float value = values[pivot];
    if (x > value) return x > __fmul_rn(upper + value, 0.5f) ? upper_pivot : pivot;
    return x < __fmul_rn(lower + value, 0.5f) ? lower_pivot : pivot;
}
