"""The cells that are no LSTM as loops in PyTorch; see `loops`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.cpu import loops
from bench.cpu.loops import Loop, Parameters, from_input, unrolled, zeros


def rnn(squash: Callable[[Tensor], Tensor]) -> Loop:
    """The simple recurrent network."""

    def run(p: Parameters, x: Tensor) -> Tensor:
        u = p["weight_hh"].t()

        def step(a: Tensor, h: Tensor) -> tuple[Tensor, ...]:
            return (squash(torch.addmm(a, h, u)),)

        return unrolled(step, from_input(p, x).unbind(0), zeros(x, len(u)))

    return run


def indrnn(p: Parameters, x: Tensor) -> Tensor:
    """A recurrence unit by unit."""
    u = p["weight_hh"]

    def step(a: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        return (torch.addcmul(a, h, u).relu(),)

    return unrolled(step, from_input(p, x).unbind(0), zeros(x, len(u)))


def gru(p: Parameters, x: Tensor) -> Tensor:
    """The GRU with the reset after the product."""
    u, n = p["weight_hh"].t(), p["weight_hh"].shape[1]
    inner = F.linear(x, p["weight_ih"], p["bias_ih"])

    def step(a: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        a_gates, a_n = a.split([2 * n, n], 1)
        u_gates, u_n = torch.addmm(p["bias_hh"], h, u).split([2 * n, n], 1)
        r, z = (a_gates + u_gates).sigmoid().chunk(2, 1)
        return (torch.lerp(torch.addcmul(a_n, r, u_n).tanh(), h, z),)

    return unrolled(step, inner.unbind(0), zeros(x, n))


def reset_before(order: str, keeps: bool) -> Loop:
    """A GRU whose reset acts before the product; `keeps`: z near 1 keeps the old state."""

    def run(p: Parameters, x: Tensor) -> Tensor:
        n = p["weight_hh"].shape[1]
        u_gates, u_n = (u.t() for u in p["weight_hh"].split([2 * n, n]))
        a_gates, a_n = from_input(p, x).split([2 * n, n], 2)

        def step(now: tuple[Tensor, Tensor], h: Tensor) -> tuple[Tensor, ...]:
            gates = torch.addmm(now[0], h, u_gates).sigmoid().chunk(2, 1)
            r, z = gates if order == "rz" else gates[::-1]
            new = torch.addmm(now[1], r * h, u_n).tanh()
            return (torch.lerp(new, h, z) if keeps else torch.lerp(h, new, z),)

        return unrolled(step, zip(a_gates.unbind(0), a_n.unbind(0), strict=True), zeros(x, n))

    return run


def mut1(p: Parameters, x: Tensor) -> Tensor:
    """z and the candidate's share of x are known before the loop."""
    n = p["weight_hh"].shape[1]
    u_r, u_n = (u.t() for u in p["weight_hh"].chunk(2))
    b_z, b_r, b_n = p["bias"].chunk(3)
    z, r, a = F.linear(x, p["weight_ih"]).chunk(3, 2)
    known = (z + b_z).sigmoid(), r + b_r, a.tanh() + b_n

    def step(now: tuple[Tensor, ...], h: Tensor) -> tuple[Tensor, ...]:
        z, r, a = now
        r = torch.addmm(r, h, u_r).sigmoid()
        return (torch.lerp(h, torch.addmm(a, r * h, u_n).tanh(), z),)

    return unrolled(step, zip(*(v.unbind(0) for v in known), strict=True), zeros(x, n))


def mut3(p: Parameters, x: Tensor) -> Tensor:
    """z sees tanh(h), so that no two products are of the same vector."""
    n = p["weight_hh"].shape[1]
    u_z, u_r, u_n = (u.t() for u in p["weight_hh"].chunk(3))
    parts = [a.unbind(0) for a in from_input(p, x).chunk(3, 2)]

    def step(now: tuple[Tensor, ...], h: Tensor) -> tuple[Tensor, ...]:
        z, r, a = now
        z = torch.addmm(z, h.tanh(), u_z).sigmoid()
        r = torch.addmm(r, h, u_r).sigmoid()
        return (torch.lerp(h, torch.addmm(a, r * h, u_n).tanh(), z),)

    return unrolled(step, zip(*parts, strict=True), zeros(x, n))


def _decayed(now: tuple[Tensor, Tensor], h: Tensor) -> tuple[Tensor, ...]:
    """h = f h + i, with both known."""
    kept, new = now
    return (torch.addcmul(new, kept, h),)


def minlstm(p: Parameters, x: Tensor) -> Tensor:
    """One sum and one product in the loop."""
    f_hat, i_hat, g = from_input(p, x).chunk(3, 2)
    d = F.softplus(-f_hat) - F.softplus(-i_hat)
    kept, new = (-d).sigmoid(), d.sigmoid() * g
    timed = zip(kept.unbind(0), new.unbind(0), strict=True)
    return unrolled(_decayed, timed, zeros(x, g.shape[2]))


def mingru(p: Parameters, x: Tensor) -> Tensor:
    """One sum and one product in the loop."""
    z, g = from_input(p, x).chunk(2, 2)
    z = z.sigmoid()
    timed = zip((1 - z).unbind(0), (z * g).unbind(0), strict=True)
    return unrolled(_decayed, timed, zeros(x, g.shape[2]))


def sru(p: Parameters, x: Tensor) -> Tensor:
    """Only c is computed in the loop: the reset gate and h are known from it."""
    n = len(p["V"])
    f, r, g, v = F.linear(x, torch.cat([p["weight_ih"], p["V"]])).chunk(4, 2)
    (b_f, b_r), (p_f, p_r) = p["bias"].chunk(2), p["p"].chunk(2)
    start = zeros(x, n)

    def step(now: tuple[Tensor, Tensor], c: Tensor) -> tuple[Tensor, ...]:
        a, g = now
        return (torch.lerp(g, c, torch.addcmul(a, p_f, c).sigmoid()),)

    c = unrolled(step, zip((f + b_f).unbind(0), g.unbind(0), strict=True), start)
    r = torch.addcmul(r + b_r, p_r, torch.cat([start.unsqueeze(0), c[:-1]])).sigmoid()
    return torch.lerp(v, c, r)


def gru_d(p: Parameters, x: Tensor, mask: Tensor, delta: Tensor) -> Tensor:
    """The GRU with decay; decays and the mask's product are known before the loop."""
    n = p["weight_hh"].shape[1]
    w = p["weight_ih"].t()
    u_gates, u_n = (u.t() for u in p["weight_hh"].split([2 * n, n]))
    seen = mask != 0
    gamma_x = (-F.relu(torch.addcmul(p["b_gamma_x"], p["W_gamma_x"], delta))).exp()
    gamma_h = (-F.relu(F.linear(delta, p["W_gamma_h"], p["b_gamma_h"]))).exp()
    from_mask = F.linear(mask, p["V"], p["bias"])
    timed = (seen, x, gamma_x, (1 - gamma_x) * p["x_mean"], gamma_h, from_mask)

    def step(now: tuple[Tensor, ...], h: Tensor, last: Tensor) -> tuple[Tensor, ...]:
        seen, x, decay, towards, fading, a = now
        x_hat = torch.where(seen, x, torch.addcmul(towards, decay, last))
        last = torch.where(seen, x, last)
        h = fading * h
        a_gates, a_n = torch.addmm(a, x_hat, w).split([2 * n, n], 1)
        r, z = torch.addmm(a_gates, h, u_gates).sigmoid().chunk(2, 1)
        return torch.lerp(h, torch.addmm(a_n, r * h, u_n).tanh(), z), last

    states = zeros(x, n), zeros(x, x.shape[2])
    return unrolled(step, zip(*(v.unbind(0) for v in timed), strict=True), *states)


LOOPS: dict[str, Loop] = {
    "rnn": rnn(torch.tanh), "rnn-relu": rnn(torch.relu), "indrnn": indrnn,
    "lstm": loops.lstm, "np": loops.lstm, "lstm-1997": loops.lstm_1997, "lstmp": loops.lstmp,
    "peephole": loops.peephole(), "nig": loops.peephole("i"), "nfg": loops.peephole("f"),
    "nog": loops.peephole("o"), "niaf": loops.peephole(bare_g=True),
    "noaf": loops.peephole(bare_h=True), "cifg": loops.peephole("f", coupled=True),
    "fgr": loops.fgr, "layernorm-lstm": loops.layernorm_lstm, "slstm": loops.slstm,
    "t-lstm": loops.t_lstm, "gru": gru, "gru-reset-before": reset_before("rz", keeps=True),
    "mut1": mut1, "mut2": reset_before("zr", keeps=False), "mut3": mut3, "minlstm": minlstm,
    "mingru": mingru, "sru": sru, "gru-d": gru_d,
}  # fmt: skip
