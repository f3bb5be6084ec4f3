"""The functions of the equations on tiles, for generated kernels.

They are made of operations that Triton's interpreter has too, and compute in the type of their
operand, float32 or float64. No finite number gives NaN, but for the log of a negative; a NaN stays
one. Errors are at most two units in the last place where exp2, division and roots are rounded well;
a GPU's approximations of float32 add about two.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

# the interpreter stores bfloat16 as whole numbers, and its products multiply these
WIDER = tl.constexpr(bool(triton.knobs.runtime.interpret))
# whether there are NVIDIA's instructions
QUICK = tl.constexpr(not triton.knobs.runtime.interpret and torch.version.hip is None)


@triton.jit
def split(x):
    """x as n ln(2) + r ln(2) with a whole n and r between -1/2 and 1/2: (n, r), of float32."""
    # the sum with a large number rounds; ln(2) in two parts, the first of which has few digits
    n = (x * 1.4426950408889634 + 12582912.0) - 12582912.0
    r = (x - n * 0.693145751953125) - n * 1.42860682e-6
    return n, r * 1.4426950408889634


@triton.jit
def exp(x):
    """e^x: a GPU's own has an error that grows with x, but is good for numbers below 1."""
    if x.dtype == tl.float64:
        y = tl.exp(x)
    else:
        n, r = split(clamped(x, 90.0))
        # 2^128 is too large, half of it is not
        y = (tl.exp2(r) * 2.0) * tl.exp2(n - 1.0)
    return y


@triton.jit
def clamped(x, most: tl.constexpr):
    """x, not below -105, where e^x is 0, nor above `most`; a NaN stays one."""
    x = tl.maximum(x, -105.0, propagate_nan=tl.PropagateNan.ALL)
    return tl.minimum(x, most, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def small_power(x):
    """e^-|x|, which never overflows."""
    if x.dtype == tl.float64:
        y = tl.exp(-tl.abs(x))
    else:
        n, r = split(tl.maximum(-tl.abs(x), -105.0, propagate_nan=tl.PropagateNan.ALL))
        y = tl.exp2(r) * tl.exp2(n)
    return y


@triton.jit
def inverse(x):
    """1 / x for x of at least 1.

    The general quotient scales its operands, by predicates, of which a thread has seven: functions
    of four numbers were computed one after the other for want of them.
    """
    if QUICK and x.dtype == tl.float32:
        y = tl.inline_asm_elementwise(
            "rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, is_pure=True, pack=1
        )
    else:
        y = 1.0 / x
    return y


@triton.jit
def sigmoid(x):
    """1 / (1 + e^-x), which is 0 where e^-x is infinite."""
    if x.dtype == tl.float64:
        e = tl.exp(-x)
    else:
        n, r = split(-clamped(x, 105.0))
        e = tl.exp2(r) * tl.exp2(n)
    return inverse(1.0 + e)


@triton.jit
def signed(size, x):
    """A size with the sign of x."""
    if x.dtype == tl.float64:
        sign = x.to(tl.int64, bitcast=True) & -0x8000000000000000
        y = (size.to(tl.int64, bitcast=True) | sign).to(tl.float64, bitcast=True)
    else:
        sign = x.to(tl.int32, bitcast=True) & -0x80000000
        y = (size.to(tl.int32, bitcast=True) | sign).to(tl.float32, bitcast=True)
    return y


@triton.jit
def tanh(x):
    """1 - 2 e / (1 + e) of e = e^-2|x|; near 0, where that cancels, an odd series or fraction."""
    size = tl.abs(x)
    # where e counts, x is small, and so is what rounding the exponent changes
    e = tl.exp(-2.0 * size) if x.dtype == tl.float64 else tl.exp2(-2.8853900817779268 * size)
    far = 1.0 - 2.0 * e * inverse(1.0 + e)
    z = x * x
    # in Horner's form; coefficients of least worst error up to 5/8
    if x.dtype == tl.float64:
        above = (-0.964399179425052238628 * z - 99.2877231001918586564) * z - 1614.68768441708447952
        below = ((z + 112.811678491632931402) * z + 2235.48839060100448583) * z
        near = above / (below + 4844.06305325125486048)
    else:
        near = (-5.70498872745e-3 * z + 2.06390887954e-2) * z - 5.37397155531e-2
        near = (near * z + 1.33314422036e-1) * z - 3.33332819422e-1
    return tl.where(size < 0.625, x + x * (z * near), signed(far, x))


@triton.jit
def series_of_log(f):
    """(log(1 + f) - f) / f^2 for f from -1/4 to 1/2."""
    if f.dtype == tl.float64:
        y = -0.007030186578853221 * f + 0.026486120987803972
        y = (y * f - 0.047184831126550086) * f + 0.05666306142408049
        y = (y * f - 0.057841912744453876) * f + 0.0589249892448505
        y = (y * f - 0.06223653811589828) * f + 0.06660336431290945
        y = (y * f - 0.07143985798766465) * f + 0.07692866422166648
        y = (y * f - 0.08333330758503912) * f + 0.0909088532825484
        y = (y * f - 0.09999998577512159) * f + 0.11111111664704293
        y = (y * f - 0.12500000049618493) * f + 0.1428571427867951
        y = (y * f - 0.16666666665974048) * f + 0.2000000000004426
        y = (y * f - 0.2500000000000386) * f + 0.3333333333333323
        y = y * f - 0.49999999999999994
    else:
        y = (-4.507047e-2 * f + 1.04644194e-1) * f - 1.3162696e-1
        y = (y * f + 1.4478447e-1) * f - 1.6647057e-1
        y = (y * f + 1.999082e-1) * f - 2.5000104e-1
        y = (y * f + 3.333345e-1) * f - 0.5
    return y


@triton.jit
def log_of(f, n):
    """The logarithm of (1 + f) 2^n: ln(2) in two parts, the first of which has few digits."""
    if f.dtype == tl.float64:
        high, rest = n * 0.6931471803691238, n * 1.9082149292705877e-10
    else:
        high, rest = n * 0.693145751953125, n * 1.42860682e-6
    return high + (f + (f * f * series_of_log(f) + rest))


@triton.jit
def log(x):
    """The natural logarithm; a GPU's own of float32 has an absolute error, this a relative one."""
    if x.dtype == tl.float64:
        y = tl.where(x < 2.2250738585072014e-308, x * 4503599627370496.0, x)
        n = tl.where(x < 2.2250738585072014e-308, -52.0, 0.0)
        # the exponent counts from 3/4, so that f is not near -1/2 where the whole is near 0
        moved = y.to(tl.int64, bitcast=True) + 0x8000000000000
        n += ((moved >> 52) - 1023).to(tl.float64)
        f = ((moved & 0xFFFFFFFFFFFFF) + 0x3FE8000000000000).to(tl.float64, bitcast=True) - 1.0
    else:
        y = tl.where(x < 1.1754943508222875e-38, x * 8388608.0, x)
        n = tl.where(x < 1.1754943508222875e-38, -23.0, 0.0)
        moved = y.to(tl.int32, bitcast=True) + 0x400000
        n += ((moved >> 23) - 127).to(tl.float32)
        f = ((moved & 0x7FFFFF) + 0x3F400000).to(tl.float32, bitcast=True) - 1.0
    other = tl.where(x == 0, float("-inf"), float("nan"))
    return tl.where(x > 0, tl.where(x < float("inf"), log_of(f, n), x), other)


@triton.jit
def softplus(x):
    """max(x, 0) + log(1 + e^-|x|)."""
    e = small_power(x)
    halved = e > 0.5
    above = log_of(tl.where(halved, e * 0.5 - 0.5, e), tl.where(halved, 1.0, 0.0).to(e.dtype))
    return tl.where(x < 0, 0.0, x) + above


@triton.jit
def sqrt(x):
    """The square root, rounded as it should be."""
    return tl.sqrt(x) if x.dtype == tl.float64 else tl.sqrt_rn(x)


@triton.jit
def absolute(x):
    """|x|."""
    return tl.abs(x)


@triton.jit
def relu(x):
    """max(x, 0)."""
    return tl.where(x < 0, 0.0, x)


@triton.jit
def heaviside(x):
    """1 where x > 0, else 0."""
    return (x > 0).to(x.dtype)


@triton.jit
def select(condition, x, y):
    """`x` where the condition is above 0, else `y`."""
    return tl.where(condition > 0, x, y)


@triton.jit
def maximum(x, y):
    """The larger one; a NaN in either comes through."""
    return tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def minimum(x, y):
    """The smaller one; a NaN in either comes through."""
    return tl.minimum(x, y, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def total(x, there, WHOLE: tl.constexpr):
    """The sum over the units that are there; `WHOLE`: all are."""
    if not WHOLE:
        x = tl.where(there, x, 0.0)
    return tl.sum(x, 1, keep_dims=True)


@triton.jit
def operand(x, there, WHOLE: tl.constexpr, kind: tl.constexpr):
    """A tile as a product with a matrix takes it: nothing where there are no units."""
    if not WHOLE:
        x = tl.where(there, x, 0.0)
    return x.to(kind)


@triton.jit
def product(x, matrix, before, PRECISION: tl.constexpr):
    """`before`, if there is any, and x times a matrix."""
    if WIDER and x.dtype == tl.bfloat16:
        x, matrix = x.to(tl.float32), matrix.to(tl.float32)
    # until Triton 3.9 what is added must have the type that is named here
    kind: tl.constexpr = tl.float64 if x.dtype == tl.float64 else tl.float32
    return tl.dot(x, matrix, before, input_precision=PRECISION, out_dtype=kind)


@triton.jit
def step_at(k, last, DOWN: tl.constexpr):
    """Where step k of a loop stands in time; beyond the end, the last one; 0 if there is none."""
    k = tl.minimum(k, last - 1)
    return tl.maximum(last - 1 - k if DOWN else k, 0)


@triton.jit
def offset_of(t, wide, offsets, FULL: tl.constexpr):
    """Where a step begins, in rows."""
    return wide * t if FULL else tl.load(offsets + t)


@triton.jit
def reach(row, there, lengths, steps, FULL: tl.constexpr):
    """How many steps each row has."""
    return tl.where(there, steps, 0) if FULL else tl.load(lengths + row, there, other=0)


@triton.jit
def follows_one(t, length, REVERSE: tl.constexpr):
    """Which rows have a step before step t, in the loop's order; no more than `length` steps."""
    return t + 1 < length if REVERSE else t < tl.where(t > 0, length, 0)


@triton.jit
def rows_apart(ROWS: tl.constexpr):
    """Rows as `whole` takes them, (ROWS / 8, 1, 8, 1, 1)."""
    eight = tl.arange(0, ROWS // 8)[:, None, None, None, None] * 8
    return eight + tl.arange(0, 8)[None, None, :, None, None]


@triton.jit
def units_apart(BLOCK: tl.constexpr):
    """Units as `whole` takes them, (1, BLOCK / 8, 1, 4, 2)."""
    eight = tl.arange(0, BLOCK // 8)[None, :, None, None, None] * 8
    pair = tl.arange(0, 4)[None, None, None, :, None] * 2
    return eight + pair + tl.arange(0, 2)[None, None, None, None, :]


@triton.jit
def whole(x, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """A tile from memory as one of rows and units."""
    return tl.reshape(tl.permute(x, (0, 2, 1, 3, 4)), (ROWS, BLOCK))


@triton.jit
def apart(x, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """The other way round; what has one row or one unit has as many as the tile then."""
    x = tl.broadcast_to(x, (ROWS, BLOCK))
    return tl.permute(tl.reshape(x, (ROWS // 8, 8, BLOCK // 8, 4, 2)), (0, 2, 1, 3, 4))


@triton.jit
def memory(address, TYPE: tl.constexpr):
    """Where a buffer stands, as a table says: on a multiple of 16 bytes."""
    return tl.multiple_of(tl.load(address).to(tl.pointer_type(TYPE)), 16)
