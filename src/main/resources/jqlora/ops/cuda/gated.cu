// gated.cu: y = a(gate) up for an activation a, and its gradient; the backward makes y again in the place of dy where `again` is set.
// Layout gate_up [rows, 2 n]: all gates of a row, then all ups; y [rows, n]; bfloat16 with strides
// Kernels whose name ends with 8 need n to be a multiple of 8.  Launch: a thread 8 (1) columns of a row.  Oracle: MlpAndEmbeddingTest; CPU twin PlainRowMath
#include "common.cuh"

__device__ __forceinline__ float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

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

#define KERNELS_E4M3(NAME, ACTIVATION) \
    extern "C" __global__ void __launch_bounds__(1024) NAME##_rows_e4m3(bf16* y, i64 y_stride, u8* codes, float* scales, const bf16* gate_up, i64 stride, int n) { \
        gated_rows_e4m3<ACTIVATION>(y, y_stride, codes, scales, gate_up, stride, n); \
    } \
    extern "C" __global__ void __launch_bounds__(448, 2) NAME##_backward_rows_e4m3(bf16* d_gate_up, i64 d_stride, u8* codes, float* scales, bf16* dy, i64 dy_stride, \
                                                                                  const bf16* gate_up, i64 stride, int n, int again) { \
        gated_backward_rows_e4m3<ACTIVATION>(d_gate_up, d_stride, codes, scales, dy, dy_stride, gate_up, stride, n, again); \
    }
KERNELS_E4M3(silu, Silu)
KERNELS_E4M3(gelu, Gelu)
KERNELS_E4M3(gelu_tanh, GeluTanh)
#endif
