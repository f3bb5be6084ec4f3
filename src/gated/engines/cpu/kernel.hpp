// What every generated kernel is built on. It knows no cell: the time loop, the division of work
// among threads and the matrix tile.
//
// Axes: T time, B rows, N packed steps; a step's rows are a prefix of all rows.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <sched.h>
#include <type_traits>
#include <utility>
#ifdef STD_THREADS  // for a thread sanitizer, which does not know OpenMP
#include <thread>
#include <vector>
#else
#include <omp.h>
#endif

#ifndef LANES
#define LANES 16
#endif

typedef long index_t;

// compiled once, not at every call: that is most of a kernel's time in the compiler
#define ONCE_MEMBER __attribute__((noinline))
#define ONCE ONCE_MEMBER static

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

// ---- threads -----------------------------------------------------------------------------------

// Runs f(me, of how many) in each thread.
template <class F> static inline void parallel(int threads, const F& f) {
    if (threads <= 1) { f(0, 1); return; }
#ifdef STD_THREADS
    std::vector<std::thread> others;
    for (int k = 1; k < threads; ++k) others.emplace_back([&f, k, threads] { f(k, threads); });
    f(0, threads);
    for (std::thread& other : others) other.join();
#else
#pragma omp parallel num_threads(threads)
    f(omp_get_thread_num(), omp_get_num_threads());
#endif
}

// Waits until `ready()`: a moment without giving up the core, then giving way to others.
template <class F> static inline void wait_until(const F& ready) {
    for (int turn = 0; !ready(); ++turn) {
        if (turn > 4000) sched_yield();
#if defined(__x86_64__)
        else __builtin_ia32_pause();
#endif
    }
}

// ---- products ----------------------------------------------------------------------------------

// A matrix, or one block of it a head, cut into panels of columns of the product, each panel
// contiguous along the depth.
template <class R> struct Packed {
    static constexpr index_t WIDE = 2 * LANES * 4 / sizeof(R), HALF = WIDE / 2, FEW = 3;
    // half a panel's width of numbers, wherever they stand
    typedef R vec __attribute__((vector_size(HALF * sizeof(R)), aligned(sizeof(R)), may_alias));
    Buffer<R> panels;
    Buffer<R> added;  // what the product begins with, for whole panels; nothing: zeros
    index_t heads = 1, rows = 0, depth = 0, count = 0;
    const R* raw = nullptr;  // the matrix as it is stored, for so few products that packing is not worth it

    // Each head's matrix as it is stored, (rows, depth), or transposed, (depth, rows); returns how
    // many numbers it has.
    index_t pack(const R* matrix, index_t heads_, index_t rows_, index_t depth_, bool transposed,
                 index_t uses, int threads) {
        heads = heads_, rows = rows_, depth = depth_;
        count = (rows + WIDE - 1) / WIDE;
        if (!transposed && uses <= FEW) {
            raw = matrix;
            return heads * rows * depth;
        }
        std::free(panels.data);
        const size_t bytes = (heads * count * WIDE * depth * sizeof(R) + 63) / 64 * 64;
        panels.data = static_cast<R*>(std::aligned_alloc(64, bytes ? bytes : 64));
        const index_t all = heads * count;
        parallel(heads * rows * depth > (1 << 16) ? threads : 1, [&](int me, int of) {
            for (index_t k = all * me / of; k < all * (me + 1) / of; ++k)
                pack_panel(matrix + k / count * rows * depth, k % count * WIDE,
                           panels.data + k * WIDE * depth, transposed);
        });
        return heads * rows * depth;
    }

    // What every product begins with, (rows,), maybe in two parts; nullptr for nothing.
    void begin_with(const R* start, const R* more) {
        if (!start) return;
        added.reserve(count * WIDE);
        for (index_t j = 0; j < rows; ++j) added.data[j] = more ? start[j] + more[j] : start[j];
    }

    void pack_panel(const R* matrix, index_t start, R* out, bool transposed) {
        const index_t wide = rows - start < WIDE ? rows - start : WIDE;
        if (wide < WIDE) std::memset(out, 0, WIDE * depth * sizeof(R));
        if (transposed) {
            for (index_t k = 0; k < depth; ++k)
                std::memcpy(out + k * WIDE, matrix + k * rows + start, wide * sizeof(R));
            return;
        }
        typedef R four __attribute__((vector_size(4 * sizeof(R)), aligned(sizeof(R)), may_alias));
        index_t k = 0;
        for (; k + 4 <= depth; k += 4) {
            index_t j = 0;
            for (; j + 4 <= wide; j += 4) {  // a square of sixteen, transposed in registers
                const R* in = matrix + (start + j) * depth + k;
                const four a = *reinterpret_cast<const four*>(in);
                const four b = *reinterpret_cast<const four*>(in + depth);
                const four c = *reinterpret_cast<const four*>(in + 2 * depth);
                const four d = *reinterpret_cast<const four*>(in + 3 * depth);
                for (int m = 0; m < 4; ++m)
                    *reinterpret_cast<four*>(out + (k + m) * WIDE + j) = four{a[m], b[m], c[m], d[m]};
            }
            for (; j < wide; ++j)
                for (int m = 0; m < 4; ++m) out[(k + m) * WIDE + j] = matrix[(start + j) * depth + k + m];
        }
        for (; k < depth; ++k)
            for (index_t j = 0; j < wide; ++j) out[k * WIDE + j] = matrix[(start + j) * depth + k];
    }
};

// Half a panel of a result goes to memory, or is added to it: as much as there is room for.
template <class R>
static inline void put(R* to, const typename Packed<R>::vec& value, index_t room, bool add) {
    constexpr index_t HALF = Packed<R>::HALF;
    typedef typename Packed<R>::vec vec;
    if (room >= HALF) {
        vec* whole = reinterpret_cast<vec*>(to);
        *whole = add ? *whole + value : value;
        return;
    }
    R edge[HALF];
    *reinterpret_cast<vec*>(edge) = value;
    for (index_t j = 0; j < room; ++j) to[j] = add ? to[j] + edge[j] : edge[j];
}

// ROWS rows times PANELS panels, all sums in registers; they begin with `from`, if that is given.
// Rows are read at `in` and written at `out`, each from `into` and `onto` numbers on.
template <class R, int ROWS, int PANELS>
static inline void tile(const R* __restrict panel, index_t depth, const R* const* in, index_t into,
                        R* const* out, index_t onto, index_t wide, bool add, const R* from) {
    constexpr index_t WIDE = Packed<R>::WIDE, HALF = WIDE / 2;
    typedef typename Packed<R>::vec vec;
    const R* row[ROWS];
    for (int r = 0; r < ROWS; ++r) row[r] = in[r] + into;
    vec sum[ROWS][2 * PANELS];  // in registers, if all loops around them are unrolled
#pragma GCC unroll 8
    for (int p = 0; p < 2 * PANELS; ++p) {
        const vec start = from ? *reinterpret_cast<const vec*>(from + p * HALF) : vec{};
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r) sum[r][p] = start;
    }
    for (index_t k = 0; k < depth; ++k) {
        vec column[2 * PANELS];
        for (int p = 0; p < 2 * PANELS; ++p)
            column[p] = *reinterpret_cast<const vec*>(panel + p / 2 * depth * WIDE + k * WIDE + p % 2 * HALF);
        for (int r = 0; r < ROWS; ++r) {
            const R one = row[r][k];
            for (int p = 0; p < 2 * PANELS; ++p) sum[r][p] += column[p] * one;
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
        for (int p = 0; p < 2 * PANELS; ++p)
            put<R>(out[r] + onto + p * HALF, sum[r][p], wide - p * HALF, add);
}

// Rows that are multiplied together, wherever each stands.
template <class R> struct Several {
    index_t count = 0;
    Buffer<const R*> in;
    Buffer<R*> out;
    void reserve(index_t most) { in.reserve(most), out.reserve(most); }
    void row(const R* from, R* to) { in.data[count] = from, out.data[count] = to, ++count; }
};

// The sum of N numbers, as a tree: the first half to the second, and again.
template <class R, int N> static inline R tree(const R* p) {
    if constexpr (N == 1) {
        return p[0];
    } else {
        typedef R vec __attribute__((vector_size(N / 2 * sizeof(R)), aligned(sizeof(R)), may_alias));
        const vec half = *reinterpret_cast<const vec*>(p) + *reinterpret_cast<const vec*>(p + N / 2);
        return tree<R, N / 2>(reinterpret_cast<const R*>(&half));
    }
}

// In lane i what two neighbours of a, or of b, sum to: a's where i has no STEP in it.
template <class R, int STEP, size_t... I>
static inline typename Packed<R>::vec folded(const typename Packed<R>::vec& a, const typename Packed<R>::vec& b,
                                             std::index_sequence<I...>) {
    constexpr int LENGTH = sizeof...(I);
#if __has_builtin(__builtin_shufflevector)
    return __builtin_shufflevector(a, b, (I & STEP ? LENGTH + (I & ~size_t(STEP)) : I)...) +
           __builtin_shufflevector(a, b, (I & STEP ? LENGTH + I : I | STEP)...);
#else  // GCC before 12
    typedef std::conditional_t<sizeof(R) == 4, int32_t, int64_t> lane;
    typedef lane lanes __attribute__((vector_size(LENGTH * sizeof(R))));
    return __builtin_shuffle(a, b, lanes{lane(I & STEP ? LENGTH + (I & ~size_t(STEP)) : I)...}) +
           __builtin_shuffle(a, b, lanes{lane(I & STEP ? LENGTH + I : I | STEP)...});
#endif
}

// The sums of as many vectors as each has lanes, in their order: neighbours first, then pairs.
template <class R, int STEP> static inline typename Packed<R>::vec sums(const typename Packed<R>::vec* v) {
    constexpr index_t HALF = Packed<R>::HALF;
    if constexpr (STEP == HALF) {
        return v[0];
    } else {
        typename Packed<R>::vec half[HALF / STEP / 2];
        for (int i = 0; i < HALF / STEP / 2; ++i)
            half[i] = folded<R, STEP>(v[2 * i], v[2 * i + 1], std::make_index_sequence<HALF>());
        return sums<R, STEP * 2>(half);
    }
}

// The products of one row with N rows of a matrix as it is stored, lane by lane, `whole` numbers of each.
template <class R, int N>
static inline void lanes(const R* __restrict matrix, index_t depth, index_t whole, const R* __restrict v,
                         typename Packed<R>::vec* out) {
    typedef typename Packed<R>::vec vec;
    vec sum[N] = {};
    for (index_t k = 0; k < whole; k += Packed<R>::HALF) {
        const vec one = *reinterpret_cast<const vec*>(v + k);
        for (int g = 0; g < N; ++g) sum[g] += *reinterpret_cast<const vec*>(matrix + g * depth + k) * one;
    }
    for (int g = 0; g < N; ++g) out[g] = sum[g];
}

// Rows of a matrix as it is stored, times one row: as many at once as a vector has lanes, or one.
template <class R, int GROUP>
static inline void dots(const R* __restrict matrix, index_t depth, const R* __restrict v, R* out, bool add,
                        const R* from) {
    constexpr index_t HALF = Packed<R>::HALF;
    constexpr int SOME = GROUP < 8 ? GROUP : 8;  // whose sums stay in registers
    typedef typename Packed<R>::vec vec;
    const index_t whole = depth / HALF * HALF;
    vec sum[GROUP];
    for (int g = 0; g < GROUP; g += SOME) lanes<R, SOME>(matrix + g * depth, depth, whole, v, sum + g);
    R total[GROUP];
    if constexpr (GROUP == HALF) {
        *reinterpret_cast<vec*>(total) = sums<R, 1>(sum);
    } else {
        for (int g = 0; g < GROUP; ++g) total[g] = tree<R, HALF>(reinterpret_cast<const R*>(&sum[g]));
    }
    for (index_t m = whole; m < depth; ++m)
        for (int g = 0; g < GROUP; ++g) total[g] += matrix[g * depth + m] * v[m];
    for (int g = 0; g < GROUP; ++g) {
        if (from) total[g] += from[g];
        out[g] = add ? out[g] + total[g] : total[g];
    }
}

template <class R>
ONCE void stored_rows(const Packed<R>& m, const R* const* in, R* const* out, index_t count, bool add,
                      index_t first, index_t end) {
    constexpr index_t WIDE = Packed<R>::WIDE, GROUP = Packed<R>::HALF;
    for (index_t k = first; k < end; ++k) {
        const index_t head = k / m.count, start = k % m.count * WIDE;
        const index_t wide = std::min(WIDE, m.rows - start);
        const R* matrix = m.raw + (head * m.rows + start) * m.depth;
        const R* from = m.added.data ? m.added.data + k * WIDE : nullptr;
        for (index_t r = 0; r < count; ++r) {
            const R* v = in[r] + head * m.depth;
            R* to = out[r] + head * m.rows + start;
            index_t j = 0;
            for (; j + GROUP <= wide; j += GROUP)
                dots<R, GROUP>(matrix + j * m.depth, m.depth, v, to + j, add, from ? from + j : nullptr);
            for (; j < wide; ++j)
                dots<R, 1>(matrix + j * m.depth, m.depth, v, to + j, add, from ? from + j : nullptr);
        }
    }
}

// Some panels of a matrix times all rows.
template <class R>
ONCE void columns(const Packed<R>& m, const R* const* ins, R* const* outs, index_t count,
                           bool add, index_t first, index_t end) {
    constexpr index_t WIDE = Packed<R>::WIDE;
    if (m.raw) return stored_rows(m, ins, outs, count, add, first, end);
    for (index_t k = first; k < end;) {
        const index_t head = k / m.count, start = k % m.count * WIDE;
        const R* panel = m.panels.data + k * WIDE * m.depth;
        const R* from = m.added.data ? m.added.data + k * WIDE : nullptr;
        const R* const* in = ins;
        R* const* out = outs;
        const index_t into = head * m.depth, onto = head * m.rows + start, depth = m.depth;
        const index_t wide = m.rows - start, side = (wide + WIDE - 1) / WIDE;  // panels of this head
        const index_t more = std::min(side, end - k);
        // few rows have too few sums to keep the core busy: several panels at once
        if (count == 1 && more >= 4) {
            tile<R, 1, 4>(panel, depth, in, into, out, onto, wide, add, from), k += 4;
            continue;
        }
        if (count <= 3 && more >= 2) {
            if (count == 1) tile<R, 1, 2>(panel, depth, in, into, out, onto, wide, add, from);
            if (count == 2) tile<R, 2, 2>(panel, depth, in, into, out, onto, wide, add, from);
            if (count == 3) tile<R, 3, 2>(panel, depth, in, into, out, onto, wide, add, from);
            k += 2;
            continue;
        }
        ++k;
        index_t left = count;
        for (; left >= 8; left -= 8, in += 8, out += 8)
            tile<R, 8, 1>(panel, depth, in, into, out, onto, wide, add, from);
        switch (left) {
            case 1: tile<R, 1, 1>(panel, depth, in, into, out, onto, wide, add, from); break;
            case 2: tile<R, 2, 1>(panel, depth, in, into, out, onto, wide, add, from); break;
            case 3: tile<R, 3, 1>(panel, depth, in, into, out, onto, wide, add, from); break;
            case 4: tile<R, 4, 1>(panel, depth, in, into, out, onto, wide, add, from); break;
            case 5: tile<R, 5, 1>(panel, depth, in, into, out, onto, wide, add, from); break;
            case 6: tile<R, 6, 1>(panel, depth, in, into, out, onto, wide, add, from); break;
            case 7: tile<R, 7, 1>(panel, depth, in, into, out, onto, wide, add, from); break;
            default: break;
        }
    }
}

// out (count, depth) = x (count, height) times the matrix (height, depth). A row's bits do not depend
// on where it stands.
template <class R>
ONCE void product(const R* x, index_t count, const R* matrix, index_t height, index_t depth,
                           R* out, int threads) {
    Packed<R> m;
    m.pack(matrix, 1, depth, height, true, count, threads);
    constexpr index_t TILE = 8, BLOCK = 128;  // rows of which the next panel finds all in cache
    const index_t tiles = (count + TILE - 1) / TILE;
    parallel(threads, [&](int me, int of) {
        const index_t end = std::min(count, tiles * (me + 1) / of * TILE);
        const R* in[BLOCK];
        R* to[BLOCK];
        for (index_t r = tiles * me / of * TILE; r < end; r += BLOCK) {
            const index_t rows = std::min(BLOCK, end - r);
            for (index_t k = 0; k < rows; ++k) in[k] = x + (r + k) * height, to[k] = out + (r + k) * depth;
            columns(m, in, to, rows, false, 0, m.count);
        }
    });
}

// ROWS rows of a sum of outer products: what is multiplied with a panel stands (depth, stride).
template <class R, int ROWS>
static inline void outer_tile(const R* __restrict panel, index_t depth, const R* __restrict d, index_t stride,
                              R* __restrict out, index_t ostride, index_t wide, bool add) {
    constexpr index_t WIDE = Packed<R>::WIDE, HALF = WIDE / 2;
    typedef typename Packed<R>::vec vec;
    vec sum[ROWS][2];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) sum[r][0] = sum[r][1] = vec{};
    for (index_t k = 0; k < depth; ++k) {
        const vec left = *reinterpret_cast<const vec*>(panel + k * WIDE);
        const vec right = *reinterpret_cast<const vec*>(panel + k * WIDE + HALF);
        for (int r = 0; r < ROWS; ++r) {
            const R one = d[k * stride + r];
            sum[r][0] += left * one, sum[r][1] += right * one;
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 2
        for (int p = 0; p < 2; ++p)
            put<R>(out + r * ostride + p * HALF, sum[r][p], wide - p * HALF, add);
}

// out (height, depth) = the sum over all rows of d (count, height) times x (count, depth), or out
// plus that; `sums` (height,), if given, gets the sum of d. Threads own rows of the result.
template <class R>
ONCE void outer(const R* d, index_t dstride, const R* x, index_t xstride, index_t count,
                         index_t height, index_t depth, R* out, bool add, R* sums, int threads) {
    constexpr index_t TILE = 8, BLOCK = 320, WIDE = Packed<R>::WIDE;
    const index_t tiles = (height + TILE - 1) / TILE;
    parallel(threads < tiles ? threads : int(tiles), [&](int me, int of) {
        const index_t first = tiles * me / of * TILE, end = std::min(height, tiles * (me + 1) / of * TILE);
        const index_t panels = (depth + WIDE - 1) / WIDE, mine = (end - first + TILE - 1) / TILE;
        // far apart, rows of d fall into the same few sets of the cache
        const bool copy = dstride * sizeof(R) >= 2048;
        // between the starts of two panels or parts: an odd number of cache lines, so that they do
        // not fall into the same few sets either
        constexpr index_t LINE = 64 / sizeof(R), side = WIDE * BLOCK + LINE, deep = TILE * BLOCK + LINE;
        Buffer<R> panel, part;
        panel.reserve(panels * side);
        if (copy) part.reserve(mine * deep);
        if (sums) std::fill(sums + first, sums + end, R(0));
        for (index_t n = 0; n < count; n += BLOCK) {
            const index_t rows = std::min(BLOCK, count - n);
            for (index_t k = 0; k < rows; ++k)
                for (index_t p = 0; p < panels; ++p) {
                    R* to = panel.data + p * side + k * WIDE;
                    const R* from = x + (n + k) * xstride + p * WIDE;
                    if (depth - p * WIDE >= WIDE) std::memcpy(to, from, WIDE * sizeof(R));
                    else std::memcpy(to, from, (depth - p * WIDE) * sizeof(R));
                }
            const R* block = d + n * dstride;
            if (sums)
                for (index_t k = 0; k < rows; ++k)
                    for (index_t g = first; g < end; ++g) sums[g] += block[k * dstride + g];
            if (copy)
                for (index_t k = 0; k < rows; ++k)
                    for (index_t g = first; g < end; g += TILE) {
                        R* to = part.data + (g - first) / TILE * deep + k * TILE;
                        const R* from = block + k * dstride + g;
                        if (end - g >= TILE) std::memcpy(to, from, TILE * sizeof(R));
                        else std::memcpy(to, from, (end - g) * sizeof(R));
                    }
            const bool more = add || n > 0;
            for (index_t g = first; g < end; g += TILE)
                for (index_t p = 0; p < panels; ++p) {
                    const R* from = copy ? part.data + (g - first) / TILE * deep : block + g;
                    const index_t stride = copy ? TILE : dstride, wide = depth - p * WIDE;
                    R* to = out + g * depth + p * WIDE;
                    const R* panel_p = panel.data + p * side;
                    if (end - g >= TILE)
                        outer_tile<R, TILE>(panel_p, rows, from, stride, to, depth, wide, more);
                    else
                        for (index_t r = 0; r < end - g; ++r)
                            outer_tile<R, 1>(panel_p, rows, from + r, stride, to + r * depth, depth, wide, more);
                }
        }
    });
}

// Threads that share one worker's products, since its rows are too few to be shared: the leader
// posts each product, and everybody computes some of its panels.
template <class R> struct Team {
    int size = 1;
    std::atomic<int> posted{0}, done{0};
    struct { const Packed<R>* m; const R* const* in; R* const* out; index_t count; bool add; } job;

    void part(int me) {
        const index_t all = job.m->heads * job.m->count;
        columns(*job.m, job.in, job.out, job.count, job.add, all * me / size, all * (me + 1) / size);
    }
    void post() {
        done.store(0, std::memory_order_relaxed);
        posted.fetch_add(1, std::memory_order_release);
        part(0);
        wait_until([&] { return done.load(std::memory_order_acquire) == size - 1; });
    }
    void stop() { job.m = nullptr, posted.fetch_add(1, std::memory_order_release); }
    void serve(int me) {
        for (int seen = 0;;) {
            wait_until([&] { return posted.load(std::memory_order_acquire) != seen; });
            ++seen;
            if (!job.m) return;
            part(me);
            done.fetch_add(1, std::memory_order_release);
        }
    }
};

// The matrix times rows, written or added.
template <class R>
static inline void multiply(Team<R>* team, const Packed<R>& m, const Several<R>& rows, bool add) {
    if (team && team->size > 1) {
        team->job = {&m, rows.in.data, rows.out.data, rows.count, add};
        team->post();
    } else {
        columns(m, rows.in.data, rows.out.data, rows.count, add, 0, m.heads * m.count);
    }
}

// y (count, heads * rows) = v (count, heads * depth) times the matrix, or y + that.
template <class R>
static inline void multiply(Team<R>* team, const Packed<R>& m, Several<R>& rows, const R* v,
                            index_t stride, R* y, index_t ystride, index_t count, bool add) {
    rows.count = 0;
    for (index_t r = 0; r < count; ++r) rows.row(v + r * stride, y + r * ystride);
    multiply(team, m, rows, add);
}

// ---- rows and time -----------------------------------------------------------------------------

struct Rows {
    index_t steps, batch;
    const int64_t* sizes;    // (T,) rows that reach each step
    const int64_t* offsets;  // (T,) where each step's rows start among the packed ones
    bool reverse;

    // the step whose state a step goes on from, -1 if it starts from the initial one
    index_t before(index_t t) const { return reverse ? (t + 1 < steps ? t + 1 : -1) : t - 1; }
    // a state of the step before, for one row
    template <class R> R* state(R* over_time, R* initial, index_t n, index_t t, index_t row) const {
        const index_t b = before(t);
        if (b >= 0 && row < sizes[b]) return over_time + (offsets[b] + row) * n;
        return initial + row * n;
    }
    // where part k of `count` begins, all parts being about equal work: longest rows come first
    index_t part(int k, int count) const {
        if (k == count) return batch;
        index_t total = 0, done = 0, row = 0, length = steps;
        for (index_t t = 0; t < steps; ++t) total += sizes[t];
        while (row < batch && done * count < k * total) {
            while (length > 0 && sizes[length - 1] <= row) --length;
            done += length;
            ++row;
        }
        return row;
    }
};

// Steps whose given values are computed together, so that their matrices are read once for all:
// about so many rows in a turn.
static constexpr index_t TURN = 64;

template <class W>
static inline void run(const Rows& rows, bool backward, W& worker, index_t first, index_t end) {
    if (end <= first) return;
    worker.start(first, end - first);
    const bool downward = rows.reverse != backward;
    const index_t turn = std::max<index_t>(1, TURN / (end - first));
    const auto at = [&](index_t i) { return downward ? rows.steps - 1 - i : i; };
    const auto reach = [&](index_t t) { return std::min<index_t>(rows.sizes[t], end) - first; };
    for (index_t start = 0; start < rows.steps; start += turn) {
        const index_t stop = std::min(start + turn, rows.steps);
        worker.prepare(at(start), at(stop - 1), first, end);
        for (index_t i = start, slot = 0; i < stop; ++i) {
            const index_t t = at(i), count = reach(t);
            if (count <= 0) continue;
            worker.step(t, first, count, slot);
            slot += count;
        }
    }
    worker.finish(first, end - first);
}

// A worker's rows in the steps of a turn, in its order: `visit(step, rows, rows before)`.
template <class F>
static inline void over_turn(const Rows& rows, index_t from, index_t to, index_t first, index_t end, const F& visit) {
    const index_t by = to < from ? -1 : 1;
    for (index_t t = from, slot = 0;; t += by) {
        const index_t count = std::min<index_t>(rows.sizes[t], end) - first;
        if (count > 0) visit(t, count, slot), slot += count;
        if (t == to) break;
    }
}

// Matrices of fewer numbers are multiplied sooner than a second thread is told of them.
static constexpr index_t SHARED_PRODUCTS = 1 << 16;

// Runs a worker's steps over time. Each thread has rows of its own and waits for no other; rows too
// few for that are one worker's, whose products all threads share.
template <class R, class Make>
static inline void over_time(const Rows& rows, int threads, bool backward, index_t packed, const Make& make) {
    if (rows.batch < threads && packed >= SHARED_PRODUCTS) {
        Team<R> team;
        parallel(threads, [&](int me, int of) {
            if (me) { team.serve(me); return; }
            team.size = of;
            auto worker = make(0, &team, rows.batch);
            run(rows, backward, worker, 0, rows.batch);
            team.stop();
        });
        return;
    }
    parallel(threads < rows.batch ? threads : int(rows.batch), [&](int me, int of) {
        const index_t first = rows.part(me, of), end = rows.part(me + 1, of);
        auto worker = make(me, static_cast<Team<R>*>(nullptr), end - first);
        run(rows, backward, worker, first, end);
    });
}
