// optimizer.cu: the norm of all gradients, and AdamW over many tensors in one launch, in PyTorch's order. arXiv 1711.05101
// parts: for each part of at most 65536 elements {value, gradient, first moment, second moment, elements}, pointers as u64.
// parts8: for each part of at most 16384 elements {value, gradient, codes and absmax of the first moment, of the second, elements}. arXiv 2110.02861
// Oracle: OptimizerTest; CPU twins PlainRowMath.adamW, CpuAdamW8bit (bit for bit)
#include "common.cuh"

struct Part { float* value; float* gradient; float* first; float* second; u64 elements; };

// squares[part] = the sum of the part's squares. Launch: a block of 256 a part
extern "C" __global__ void gradient_squares(double* squares, const Part* parts) {
    __shared__ double shared[256];
    Part part = parts[blockIdx.x];
    double sum = 0;
    for (u64 i = threadIdx.x; i < part.elements; i += 256) sum += (double)part.gradient[i] * part.gradient[i];
    sum_of_256(sum, shared);
    if (threadIdx.x == 0) squares[blockIdx.x] = shared[0];
}

// norm = the root of the sum, in a fixed order. Launch: one block of 256
extern "C" __global__ void gradient_norm(double* norm, const double* squares, int parts) {
    __shared__ double shared[256];
    double sum = 0;
    for (int i = threadIdx.x; i < parts; i += 256) sum += squares[i];
    sum_of_256(sum, shared);
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

struct Part8 { float* value; float* gradient; u8* first; float* first_absmax; u8* second; float* second_absmax; u64 elements; };

// bitsandbytes' 8-bit AdamW. maps: signed, unsigned. Launch: a block of 256 a part, a warp a block of 256 elements
extern "C" __global__ void adam_w_8bit(const Part8* parts, const float* maps, const double* norm, double max_grad_norm, float beta1, float one_minus_beta1,
                                       float beta2, float one_minus_beta2, float scaled_eps, float step_size, float decay) {
    __shared__ float first_map[256], second_map[256];
    first_map[threadIdx.x] = maps[threadIdx.x];
    second_map[threadIdx.x] = maps[256 + threadIdx.x];
    __syncthreads();
    Part8 part = parts[blockIdx.x];
    float clip = max_grad_norm == 0 ? 1.f : (float)fmin(1.0, max_grad_norm / (*norm + 1e-6));
    int lane = threadIdx.x & 31;
    for (u64 block = threadIdx.x >> 5; block * 256 < part.elements; block += 8) {
        u64 start = block * 256 + lane;
        float first_scale = part.first_absmax[block], second_scale = part.second_absmax[block], first_largest = 0.f, second_largest = 0.f;
        float m[8], v[8];
#pragma unroll
        for (int k = 0; k < 8; k++) {
            u64 i = start + 32 * k;
            m[k] = 0.f;
            v[k] = 0.f;
            if (i >= part.elements) continue;
            float g = part.gradient[i];
            if (fabsf(g) < INFINITY) {
                g = __fmul_rn(g, clip);
                m[k] = __fadd_rn(__fmul_rn(__fmul_rn(first_map[part.first[i]], first_scale), beta1), __fmul_rn(one_minus_beta1, g));
                v[k] = __fadd_rn(__fmul_rn(__fmul_rn(second_map[part.second[i]], second_scale), beta2), __fmul_rn(__fmul_rn(one_minus_beta2, g), g));
                float update = __fdiv_rn(m[k], __fadd_rn(__fsqrt_rn(v[k]), scaled_eps));
                part.value[i] = __fmul_rn(__fadd_rn(part.value[i], __fmul_rn(step_size, update)), decay);
            }
            first_largest = fmaxf(first_largest, fabsf(m[k]));
            second_largest = fmaxf(second_largest, fabsf(v[k]));
        }
        first_largest = warp_max(first_largest);
        second_largest = warp_max(second_largest);
        if (lane == 0) {
            part.first_absmax[block] = first_largest;
            part.second_absmax[block] = second_largest;
        }
#pragma unroll
        for (int k = 0; k < 8; k++) {
            u64 i = start + 32 * k;
            if (i >= part.elements) continue;
            int code = dynamic_code(first_map, __fdiv_rn(m[k], first_largest));
            if ((__float_as_int(first_map[code]) < 0) != (__float_as_int(m[k]) < 0)) code += m[k] > 0.f ? 1 : -1;
            part.first[i] = (u8)code;
            part.second[i] = (u8)dynamic_code(second_map, __fdiv_rn(v[k], second_largest));
        }
    }
}

// All gradients zero. Launch: a block of 256 a part
extern "C" __global__ void zero_gradients(const Part* parts) {
    Part part = parts[blockIdx.x];
    for (u64 i = threadIdx.x; i < part.elements; i += 256) part.gradient[i] = 0.f;
}
