// The functions that the equations use: exp, tanh, sigmoid and others, on numbers of either type.
// They branch nowhere and call nothing, so that the compiler makes vectors of them inside a loop
// over units. Errors are at most two units in the last place, of denormal results too. A NaN stays
// one, it fails every comparison; no finite number gives one, but for the log of a negative.

#include <cmath>
#include <cstdint>
#include <cstring>

// what is not inlined keeps its loop from becoming vectors
#define FUNCTION static inline __attribute__((always_inline))

template <class To, class From> FUNCTION To bits_of(From x) {
    static_assert(sizeof(To) == sizeof(From), "bits of another size");
    To y;
    std::memcpy(&y, &x, sizeof y);
    return y;
}

// c0 + c1 x + c2 x^2 + ...; by pairs, (c0 + c1 x) + x^2 (...), the chain of waits is half as long
template <class R> FUNCTION R series(R, R c) { return c; }
template <class R> FUNCTION R series(R x, R c, R next) { return c + x * next; }
template <class R, class... More> FUNCTION R series(R x, R c, R next, More... more) {
    return (c + x * next) + x * x * series(x, more...);
}

// ---- the two types of numbers -------------------------------------------------------------------

// Coefficients have the least worst error, each found anew with those before it rounded:
//   exp(r)   = 1 + r + r^2 more_of_exp(r)          |r| <= ln(2) / 2
//   exp(2 r) = 1 + 2 (r + r^2 more_of_expm1(r))    -1/8 <= r / ln(2) <= 3/8
//   log(1 + f) = f + f^2 more_of_log(f)            -1/4 <= f <= 1/2
template <class R> struct Format;

template <> struct Format<float> {
    typedef uint32_t Bits;
    static constexpr int DIGITS = 23, BIAS = 127;
    static constexpr float LEAST = -104, MOST = 89;  // exp is 0 below and infinity above
    static constexpr float ONE = 10;                 // tanh is 1 from here on
    static constexpr float LN2 = 0.693145751953125f, LN2_REST = 1.42860682e-6f;
    FUNCTION float more_of_exp(float r) {
        return series(r, 4.9999994e-1f, 1.6666521e-1f, 4.1668233e-2f, 8.368664e-3f, 1.3824671e-3f);
    }
    FUNCTION float more_of_expm1(float r) {
        // not by pairs at first: without fused multiplication that would round too often
        return 1.0f + r * series(r, 6.666666e-1f, 3.333358e-1f, 1.3333115e-1f, 4.414633e-2f,
                                 1.4620172e-2f);
    }
    FUNCTION float more_of_log(float f) {
        return series(f, -0.5f, 3.333345e-1f, -2.5000104e-1f, 1.999082e-1f, -1.6647057e-1f,
                      1.4478447e-1f, -1.3162696e-1f, 1.04644194e-1f, -4.507047e-2f);
    }
};

template <> struct Format<double> {
    typedef uint64_t Bits;
    static constexpr int DIGITS = 52, BIAS = 1023;
    static constexpr double LEAST = -746, MOST = 710;
    static constexpr double ONE = 20;
    static constexpr double LN2 = 0.6931471803691238, LN2_REST = 1.9082149292705877e-10;
    FUNCTION double more_of_exp(double r) {
        return series(r, 0.5000000000000011, 0.1666666666666645, 0.0416666666665276,
                      0.008333333333475542, 0.001388888894410728, 0.0001984126954049433,
                      2.4801492720307373e-05, 2.7557560384095687e-06, 2.763035811613248e-07,
                      2.5007359563937022e-08);
    }
    FUNCTION double more_of_expm1(double r) {
        return series(r, 1.0, 0.6666666666666672, 0.33333333333332976, 0.1333333333330082,
                      0.04444444444751969, 0.012698412748709387, 0.0031746024535368967,
                      0.000705467312659822, 0.00014113787246971084, 2.536761982510982e-05,
                      5.008392681613308e-06);
    }
    FUNCTION double more_of_log(double f) {
        return series(f, -0.49999999999999994, 0.3333333333333323, -0.2500000000000386,
                      0.2000000000004426, -0.16666666665974048, 0.1428571427867951,
                      -0.12500000049618493, 0.11111111664704293, -0.09999998577512159,
                      0.0909088532825484, -0.08333330758503912, 0.07692866422166648,
                      -0.07143985798766465, 0.06660336431290945, -0.06223653811589828,
                      0.0589249892448505, -0.057841912744453876, 0.05666306142408049,
                      -0.047184831126550086, 0.026486120987803972, -0.007030186578853221);
    }
};

// 2^(exponent - BIAS), of the low bits of the exponent: those above are lost
template <class R> FUNCTION R two_to(typename Format<R>::Bits exponent) {
    return bits_of<R>(exponent << Format<R>::DIGITS);
}

// A number that a sum with a small one rounds to an integer, which stands in the low bits then,
// `bias` added to it.
template <class R> FUNCTION constexpr R rounding(int bias) {
    return R(3ull << (Format<R>::DIGITS - 1)) + R(bias);
}

// ---- exp and what is made of it -----------------------------------------------------------------

// e^x = (1 + more) 2^n; `exponent` holds n + bias in its low bits
template <class R> struct Power {
    R more;
    typename Format<R>::Bits exponent;
};

template <class R> FUNCTION Power<R> power(R x, int bias) {
    typedef Format<R> F;
    const R shifted = x * R(1.4426950408889634) + rounding<R>(bias);
    const R n = shifted - rounding<R>(bias);
    const R r = (x - n * F::LN2) - n * F::LN2_REST;
    return {r + r * r * F::more_of_exp(r), bits_of<typename F::Bits>(shifted)};
}

// e^-|x| times LARGE, so that it is never denormal
template <class R> FUNCTION R small_power(R x) {
    typedef Format<R> F;
    const R below = -std::fabs(x);
    const Power<R> e = power(F::LEAST > below ? F::LEAST : below, F::BIAS + F::BIAS / 2);
    const R scale = two_to<R>(e.exponent);
    return scale + scale * e.more;
}
#define LARGE two_to<R>(Format<R>::BIAS + Format<R>::BIAS / 2)

// Scaled by two factors, which reach the denormals and infinity.
template <class R> FUNCTION R exp_(R x) {
    typedef Format<R> F;
    x = F::MOST < x ? F::MOST : x;
    x = F::LEAST > x ? F::LEAST : x;
    const Power<R> e = power(x, 2 * F::BIAS);
    const typename F::Bits half = e.exponent >> 1;
    const R scale = two_to<R>(half);
    return (scale + scale * e.more) * two_to<R>(e.exponent - half);
}

// By t = (e^2|x| - 1) / 2: as t / (t + 1), or t - t^2 / (t + 1), which rounds less where t is
// small. 2 |x| = n ln(2) + 2 r, and n is rounded so that it is 0 there.
template <class R> FUNCTION R tanh_(R x) {
    typedef Format<R> F;
    const R size = std::fabs(x), a = F::ONE < size ? F::ONE : size;
    const R shifted = (a * R(2.8853900817779268) - R(0.25)) + rounding<R>(F::BIAS);
    const R n = shifted - rounding<R>(F::BIAS), r = a - n * R(0.34657359027997264);
    const R scale = two_to<R>(bits_of<typename F::Bits>(shifted));
    const R t = scale * (r + r * r * F::more_of_expm1(r)) + (scale * R(0.5) - R(0.5));
    const R share = t / (t + R(1));
    return std::copysign(t < R(0.34) ? t - t * share : share, x);
}

// By e^-|x|, which never overflows: only the division meets denormals.
template <class R> FUNCTION R sigmoid_(R x) {
    const R e = small_power(x), share = e / (e + LARGE);
    const R whole = x < 0 ? e * (R(1) / LARGE) : R(1);
    return whole - whole * share;
}

// ---- log and what is made of it -----------------------------------------------------------------

// the logarithm of (1 + f) 2^n
template <class R> FUNCTION R log_of(R f, R n) {
    typedef Format<R> F;
    return n * F::LN2 + (f + (f * f * F::more_of_log(f) + n * F::LN2_REST));
}

template <class R> FUNCTION R log_(R x) {
    typedef Format<R> F;
    typedef typename F::Bits Bits;
    const bool denormal = x < two_to<R>(1);
    const R y = denormal ? x * two_to<R>(F::BIAS + F::DIGITS) : x;
    // the exponent counts from 3/4, so that f is not near -1/2 where the whole is near 0
    const Bits start = bits_of<Bits>(R(0.75)), mask = (Bits(1) << F::DIGITS) - 1;
    const Bits moved = bits_of<Bits>(y) + (bits_of<Bits>(R(1)) - start);
    const R f = bits_of<R>((moved & mask) + start) - R(1);
    // an integer below 2^DIGITS becomes a number by its bits, which AVX2 too has for 64 of them
    const R whole = two_to<R>(F::BIAS + F::DIGITS);
    const R n = bits_of<R>(moved >> F::DIGITS | bits_of<Bits>(whole)) - (whole + R(F::BIAS));
    const R finite = log_of(f, denormal ? n - R(F::DIGITS) : n);
    const R other = x == 0 ? -R(INFINITY) : R(NAN);
    return x > 0 ? (x < R(INFINITY) ? finite : x) : other;
}

// max(x, 0) + log(1 + e^-|x|)
template <class R> FUNCTION R softplus_(R x) {
    const R e = small_power(x) * (R(1) / LARGE);
    const bool halved = e > R(0.5);
    const R above = log_of(halved ? e * R(0.5) - R(0.5) : e, halved ? R(1) : R(0));
    return (x < 0 ? R(0) : x) + above;
}
#undef LARGE

// ---- the rest -----------------------------------------------------------------------------------

template <class R> FUNCTION R sqrt_(R x) { return std::sqrt(x); }
template <class R> FUNCTION R abs_(R x) { return std::fabs(x); }
template <class R> FUNCTION R relu_(R x) { return x < 0 ? R(0) : x; }
template <class R> FUNCTION R heaviside_(R x) { return x > 0 ? R(1) : R(0); }
// a NaN in either comes through, as in PyTorch
template <class R> FUNCTION R maximum_(R a, R b) { return a != a ? a : (a > b ? a : b); }
template <class R> FUNCTION R minimum_(R a, R b) { return a != a ? a : (a < b ? a : b); }
