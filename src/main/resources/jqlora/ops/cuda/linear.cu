// linear.cu: the operands of a group of linear layers as one matrix [W | sB] over [A], bfloat16 with a row stride, and what its products leave to do.
// Oracle: LinearTest; CPU twin CpuLinear
#include "common.cuh"

// W of numbers into the operand. Launch: a thread 8 columns of a row; grid.y rows
extern "C" __global__ void dense_operand(bf16* out, i64 stride, const void* weight, i64 weight_stride, int rows, int columns, int type) {
    int column = (blockIdx.x * blockDim.x + threadIdx.x) * 8;
    for (i64 row = blockIdx.y; row < rows && column < columns; row += gridDim.y) {
        float v[8];
        read_some(weight, row * weight_stride + column, v, columns - column, type);
        store_some(out + row * stride + column, v, columns - column);
    }
}

// One adapter's part of the operand: scaling B beside its rows of W, zero in the columns of the group's other adapters, and A below; padded and
// both strides are multiples of 8. rank 0: zeros only. Launch: a thread 8 columns of a row of outs x padded, then of (rank + zero_rows) x ins
extern "C" __global__ void adapter_operand(bf16* beside, i64 beside_stride, bf16* below, i64 below_stride, const float* a, const float* b, float scaling,
                                           int outs, int ins, int rank, int inner_column, int padded, int zero_rows) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x, parts = padded / 8, tail = outs * parts;
    float v[8];
    if (i < tail) {
        u32 row = i / parts, column = (i - row * parts) * 8;
        int own = (int)column - inner_column;
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] = own + k >= 0 && own + k < rank ? scaling * b[(i64)row * rank + own + k] : 0.f;
        bf16* to = beside + row * beside_stride + column;
        if (ins % 8 == 0) { store8(to, v); return; }
#pragma unroll
        for (int k = 0; k < 8; k++) to[k] = to_bf16(v[k]);
        return;
    }
    i -= tail;
    parts = (ins + 7) / 8;
    u32 row = i / parts, column = (i - row * parts) * 8;
    if (row >= rank + zero_rows) return;
    const float* from = a + (i64)row * ins + column;
    if (row < rank && ins % 8 == 0) {
        float4 first = *(const float4*)from, second = *(const float4*)(from + 4);
        v[0] = first.x; v[1] = first.y; v[2] = first.z; v[3] = first.w; v[4] = second.x; v[5] = second.y; v[6] = second.z; v[7] = second.w;
    } else {
        for (int k = 0; k < 8; k++) v[k] = row < rank && column + k < ins ? from[k] : 0.f;
    }
    store_some(below + row * below_stride + column, v, ins - column);
}

// out = the columns of x, few and many rows. Launch: a thread 8 columns of a row; columns beyond the last may be copied into the room behind out
extern "C" __global__ void copy_columns(bf16* out, i64 out_stride, const bf16* x, i64 x_stride, i64 rows, int columns) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    int groups = (columns + 7) / 8;
    i64 row = i / groups, column = (i - row * groups) * 8;
    if (row >= rows) return;
    const bf16* from = x + row * x_stride + column;
    bf16* to = out + row * out_stride + column;
    if (((u64)from & 15) == 0) { *(uint4*)to = *(const uint4*)from; return; }
    for (int k = 0; k < 8 && column + k < columns; k++) to[k] = from[k];
}

// dA and dB of one adapter, out of the products of the whole group, added. Launch: a thread an element of rank * ins + outs * rank
extern "C" __global__ void adapter_gradient(float* da, float* db, const float* group_da, const float* group_db, i64 group_db_stride,
                                            float scaling, int ins, int outs, int rank) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x, size = (i64)rank * ins;
    if (i < size) {
        if (da) da[i] += group_da[i];
        return;
    }
    i -= size;
    if (i < (i64)outs * rank && db) db[i] += scaling * group_db[i / rank * group_db_stride + i % rank];
}

// y[:, column ...] += bias. Launch: a thread an element
extern "C" __global__ void add_bias(bf16* y, i64 stride, const void* bias, i64 rows, int columns, int type) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= rows * columns) return;
    bf16* at = y + i / columns * stride + i % columns;
    *at = to_bf16(to_float(*at) + read(bias, i % columns, type));
}

// sums[column] += the column's sum. Launch: block (32, 8), grid.x columns / 32
extern "C" __global__ void add_column_sums(float* sums, const bf16* y, i64 stride, i64 rows, int columns) {
    __shared__ float part[8][33];
    int column = blockIdx.x * 32 + threadIdx.x;
    float sum = 0.f;
    if (column < columns)
        for (i64 row = threadIdx.y; row < rows; row += 8) sum += to_float(y[row * stride + column]);
    part[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && column < columns) {
        for (int i = 1; i < 8; i++) sum += part[i][threadIdx.x];
        sums[column] += sum;
    }
}
