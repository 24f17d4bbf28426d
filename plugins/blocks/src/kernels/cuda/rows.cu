// Elementwise work on rows: what follows a product, the gate of SwiGLU, rotary positions, and rows into a cache.

#include "number.cuh"

enum Activation { NONE = 0, QUICK_GELU = 1, GELU = 2, GELU_TANH = 3, RELU = 4 };

__device__ __forceinline__ float activate(float x, int activation) {
    switch (activation) {
    case QUICK_GELU: return x / (1.0f + __expf(-1.702f * x));
    case GELU: return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case GELU_TANH: return x / (1.0f + __expf(-1.59576912f * (x + 0.044715f * x * x * x)));
    case RELU: return fmaxf(x, 0.0f);
    default: return x;
    }
}

// Up to four rows of x times the rows of a weight: one row of the weight a warp, which is read once and in its order.
template <typename T>
__device__ void few_rows(const T *x, const T *weight, T *to, uint32_t inputs, uint32_t outputs, int rows) {
    constexpr int LANES = Vector<T>::LANES, MOST = 4;
    const uint32_t output = blockIdx.x * 4 + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (output >= outputs) return;
    weight += (size_t)output * inputs;
    float sums[MOST] = {};
#pragma unroll 4
    for (uint32_t at = lane * LANES; at < inputs; at += 32 * LANES) {
        const Vector<T> w = load(weight + at);
#pragma unroll
        for (int row = 0; row < MOST; row++) {
            if (row >= rows) break;
            const Vector<T> v = load(x + (size_t)row * inputs + at);
#pragma unroll
            for (int i = 0; i < LANES; i++) sums[row] += widen(w.at[i]) * widen(v.at[i]);
        }
    }
#pragma unroll
    for (int row = 0; row < MOST; row++) {
        for (int step = 16; step > 0; step /= 2) sums[row] += __shfl_xor_sync(0xffffffff, sums[row], step);
        if (lane == 0 && row < rows) to[(size_t)row * outputs + output] = narrow<T>(sums[row]);
    }
}

// product = activation(product + bias) + residual, over vectors; bias and residual may be absent.
template <typename T>
__device__ void finish(T *product, const T *bias, const T *residual, uint32_t width, uint32_t vectors, int activation) {
    constexpr uint32_t LANES = Vector<T>::LANES;
    for (uint32_t n = blockIdx.x * blockDim.x + threadIdx.x; n < vectors; n += gridDim.x * blockDim.x) {
        Vector<T> x = load(product + (size_t)n * LANES), b, r;
        if (bias) b = load(bias + n % (width / LANES) * LANES);
        if (residual) r = load(residual + (size_t)n * LANES);
#pragma unroll
        for (int i = 0; i < LANES; i++) {
            float y = widen(x.at[i]);
            if (bias) y += widen(b.at[i]);
            y = activate(y, activation);
            if (residual) y += widen(r.at[i]);
            x.at[i] = narrow<T>(y);
        }
        store(product + (size_t)n * LANES, x);
    }
}

// to = silu(gate) * up, where a row of `joint` is gate and up.
template <typename T> __device__ void gate(const T *joint, T *to, uint32_t width, uint32_t vectors) {
    constexpr uint32_t LANES = Vector<T>::LANES;
    const uint32_t row_vectors = width / LANES;
    for (uint32_t n = blockIdx.x * blockDim.x + threadIdx.x; n < vectors; n += gridDim.x * blockDim.x) {
        const T *row = joint + (size_t)(n / row_vectors) * 2 * width + n % row_vectors * LANES;
        Vector<T> g = load(row), u = load(row + width);
#pragma unroll
        for (int i = 0; i < LANES; i++) {
            float x = widen(g.at[i]);
            g.at[i] = narrow<T>(x / (1.0f + __expf(-x)) * widen(u.at[i]));
        }
        store(to + (size_t)n * LANES, g);
    }
}

__device__ __forceinline__ float total(float x, float *warps) {
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffff, x, step);
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
    __syncthreads();
    return warps[0] + warps[1] + warps[2] + warps[3];
}

// Layer norm or, without a bias, root mean square norm: one row a block of 128 threads, which keep it in registers.
template <typename T>
__device__ void norm(const T *x, T *to, const T *weight, const T *bias, uint32_t width, float eps) {
    constexpr int LANES = Vector<T>::LANES, MOST = 8;
    __shared__ float sums[4], squares[4];
    x += (size_t)blockIdx.x * width;
    to += (size_t)blockIdx.x * width;
    const int vectors = width / LANES;
    Vector<T> row[MOST];
    float sum = 0.0f, square = 0.0f, mean = 0.0f;
#pragma unroll
    for (int n = 0; n < MOST; n++) {
        const int at = n * 128 + threadIdx.x;
        if (at >= vectors) break;
        row[n] = load(x + at * LANES);
#pragma unroll
        for (int i = 0; i < LANES; i++) sum += widen(row[n].at[i]);
    }
    if (bias) mean = total(sum, sums) / width;
#pragma unroll
    for (int n = 0; n < MOST; n++) {
        if (n * 128 + threadIdx.x >= vectors) break;
#pragma unroll
        for (int i = 0; i < LANES; i++) {
            float distance = widen(row[n].at[i]) - mean;
            square += distance * distance;
        }
    }
    const float factor = rsqrtf(total(square, squares) / width + eps);
#pragma unroll
    for (int n = 0; n < MOST; n++) {
        const int at = n * 128 + threadIdx.x;
        if (at >= vectors) break;
        Vector<T> w = load(weight + at * LANES), b;
        if (bias) b = load(bias + at * LANES);
#pragma unroll
        for (int i = 0; i < LANES; i++) {
            float y = (widen(row[n].at[i]) - mean) * factor * widen(w.at[i]);
            row[n].at[i] = narrow<T>(bias ? y + widen(b.at[i]) : y);
        }
        store(to + at * LANES, row[n]);
    }
}

// Turns the first `heads` heads of a row, one row a block.
template <typename T>
__device__ void rotate(T *joint, const float *cos, const float *sin, int heads, int half, int row) {
    T *at = joint + (long long)blockIdx.x * row;
    cos += (long long)blockIdx.x * half;
    sin += (long long)blockIdx.x * half;
    for (int n = threadIdx.x; n < heads * half; n += blockDim.x) {
        int i = n % half;
        T *head = at + n / half * 2 * half;
        float left = widen(head[i]), right = widen(head[i + half]);
        head[i] = narrow<T>(left * cos[i] - right * sin[i]);
        head[i + half] = narrow<T>(right * cos[i] + left * sin[i]);
    }
}

// Copies `width` values of each row of `joint` from column `start` on to row `places[n]` of a cache, one row a block.
template <typename T>
__device__ void append(T *cache, const T *joint, const uint32_t *places, int row, int start, int width) {
    const T *from = joint + (long long)blockIdx.x * row + start;
    T *to = cache + (long long)places[blockIdx.x] * width;
    for (int n = threadIdx.x; n < width; n += blockDim.x) to[n] = from[n];
}

#define MAKE(NAME, T)                                                                                                    \
    extern "C" __global__ void finish_##NAME(T *product, const T *bias, const T *residual, uint32_t width, uint32_t vectors, \
                                             int activation) {                                                          \
        finish<T>(product, bias, residual, width, vectors, activation);                                                 \
    }                                                                                                                    \
    extern "C" __global__ void few_rows_##NAME(const T *x, const T *weight, T *to, uint32_t inputs, uint32_t outputs,     \
                                               int rows) {                                                              \
        few_rows<T>(x, weight, to, inputs, outputs, rows);                                                               \
    }                                                                                                                    \
    extern "C" __global__ void gate_##NAME(const T *joint, T *to, uint32_t width, uint32_t vectors) {                        \
        gate<T>(joint, to, width, vectors);                                                                              \
    }                                                                                                                    \
    extern "C" __global__ void norm_##NAME(const T *x, T *to, const T *weight, const T *bias, uint32_t width, float eps) { \
        norm<T>(x, to, weight, bias, width, eps);                                                                        \
    }                                                                                                                    \
    extern "C" __global__ void rotate_##NAME(T *joint, const float *cos, const float *sin, int heads, int half, int row) { \
        rotate<T>(joint, cos, sin, heads, half, row);                                                                    \
    }                                                                                                                    \
    extern "C" __global__ void append_##NAME(T *cache, const T *joint, const uint32_t *places, int row, int start,       \
                                             int width) {                                                                \
        append<T>(cache, joint, places, row, start, width);                                                              \
    }
FOR_EACH_FORMAT(MAKE)
