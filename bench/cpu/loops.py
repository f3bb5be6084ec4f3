"""The LSTM family as loops in PyTorch, written as people write them who want them fast.

Each takes the parameters by name and the sequence (T, B, D), and returns the output at every step.
The input product is taken out of the loop, the gates' recurrent products are one, and what needs no
state is computed for all steps at once. `loops_other` has the cells that are no LSTM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

Parameters = Mapping[str, Tensor]
Loop = Callable[..., Tensor]
EPS = 1e-5


def unrolled(step: Callable[..., tuple[Tensor, ...]], timed: Iterable, *states: Tensor) -> Tensor:
    """The first state at every step; a step takes what is timed, then the states."""
    outputs = []
    for now in timed:
        states = step(now, *states)
        outputs.append(states[0])
    return torch.stack(outputs)


def from_input(p: Parameters, x: Tensor) -> Tensor:
    """The input product of all gates and steps, with their bias."""
    bias = p["bias"] if "bias" in p else p["bias_ih"] + p["bias_hh"]
    return F.linear(x, p["weight_ih"], bias)


def zeros(x: Tensor, size: int) -> Tensor:
    """A state before the first step."""
    return x.new_zeros(x.shape[1], size)


def lstm(p: Parameters, x: Tensor) -> Tensor:
    """The LSTM."""
    u = p["weight_hh"].t()

    def step(a: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        i, f, g, o = torch.addmm(a, h, u).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    return unrolled(step, from_input(p, x).unbind(0), zeros(x, len(u)), zeros(x, len(u)))


def lstm_1997(p: Parameters, x: Tensor) -> Tensor:
    """Without a forget gate."""
    u = p["weight_hh"].t()

    def step(a: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        i, g, o = torch.addmm(a, h, u).chunk(3, 1)
        c = c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    return unrolled(step, from_input(p, x).unbind(0), zeros(x, len(u)), zeros(x, len(u)))


def lstmp(p: Parameters, x: Tensor) -> Tensor:
    """With a projection of h."""
    u, r = p["weight_hh"].t(), p["weight_hr"].t()

    def step(a: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        i, f, g, o = torch.addmm(a, h, u).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return (o.sigmoid() * c.tanh()) @ r, c

    return unrolled(step, from_input(p, x).unbind(0), zeros(x, len(u)), zeros(x, len(r)))


def peephole(
    missing: str = "", coupled: bool = False, bare_g: bool = False, bare_h: bool = False
) -> Loop:
    """The peephole LSTM, less what a variant leaves out."""
    gates = [gate for gate in "ifgo" if gate not in missing]

    def run(p: Parameters, x: Tensor) -> Tensor:
        u = p["weight_hh"].t()
        seeing = [gate for gate in gates if gate != "g"]
        peep = dict(zip(seeing, p["p"].chunk(len(seeing)), strict=True))

        def step(a: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
            parts = dict(zip(gates, torch.addmm(a, h, u).chunk(len(gates), 1), strict=True))
            g = parts["g"] if bare_g else parts["g"].tanh()
            i = torch.addcmul(parts["i"], peep["i"], c).sigmoid() if "i" in parts else None
            if coupled:
                c = c + i * (g - c)
            else:
                f = torch.addcmul(parts["f"], peep["f"], c).sigmoid() if "f" in parts else None
                c = (c if f is None else f * c) + (g if i is None else i * g)
            h = c if bare_h else c.tanh()
            if "o" in parts:
                h = torch.addcmul(parts["o"], peep["o"], c).sigmoid() * h
            return h, c

        return unrolled(step, from_input(p, x).unbind(0), zeros(x, len(u)), zeros(x, len(u)))

    return run


def fgr(p: Parameters, x: Tensor) -> Tensor:
    """Full gate recurrence, as one product of h and the last gates, side by side."""
    u, n = p["weight_hh"], p["weight_hh"].shape[1]
    rows = p["R"].view(3, 3, n, n).transpose(1, 2).reshape(3, n, 3 * n)
    of_gates = torch.cat([rows[0], rows[1], rows.new_zeros(n, 3 * n), rows[2]])
    whole = torch.cat([u, of_gates], 1).t()
    peep_i, peep_f, peep_o = p["p"].chunk(3)

    def step(a: Tensor, h: Tensor, c: Tensor, last: Tensor) -> tuple[Tensor, ...]:
        i, f, g, o = torch.addmm(a, torch.cat([h, last], 1), whole).chunk(4, 1)
        i = torch.addcmul(i, peep_i, c).sigmoid()
        f = torch.addcmul(f, peep_f, c).sigmoid()
        c = f * c + i * g.tanh()
        o = torch.addcmul(o, peep_o, c).sigmoid()
        return o * c.tanh(), c, torch.cat([i, f, o], 1)

    states = zeros(x, n), zeros(x, n), zeros(x, 3 * n)
    return unrolled(step, from_input(p, x).unbind(0), *states)


def layernorm_lstm(p: Parameters, x: Tensor) -> Tensor:
    """Layer normalisation by PyTorch's operator, which also adds the bias."""
    u, n = p["weight_hh"].t(), p["weight_hh"].shape[1]
    bias, bias_c = p["bias"].split([4 * n, n])
    inner = F.layer_norm(F.linear(x, p["weight_ih"]), (4 * n,), p["gain_x"], bias, EPS)

    def step(a: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        i, f, g, o = (a + F.layer_norm(h @ u, (4 * n,), p["gain_h"], None, EPS)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * F.layer_norm(c, (n,), p["gain_c"], bias_c, EPS).tanh(), c

    return unrolled(step, inner.unbind(0), zeros(x, n), zeros(x, n))


def slstm(p: Parameters, x: Tensor) -> Tensor:
    """The xLSTM's scalar cell."""
    u = p["weight_hh"].t()

    def step(a: Tensor, h: Tensor, c: Tensor, n: Tensor, m: Tensor) -> tuple[Tensor, ...]:
        i, f, z, o = torch.addmm(a, h, u).chunk(4, 1)
        kept = F.logsigmoid(f) + m
        m = torch.maximum(kept, i)
        i, f = (i - m).exp(), (kept - m).exp()
        c = f * c + i * z.tanh()
        n = f * n + i
        return o.sigmoid() * (c / n), c, n, m

    states = [zeros(x, len(u)) for _ in range(3)]
    return unrolled(step, from_input(p, x).unbind(0), *states, zeros(x, len(u)) - float("inf"))


def t_lstm(p: Parameters, x: Tensor, delta: Tensor) -> Tensor:
    """The time-aware LSTM."""
    u, short = p["weight_hh"].t(), p["W_d"].t()
    lost = (1 - 1 / (torch.e + delta).log()).unbind(0)

    def step(now: tuple[Tensor, Tensor], h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        a, less = now
        c = c - less * torch.addmm(p["b_d"], c, short).tanh()
        i, f, g, o = torch.addmm(a, h, u).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    timed = zip(from_input(p, x).unbind(0), lost, strict=True)
    return unrolled(step, timed, zeros(x, len(u)), zeros(x, len(u)))
