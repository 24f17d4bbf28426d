// Attention of rows of queries to rows of keys and values, on tensor cores, without a matrix of scores in memory
// (Dao et al. 2022). A block takes a tile of up to 128 rows of one sequence and one head; its warps take 16 or 32 rows each.
// Sums are f32. Scores are in units of log2, so that exponentials are exp2.
//
// Where `tiles` is null, sequences have `tokens` rows each, keys as well as queries, and every row sees all of its own.

#include "number.cuh"

constexpr int ROWS = 128, KEYS = 64, SINGLE_WARPS = 4;

struct Tile {
    uint32_t first;    // row of the first query
    uint32_t count;    // rows
    uint32_t keys;     // row of the sequence's first key
    uint32_t length;   // the most keys that a row sees
    uint32_t all;      // keys that every row sees
    uint32_t order;    // place of the first query in its sequence
};

__device__ __forceinline__ Tile tile_of(const Tile *tiles, int tokens) {
    if (tiles) return tiles[blockIdx.x];
    const uint32_t each = (tokens + ROWS - 1) / ROWS, first = blockIdx.x / each * tokens, order = blockIdx.x % each * ROWS;
    return {first + order, min((uint32_t)ROWS, tokens - order), first, (uint32_t)tokens, (uint32_t)tokens, order};
}

__device__ __forceinline__ void multiply(float *c, const uint32_t *a, const uint32_t *b, __nv_bfloat16) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void multiply(float *c, const uint32_t *a, const uint32_t *b, __half) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <typename T> __device__ __forceinline__ uint32_t pack(float a, float b) {
    union { T at[2]; uint32_t bits; } pair;
    pair.at[0] = narrow<T>(a);
    pair.at[1] = narrow<T>(b);
    return pair.bits;
}

__device__ __forceinline__ void matrices(uint32_t *r, const void *row) {
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at));
}

__device__ __forceinline__ void matrices_turned(uint32_t *r, const void *row) {
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at));
}

// Starts to copy `count` of `COUNT` rows of `head` values to shared memory; what is beyond is zero.
template <typename T, int D, int COUNT, int THREADS>
__device__ __forceinline__ void fetch(T *to, const T *from, long long stride, int count, int head) {
    constexpr int CHUNKS = D / 8, PITCH = D + 8;
#pragma unroll
    for (int n = threadIdx.x; n < COUNT * CHUNKS; n += THREADS) {
        int row = n / CHUNKS, column = n % CHUNKS * 8;
        bool inside = row < count && column < head;
        uint32_t at = (uint32_t)__cvta_generic_to_shared(to + row * PITCH + column);
        const T *source = inside ? from + row * stride + column : from;
        int bytes = inside ? 16 : 0;
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(source), "r"(bytes));
    }
    asm volatile("cp.async.commit_group;");
}

template <int PENDING> __device__ __forceinline__ void arrived() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING));
    __syncthreads();
}

// 2^x, 0 for x of minus infinity.
__device__ __forceinline__ float power(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// Each warp takes M times 16 rows.
template <typename T, int D, int M>
__device__ void attend(const T *q, const T *k, const T *v, T *out, const Tile *tiles, const uint32_t *visible, int q_stride,
                       int kv_stride, int out_stride, int head, int each, float scale, int window, int tokens) {
    constexpr int PITCH = D + 8, THREADS = ROWS / (16 * M) * 32;
    __shared__ __align__(16) T shared[2 * KEYS * PITCH];
    T *const keys = shared, *const values = shared + KEYS * PITCH;
    const Tile tile = tile_of(tiles, tokens);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / 4, pair = lane % 4;
    const int matrix = lane / 8, line = lane % 8;
    q += (long long)tile.first * q_stride + blockIdx.y * head;
    k += (long long)tile.keys * kv_stride + blockIdx.y / each * head;
    v += (long long)tile.keys * kv_stride + blockIdx.y / each * head;

    // Queries go to registers for good.
    static_assert(ROWS <= 2 * KEYS, "queries fit the room of keys and values");
    fetch<T, D, ROWS, THREADS>(shared, q, q_stride, tile.count, head);
    arrived<0>();
    uint32_t queries[M][D / 16][4];
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int d = 0; d < D / 16; d++)
            matrices(queries[m][d], shared + ((warp * M + m) * 16 + (matrix & 1) * 8 + line) * PITCH + d * 16 + (matrix >> 1) * 8);
    __syncthreads();

    // Each thread has two rows in each 16.
    int end[M][2], start[M][2];
    float most[M][2], sum[M][2];
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int row = (warp * M + m) * 16 + group + i * 8;
            end[m][i] = row >= tile.count ? 0 : visible ? visible[tile.first + row] : tile.length;
            start[m][i] = window > 0 ? max(0, (int)tile.order + row + 1 - window) : 0;
            most[m][i] = -INFINITY;
            sum[m][i] = 0.0f;
        }
    }
    float mixed[M][D / 8][4] = {};

    const int from = window > 0 ? max(0, (int)tile.order + 1 - window) / KEYS * KEYS : 0;
    const int length = tile.length;
    fetch<T, D, KEYS, THREADS>(keys, k + (long long)from * kv_stride, kv_stride, length - from, head);
    for (int at = from; at < length; at += KEYS) {
        fetch<T, D, KEYS, THREADS>(values, v + (long long)at * kv_stride, kv_stride, length - at, head);
        arrived<1>();
        float scores[M][KEYS / 8][4] = {};
#pragma unroll
        for (int d = 0; d < D / 16; d++) {
#pragma unroll
            for (int n = 0; n < KEYS / 16; n++) {
                uint32_t b[4];
                matrices(b, keys + (n * 16 + (matrix >> 1) * 8 + line) * PITCH + d * 16 + (matrix & 1) * 8);
#pragma unroll
                for (int m = 0; m < M; m++) {
                    multiply(scores[m][2 * n], queries[m][d], b, T());
                    multiply(scores[m][2 * n + 1], queries[m][d], b + 2, T());
                }
            }
        }
        __syncthreads();
        if (at + KEYS < length)
            fetch<T, D, KEYS, THREADS>(keys, k + (long long)(at + KEYS) * kv_stride, kv_stride, length - at - KEYS, head);

        if (window > 0 || at + KEYS > (int)tile.all) {
#pragma unroll
            for (int m = 0; m < M; m++)
#pragma unroll
                for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
                    for (int e = 0; e < 4; e++) {
                        int key = at + n * 8 + pair * 2 + (e & 1);
                        if (key >= end[m][e >> 1] || key < start[m][e >> 1]) scores[m][n][e] = -INFINITY;
                    }
        }
        uint32_t weights[M][KEYS / 16][4];
#pragma unroll
        for (int m = 0; m < M; m++) {
            float shift[2];
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float larger = most[m][i];
#pragma unroll
                for (int n = 0; n < KEYS / 8; n++)
                    larger = fmaxf(larger, fmaxf(scores[m][n][2 * i], scores[m][n][2 * i + 1]));
                larger = fmaxf(larger, __shfl_xor_sync(0xffffffff, larger, 1));
                larger = fmaxf(larger, __shfl_xor_sync(0xffffffff, larger, 2));
                // A row that has seen nothing yet has nothing to scale.
                shift[i] = larger == -INFINITY ? 0.0f : larger * scale;
                float factor = power(most[m][i] * scale - shift[i]);
                most[m][i] = larger;
                sum[m][i] *= factor;
#pragma unroll
                for (int d = 0; d < D / 8; d++) {
                    mixed[m][d][2 * i] *= factor;
                    mixed[m][d][2 * i + 1] *= factor;
                }
            }
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) {
                float p[4];
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    p[e] = power(fmaf(scores[m][n][e], scale, -shift[e >> 1]));
                    sum[m][e >> 1] += p[e];
                }
                weights[m][n / 2][n % 2 * 2] = pack<T>(p[0], p[1]);
                weights[m][n / 2][n % 2 * 2 + 1] = pack<T>(p[2], p[3]);
            }
        }

        if (at + KEYS < length) arrived<1>(); else arrived<0>();
#pragma unroll
        for (int n = 0; n < KEYS / 16; n++) {
#pragma unroll
            for (int d = 0; d < D / 16; d++) {
                uint32_t b[4];
                matrices_turned(b, values + (n * 16 + (matrix & 1) * 8 + line) * PITCH + d * 16 + (matrix >> 1) * 8);
#pragma unroll
                for (int m = 0; m < M; m++) {
                    multiply(mixed[m][2 * d], weights[m][n], b, T());
                    multiply(mixed[m][2 * d + 1], weights[m][n], b + 2, T());
                }
            }
        }
        __syncthreads();
    }

#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            sum[m][i] += __shfl_xor_sync(0xffffffff, sum[m][i], 1);
            sum[m][i] += __shfl_xor_sync(0xffffffff, sum[m][i], 2);
            int row = (warp * M + m) * 16 + group + i * 8;
            if (row >= tile.count) continue;
            T *to = out + (long long)(tile.first + row) * out_stride + blockIdx.y * head;
            float inverse = 1.0f / sum[m][i];
#pragma unroll
            for (int d = 0; d < D / 8; d++) {
                int column = d * 8 + pair * 2;
                if (column < head)
                    *reinterpret_cast<uint32_t *>(to + column) = pack<T>(mixed[m][d][2 * i] * inverse, mixed[m][d][2 * i + 1] * inverse);
            }
        }
    }
}

// One row of queries a block and head: four warps share the keys, eight lanes a key.
template <typename T>
__device__ void attend_one(const T *q, const T *k, const T *v, T *out, const Tile *tiles, int q_stride, int kv_stride,
                           int out_stride, int head, int each, float scale, int window) {
    constexpr int PARTS = 4;   // a head has at most 256 values
    const Tile tile = tiles[blockIdx.x];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, slot = lane / 8, part = lane % 8;
    q += (long long)tile.first * q_stride + blockIdx.y * head;
    k += (long long)tile.keys * kv_stride + blockIdx.y / each * head;
    v += (long long)tile.keys * kv_stride + blockIdx.y / each * head;
    const int chunks = head / 8;
    float query[PARTS][8], mixed[PARTS][8] = {};
#pragma unroll
    for (int c = 0; c < PARTS; c++)
#pragma unroll
        for (int i = 0; i < 8; i++) query[c][i] = c * 8 + part < chunks ? widen(q[(c * 8 + part) * 8 + i]) * scale : 0.0f;
    float most = -INFINITY, sum = 0.0f;
    const int start = window > 0 ? max(0, (int)tile.order + 1 - window) : 0;
    for (int at = start + warp * 4; at < tile.length; at += SINGLE_WARPS * 4) {
        const int key = at + slot;
        const bool seen = key < tile.length;
        float score = 0.0f;
#pragma unroll
        for (int c = 0; c < PARTS; c++) {
            if (!seen || c * 8 + part >= chunks) continue;
            Vector<T> row = load(k + (long long)key * kv_stride + (c * 8 + part) * 8);
#pragma unroll
            for (int i = 0; i < 8; i++) score += query[c][i] * widen(row.at[i]);
        }
        for (int step = 1; step < 8; step *= 2) score += __shfl_xor_sync(0xffffffff, score, step);
        if (!seen) continue;
        const float larger = fmaxf(most, score), factor = exp2f(most - larger), p = exp2f(score - larger);
        most = larger;
        sum = sum * factor + p;
#pragma unroll
        for (int c = 0; c < PARTS; c++) {
            if (c * 8 + part >= chunks) continue;
            Vector<T> row = load(v + (long long)key * kv_stride + (c * 8 + part) * 8);
#pragma unroll
            for (int i = 0; i < 8; i++) mixed[c][i] = mixed[c][i] * factor + p * widen(row.at[i]);
        }
    }

    // Sixteen groups of lanes have a part of the keys each.
    __shared__ float bests[16], sums[16], all[16][256];
    const int mine = warp * 4 + slot;
    if (part == 0) {
        bests[mine] = most;
        sums[mine] = sum;
    }
#pragma unroll
    for (int c = 0; c < PARTS; c++)
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (c * 8 + part < chunks) all[mine][(c * 8 + part) * 8 + i] = mixed[c][i];
    __syncthreads();
    float best = -INFINITY, total = 0.0f;
#pragma unroll
    for (int n = 0; n < 16; n++) best = fmaxf(best, bests[n]);
#pragma unroll
    for (int n = 0; n < 16; n++) total += bests[n] == -INFINITY ? 0.0f : sums[n] * exp2f(bests[n] - best);
    for (int column = threadIdx.x; column < head; column += SINGLE_WARPS * 32) {
        float x = 0.0f;
#pragma unroll
        for (int n = 0; n < 16; n++)
            if (bests[n] != -INFINITY) x += all[n][column] * exp2f(bests[n] - best);
        out[(long long)tile.first * out_stride + blockIdx.y * head + column] = narrow<T>(x / total);
    }
}

#define ATTEND(NAME, T, D, M)                                                                                            \
    extern "C" __global__ void __launch_bounds__(ROWS / M * 2) attend_##NAME##_##D(                                             \
        const T *q, const T *k, const T *v, T *out, const Tile *tiles, const uint32_t *visible, int q_stride,            \
        int kv_stride, int out_stride, int head, int each, float scale, int window, int tokens) {                        \
        attend<T, D, M>(q, k, v, out, tiles, visible, q_stride, kv_stride, out_stride, head, each, scale, window, tokens); \
    }
#define ATTEND_ALL(NAME, T)                                                                                              \
    ATTEND(NAME, T, 64, 2)                                                                                               \
    ATTEND(NAME, T, 80, 1)                                                                                               \
    ATTEND(NAME, T, 96, 1)                                                                                               \
    ATTEND(NAME, T, 128, 1)                                                                                              \
    extern "C" __global__ void __launch_bounds__(128) attend_one_##NAME(                                                 \
        const T *q, const T *k, const T *v, T *out, const Tile *tiles, int q_stride, int kv_stride, int out_stride,      \
        int head, int each, float scale, int window) {                                                                   \
        attend_one<T>(q, k, v, out, tiles, q_stride, kv_stride, out_stride, head, each, scale, window);                  \
    }
ATTEND_ALL(f16, __half)
ATTEND_ALL(bf16, __nv_bfloat16)
