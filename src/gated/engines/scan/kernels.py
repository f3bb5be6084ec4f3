"""The scan as Triton kernels: three passes over chunks of steps, without atomics.

    ends    each chunk from 0: where it ends, and the product of its coefficients
    starts  from chunk to chunk, by these two: the state that each starts from
    states  each chunk again, from there: the state after each step

A program has one row, one chunk and a block of units, which stand side by side in memory. Loads
run some steps ahead of the one that is worked on. Rows end at their own length.
"""
# mypy: ignore-errors

import triton
import triton.language as tl

# no kernel of its own for each number of rows and steps
_NUMBERS = ["count", "batch", "chunk"]


@triton.jit
def _place(batch, n, WIDTH: tl.constexpr):
    """The program's chunk, row and units."""
    blocks = tl.cdiv(n, WIDTH)
    program = tl.program_id(0)
    u = program % blocks * WIDTH + tl.arange(0, WIDTH)
    row = program // blocks % batch
    return program // blocks // batch, row.to(tl.int64), u


@triton.jit
def _length(row, lengths, count, FULL: tl.constexpr):
    """How many steps the row has."""
    return count if FULL else tl.load(lengths + row).to(tl.int32)


@triton.jit
def _at(s, row, offsets, batch, n, length, FULL: tl.constexpr, REVERSE: tl.constexpr):
    """Where a step stands that is counted from where the row begins."""
    t = length - 1 - s if REVERSE else s
    step = t * batch if FULL else tl.load(offsets + t)
    return (step + row) * n  # row has 64 bits


@triton.jit
def _load(
    a, b, s, here, row, u, offsets, batch, n, length,
    FULL: tl.constexpr, REVERSE: tl.constexpr, SHIFTED: tl.constexpr, REAL: tl.constexpr,
):  # fmt: skip
    """A step's coefficient and offset, and where it stands."""
    at = _at(s, row, offsets, batch, n, length, FULL, REVERSE) + u
    offset = tl.load(b + at, mask=here, other=0).to(REAL)
    if SHIFTED:
        before = _at(tl.maximum(s - 1, 0), row, offsets, batch, n, length, FULL, REVERSE) + u
        factor = tl.load(a + before, mask=u < tl.where(s > 0, n, 0), other=1).to(REAL)
    else:
        factor = tl.load(a + at, mask=here, other=1).to(REAL)
    return factor, offset, at


@triton.jit(do_not_specialize=_NUMBERS)
def ends(
    a, b, product, end, offsets, lengths, count, batch, n, chunk, limit,
    FULL: tl.constexpr, REVERSE: tl.constexpr, SHIFTED: tl.constexpr,
    REAL: tl.constexpr, WIDTH: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Each chunk from 0: where it ends, and the product of its coefficients."""
    k, row, u = _place(batch, n, WIDTH)
    length = _length(row, lengths, count, FULL)
    here = u < n
    first = k * chunk
    if first + chunk < length:  # nobody asks where a row's last chunk ends
        p = tl.full((WIDTH,), 1, REAL)
        e = tl.full((WIDTH,), 0, REAL)
        growth = tl.full((WIDTH,), 1, REAL)
        for s in tl.range(first, first + chunk, num_stages=STAGES):
            factor, offset, at = _load(
                a, b, s, here, row, u, offsets, batch, n, length, FULL, REVERSE, SHIFTED, REAL
            )
            e = factor * e + offset
            p = p * factor
            growth = growth * tl.maximum(tl.abs(factor), 1)
        # what is infinite says that the chunk cannot be put together from its parts
        at = (k * batch + row) * n + u
        tl.store(product + at, tl.where(growth <= limit, p, float("inf")), mask=here)
        tl.store(end + at, e, mask=here)


@triton.jit(do_not_specialize=_NUMBERS)
def starts(
    a, b, product, end, initial, start, offsets, lengths, count, batch, n, chunk, limit,
    FULL: tl.constexpr, REVERSE: tl.constexpr, SHIFTED: tl.constexpr,
    REAL: tl.constexpr, WIDTH: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """The state that each chunk starts from."""
    _, row, u = _place(batch, n, WIDTH)
    length = _length(row, lengths, count, FULL)
    here = u < n
    h = tl.load(initial + row * n + u, mask=here, other=0).to(REAL)
    for k in tl.range(0, tl.cdiv(length, chunk), num_stages=STAGES):
        at = (k * batch + row) * n + u
        tl.store(start + at, h, mask=here)
        first = k * chunk
        whole = u < tl.where(first + chunk < length, n, 0)
        p = tl.load(product + at, mask=whole, other=1)
        e = tl.load(end + at, mask=whole, other=0)
        found = p * h + e
        # step by step where a product may have left the range of numbers; NaN stays what it is
        apart = (tl.abs(p) == float("inf")) | (tl.abs(h) > limit) | (tl.abs(found) > limit)
        apart = (apart | ((found != found) & (h == h))) & whole
        if tl.max(apart.to(tl.int32), 0) > 0:
            slow = h
            for s in range(first, first + chunk):
                factor, offset, at = _load(
                    a, b, s, here, row, u, offsets, batch, n, length, FULL, REVERSE, SHIFTED, REAL
                )
                slow = factor * slow + offset
            found = tl.where(apart, slow, found)
        h = found


@triton.jit(do_not_specialize=_NUMBERS)
def states(
    a, b, start, out, old, initial, d_a, offsets, lengths, count, batch, n, chunk,
    FULL: tl.constexpr, REVERSE: tl.constexpr, SHIFTED: tl.constexpr, WITH_A: tl.constexpr,
    REAL: tl.constexpr, WIDTH: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Each chunk from its state: those after each step; WITH_A, the products with others too."""
    k, row, u = _place(batch, n, WIDTH)
    length = _length(row, lengths, count, FULL)
    here = u < n
    first = k * chunk
    if first < length:
        h = tl.load(start + (k * batch + row) * n + u, mask=here, other=0).to(REAL)
        if WITH_A:
            begin = tl.load(initial + row * n + u, mask=here, other=0).to(REAL)
        for s in tl.range(first, tl.minimum(first + chunk, length), num_stages=STAGES):
            factor, offset, at = _load(
                a, b, s, here, row, u, offsets, batch, n, length, FULL, REVERSE, SHIFTED, REAL
            )
            h = factor * h + offset
            tl.store(out + at, h, mask=here)
            if WITH_A:
                # what was before a step stands at the next one, since time runs back here
                inner = u < tl.where(s + 1 < length, n, 0)
                after = tl.minimum(s + 1, length - 1)
                before = _at(after, row, offsets, batch, n, length, FULL, REVERSE) + u
                value = tl.load(old + before, mask=inner, other=0).to(REAL)
                tl.store(d_a + at, h * tl.where(inner, value, begin), mask=here)
