"""Chrono: memories of up to max_steps steps, whatever the gates are called."""

from __future__ import annotations

import math

import pytest
import torch
from init_cases import drawn, follows, uniform
from keeping_cases import KEPT_BY, WRITTEN_BY, Coupled, Doubled, Exponential, memory_of

import gated


@pytest.mark.parametrize("steps", [3, 40, 1000])
@pytest.mark.parametrize("name", KEPT_BY)
def test_chrono_biases_are_logarithms_of_a_uniform_span(name, steps):
    values = drawn(name, gated.Chrono(steps), H=512).values
    key, sign = KEPT_BY[name]
    spans = (sign * values[key]).exp()
    assert spans.min() >= 1 - 1e-12
    assert spans.max() <= steps - 1 + 1e-9
    assert follows(spans, uniform(1, steps - 1))


@pytest.mark.parametrize("name", KEPT_BY)
def test_chrono_shuts_the_gates_that_write_as_far_as_it_opens_those_that_keep(name):
    bound = 1 / math.sqrt(512)
    values = drawn(name, gated.Chrono(100), H=512).values
    key, _ = KEPT_BY[name]
    shut = {k for k, value in values.items() if k != key and torch.equal(value, -values[key])}
    assert shut == ({WRITTEN_BY[name]} if name in WRITTEN_BY else set())
    # the others are as they were drawn: two stored biases may have summed up
    others = [v for k, v in values.items() if k.startswith("b") and k not in (key, *shut)]
    assert all(value.abs().max() <= 2 * bound for value in others)


@pytest.mark.parametrize("name", KEPT_BY)
def test_chrono_leaves_the_weights_to_uniform(name):
    torch.manual_seed(2)
    plain = drawn(name, "uniform")
    torch.manual_seed(2)
    found = drawn(name, gated.Chrono(100))
    for slot in plain.slots:
        if not slot.bias:
            assert torch.equal(plain.stored[slot.name], found.stored[slot.name])


@pytest.mark.parametrize("name", KEPT_BY)
def test_chrono_memories_last_evenly_from_2_steps_to_max_steps(name):
    """1 / (1 - f), the time in which a memory falls to 1/e, of what a run really keeps.

    Of the minLSTM too: with i at minus the bias of f, f / (f + i) is f.
    """
    found = drawn(name, gated.Chrono(200), H=512)
    found.silence(but=(KEPT_BY[name][0], WRITTEN_BY.get(name)))
    left = found.remembered(steps=1)[memory_of(name)]
    spans = 1 / (1 - left)
    assert follows(spans, uniform(2, 200))
    assert spans.max() > 190


def test_half_of_a_chrono_memory_is_there_after_its_half_life():
    found = drawn("gru", gated.Chrono(100), H=64)
    found.silence(but=("b.z",))
    after = found.remembered(steps=60)["h"]
    half_lives = math.log(0.5) / torch.sigmoid(found.values["b.z"]).log()
    assert torch.equal(after > 0.5, half_lives > 60)
    assert 0 < int((after > 0.5).sum()) < 64


def test_chrono_reaches_every_layer_and_direction():
    layer = gated.LSTM(3, 16, num_layers=2, bidirectional=True, init=gated.Chrono(50))
    seen = set()
    for end in ("l0", "l0_reverse", "l1", "l1_reverse"):
        i, f, _, _ = getattr(layer, f"bias_ih_{end}").detach().chunk(4)
        assert torch.equal(i, -f)
        assert not getattr(layer, f"bias_hh_{end}")[:32].any()
        seen.add(tuple(f.tolist()))
    assert len(seen) == 4


# Cells of one's own


def test_a_second_bias_of_a_gate_is_0():
    values = drawn(Doubled(), gated.Chrono(30)).values
    assert values["b.f"].min() > 0
    assert not values["b_h.f"].any()
    assert not values["b_h.i"].any()


def test_a_writing_gate_is_shut_by_whatever_sign_its_bias_has():
    values = drawn(Doubled(), gated.Chrono(30)).values  # i = σ(-b.i)
    assert torch.equal(values["b.i"], values["b.f"])


def test_a_writing_gate_is_found_among_signs_and_fractions():
    values = drawn(Coupled(), gated.Chrono(30)).values
    assert values["b.a"].max() < 0
    assert torch.equal(values["b.b"], -values["b.a"])


def test_the_writing_gate_is_found_behind_a_stabiliser():
    values = drawn(Exponential(), gated.Chrono(30)).values
    assert values["b.f"].min() > 0
    assert torch.equal(values["b.i"], -values["b.f"])
