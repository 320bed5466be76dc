// gated.cu: y = silu(gate) up, and its gradient; the backward makes y again in the place of dy where `again` is set.  Layout gate_up [rows, 2 n]: all gates of a row, then all ups; y [rows, n]; bfloat16 with strides
// silu8 need n to be a multiple of 8.  Launch: a thread 8 (1) columns of a row.  Oracle: MlpAndEmbeddingTest; CPU twin PlainRowMath
#include "common.cuh"

__device__ __forceinline__ float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

__device__ __forceinline__ void gradients(float d, float g, float u, float* dg, float* du, float* y) {
    float s = sigmoid(g);
    *y = g * s * u;
    *dg = d * u * (s + g * s * (1.f - s));
    *du = d * g * s;
}

extern "C" __global__ void silu8(bf16* y, i64 y_stride, const bf16* gate_up, i64 stride, i64 rows, int n) {
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
    for (int k = 0; k < 8; k++) g[k] = g[k] * sigmoid(g[k]) * u[k];
    store8(y + row * y_stride + at, g);
}

extern "C" __global__ void silu(bf16* y, i64 y_stride, const bf16* gate_up, i64 stride, i64 rows, int n) {
    let_next_begin();
    wait_for_previous();
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x, row = i / n;
    if (row >= rows) return;
    int at = (int)(i - row * n);
    float g = to_float(gate_up[row * stride + at]), u = to_float(gate_up[row * stride + n + at]);
    y[row * y_stride + at] = to_bf16(g * sigmoid(g) * u);
}

extern "C" __global__ void silu_backward8(bf16* d_gate_up, i64 d_stride, bf16* dy, i64 dy_stride, const bf16* gate_up, i64 stride, i64 rows, int n, int again) {
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
    for (int k = 0; k < 8; k++) gradients(d[k], g[k], u[k], &g[k], &u[k], &d[k]);
    if (again) store8(dy + row * dy_stride + at, d);
    store8(d_gate_up + row * d_stride + at, g);
    store8(d_gate_up + row * d_stride + n + at, u);
}

extern "C" __global__ void silu_backward(bf16* d_gate_up, i64 d_stride, bf16* dy, i64 dy_stride, const bf16* gate_up, i64 stride, i64 rows, int n, int again) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x, row = i / n;
    if (row >= rows) return;
    int at = (int)(i - row * n);
    float dg, du, y;
    gradients(to_float(dy[row * dy_stride + at]), to_float(gate_up[row * stride + at]), to_float(gate_up[row * stride + n + at]), &dg, &du, &y);
    if (again) dy[row * dy_stride + at] = to_bf16(y);
    d_gate_up[row * d_stride + at] = to_bf16(dg);
    d_gate_up[row * d_stride + n + at] = to_bf16(du);
}
