"""Beyond numbers, our layers are modules like torch.nn's: weights, copies, types, options."""

import copy
import importlib
import io
import pickle

import pytest
import torch
from drop_in_cases import KINDS, Case, cases, layers
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.rnn import pack_sequence

import gated
from gated.errors import GatedError

NAMES = ["LSTM", "GRU", "RNN"]
STACKS = [case for case in cases() if case.form == "padded" and case.dtype == torch.float32]


@pytest.mark.parametrize("case", STACKS, ids=str)
def test_state_dicts_load_strictly_both_ways(case: Case):
    theirs, ours = layers(case)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict(), strict=True)


@pytest.mark.parametrize("case", STACKS, ids=str)
def test_one_seed_draws_the_initial_weights_of_torch_nn(case: Case):
    name = KINDS[case.kind][0]
    torch.manual_seed(7)
    theirs = getattr(nn, name)(4, 5, **case.options())
    torch.manual_seed(7)
    ours = getattr(gated, name)(4, 5, **case.options())
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), key


@pytest.mark.parametrize("name", NAMES)
def test_dropout_between_layers_draws_what_torch_nn_draws(name: str):
    theirs = getattr(nn, name)(4, 5, num_layers=3, dropout=0.5)
    ours = getattr(gated, name)(4, 5, num_layers=3, dropout=0.5)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(6, 2, 4)
    torch.manual_seed(1)
    expected, _ = theirs(x)
    torch.manual_seed(1)
    assert torch.equal(ours(x)[0], expected)
    assert torch.equal(ours.eval()(x)[0], theirs.eval()(x)[0])


def test_the_reference_drops_outputs_between_layers_and_nowhere_else():
    layer = gated.LSTM(4, 50, num_layers=2, dropout=1.0, engine="reference")
    x = torch.randn(6, 2, 4)
    below, above = gated.LSTM(4, 50), gated.LSTM(50, 50)
    weights = layer.state_dict()
    below.load_state_dict({k: v for k, v in weights.items() if k.endswith("l0")})
    above.load_state_dict({k.replace("l1", "l0"): v for k, v in weights.items() if "l1" in k})
    output, (h, _) = layer(x)
    torch.testing.assert_close(output, above(torch.zeros(6, 2, 50))[0])
    torch.testing.assert_close(h[:1], below(x)[1][0])
    torch.testing.assert_close(layer.eval()(x)[0], above(below(x)[0])[0])


@pytest.mark.parametrize("name", NAMES)
def test_attributes_are_those_of_torch_nn(name: str):
    options = {"num_layers": 2, "bidirectional": True, "batch_first": True, "dropout": 0.25}
    theirs, ours = getattr(nn, name)(4, 5, **options), getattr(gated, name)(4, 5, **options)
    for key in (
        "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout",
        "bidirectional", "proj_size",
    ):  # fmt: skip
        assert getattr(ours, key) == getattr(theirs, key), key
    shapes = [[w.shape for w in ws] for ws in theirs.all_weights]
    assert [[w.shape for w in ws] for ws in ours.all_weights] == shapes


@pytest.mark.parametrize("name", NAMES)
def test_positional_arguments_stand_in_the_order_of_torch_nn(name: str):
    nonlinearity = ("relu",) if name == "RNN" else ()
    theirs = getattr(nn, name)(4, 5, 2, *nonlinearity, False, True, 0.1, True)
    ours = getattr(gated, name)(4, 5, 2, *nonlinearity, False, True, 0.1, True)
    for key in ("num_layers", "bias", "batch_first", "dropout", "bidirectional"):
        assert getattr(ours, key) == getattr(theirs, key), key
    assert theirs.state_dict().keys() == ours.state_dict().keys()


@pytest.mark.parametrize(
    ("cell", "name"),
    [("lstm", "LSTM"), ("gru", "GRU"), ("rnn", "RNN"), (gated.cell("lstm"), "LSTM")],
)
def test_recurrent_of_a_name_is_the_named_layer(cell, name: str):
    named, general = getattr(gated, name)(4, 5, num_layers=2), gated.Recurrent(cell, 4, 5, 2)
    general.load_state_dict(named.state_dict(), strict=True)
    x = torch.randn(6, 2, 4)
    assert torch.equal(general(x)[0], named(x)[0])


def _copies():
    def saved(layer):
        file = io.BytesIO()
        torch.save(layer, file)
        file.seek(0)
        return torch.load(file, weights_only=False)

    return [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer)), saved]


@pytest.mark.parametrize("duplicate", _copies(), ids=["deepcopy", "pickle", "torch.save"])
def test_a_copy_computes_the_same_and_shares_nothing(duplicate):
    layer = gated.LSTM(4, 5, num_layers=2, bidirectional=True)
    twin, x = duplicate(layer), torch.randn(6, 2, 4)
    assert torch.equal(twin(x)[0], layer(x)[0])
    before = layer(x)[0]
    with torch.no_grad():
        for weight in twin.parameters():
            weight.zero_()
    assert torch.equal(layer(x)[0], before)


@pytest.mark.parametrize("duplicate", _copies(), ids=["deepcopy", "pickle", "torch.save"])
def test_a_copy_keeps_cell_regularisers_and_options(duplicate):
    cell = gated.zoneout(gated.dropconnect("lstm", 0.5), h=0.1)
    layer = gated.Recurrent(
        cell, 4, 6, num_layers=2, bidirectional=True, merge="mean", residual=True, proj_size=4,
        maps=gated.Heads(2), init="orthogonal", dropout=0.5,
    )  # fmt: skip
    twin, x = duplicate(layer), torch.randn(6, 2, 4)
    assert repr(twin) == repr(layer)
    outputs = []
    for one in (layer, twin):
        torch.manual_seed(1)
        outputs.append(one(x)[0])
    assert torch.equal(*outputs)
    assert torch.equal(twin.eval()(x)[0], layer.eval()(x)[0])


@pytest.mark.parametrize("engine", ["torch", "reference"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_faults_8_half_types_are_computed_in_their_own_type(kind: str, dtype, engine: str):
    case = Case(kind, True, True, 2, "padded", dtype, batch_first=False, given=True)
    theirs, ours = layers(case, engine)
    double = Case(kind, True, True, 2, "padded", torch.float64, batch_first=False, given=True)
    exact, _ = layers(double)
    exact.load_state_dict({k: v.double() for k, v in theirs.state_dict().items()})
    x = torch.randn(6, 2, 4, dtype=dtype)
    output, final = ours(x)
    assert output.dtype == dtype
    assert {s.dtype for s in (final if isinstance(final, tuple) else (final,))} == {dtype}
    with torch.no_grad():
        expected, _ = exact(x.double())
    # a handful of roundings of numbers below 1
    limit = 6 * torch.finfo(dtype).eps * max(1.0, float(expected.abs().max()))
    assert float((output.detach().double() - expected).abs().max()) <= limit


@pytest.mark.parametrize("name", NAMES)
def test_moving_a_layer_to_double_moves_its_call(name: str):
    layer = getattr(gated, name)(4, 5).double()
    assert layer(torch.randn(3, 2, 4, dtype=torch.float64))[0].dtype == torch.float64


@pytest.mark.parametrize("engine", ["torch", "reference"])
@pytest.mark.parametrize("given", [False, True])
def test_under_autocast_the_types_are_those_of_torch_nn(engine: str, given: bool):
    theirs, ours = nn.LSTM(4, 5), gated.LSTM(4, 5, engine=engine)
    ours.load_state_dict(theirs.state_dict())
    x, state = torch.randn(6, 2, 4), torch.randn(1, 2, 5)
    hx = (state, state) if given else None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected, (h_theirs, c_theirs) = theirs(x, hx)
        output, (h, c) = ours(x, hx)
    assert (output.dtype, h.dtype, c.dtype) == (expected.dtype, h_theirs.dtype, c_theirs.dtype)
    torch.testing.assert_close(output, expected, atol=0.02, rtol=0.02)
    output.float().sum().backward()
    expected.float().sum().backward()
    for key, weight in ours.named_parameters():
        assert weight.grad.dtype == torch.float32
        reference = theirs.get_parameter(key).grad
        assert float((weight.grad - reference).abs().max()) <= 0.05 * float(reference.abs().max())


def test_autocast_leaves_double_alone_as_pytorch_does():
    layer = gated.LSTM(4, 5, dtype=torch.float64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = layer(torch.randn(3, 2, 4, dtype=torch.float64))
    assert output.dtype == torch.float64


def test_a_state_returned_under_autocast_can_be_passed_on():
    layer = gated.GRU(4, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, state = layer(torch.randn(3, 2, 4))
        output, _ = layer(torch.randn(3, 2, 4), state)
    assert output.dtype == torch.bfloat16


@pytest.mark.parametrize("engine", ["torch", "reference"])
def test_weights_swapped_by_functional_call_are_used(engine: str):
    layer, other = gated.LSTM(4, 5, engine=engine), gated.LSTM(4, 5)
    x = torch.randn(3, 2, 4)
    swapped, _ = torch.func.functional_call(layer, dict(other.named_parameters()), (x,))
    torch.testing.assert_close(swapped, other(x)[0])


def test_parametrised_and_pruned_weights_are_used():
    layer = gated.GRU(4, 5)
    nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    prune.random_unstructured(layer, "weight_ih_l0", 0.5)
    twin = gated.GRU(4, 5)
    twin.load_state_dict({k: getattr(layer, k).detach() for k in twin.state_dict()})
    x = torch.randn(3, 2, 4)
    torch.testing.assert_close(layer(x)[0], twin(x)[0])


def test_a_packed_sequence_comes_back_in_its_order_without_lengths_of_its_own():
    layer = gated.LSTM(4, 5)
    rows = [torch.randn(n, 4) for n in (2, 5, 3)]
    packed, (h, _) = layer(pack_sequence(rows, enforce_sorted=False))
    outputs = nn.utils.rnn.unpack_sequence(packed)
    for k, row in enumerate(rows):
        alone, (h_alone, _) = layer(row)
        torch.testing.assert_close(outputs[k], alone)
        torch.testing.assert_close(h[:, k], h_alone)


def test_dropout_of_a_single_layer_warns_as_in_torch_nn():
    with pytest.warns(UserWarning, match="num_layers > 1"):
        gated.LSTM(4, 5, dropout=0.5)


def test_flatten_parameters_may_be_called():
    layer = gated.LSTM(4, 5)
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    layer.flatten_parameters()
    assert all(torch.equal(v, before[k]) for k, v in layer.state_dict().items())


def test_the_printed_layer_names_its_options():
    text = repr(gated.LSTM(4, 5, num_layers=2, bidirectional=True))
    assert "lstm, 4, 5, num_layers=2, bidirectional=True" in text


def test_the_printed_layer_names_maps_merges_and_regularisers():
    cell = gated.zoneout("lstm", h=0.1)
    layer = gated.Recurrent(
        cell, 4, 6, 2, bidirectional=True, merge="sum", residual=True, proj_size=2,
        maps=gated.Heads(2),
    )  # fmt: skip
    for words in ("P=2", "zoneout_h=0.1", "merge='sum'", "residual=True", "Heads(count=2)"):
        assert words in repr(layer)


@pytest.mark.parametrize(
    "options",
    [
        {"bidirectional": True, "merge": "sum"}, {"num_layers": 3, "residual": True},
        {"maps": gated.Heads(5)}, {"proj_size": 2},
    ],
    ids=str,
)  # fmt: skip
def test_layers_with_options_of_ours_export_too(options):
    layer, x = gated.LSTM(4, 5, **options), torch.randn(6, 2, 4)
    expected, (h, _) = layer(x)
    output, (h_exported, _) = torch.export.export(layer, (x,)).module()(x)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(h_exported, h)


def test_layers_export_and_trace_where_those_of_torch_nn_do():
    layer, x = gated.LSTM(4, 5, batch_first=True), torch.randn(2, 6, 4)
    expected, (h, _) = layer(x)
    output, (h_exported, _) = torch.export.export(layer, (x,)).module()(x)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(h_exported, h)


def test_all_errors_are_of_one_family():
    with pytest.raises(GatedError):
        gated.LSTM(4, 0)


@pytest.mark.parametrize("layer", [gated.LSTM(3, 4), gated.GRU(3, 4), gated.RNN(3, 4)], ids=str)
def test_vmap_runs_where_torch_has_no_rule_for_its_operators(layer):
    x = torch.randn(5, 2, 3)
    each = torch.vmap(lambda row: layer(row)[0], in_dims=1, out_dims=1)(x)
    torch.testing.assert_close(each, layer(x)[0])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("LSTM", {"num_layers": 2, "bidirectional": True}),
        ("LSTM", {"proj_size": 2, "bias": False}),
        ("GRU", {"num_layers": 2}),
        ("RNN", {"nonlinearity": "relu"}),
    ],
)
def test_a_layer_that_moves_to_a_gpu_asks_cudnn_what_torch_nn_asks(name, options, monkeypatch):
    asked = []

    def flattened(weights, *settings):
        asked.append(([tuple(weight.shape) for weight in weights], settings))

    library = importlib.import_module("torch.backends.cudnn.rnn")
    monkeypatch.setattr(nn.Parameter, "is_cuda", property(lambda self: True), raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "is_acceptable", lambda tensor: True)
    monkeypatch.setattr(torch, "_use_cudnn_rnn_flatten_weight", lambda: True)
    monkeypatch.setattr(torch, "_cudnn_rnn_flatten_weight", flattened)
    monkeypatch.setattr(library, "get_cudnn_mode", lambda mode: mode)
    for package in (nn, gated):
        getattr(package, name)(3, 4, **options).double()
    built, moved, *ours = asked
    assert [built, moved] == ours
    assert len(asked) == 4


def test_weights_that_cudnn_cannot_take_stay_where_they_are(monkeypatch):
    peephole, whole = gated.Recurrent("peephole", 3, 4), gated.Recurrent("lstmp", 3, 4, P=4)
    shared = gated.LSTM(4, 4)
    shared.weight_hh_l0 = shared.weight_ih_l0
    library = importlib.import_module("torch.backends.cudnn.rnn")
    monkeypatch.setattr(library, "get_cudnn_mode", lambda mode: mode)
    monkeypatch.setattr(torch.backends.cudnn, "is_acceptable", lambda tensor: True)
    monkeypatch.setattr(torch, "_use_cudnn_rnn_flatten_weight", lambda: True)
    monkeypatch.setattr(torch, "_cudnn_rnn_flatten_weight", lambda *_: pytest.fail("asked"))
    for layer in (peephole, whole, shared):
        layer.flatten_parameters()
