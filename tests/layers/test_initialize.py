"""Initialisations by name, for every cell under every map, and a layer drawn anew."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from init_cases import MAPS, SIZES, UNMAPPED, drawn, follows, orthonormal, under, uniform
from torch import nn

import gated
from gated.equations import Cell, Family, W, b, sigmoid
from gated.errors import OptionError
from gated.layers.initialize import IRNN, Orthogonal, Uniform, as_init

CASES = [(name, kind) for name in gated.cells() for kind in MAPS if (name, kind) not in UNMAPPED]
NAMES = ["uniform", "orthogonal", "irnn"]

gain = Family("gain", start=1.5)


class Gains(Cell):
    """A parameter that the equations give a value to start with."""

    def step(self, x, h):
        z = sigmoid(gain.z * (W.z @ x) + b.z)
        h = (1 - z) * h + z * (W.g @ x + b.g)
        return h


def test_the_measure_of_these_tests_tells_distributions_apart():
    sample = torch.rand(512, dtype=torch.float64)
    assert follows(sample, uniform(0, 1))
    assert not follows(sample, uniform(0, 1.2))
    assert not follows(sample**1.3, uniform(0, 1))


# Every cell, under every map


@pytest.mark.parametrize("init", NAMES)
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_parameter_gets_a_finite_value(name, kind, init):
    for key, value in drawn(under(kind, name), init).stored.items():
        assert value.isfinite().all(), key
        assert value.requires_grad


@pytest.mark.parametrize("init", [*NAMES, gated.Chrono(50)])
def test_a_seed_gives_the_same_again_and_another_seed_something_else(init):
    def draw(seed):
        torch.manual_seed(seed)
        return drawn("lstm", init).stored

    first, again, other = draw(1), draw(1), draw(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["weight_ih"], other["weight_ih"])


@pytest.mark.parametrize("init", [*NAMES, gated.Chrono(50)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_layers_of_lower_precision_are_drawn_too(init, dtype):
    for value in drawn("lstm", init, dtype=dtype).stored.values():
        assert value.dtype == dtype
        assert value.isfinite().all()


@pytest.mark.parametrize("init", [*NAMES, gated.Chrono(50)])
def test_what_has_a_value_to_start_with_gets_that(init):
    assert (drawn(Gains(), init).values["gain.z"] == 1.5).all()


def test_what_has_a_value_to_start_with_takes_no_draw():
    def next_after(cell):
        torch.manual_seed(0)
        drawn(cell, "uniform")
        return torch.rand(1)

    assert torch.equal(next_after(Gains()), next_after(gated.cell("mingru")))


@pytest.mark.parametrize("init", [*NAMES, gated.Chrono(50)])
def test_a_layer_without_storage_has_shapes_alone(init):
    layer = gated.LSTM(3, 4, device="meta", init=init)
    assert layer.weight_hh_l0.shape == (16, 4)
    assert layer.weight_hh_l0.is_meta


# Uniform


@pytest.mark.parametrize(
    ("mine", "theirs", "options"),
    [
        (gated.LSTM, nn.LSTM, {}),
        (gated.GRU, nn.GRU, {}),
        (gated.RNN, nn.RNN, {"nonlinearity": "relu"}),
        (gated.LSTM, nn.LSTM, {"bias": False}),
        (gated.LSTM, nn.LSTM, {"proj_size": 3, "num_layers": 2}),
        (gated.GRU, nn.GRU, {"num_layers": 3, "bidirectional": True}),
    ],
)
def test_uniform_draws_what_torch_draws(mine, theirs, options):
    torch.manual_seed(3)
    expected = theirs(5, 7, **options).state_dict()
    torch.manual_seed(3)
    found = mine(5, 7, **options, init="uniform").state_dict()
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("kind", ["dense", "diagonal", "heads"])
def test_uniform_is_uniform_within_one_over_the_root_of_the_hidden_size(kind):
    bound = 1 / math.sqrt(64)
    for key, value in drawn(under(kind, "peephole"), D=16, H=64).values.items():
        assert value.abs().max() <= bound
        assert follows(value, uniform(-bound, bound)), key


@pytest.mark.parametrize(("kind", "taps"), [("signal", 3), ("image", 15)])
def test_uniform_counts_the_taps_of_a_kernel_as_torch_does(kind, taps):
    """The bound of torch.nn.Conv is one over the root of channels times taps."""
    bound = 1 / math.sqrt(16 * taps)
    conv = nn.Conv1d(16, 1000, 3) if kind == "signal" else nn.Conv2d(16, 1000, (3, 5))
    assert float(conv.weight.detach().abs().max()) == pytest.approx(bound, rel=1e-3)
    for key, value in drawn(under(kind, "lstm"), D=16, H=16).values.items():
        assert value.abs().max() <= bound
        assert follows(value, uniform(-bound, bound)), key


# Names


@pytest.mark.parametrize(
    ("name", "value"), [("uniform", Uniform()), ("orthogonal", Orthogonal()), ("irnn", IRNN())]
)
def test_an_initialisation_has_a_name(name, value):
    assert as_init(name) == value
    assert as_init(value) is value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("orthogonall", "did you mean 'orthogonal'"),
        ("Chrono", "did you mean 'chrono'"),
        ("zzz", "known are uniform, orthogonal, irnn, chrono"),
        ("chrono", r"max_steps.*gated\.Chrono\(max_steps=784\)"),
        (Orthogonal, "expected one of uniform, orthogonal, irnn, or an instance"),
        (nn.init.orthogonal_, "or an instance"),
        (None, "init is None"),
        (3, "init is 3"),
    ],
)
def test_no_initialisation(value, message):
    with pytest.raises(OptionError, match=message):
        as_init(value)


@pytest.mark.parametrize("steps", [2, 0, -5, 10.0, True, "10", None])
def test_chrono_needs_a_span_of_at_least_three_steps(steps):
    with pytest.raises(OptionError, match=r"max_steps is .*, expected an integer of at least 3"):
        gated.Chrono(max_steps=steps)


@pytest.mark.parametrize("init", [Uniform(), Orthogonal(), IRNN(), gated.Chrono(9)])
def test_initialisations_are_values(init):
    assert pickle.loads(pickle.dumps(init)) == copy.deepcopy(init) == init
    assert hash(init) == hash(copy.copy(init))


def test_an_initialisation_of_ones_own_fills_the_blocks():
    class Constant:
        def fill(self, parameters):
            for role, block in parameters.blocks():
                nn.init.constant_(block, 2.0 if role.recurrent else 1.0)

    values = drawn("gru", Constant()).values
    assert (values["U.n"] == 2).all()
    assert (values["W.n"] == 1).all()


# A layer drawn anew


def test_initialize_draws_a_layer_anew_in_place():
    layer = gated.GRU(SIZES["D"], SIZES["H"], num_layers=2, bidirectional=True)
    before = dict(layer.named_parameters())
    gated.initialize(layer, "orthogonal", forget_bias=2.0)
    for name, value in layer.named_parameters():
        assert value is before[name]
        if "weight_hh" in name:
            assert all(orthonormal(block) for block in value.detach().chunk(3))
        if "bias_ih" in name:
            assert value[8:16].tolist() == [2.0] * 8  # z is the second of r, z, n


def test_a_layer_keeps_what_it_was_drawn_by():
    layer = gated.LSTM(3, 4, init="irnn")
    gated.initialize(layer, "orthogonal", forget_bias=1.0)
    nn.init.zeros_(layer.weight_hh_l0)
    layer.reset_parameters()
    assert all(orthonormal(block) for block in layer.weight_hh_l0.detach().chunk(4))


def test_a_layer_whose_new_initialisation_is_refused_stays_as_it_was():
    layer = gated.RNN(3, 4, init="orthogonal")
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    with pytest.raises(OptionError, match="keeps no state"):
        gated.initialize(layer, gated.Chrono(20))
    assert layer.init == Orthogonal()
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


def test_initialize_is_for_layers_of_gated():
    with pytest.raises(OptionError, match=r"expected a layer of gated.*got LSTM"):
        gated.initialize(nn.LSTM(3, 4), "orthogonal")
