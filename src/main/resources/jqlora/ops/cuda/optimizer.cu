// optimizer.cu: the norm of all gradients, and AdamW over many tensors in one launch, in PyTorch's order. arXiv 1711.05101
// parts: for each part of at most 65536 elements {value, gradient, first moment, second moment, elements}, pointers as u64.
// Oracle: OptimizerTest; CPU twin PlainRowMath.adamW
#include "common.cuh"

struct Part { float* value; float* gradient; float* first; float* second; u64 elements; };

// squares[part] = the sum of the part's squares. Launch: a block of 256 a part
extern "C" __global__ void gradient_squares(double* squares, const Part* parts) {
    __shared__ double shared[256];
    Part part = parts[blockIdx.x];
    double sum = 0;
    for (u64 i = threadIdx.x; i < part.elements; i += 256) sum += (double)part.gradient[i] * part.gradient[i];
    shared[threadIdx.x] = sum;
    __syncthreads();
    for (int distance = 128; distance > 0; distance >>= 1) {
        if (threadIdx.x < distance) shared[threadIdx.x] += shared[threadIdx.x + distance];
        __syncthreads();
    }
    if (threadIdx.x == 0) squares[blockIdx.x] = shared[0];
}

// norm = the root of the sum, in a fixed order. Launch: one block of 256
extern "C" __global__ void gradient_norm(double* norm, const double* squares, int parts) {
    __shared__ double shared[256];
    double sum = 0;
    for (int i = threadIdx.x; i < parts; i += 256) sum += squares[i];
    shared[threadIdx.x] = sum;
    __syncthreads();
    for (int distance = 128; distance > 0; distance >>= 1) {
        if (threadIdx.x < distance) shared[threadIdx.x] += shared[threadIdx.x + distance];
        __syncthreads();
    }
    if (threadIdx.x == 0) *norm = sqrt(shared[0]);
}

// Launch: a block of 256 a part
extern "C" __global__ void adam_w(const Part* parts, const double* norm, double max_grad_norm, float decay, float one_minus_beta1, float beta2, float one_minus_beta2,
                                  float eps, float inverse_root_correction, float step_size) {
    Part part = parts[blockIdx.x];
    float clip = max_grad_norm == 0 ? 1.f : (float)fmin(1.0, max_grad_norm / (*norm + 1e-6));
    for (u64 i = threadIdx.x; i < part.elements; i += 256) {
        float g = part.gradient[i] * clip, m = part.first[i], v = part.second[i];
        m = m + one_minus_beta1 * (g - m);
        v = beta2 * v + one_minus_beta2 * g * g;
        part.first[i] = m;
        part.second[i] = v;
        part.value[i] = part.value[i] * decay - step_size * (m / (sqrtf(v) * inverse_root_correction + eps));
    }
}

// All gradients zero. Launch: a block of 256 a part
extern "C" __global__ void zero_gradients(const Part* parts) {
    Part part = parts[blockIdx.x];
    for (u64 i = threadIdx.x; i < part.elements; i += 256) part.gradient[i] = 0.f;
}
