// The functions that the equations use: exp, tanh, sigmoid and others, on numbers of either type, in
// a form that the compiler turns into vectors inside a loop over units.

#include <cmath>
#include <cstdint>
#include <cstring>

static inline float bits_to_float(int32_t bits) { float x; std::memcpy(&x, &bits, 4); return x; }
static inline int32_t float_to_bits(float x) { int32_t b; std::memcpy(&b, &x, 4); return b; }

// e^x: 2^n times a polynomial on |r| <= ln(2)/2. Scaling in two factors reaches the denormals,
// and infinity above. A NaN stays one: comparisons with it are false.
static inline float exp_(float x) {
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    const float shifted = x * 1.44269504088896341f + 12582912.0f;
    const float n = shifted - 12582912.0f;
    // ln 2 in two parts; what rounding loses of the remainder is kept
    const float high = x - n * 0.693145751953125f, low = n * 1.428606765330187045e-06f;
    const float r = high - low, lost = (high - r) - low;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    const float one = 1.0f + r;
    p = one + (p * (r * r) + (lost + (r - (one - 1.0f))));
    const int32_t k = float_to_bits(shifted) - 0x4B400000;
    const int32_t half = k >> 1;
    return p * bits_to_float((half + 127) << 23) * bits_to_float((k - half + 127) << 23);
}

static inline float tanh_(float x) {
    const float a = x < 0 ? -x : x;
    const float s = x * x;
    float p = -5.70498872745e-3f;
    p = p * s + 2.06390887954e-2f;
    p = p * s - 5.37397155531e-2f;
    p = p * s + 1.33314422036e-1f;
    p = p * s - 3.33332819422e-1f;
    const float near = p * s * x + x;
    const float far = 1.0f - 2.0f / (exp_(a + a) + 1.0f);
    return a < 0.625f ? near : (x < 0 ? -far : far);
}

// By e^-|x|, which never overflows: the negative tail reaches the denormals. One step of refinement
// takes out what the sum and the division round.
static inline float sigmoid_(float x) {
    const float e = exp_(x < 0 ? x : -x), above = x < 0 ? e : 1.0f;
    const float below = 1.0f + e, lost = e - (below - 1.0f), inverse = 1.0f / below;
    const float share = above * inverse;
    return share + (above - share * below - share * lost) * inverse;
}

static inline double exp_(double x) { return std::exp(x); }
static inline double tanh_(double x) { return std::tanh(x); }
static inline double sigmoid_(double x) { return 1.0 / (1.0 + std::exp(-x)); }

template <class R> static inline R log_(R x) { return std::log(x); }
template <class R> static inline R sqrt_(R x) { return std::sqrt(x); }
template <class R> static inline R abs_(R x) { return x < 0 ? -x : x; }
template <class R> static inline R relu_(R x) { return x < 0 ? R(0) : x; }
template <class R> static inline R heaviside_(R x) { return x > 0 ? R(1) : R(0); }
// a NaN in either comes through, as in PyTorch
template <class R> static inline R maximum_(R a, R b) { return a != a ? a : (a > b ? a : b); }
template <class R> static inline R minimum_(R a, R b) { return a != a ? a : (a < b ? a : b); }
template <class R> static inline R softplus_(R x) {
    return (x < 0 ? R(0) : x) + std::log1p(exp_(-abs_(x)));
}
