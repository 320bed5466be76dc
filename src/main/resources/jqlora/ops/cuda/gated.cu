// gated.cu: y = a(gate) up for an activation a, or a(x), and its gradient; the backward makes y again in the place of dy where `again` is set.
// Layout gate_up [rows, 2 n]: all gates of a row, then all ups; y [rows, n]; bfloat16 with strides
// Kernels whose name ends with 8 need n to be a multiple of 8.  Launch: a thread 8 (1) columns of a row.  Oracle: MlpAndEmbeddingTest; CPU twin PlainRowMath
#include "common.cuh"

// The error is below 2^-17 of the result wherever that is a normal number, a 256th of a rounding to bfloat16
__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1.f, 1.f + __expf(-x)); }

// Each activation: its value at g, and value and slope
struct Silu {
    static __device__ __forceinline__ float value(float g) { return g * sigmoid(g); }
    static __device__ __forceinline__ float value(float g, float* slope) {
        float s = sigmoid(g);
        *slope = s + g * s * (1.f - s);
        return g * s;
    }
};

// g Phi(g), Phi the normal distribution's cumulative function. arXiv 1606.08415
struct Gelu {
    static __device__ __forceinline__ float value(float g) { return g * normcdff(g); }
    static __device__ __forceinline__ float value(float g, float* slope) {
        float phi = normcdff(g);
        *slope = phi + g * 0.3989422804f * expf(-0.5f * g * g);
        return g * phi;
    }
};

// 0.5 g (1 + tanh(u)) = g sigmoid(2 u), u = sqrt(2 / pi) (g + 0.044715 g^3)
struct GeluTanh {
    static __device__ __forceinline__ float value(float g) { return g * sigmoid(g * (1.5957691216f + 0.0713548163f * g * g)); }
    static __device__ __forceinline__ float value(float g, float* slope) {
        float square = g * g, s = sigmoid(g * (1.5957691216f + 0.0713548163f * square));
        *slope = s + g * s * (1.f - s) * (1.5957691216f + 3.f * 0.0713548163f * square);
        return g * s;
    }
};

// max(g, 0); its slope at 0 is 0, as in PyTorch
struct Relu {
    static __device__ __forceinline__ float value(float g) { return fmaxf(g, 0.f); }
    static __device__ __forceinline__ float value(float g, float* slope) {
        *slope = g > 0.f ? 1.f : 0.f;
        return fmaxf(g, 0.f);
    }
};

struct ReluSquared {
    static __device__ __forceinline__ float value(float g) { return fmaxf(g, 0.f) * fmaxf(g, 0.f); }
    static __device__ __forceinline__ float value(float g, float* slope) {
        float positive = fmaxf(g, 0.f);
        *slope = 2.f * positive;
        return positive * positive;
    }
};

template <class Activation> __device__ __forceinline__ void gradients(float d, float g, float u, float* dg, float* du, float* y) {
    float slope, value = Activation::value(g, &slope);
    *y = value * u;
    *dg = d * u * slope;
    *du = d * value;
}

template <class Activation> __device__ __forceinline__ void gated8(bf16* y, i64 y_stride, const bf16* gate_up, i64 stride, i64 rows, int n) {
    let_next_begin();
    wait_for_previous();
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    int parts = n / 8;
    i64 row = i / parts;
    if (row >= rows) return;
    int at = (int)(i - row * parts) * 8;
    float g[8], u[8];
    load8(gate_up + row * stride + at, g);
    load8(gate_up + row * stride + n + at, u);
#pragma unroll
    for (int k = 0; k < 8; k++) g[k] = Activation::value(g[k]) * u[k];
    store8(y + row * y_stride + at, g);
}

template <class Activation> __device__ __forceinline__ void gated(bf16* y, i64 y_stride, const bf16* gate_up, i64 stride, i64 rows, int n) {
    let_next_begin();
    wait_for_previous();
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x, row = i / n;
    if (row >= rows) return;
    int at = (int)(i - row * n);
    float g = to_float(gate_up[row * stride + at]), u = to_float(gate_up[row * stride + n + at]);
    y[row * y_stride + at] = to_bf16(Activation::value(g) * u);
}

template <class Activation> __device__ __forceinline__ void gated_backward8(bf16* d_gate_up, i64 d_stride, bf16* dy, i64 dy_stride, const bf16* gate_up, i64 stride, i64 rows, int n, int again) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    int parts = n / 8;
    i64 row = i / parts;
    if (row >= rows) return;
    int at = (int)(i - row * parts) * 8;
    float g[8], u[8], d[8];
    load8(gate_up + row * stride + at, g);
    load8(gate_up + row * stride + n + at, u);
    load8(dy + row * dy_stride + at, d);
#pragma unroll
    for (int k = 0; k < 8; k++) gradients<Activation>(d[k], g[k], u[k], &g[k], &u[k], &d[k]);
    if (again) store8(dy + row * dy_stride + at, d);
    store8(d_gate_up + row * d_stride + at, g);
    store8(d_gate_up + row * d_stride + n + at, u);
}

template <class Activation> __device__ __forceinline__ void gated_backward(bf16* d_gate_up, i64 d_stride, bf16* dy, i64 dy_stride, const bf16* gate_up, i64 stride, i64 rows, int n, int again) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x, row = i / n;
    if (row >= rows) return;
    int at = (int)(i - row * n);
    float dg, du, y;
    gradients<Activation>(to_float(dy[row * dy_stride + at]), to_float(gate_up[row * stride + at]), to_float(gate_up[row * stride + n + at]), &dg, &du, &y);
    if (again) dy[row * dy_stride + at] = to_bf16(y);
    d_gate_up[row * d_stride + at] = to_bf16(dg);
    d_gate_up[row * d_stride + n + at] = to_bf16(du);
}

#define KERNELS(NAME, ACTIVATION) \
    extern "C" __global__ void NAME##8(bf16* y, i64 y_stride, const bf16* gate_up, i64 stride, i64 rows, int n) { \
        gated8<ACTIVATION>(y, y_stride, gate_up, stride, rows, n); \
    } \
    extern "C" __global__ void NAME(bf16* y, i64 y_stride, const bf16* gate_up, i64 stride, i64 rows, int n) { \
        gated<ACTIVATION>(y, y_stride, gate_up, stride, rows, n); \
    } \
    extern "C" __global__ void NAME##_backward8(bf16* d_gate_up, i64 d_stride, bf16* dy, i64 dy_stride, const bf16* gate_up, i64 stride, i64 rows, int n, int again) { \
        gated_backward8<ACTIVATION>(d_gate_up, d_stride, dy, dy_stride, gate_up, stride, rows, n, again); \
    } \
    extern "C" __global__ void NAME##_backward(bf16* d_gate_up, i64 d_stride, bf16* dy, i64 dy_stride, const bf16* gate_up, i64 stride, i64 rows, int n, int again) { \
        gated_backward<ACTIVATION>(d_gate_up, d_stride, dy, dy_stride, gate_up, stride, rows, n, again); \
    }
KERNELS(silu, Silu)
KERNELS(gelu, Gelu)
KERNELS(gelu_tanh, GeluTanh)
KERNELS(relu, Relu)
KERNELS(relu_squared, ReluSquared)

// y = a(x) without a gate.  Launch: a thread 8 columns of a row
template <class Activation> __device__ __forceinline__ void plain(bf16* y, i64 y_stride, const bf16* x, i64 stride, i64 rows, int n) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    int parts = (n + 7) / 8;
    i64 row = i / parts;
    if (row >= rows) return;
    int at = (int)(i - row * parts) * 8;
    float v[8];
    load_some(x + row * stride + at, v, n - at);
#pragma unroll
    for (int k = 0; k < 8; k++) v[k] = Activation::value(v[k]);
    store_some(y + row * y_stride + at, v, n - at);
}

template <class Activation> __device__ __forceinline__ void plain_backward(bf16* dx, i64 d_stride, bf16* dy, i64 dy_stride, const bf16* x, i64 stride, i64 rows, int n, int again) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    int parts = (n + 7) / 8;
    i64 row = i / parts;
    if (row >= rows) return;
    int at = (int)(i - row * parts) * 8;
    float v[8], d[8];
    load_some(x + row * stride + at, v, n - at);
    load_some(dy + row * dy_stride + at, d, n - at);
#pragma unroll
    for (int k = 0; k < 8; k++) {
        float slope;
        v[k] = Activation::value(v[k], &slope);
        d[k] *= slope;
    }
    if (again) store_some(dy + row * dy_stride + at, v, n - at);
    store_some(dx + row * d_stride + at, d, n - at);
}

#define PLAIN_KERNELS(NAME, ACTIVATION) \
    extern "C" __global__ void NAME##_plain(bf16* y, i64 y_stride, const bf16* x, i64 stride, i64 rows, int n) { plain<ACTIVATION>(y, y_stride, x, stride, rows, n); } \
    extern "C" __global__ void NAME##_plain_backward(bf16* dx, i64 d_stride, bf16* dy, i64 dy_stride, const bf16* x, i64 stride, i64 rows, int n, int again) { \
        plain_backward<ACTIVATION>(dx, d_stride, dy, dy_stride, x, stride, rows, n, again); \
    }
PLAIN_KERNELS(silu, Silu)
PLAIN_KERNELS(gelu, Gelu)
PLAIN_KERNELS(gelu_tanh, GeluTanh)
PLAIN_KERNELS(relu, Relu)
PLAIN_KERNELS(relu_squared, ReluSquared)


#if __CUDA_ARCH__ >= 890
#define HELD 7
#define HELD_PAIRS 4

// As gated8, and y in e4m3: codes u8 [rows, n], scales [rows]. Launch: a block a row, of at least n / 8 / HELD threads
template <class Activation> __device__ __forceinline__ void gated_rows_e4m3(bf16* y, i64 y_stride, u8* codes, float* scales, const bf16* gate_up, i64 stride, int n) {
    __shared__ float shared[33];
    i64 row = blockIdx.x;
    const uint4* gate = (const uint4*)(gate_up + row * stride);
    const uint4* up = (const uint4*)(gate_up + row * stride + n);
    uint4* to = (uint4*)(y + row * y_stride);
    int chunks = n / 8;
    uint4 held[HELD];
    float largest = 0.f;
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        int chunk = i * blockDim.x + threadIdx.x;
        if (chunk < chunks) {
            float g[8], u[8];
            unpack8(gate[chunk], g);
            unpack8(up[chunk], u);
#pragma unroll
            for (int k = 0; k < 8; k++) g[k] = Activation::value(g[k]) * u[k];
            held[i] = pack8(g);
            largest = fmaxf(largest, largest8(held[i]));
            to[chunk] = held[i];
        }
    }
    float scale = scale_of(block_max(largest, shared)), inverse = 1.f / scale;
    if (threadIdx.x == 0) scales[row] = scale;
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        int chunk = i * blockDim.x + threadIdx.x;
        if (chunk < chunks) ((uint2*)(codes + row * n))[chunk] = e4m3_of8(held[i], inverse);
    }
}

// As gated_backward8, and d_gate_up in e4m3: codes u8 [rows, 2 n], scales [rows]. Launch: a block a row, of at least n / 8 / HELD_PAIRS
// threads, at most 448: two blocks then share a multiprocessor
template <class Activation> __device__ __forceinline__ void gated_backward_rows_e4m3(bf16* d_gate_up, i64 d_stride, u8* codes, float* scales, bf16* dy, i64 dy_stride,
                                                                               const bf16* gate_up, i64 stride, int n, int again) {
    __shared__ float shared[33];
    i64 row = blockIdx.x;
    const uint4* gate = (const uint4*)(gate_up + row * stride);
    const uint4* up = (const uint4*)(gate_up + row * stride + n);
    uint4* d_gate = (uint4*)(d_gate_up + row * d_stride);
    uint4* d_up = (uint4*)(d_gate_up + row * d_stride + n);
    uint4* d = (uint4*)(dy + row * dy_stride);
    int chunks = n / 8;
    uint4 held_gate[HELD_PAIRS], held_up[HELD_PAIRS];
    float largest = 0.f;
#pragma unroll
    for (int i = 0; i < HELD_PAIRS; i++) {
        int chunk = i * blockDim.x + threadIdx.x;
        if (chunk < chunks) {
            float g[8], u[8], v[8];
            unpack8(gate[chunk], g);
            unpack8(up[chunk], u);
            unpack8(d[chunk], v);
#pragma unroll
            for (int k = 0; k < 8; k++) gradients<Activation>(v[k], g[k], u[k], &g[k], &u[k], &v[k]);
            held_gate[i] = pack8(g);
            held_up[i] = pack8(u);
            largest = fmaxf(largest, fmaxf(largest8(held_gate[i]), largest8(held_up[i])));
            if (again) d[chunk] = pack8(v);
            d_gate[chunk] = held_gate[i];
            d_up[chunk] = held_up[i];
        }
    }
    float scale = scale_of(block_max(largest, shared)), inverse = 1.f / scale;
    if (threadIdx.x == 0) scales[row] = scale;
#pragma unroll
    for (int i = 0; i < HELD_PAIRS; i++) {
        int chunk = i * blockDim.x + threadIdx.x;
        if (chunk < chunks) {
            ((uint2*)(codes + row * 2 * n))[chunk] = e4m3_of8(held_gate[i], inverse);
            ((uint2*)(codes + row * 2 * n + n))[chunk] = e4m3_of8(held_up[i], inverse);
        }
    }
}

#define KERNELS_E4M3(NAME, ACTIVATION, BLOCKS) \
    extern "C" __global__ void __launch_bounds__(1024) NAME##_rows_e4m3(bf16* y, i64 y_stride, u8* codes, float* scales, const bf16* gate_up, i64 stride, int n) { \
        gated_rows_e4m3<ACTIVATION>(y, y_stride, codes, scales, gate_up, stride, n); \
    } \
    extern "C" __global__ void __launch_bounds__(448, BLOCKS) NAME##_backward_rows_e4m3(bf16* d_gate_up, i64 d_stride, u8* codes, float* scales, bf16* dy, i64 dy_stride, \
                                                                                  const bf16* gate_up, i64 stride, int n, int again) { \
        gated_backward_rows_e4m3<ACTIVATION>(d_gate_up, d_stride, codes, scales, dy, dy_stride, gate_up, stride, n, again); \
    }
KERNELS_E4M3(silu, Silu, 2)
KERNELS_E4M3(gelu, Gelu, 2)
KERNELS_E4M3(relu, Relu, 2)
KERNELS_E4M3(relu_squared, ReluSquared, 2)
KERNELS_E4M3(gelu_tanh, GeluTanh, 1)  // it needs a register more than two blocks leave
#endif

// ---- with the gradients of adapters: what the backward of the activation makes is multiplied while it is at hand

#define SPAN 64                // columns of a block
#define STEP 32                // rows at once
#define PITCH (SPAN + 8)       // of a tile in shared memory: eight rows lie in banks of their own
#define FACTORS 3

// Columns of a bfloat16 matrix [rows, rank], and where the products with them go: float [parts of the rows][rank][n]; rank 0 for none
struct Factor {
    const bf16* values; i64 stride;
    float* sums;
    int rank; int unused0;
};

__device__ __forceinline__ void transposed4(u32* v, const bf16* p) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3]) : "r"((u32)__cvta_generic_to_shared(p)) : "memory");
}

// As gated_backward8, without y: for a factor F of each, F^T y, F^T d_gate and F^T d_up, of the rows of the block.  TILES of 16 hold a rank.
// n is a multiple of SPAN, rows_of_block of STEP.  Launch: block 256, grid (n / SPAN, parts of the rows),
// 4 FACTORS STEP (PITCH + 16 TILES + 8) bytes of dynamic shared memory
template <class Activation, int TILES> __device__ __forceinline__ void backward_adapters(bf16* d_gate_up, i64 d_stride, const bf16* dy, i64 dy_stride,
        const bf16* gate_up, i64 stride, int rows, int n, int rows_of_block, const Factor* factors) {
    constexpr int RANK = 16 * TILES, FACTOR_PITCH = RANK + 8, CHUNKS = RANK / 8;
    extern __shared__ __align__(16) bf16 shared[];
    auto tiles = (bf16 (*)[FACTORS][STEP][PITCH])shared;                              // of two turns
    auto held = (bf16 (*)[FACTORS][STEP][FACTOR_PITCH])(shared + 2 * FACTORS * STEP * PITCH);
    int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, r = threadIdx.x >> 3, c = (threadIdx.x & 7) * 8, column = blockIdx.x * SPAN + c;
    int first = blockIdx.y * rows_of_block, end = first + rows_of_block < rows ? first + rows_of_block : rows;
    float sums[FACTORS][TILES][4] = {};
    // factors come a step ahead where there are many ranks; with few, the registers are worth more in a fourth block
    constexpr bool AHEAD = TILES > 1;
    constexpr int PIECES = (FACTORS * STEP * CHUNKS + 255) / 256;
    uint4 g = {}, u = {}, d = {}, next[PIECES];
    auto fetch = [&](i64 row) {
        if (row < end) {
            g = *(const uint4*)(gate_up + row * stride + column);
            u = *(const uint4*)(gate_up + row * stride + n + column);
            d = *(const uint4*)(dy + row * dy_stride + column);
        }
    };
    auto factor_at = [&](int piece, int from) {
        int i = piece * 256 + threadIdx.x, f = i / (STEP * CHUNKS), at = i / CHUNKS % STEP, k = i % CHUNKS * 8;
        uint4 v = {};
        if (f < FACTORS && from + at < end && k < factors[f].rank) {
            const bf16* p = factors[f].values + (i64)(from + at) * factors[f].stride + k;
            int count = factors[f].rank - k;
            if (count >= 8 && ((u64)p & 15) == 0) {
                v = *(const uint4*)p;
            } else {
                float some[8];
#pragma unroll
                for (int j = 0; j < 8; j++) some[j] = j < count ? to_float(p[j]) : 0.f;
                v = pack8(some);
            }
        }
        return v;
    };
    if (AHEAD) {
#pragma unroll
        for (int piece = 0; piece < PIECES; piece++) next[piece] = factor_at(piece, first);
    }
    fetch(first + r);
    int turn = 0;
    for (int from = first; from < end; from += STEP, turn ^= 1) {
        i64 row = from + r;
        uint4 y = {}, d_gate = {}, d_up = {};
        if (row < end) {
            float a[8], b[8], v[8];
            unpack8(g, a);
            unpack8(u, b);
            unpack8(d, v);
#pragma unroll
            for (int k = 0; k < 8; k++) gradients<Activation>(v[k], a[k], b[k], &a[k], &b[k], &v[k]);
            y = pack8(v);
            d_gate = pack8(a);
            d_up = pack8(b);
            *(uint4*)(d_gate_up + row * d_stride + column) = d_gate;
            *(uint4*)(d_gate_up + row * d_stride + n + column) = d_up;
        }
        *(uint4*)&tiles[turn][0][r][c] = y;
        *(uint4*)&tiles[turn][1][r][c] = d_gate;
        *(uint4*)&tiles[turn][2][r][c] = d_up;
#pragma unroll
        for (int piece = 0; piece < PIECES; piece++) {
            int i = piece * 256 + threadIdx.x;
            if (i < FACTORS * STEP * CHUNKS) *(uint4*)&held[turn][i / (STEP * CHUNKS)][i / CHUNKS % STEP][i % CHUNKS * 8] = AHEAD ? next[piece] : factor_at(piece, from);
            if (AHEAD) next[piece] = factor_at(piece, from + STEP);
        }
        fetch(row + STEP);
        __syncthreads();                                       // two of each tile: those of this turn are written again after the next wait only
#pragma unroll
        for (int f = 0; f < FACTORS; f++) {
            if (factors[f].rank == 0) continue;
            u32 right[4];
            transposed4(right, &tiles[turn][f][lane][warp * 8]);
#pragma unroll
            for (int half = 0; half < 2; half++)
#pragma unroll
                for (int tile = 0; tile < TILES; tile++) {
                    u32 left[4];
                    transposed4(left, &held[turn][f][half * 16 + (lane >> 4) * 8 + (lane & 7)][tile * 16 + (lane >> 3 & 1) * 8]);
                    multiply_add(sums[f][tile], left[0], left[1], left[2], left[3], right[2 * half], right[2 * half + 1]);
                }
        }
    }
    int at = blockIdx.x * SPAN + warp * 8 + (lane & 3) * 2;
#pragma unroll
    for (int f = 0; f < FACTORS; f++)
#pragma unroll
        for (int tile = 0; tile < TILES; tile++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                int rank = tile * 16 + half * 8 + (lane >> 2);
                if (rank < factors[f].rank)
                    *(float2*)(factors[f].sums + ((i64)blockIdx.y * factors[f].rank + rank) * n + at) = make_float2(sums[f][tile][2 * half], sums[f][tile][2 * half + 1]);
            }
}

struct AdapterWork {
    bf16* d_gate_up; i64 d_stride;
    const bf16* dy; i64 dy_stride;
    const bf16* gate_up; i64 stride;
    int rows; int unused2;
    int n; int unused0;
    int rows_of_block; int unused1;
    Factor factors[FACTORS];
};
#define WITH_ADAPTERS(name, Activation, TILES, BLOCKS) \
    extern "C" __global__ void __launch_bounds__(256, BLOCKS) name##_backward_adapters##TILES(const __grid_constant__ AdapterWork w) { \
        backward_adapters<Activation, TILES>(w.d_gate_up, w.d_stride, w.dy, w.dy_stride, w.gate_up, w.stride, w.rows, w.n, w.rows_of_block, w.factors); \
    }
#if __CUDA_ARCH__ >= 1000
#define BLOCKS_OF_FEW_RANKS 3          // a fourth would leave too few registers there
#else
#define BLOCKS_OF_FEW_RANKS 4
#endif
WITH_ADAPTERS(silu, Silu, 1, BLOCKS_OF_FEW_RANKS)
WITH_ADAPTERS(silu, Silu, 2, 2)
WITH_ADAPTERS(silu, Silu, 4, 2)
WITH_ADAPTERS(gelu, Gelu, 1, BLOCKS_OF_FEW_RANKS)
WITH_ADAPTERS(gelu, Gelu, 2, 2)
WITH_ADAPTERS(gelu, Gelu, 4, 1)        // as above for a second
WITH_ADAPTERS(gelu_tanh, GeluTanh, 1, BLOCKS_OF_FEW_RANKS)
WITH_ADAPTERS(gelu_tanh, GeluTanh, 2, 2)
WITH_ADAPTERS(gelu_tanh, GeluTanh, 4, 2)

// The gradients of A [rank, n] and of B [n, rank] out of the sums of the parts; null for one that is not wanted. Launch: a thread an element of (da, db_gate, db_up)
extern "C" __global__ void add_adapter_sums(float* da, const float* da_sums, int da_rank, float* db_gate, const float* gate_sums, float gate_scaling, int gate_rank,
                                            float* db_up, const float* up_sums, float up_scaling, int up_rank, int n, int parts) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x, size = (i64)da_rank * n;
    const float* from = da_sums;
    float* to = da;
    float scaling = 1.f;
    int rank = da_rank;
    bool is_a = i < size;
    if (!is_a) {
        i -= size;
        size = (i64)gate_rank * n;
        from = gate_sums; to = db_gate; scaling = gate_scaling; rank = gate_rank;
        if (i >= size) {
            i -= size;
            size = (i64)up_rank * n;
            from = up_sums; to = db_up; scaling = up_scaling; rank = up_rank;
            if (i >= size) return;
        }
    }
    if (!to) return;
    float sum = 0.f;
    for (int part = 0; part < parts; part++) sum += from[part * size + i];
    i64 row = i / n, column = i - row * n;
    to[is_a ? i : column * rank + row] += scaling * sum;
}
