"""forget_bias: the bias that keeps a cell's memory, whatever its gates are called."""

from __future__ import annotations

import math

import pytest
import torch
from init_cases import MAPS, UNMAPPED, drawn, under
from keeping_cases import (
    KEPT_BY,
    NOT_KEPT,
    Coupled,
    Crossed,
    Decaying,
    Doubled,
    Exponential,
    Scaled,
    memory_of,
)

import gated
from gated.errors import OptionError
from gated.layers.initialize import Orthogonal


class Zero:
    """All weights and biases 0."""

    def fill(self, parameters):
        for value in parameters.drawn():
            torch.nn.init.zeros_(value)


def test_the_tables_name_every_cell_of_the_catalogue():
    assert {*KEPT_BY, *NOT_KEPT} == set(gated.cells())


# forget_bias


@pytest.mark.parametrize("name", KEPT_BY)
def test_forget_bias_sets_the_gate_that_the_paper_calls_the_keeping_one(name):
    values = drawn(name, Zero(), 1.5).values
    found = {key: set(value.tolist()) for key, value in values.items() if value.any()}
    gains = {key for key, value in values.items() if (value == 1).all()}
    key, sign = KEPT_BY[name]
    assert {key: value for key, value in found.items() if key not in gains} == {key: {1.5 * sign}}


@pytest.mark.parametrize("value", [-2.0, 0.0, 1.0, 5.0])
@pytest.mark.parametrize("name", [name for name in KEPT_BY if name != "minlstm"])
def test_a_step_without_input_keeps_sigmoid_of_the_forget_bias(name, value):
    left = drawn(name, Zero(), value).remembered(steps=1)[memory_of(name)]
    expected = 1 / (1 + math.exp(-value))
    assert left.tolist() == pytest.approx([expected] * 8, rel=1e-12)


@pytest.mark.parametrize("value", [-2.0, 1.0, 5.0])
def test_the_minlstm_keeps_the_forget_gates_share_of_both_gates(value):
    """f' = f / (f + i), with i = σ(0)."""
    left = drawn("minlstm", Zero(), value).remembered(steps=1)["h"]
    gate = 1 / (1 + math.exp(-value))
    assert left.tolist() == pytest.approx([gate / (gate + 0.5)] * 8, rel=1e-12)


@pytest.mark.parametrize("init", ["uniform", "orthogonal", "irnn"])
@pytest.mark.parametrize("name", KEPT_BY)
def test_forget_bias_changes_nothing_else(name, init):
    torch.manual_seed(5)
    plain = drawn(name, init).values
    torch.manual_seed(5)
    biased = drawn(name, init, 1.0).values
    changed = {key for key in plain if not torch.equal(plain[key], biased[key])}
    assert changed == {KEPT_BY[name][0]}


@pytest.mark.parametrize("name", ["lstm", "gru", "lstmp"])
def test_of_two_stored_biases_the_sum_is_set_and_the_second_is_0(name):
    found = drawn(name, "uniform", 3.0)
    names = {slot.name: list(slot.keys) for slot in found.slots}
    key, _ = KEPT_BY[name]
    place = names["bias_ih"].index(key)
    rows = slice(place * 8, (place + 1) * 8)
    assert found.stored["bias_ih"][rows].tolist() == [3.0] * 8
    assert found.stored["bias_hh"][rows].tolist() == [0.0] * 8


@pytest.mark.parametrize(
    ("name", "kind"), [(n, kind) for n in KEPT_BY for kind in MAPS if (n, kind) not in UNMAPPED]
)
def test_no_map_changes_which_gate_keeps(name, kind):
    values = drawn(under(kind, name), "irnn", 2.0).values
    key, sign = KEPT_BY[name]
    assert (values[key] == 2 * sign).all()


@pytest.mark.parametrize(
    "wrapped",
    [
        gated.zoneout("lstm", 0.3),
        gated.recurrent_dropout("lstm", 0.3),
        gated.variational_dropout("lstm", 0.3),
        gated.dropconnect("lstm", 0.3),
    ],
)
def test_no_regulariser_changes_which_gate_keeps(wrapped):
    torch.manual_seed(1)
    plain = drawn("lstm", "uniform", 2.0).stored
    torch.manual_seed(1)
    found = drawn(wrapped, "uniform", 2.0).stored
    assert all(torch.equal(found[name], value) for name, value in plain.items())


@pytest.mark.parametrize("how", [{"forget_bias": 1.0}, {"init": gated.Chrono(20)}])
@pytest.mark.parametrize(("name", "reason"), NOT_KEPT.items())
def test_a_cell_that_no_bias_keeps_is_refused_with_the_reason(name, reason, how):
    with pytest.raises(OptionError, match=f"{name} {reason}"):
        drawn(name, **how)


@pytest.mark.parametrize("how", [{"forget_bias": 1.0}, {"init": gated.Chrono(20)}])
@pytest.mark.parametrize("name", KEPT_BY)
def test_a_layer_without_biases_is_refused_with_the_reason(name, how):
    key, _ = KEPT_BY[name]
    with pytest.raises(OptionError, match=rf"kept by the bias {key}.*bias=False.*use bias=True"):
        drawn(name, bias=False, **how)


@pytest.mark.parametrize("value", ["1", True, math.nan, math.inf, [1.0], torch.ones(1)])
def test_a_forget_bias_is_a_finite_number(value):
    with pytest.raises(OptionError, match=r"forget_bias is .*, expected a finite number"):
        gated.LSTM(3, 4, forget_bias=value)


def test_forget_bias_is_not_put_over_chrono():
    with pytest.raises(OptionError, match=r"would undo.*Chrono\(max_steps=20\): give one of them"):
        gated.LSTM(3, 4, init=gated.Chrono(20), forget_bias=1.0)


# Cells of one's own


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (Coupled(), {"b.a": -2.0}),
        (Doubled(), {"b.f": 2.0}),
        (Scaled(), {"b.f": 2.0}),
        (Exponential(), {"b.f": 2.0}),
        (Decaying(), {"b.d": -2.0}),
    ],
)
def test_the_keeping_bias_of_a_cell_of_ones_own_is_found(cell, expected):
    values = drawn(cell, Zero(), 2.0).values
    assert {
        key: float(value[0]) for key, value in values.items() if key[0] == "b" and value.any()
    } == expected


def test_two_memories_that_one_bias_keeps_in_turn_are_refused():
    with pytest.raises(OptionError, match=r"crossed keeps c the less.*by the one bias b\.f"):
        drawn(Crossed(), "uniform", 1.0)


# Layers


def test_forget_bias_reaches_a_convolution():
    layer = gated.ConvLSTM(2, 4, forget_bias=1.0)
    bias = next(v for n, v in layer.named_parameters() if n.startswith("bias"))
    assert bias[4:8].tolist() == [1.0] * 4


def test_orthogonal_matrices_go_with_a_forget_bias():
    layer = gated.GRU(3, 4, init=Orthogonal(), forget_bias=1.0)
    assert layer.bias_ih_l0[4:8].tolist() == [1.0] * 4
