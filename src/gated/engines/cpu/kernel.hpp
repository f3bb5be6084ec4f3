// What every generated kernel is built on. It knows no cell: the time loop, the division of work
// among threads and the matrix tile.
//
// Axes: T time, B rows, N packed steps; a step's rows are a prefix of all rows.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <omp.h>

#ifndef LANES
#define LANES 16
#endif

typedef long index_t;

// ---- memory ------------------------------------------------------------------------------------

template <class R> struct Buffer {
    R* data = nullptr;
    Buffer() = default;
    Buffer(Buffer&& other) : data(other.data) { other.data = nullptr; }
    void reserve(index_t count) {
        std::free(data);
        const size_t bytes = ((count ? count : 1) * sizeof(R) + 63) / 64 * 64;
        data = static_cast<R*>(std::aligned_alloc(64, bytes));
        std::memset(data, 0, bytes);
    }
    ~Buffer() { std::free(data); }
};

// ---- products ----------------------------------------------------------------------------------

// A matrix, or one block of it a head, cut into panels of columns of the product, each panel
// contiguous along the depth.
template <class R> struct Packed {
    static constexpr index_t WIDE = 2 * LANES * 4 / sizeof(R);
    Buffer<R> panels;
    index_t heads = 1, rows = 0, depth = 0, count = 0;

    // Each head's matrix as it is stored, (rows, depth), or transposed, (depth, rows).
    void pack(const R* matrix, index_t heads_, index_t rows_, index_t depth_, bool transposed) {
        heads = heads_, rows = rows_, depth = depth_;
        count = (rows + WIDE - 1) / WIDE;
        panels.reserve(heads * count * WIDE * depth);
        R* out = panels.data;
        for (index_t head = 0; head < heads; ++head, matrix += rows * depth)
            for (index_t start = 0; start < rows; start += WIDE, out += WIDE * depth) {
                const index_t wide = rows - start < WIDE ? rows - start : WIDE;
                for (index_t k = 0; k < depth; ++k)
                    for (index_t j = 0; j < wide; ++j)
                        out[k * WIDE + j] = transposed ? matrix[k * rows + start + j]
                                                       : matrix[(start + j) * depth + k];
            }
    }
};

template <class R, int ROWS>
static inline void tile(const R* __restrict panel, index_t depth, const R* __restrict v, index_t stride,
                        R* __restrict y, index_t ystride, index_t wide, bool add) {
    constexpr index_t WIDE = Packed<R>::WIDE;
    typedef R vec __attribute__((vector_size(WIDE * sizeof(R) / 2), aligned(sizeof(R)), may_alias));
    constexpr index_t HALF = WIDE / 2;
    vec sum[ROWS][2];
    for (int r = 0; r < ROWS; ++r) sum[r][0] = sum[r][1] = vec{} ;
    for (index_t k = 0; k < depth; ++k) {
        const vec left = *reinterpret_cast<const vec*>(panel + k * WIDE);
        const vec right = *reinterpret_cast<const vec*>(panel + k * WIDE + HALF);
        for (int r = 0; r < ROWS; ++r) {
            const R one = v[r * stride + k];
            sum[r][0] += left * one;
            sum[r][1] += right * one;
        }
    }
    for (int r = 0; r < ROWS; ++r) {
        R* out = y + r * ystride;
        if (wide == WIDE) {
            vec* o = reinterpret_cast<vec*>(out);
            if (add) sum[r][0] += o[0], sum[r][1] += o[1];
            o[0] = sum[r][0], o[1] = sum[r][1];
        } else {
            R edge[WIDE];
            *reinterpret_cast<vec*>(edge) = sum[r][0];
            *reinterpret_cast<vec*>(edge + HALF) = sum[r][1];
            for (index_t j = 0; j < wide; ++j) out[j] = add ? out[j] + edge[j] : edge[j];
        }
    }
}

// y (count, heads * rows) = v (count, heads * depth) times the matrix, or y + that.
template <class R>
static inline void multiply(const Packed<R>& m, const R* v, index_t stride, R* y, index_t ystride,
                            index_t count, bool add) {
    constexpr index_t WIDE = Packed<R>::WIDE;
    const R* panel = m.panels.data;
    for (index_t head = 0; head < m.heads; ++head)
        for (index_t start = 0; start < m.rows; start += WIDE, panel += WIDE * m.depth) {
            const index_t wide = m.rows - start < WIDE ? m.rows - start : WIDE;
            const R* in = v + head * m.depth;
            R* out = y + head * m.rows + start;
            index_t left = count;
            for (; left >= 8; left -= 8, in += 8 * stride, out += 8 * ystride)
                tile<R, 8>(panel, m.depth, in, stride, out, ystride, wide, add);
            switch (left) {
                case 1: tile<R, 1>(panel, m.depth, in, stride, out, ystride, wide, add); break;
                case 2: tile<R, 2>(panel, m.depth, in, stride, out, ystride, wide, add); break;
                case 3: tile<R, 3>(panel, m.depth, in, stride, out, ystride, wide, add); break;
                case 4: tile<R, 4>(panel, m.depth, in, stride, out, ystride, wide, add); break;
                case 5: tile<R, 5>(panel, m.depth, in, stride, out, ystride, wide, add); break;
                case 6: tile<R, 6>(panel, m.depth, in, stride, out, ystride, wide, add); break;
                case 7: tile<R, 7>(panel, m.depth, in, stride, out, ystride, wide, add); break;
                default: break;
            }
        }
}

// ---- rows and time -----------------------------------------------------------------------------

struct Rows {
    index_t steps, batch;
    const int64_t* sizes;    // (T,) rows that reach each step
    const int64_t* offsets;  // (T,) where each step's rows start among the packed ones
    bool reverse;

    // the step whose state a step goes on from, -1 if it starts from the initial one
    index_t before(index_t t) const { return reverse ? (t + 1 < steps ? t + 1 : -1) : t - 1; }
    // how many of `count` rows from `first` on have a state from the step before
    index_t running(index_t t, index_t first, index_t count) const {
        const index_t b = before(t);
        if (b < 0) return 0;
        const index_t left = sizes[b] - first;
        return left < 0 ? 0 : (left < count ? left : count);
    }
    // a state of the step before, for one row
    template <class R>
    const R* state(const R* over_time, const R* initial, index_t n, index_t t, index_t row) const {
        const index_t b = before(t);
        if (b >= 0 && row < sizes[b]) return over_time + (offsets[b] + row) * n;
        return initial + row * n;
    }
};

// Runs `step(worker, t, first row, count)` over time, each thread on its own rows, none waiting.
template <class Make>
static inline void over_time(const Rows& rows, int threads, bool backward, const Make& make) {
    if (threads > rows.batch) threads = rows.batch;
    if (threads < 1) threads = 1;
    // rows in slices of about equal work: rows of a packed batch come longest first
    index_t total = 0;
    for (index_t t = 0; t < rows.steps; ++t) total += rows.sizes[t];
#pragma omp parallel num_threads(threads)
    {
        const int count = omp_get_num_threads(), me = omp_get_thread_num();
        index_t bounds[2];
        for (int side = 0; side < 2; ++side) {
            const index_t part = me + side;
            if (part == count) { bounds[side] = rows.batch; continue; }
            // the row below which `part` parts of the work lie
            index_t done = 0, row = 0, length = rows.steps;
            while (row < rows.batch && done * count < part * total) {
                while (length > 0 && rows.sizes[length - 1] <= row) --length;
                done += length;
                ++row;
            }
            bounds[side] = row;
        }
        const index_t first = bounds[0], end = bounds[1];
        auto worker = make(me, end - first);
        const bool downward = rows.reverse != backward;
        for (index_t i = 0; i < rows.steps && end > first; ++i) {
            const index_t t = downward ? rows.steps - 1 - i : i;
            const index_t here = rows.sizes[t] < end ? rows.sizes[t] : end;
            if (here > first) worker.step(t, first, here - first);
        }
    }
}
