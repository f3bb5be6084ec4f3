"""Loops over time for `torch.compile`, written as people write them who want them fast.

A loop is a step and what goes into it. The input product stands before the loop, the recurrent
product of all gates is one. `parts` compiles so many steps as one function and calls it in a loop:
1 is a compiled step, T the whole loop, whose compilation takes the longer the more steps there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.cpu.loops import EPS, from_input, zeros
from bench.gpu.problem import ZONEOUT

Values = tuple[Tensor, ...]
Parameters = Mapping[str, Tensor]


class Loop(NamedTuple):
    """A loop over time.

    Attributes:
        step: takes what is timed of a step, the states and what is the same at every step, each a
            tuple, and returns the states.
        timed: each (T, B, ...).
        states: before the first step.
        same: weights and the like.
    """

    step: Callable[[Values, Values, Values], Values]
    timed: Values
    states: Values
    same: Values


def run(loop: Loop, part: Callable[..., tuple[Tensor, Values]], count: int) -> Tensor:
    """The first state at every step, by a function for so many steps."""
    states, outputs = loop.states, []
    for start in range(0, len(loop.timed[0]), count):
        now = tuple(value[start : start + count] for value in loop.timed)
        output, states = part(now, states, loop.same)
        outputs.append(output)
    return torch.cat(outputs)


def part_of(step: Callable[[Values, Values, Values], Values]) -> Callable[..., object]:
    """The function that runs the steps of a part of the time."""

    def part(timed: Values, states: Values, same: Values) -> tuple[Tensor, Values]:
        outputs = []
        for now in zip(*(value.unbind(0) for value in timed), strict=True):
            states = step(now, states, same)
            outputs.append(states[0])
        return torch.stack(outputs), states

    return part


def _lstm_step(now: Values, states: Values, same: Values) -> Values:
    (a,), (h, c), (u,) = now, states, same
    i, f, g, o = torch.addmm(a, h, u).chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def lstm(p: Parameters, x: Tensor, learning: bool) -> Loop:
    """The LSTM."""
    u = p["weight_hh"].t()
    return Loop(_lstm_step, (from_input(p, x),), (zeros(x, len(u)), zeros(x, len(u))), (u,))


def _peephole_step(now: Values, states: Values, same: Values) -> Values:
    (a,), (h, c), (u, p_i, p_f, p_o) = now, states, same
    i, f, g, o = torch.addmm(a, h, u).chunk(4, 1)
    i, f = torch.addcmul(i, p_i, c).sigmoid(), torch.addcmul(f, p_f, c).sigmoid()
    c = f * c + i * g.tanh()
    return torch.addcmul(o, p_o, c).sigmoid() * c.tanh(), c


def peephole(p: Parameters, x: Tensor, learning: bool) -> Loop:
    """The peephole LSTM."""
    u = p["weight_hh"].t()
    start = zeros(x, len(u)), zeros(x, len(u))
    return Loop(_peephole_step, (from_input(p, x),), start, (u, *p["p"].chunk(3)))


def _layernorm_step(now: Values, states: Values, same: Values) -> Values:
    (a,), (h, c), (u, gain, gain_c, bias_c) = now, states, same
    i, f, g, o = (a + F.layer_norm(h @ u, gain.shape, gain, None, EPS)).chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * F.layer_norm(c, gain_c.shape, gain_c, bias_c, EPS).tanh(), c


def layernorm_lstm(p: Parameters, x: Tensor, learning: bool) -> Loop:
    """The layer-normalised LSTM."""
    u, n = p["weight_hh"].t(), p["weight_hh"].shape[1]
    bias, bias_c = p["bias"].split([4 * n, n])
    inner = F.layer_norm(F.linear(x, p["weight_ih"]), (4 * n,), p["gain_x"], bias, EPS)
    same = (u, p["gain_h"], p["gain_c"], bias_c)
    return Loop(_layernorm_step, (inner,), (zeros(x, n), zeros(x, n)), same)


def _zoneout_step(now: Values, states: Values, same: Values) -> Values:
    (a, keep_h, keep_c), (h_last, c_last), (u,) = now, states, same
    i, f, g, o = torch.addmm(a, h_last, u).chunk(4, 1)
    c = f.sigmoid() * c_last + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return torch.lerp(h, h_last, keep_h), torch.lerp(c, c_last, keep_c)


def zoneout_lstm(p: Parameters, x: Tensor, learning: bool) -> Loop:
    """Zoneout: which units keep their state is drawn before the loop; else the expectation."""
    u = p["weight_hh"].t()
    like = x.new_empty(*x.shape[:2], len(u))
    kept = [torch.full_like(like, share) for share in ZONEOUT.values()]
    if learning:
        kept = [(torch.rand_like(like) < share).to(x.dtype) for share in ZONEOUT.values()]
    start = zeros(x, len(u)), zeros(x, len(u))
    return Loop(_zoneout_step, (from_input(p, x), *kept), start, (u,))


def _decay_step(now: Values, states: Values, same: Values) -> Values:
    (kept, new), (h,) = now, states
    return (torch.addcmul(new, kept, h),)


def minlstm(p: Parameters, x: Tensor, learning: bool) -> Loop:
    """One sum and one product in the loop."""
    f_hat, i_hat, g = from_input(p, x).chunk(3, 2)
    d = F.softplus(-f_hat) - F.softplus(-i_hat)
    return Loop(_decay_step, ((-d).sigmoid(), d.sigmoid() * g), (zeros(x, g.shape[2]),), ())


LOOPS = {
    "lstm": lstm, "peephole": peephole, "layernorm-lstm": layernorm_lstm, "minlstm": minlstm,
    "zoneout": zoneout_lstm,
}  # fmt: skip
