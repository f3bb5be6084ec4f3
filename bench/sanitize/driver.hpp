// Appended to a kernel's source, with tables of its sizes and buffers after it: runs its functions
// on memory of exactly the size that each may touch.

#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace driver {

typedef std::vector<int64_t> Numbers;
typedef void Function(void**, const int64_t*, index_t, index_t, const int64_t*, const int64_t*, int, int);

// A buffer of a function: what it is for, and how many numbers it has for each step, row or call.
enum Role { GIVEN, ADDED, ALSO, ARRIVING, CARRIED, WRITTEN };
enum Each { STEP, ROW, CALL };
struct Passed {
    std::string name;
    Role role;
    Each each;
    index_t count;
};

// A part of a buffer's rows.
struct Part {
    std::string name;
    index_t offset, stride, width;
};

// A matrix's gradient, of two buffers; its own buffer's name if rows are multiplied with it too.
struct Product {
    Part gradient, operand;
    std::string matrix;
};

struct Case {
    Numbers sizes, rows, offsets;
    index_t total = 0;
    bool reverse = false;
    int threads = 1;
    int added = 0;          // how many parts there are of what the products of streams begin with
    bool arriving = false;  // whether gradients arrive at every step
    bool in_place = false;  // whether the last states take the place of the first ones
};

// what is known of the kernel, written after this
static std::vector<Passed> buffers_forward(const Numbers& sizes);
static std::vector<Passed> buffers_training(const Numbers& sizes);
static std::vector<Passed> buffers_backward(const Numbers& sizes);
static std::vector<Product> products(const Numbers& sizes);
static std::vector<std::pair<Numbers, std::vector<Numbers>>> cases();

// ---- memory ------------------------------------------------------------------------------------

// Numbers on the heap, all NaN, with nothing of ours after the last.
struct Array {
    std::unique_ptr<real[]> data;
    index_t count;

    explicit Array(index_t count_) : data(new real[count_]), count(count_) {
        std::fill(data.get(), data.get() + count, real(NAN));
    }
    void fill() {
        static uint32_t state = 1;
        for (index_t k = 0; k < count; ++k) {
            state = state * 1664525u + 1013904223u;
            data[k] = real(state >> 8) / real(1 << 25) - real(0.25);
        }
    }
    void check(const std::string& name) const {
        for (index_t k = 0; k < count; ++k)
            if (data[k] != data[k]) {
                std::fprintf(stderr, "ERROR: number %ld of %ld of %s is NaN\n", k, count, name.c_str());
                std::exit(1);
            }
    }
};

struct Memory {
    const Case& of;
    std::map<std::string, Array> arrays;

    Array* find(const Passed& p) {
        const bool missing = (p.role == ADDED && of.added < 1) || (p.role == ALSO && of.added < 2) ||
                             (p.role == ARRIVING && !of.arriving);
        if (missing) return nullptr;
        const auto found = arrays.find(p.name);
        if (found != arrays.end()) return &found->second;
        const index_t rows = p.each == STEP ? of.total : p.each == ROW ? of.rows[0] : 1;
        Array& made = arrays.emplace(p.name, Array(rows * p.count)).first->second;
        if (p.role != WRITTEN) made.fill();
        return &made;
    }
    void forget(const std::vector<Passed>& passed) {
        for (const Passed& p : passed)
            if (p.role == WRITTEN) arrays.erase(p.name);
    }
};

// ---- calls -------------------------------------------------------------------------------------

static void call(Function* function, const char* name, const std::vector<Passed>& passed, Memory& memory,
                 bool in_place) {
    const Case& c = memory.of;
    std::vector<void*> pointers(passed.size());
    std::vector<Array*> made;
    for (size_t k = 0; k < passed.size(); ++k) {
        Passed p = passed[k];
        if (in_place && p.name.compare(0, 6, "final_") == 0) p.name = "initial_" + p.name.substr(6);
        Array* array = memory.find(p);
        pointers[k] = array ? array->data.get() : nullptr;
        made.push_back(p.role == WRITTEN || p.role == CARRIED ? array : nullptr);
    }
    function(pointers.data(), c.sizes.data(), index_t(c.rows.size()), c.rows[0], c.rows.data(),
             c.offsets.data(), c.reverse, c.threads);
    for (size_t k = 0; k < passed.size(); ++k)
        if (made[k]) made[k]->check(std::string(name) + "'s " + passed[k].name);
}

static void outer(const Product& p, index_t rows, const Case& c, Memory& memory, const std::string& operand) {
    Array out(p.gradient.width * p.operand.width), sums(p.gradient.width);
    for (int add = 0; add < 2; ++add)
        outer_sum(memory.arrays.at(p.gradient.name).data.get() + p.gradient.offset, p.gradient.stride,
                  memory.arrays.at(operand).data.get() + p.operand.offset, p.operand.stride, rows,
                  p.gradient.width, p.operand.width, out.data.get(), add, add ? nullptr : sums.data.get(),
                  c.threads);
    out.check("outer_sum's " + p.gradient.name + " and " + operand);
    sums.check("outer_sum's sum of " + p.gradient.name);
}

static void large_products(const Case& c, Memory& memory) {
    for (const Product& p : products(c.sizes)) {
        outer(p, c.total, c, memory, p.operand.name);
        if (p.operand.name.compare(0, 6, "state_") == 0)  // the first step's are initial states
            outer(p, c.rows[0], c, memory, "initial_" + p.operand.name.substr(6));
        if (p.matrix.empty()) continue;
        Array out(c.total * p.operand.width);
        transposed_times(memory.arrays.at(p.matrix).data.get(), p.gradient.width, p.operand.width,
                         memory.arrays.at(p.gradient.name).data.get(), c.total, out.data.get(), c.threads);
        out.check("transposed_times' " + p.matrix);
    }
}

static void run(const Case& c) {
    Memory memory{c, {}};
    const std::vector<Passed> passed = buffers_forward(c.sizes);
    call(forward, "forward", passed, memory, c.in_place);
    memory.forget(passed);
    call(training, "training", buffers_training(c.sizes), memory, false);
    call(backward, "backward", buffers_backward(c.sizes), memory, false);
    large_products(c, memory);
}

static void describe(const Case& c) {
    std::fprintf(stderr, "CASE sizes");
    for (int64_t n : c.sizes) std::fprintf(stderr, " %ld", long(n));
    std::fprintf(stderr, ", %ld steps of rows", long(c.rows.size()));
    for (size_t t = 0; t < std::min<size_t>(4, c.rows.size()); ++t) std::fprintf(stderr, " %ld", long(c.rows[t]));
    std::fprintf(stderr, ", %s, %d threads, %d added, %sarriving, %sin place\n",
                 c.reverse ? "reverse" : "ahead", c.threads, c.added, c.arriving ? "" : "nothing ",
                 c.in_place ? "" : "not ");
}

// Every size and batch, both directions, threads; what may be missing comes and goes.
static int run_all() {
    int count = 0;
    for (const auto& [sizes, batches] : cases())
        for (const Numbers& rows : batches)
            for (bool reverse : {false, true})
                for (int threads : {1, 3}) {
                    Case c{sizes, rows, Numbers(rows.size()), 0, reverse, threads};
                    for (size_t t = 0; t < rows.size(); ++t) c.offsets[t] = c.total, c.total += rows[t];
                    // 3 and 4 have no factor in common: all twelve combinations come
                    c.added = count % 3, c.arriving = (count + count / 4) % 2, c.in_place = count / 2 % 2;
                    describe(c);
                    run(c);
                    ++count;
                }
    std::printf("%d\n", count);
    return 0;
}

}  // namespace driver

int main() { return driver::run_all(); }
