// rows.cu: sums, and rows that are gathered, scattered or added into a table.  Oracle: TransferTest, MlpAndEmbeddingTest; CPU twin CpuOps
#include "common.cuh"

// x = factor x + y; y may be 0. Launch: a thread 8 columns of a row; grid.y rows
extern "C" __global__ void add_rows(bf16* x, i64 x_stride, float factor, const bf16* y, i64 y_stride, i64 rows, int columns) {
    int at = (blockIdx.x * blockDim.x + threadIdx.x) * 8;
    for (i64 row = blockIdx.y; row < rows && at < columns; row += gridDim.y) {
        float a[8], b[8] = {0.f, 0.f, 0.f, 0.f, 0.f, 0.f, 0.f, 0.f};
        load_some(x + row * x_stride + at, a, columns - at);
        if (y) load_some(y + row * y_stride + at, b, columns - at);
#pragma unroll
        for (int k = 0; k < 8; k++) a[k] = factor * a[k] + b[k];
        store_some(x + row * x_stride + at, a, columns - at);
    }
}

// Launch: a thread an element
extern "C" __global__ void add_floats(float* x, float factor, const float* y, i64 n) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] = factor * x[i] + (y ? y[i] : 0.f);
}

extern "C" __global__ void convert_to_float(float* out, const void* x, i64 stride, i64 rows, i64 columns, int type) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < rows * columns) out[i] = read(x, i / columns * stride + i % columns, type);
}

// y[row] = table[first + ids[row]] scale; NaN for an id outside the table. Launch: a block of 128 a row
extern "C" __global__ void gather_rows(bf16* y, i64 y_stride, const void* table, i64 table_stride, const int* ids, int columns, int type, int table_rows,
                                       int first, float scale) {
    let_next_begin();
    wait_for_previous();
    i64 row = blockIdx.x, from = (i64)(first + ids[row]) * table_stride;
    bool inside = ids[row] >= 0 && first + ids[row] < table_rows;
    for (int at = threadIdx.x * 8; at < columns; at += blockDim.x * 8) {
        float v[8];
        if (inside) read_some(table, from + at, v, columns - at, type);
        else for (int k = 0; k < 8; k++) v[k] = __int_as_float(0x7fffffff);
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] *= scale;
        store_some(y + row * y_stride + at, v, columns - at);
    }
}

// y[ids[row]] = x[row]. Launch: a block of 128 a row
extern "C" __global__ void scatter_rows(bf16* y, i64 y_stride, const bf16* x, i64 x_stride, const int* ids, int columns) {
    i64 row = blockIdx.x, to = (i64)ids[row] * y_stride;
    for (int at = threadIdx.x * 8; at < columns; at += blockDim.x * 8) {
        float v[8];
        load_some(x + row * x_stride + at, v, columns - at);
        store_some(y + to + at, v, columns - at);
    }
}

// table[first + ids[row]] += dy[row] scale, rows in their order: the first row with an id adds for all that have it. Launch: a block of 128 a row
extern "C" __global__ void add_to_rows(float* table, const bf16* dy, i64 dy_stride, const int* ids, int rows, int columns, int first, float scale) {
    int row = blockIdx.x, id = ids[row], earlier = 0;
    for (int i = threadIdx.x; i < row; i += blockDim.x) earlier |= ids[i] == id;
    if (__syncthreads_or(earlier)) return;
    for (int at = threadIdx.x; at < columns; at += blockDim.x) {
        float sum = table[(i64)(first + id) * columns + at];
        for (int i = row; i < rows; i++)
            if (ids[i] == id) sum += to_float(dy[i * dy_stride + at]) * scale;
        table[(i64)(first + id) * columns + at] = sum;
    }
}

// Keys and values of new tokens into their rows of the cache. Launch: a block of 128 a row
extern "C" __global__ void append_to_cache(bf16* keys, bf16* values, i64 cache_stride, const bf16* qkv, i64 stride, const int* cache_rows, int q_columns, int k_columns) {
    i64 row = blockIdx.x, to = (i64)cache_rows[row] * cache_stride;
    const bf16* from = qkv + row * stride + q_columns;
    for (int i = threadIdx.x; i < k_columns; i += blockDim.x) {
        keys[to + i] = from[i];
        values[to + i] = from[k_columns + i];
    }
}
