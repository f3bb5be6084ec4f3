"""Orthogonal and IRNN: what the matrices of every cell are before training."""

from __future__ import annotations

import math

import pytest
import torch
from init_cases import MAPS, UNMAPPED, drawn, follows, orthonormal, under, uniform

import gated
from gated.equations import Cell, U, W, tanh
from gated.equations.maps import mapped

# matrices that read a state and are not called U
READ_STATES = {"lstmp": {"R"}, "t-lstm": {"W_d"},
               "fgr": {f"R.{a}2{b}" for a in "ifo" for b in "ifo"}}  # fmt: skip


def recurrent(name, values):
    """The recurrent matrices of a catalogue's cell, by its custom of letters."""
    keys = {k for k in values if k.startswith("U")} | READ_STATES.get(name, set())
    return {key: values[key] for key in keys}


# Orthogonal


@pytest.mark.parametrize("name", gated.cells())
def test_orthogonal_recurrent_matrices_are_orthogonal_gate_by_gate(name):
    for key, value in recurrent(name, drawn(name, "orthogonal").values).items():
        if value.dim() == 2:
            assert orthonormal(value), key


def test_a_projection_that_is_not_square_is_orthonormal_in_its_shorter_axis():
    values = drawn("lstmp", "orthogonal", P=3).values
    assert values["R"].shape == (3, 8)
    assert values["U.i"].shape == (8, 3)
    assert orthonormal(values["R"])
    assert orthonormal(values["U.i"])


@pytest.mark.parametrize("name", ["lstm", "gru", "fgr", "slstm"])
def test_orthogonal_heads_are_orthogonal_block_by_block(name):
    for key, value in recurrent(name, drawn(under("heads", name), "orthogonal").values).items():
        assert value.shape == (2, 4, 4)
        assert all(orthonormal(block) for block in value), key


@pytest.mark.parametrize("kind", ["signal", "image"])
def test_orthogonal_kernels_are_orthogonal_as_matrices(kind):
    values = drawn(under(kind, "lstm"), "orthogonal").values
    for gate in "ifgo":
        assert values[f"U.{gate}"].shape[:2] == (8, 8)
        assert orthonormal(values[f"U.{gate}"])


def test_an_orthogonal_diagonal_is_of_plus_and_minus_one():
    values = drawn(under("diagonal", "lstm"), "orthogonal", H=64).values
    signs = torch.cat([values[f"U.{gate}"] for gate in "ifgo"])
    assert set(signs.tolist()) == {1.0, -1.0}
    # 256 fair throws: five standard deviations of 8
    assert abs(signs.sum()) < 80


def test_heads_of_one_unit_are_drawn_as_a_diagonal():
    cell = mapped(gated.cell("lstm"), gated.Heads(8))
    for key, value in recurrent("lstm", drawn(cell, "orthogonal").values).items():
        assert set(value.abs().flatten().tolist()) == {1.0}, key


def test_gates_are_drawn_apart():
    values = drawn("lstm", "orthogonal").values
    assert not torch.allclose(values["U.i"], values["U.f"])


def test_orthogonal_input_matrices_are_glorots_gate_by_gate():
    values = drawn("lstm", "orthogonal", D=40, H=20).values
    bound = math.sqrt(6 / (40 + 20))
    for gate in "ifgo":
        assert values[f"W.{gate}"].abs().max() <= bound
        assert follows(values[f"W.{gate}"], uniform(-bound, bound))


def test_a_diagonal_that_reads_the_input_is_glorots_of_one_element_each():
    class Bare(Cell):
        inputs = {"x": "H"}

        def step(self, x, h):
            h = tanh(W * x + U @ h)
            return h

    bound = math.sqrt(6 / (1 + 1))
    assert follows(drawn(Bare(), "orthogonal", H=512).values["W"], uniform(-bound, bound))


def test_glorots_bound_counts_the_units_of_a_head_and_the_taps_of_a_kernel():
    heads = mapped(gated.cell("lstm"), {"W": gated.Heads(4)})
    bound = math.sqrt(6 / (10 + 5))
    assert follows(drawn(heads, "orthogonal", D=40, H=20).values["W.f"], uniform(-bound, bound))
    bound = math.sqrt(6 / (3 * (40 + 20)))
    kernel = drawn(under("signal", "lstm"), "orthogonal", D=40, H=20).values["W.f"]
    assert follows(kernel, uniform(-bound, bound))


@pytest.mark.parametrize("init", ["orthogonal", "irnn"])
@pytest.mark.parametrize("name", gated.cells())
def test_the_biases_of_orthogonal_and_irnn_are_0(name, init):
    found = drawn(name, init)
    biases = [slot.name for slot in found.slots if slot.bias and slot.start is None]
    assert all(not found.stored[bias].any() for bias in biases)


def test_orthogonal_peepholes_are_drawn_as_by_uniform():
    bound = 1 / math.sqrt(256)
    assert follows(drawn("peephole", "orthogonal", H=256).values["p.o"], uniform(-bound, bound))


def test_an_orthogonal_recurrence_keeps_the_length_of_a_state():
    class Linear(Cell):
        def step(self, x, h):
            h = U @ h + W @ x
            return h

    found = drawn(Linear(), "orthogonal")
    h = torch.randn(8, dtype=torch.float64)
    norm = h.norm()
    for _ in range(1000):
        h = found.values["U"] @ h
    assert h.norm() == pytest.approx(float(norm), rel=1e-9)


# IRNN


@pytest.mark.parametrize("name", gated.cells())
def test_irnn_recurrent_matrices_are_the_identity(name):
    for key, value in recurrent(name, drawn(name, "irnn").values).items():
        expected = torch.eye(*value.shape) if value.dim() == 2 else torch.ones(value.shape)
        assert torch.equal(value, expected.double()), key


def test_irnn_heads_are_identities():
    values = drawn(under("heads", "lstm"), "irnn").values
    assert torch.equal(values["U.f"], torch.eye(4).double().expand(2, 4, 4))


@pytest.mark.parametrize(
    ("name", "kind"),
    [(n, kind) for n in ("rnn-relu", "indrnn") for kind in MAPS if (n, kind) not in UNMAPPED],
)
def test_an_irnn_without_input_keeps_its_state_for_ever(name, kind):
    """With no input, the paper says, a state of rectified linear units stays as it is."""
    layer = gated.Recurrent(name, 3, 4, maps=MAPS[kind], init="irnn")
    extent = {"signal": (7,), "image": (7, 9)}.get(kind, ())
    state = torch.rand(1, 2, 4, *extent)
    _, final = layer(torch.zeros(200, 2, 3, *extent), state)
    assert torch.equal(final, state)


@pytest.mark.parametrize("kind", ["dense", "signal"])
def test_irnn_inputs_are_normal_with_a_deviation_of_a_thousandth(kind):
    value = drawn(under(kind, "rnn-relu"), "irnn", D=60, H=40).values["W"]
    assert follows(value, lambda v: 0.5 * (1 + torch.erf(v / (0.001 * math.sqrt(2)))))


def test_irnn_peepholes_are_small():
    assert drawn("peephole", "irnn", H=256).values["p.f"].abs().max() < 0.006
