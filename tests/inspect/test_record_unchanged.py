"""Under `gated.record` a model does what it does without it."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import gated
from gated.errors import EngineError, OptionError, ShapeError

B, T, D, H = 3, 6, 4, 5


def hooks(layer):
    return [*layer._forward_hooks, *layer._forward_pre_hooks]


@pytest.mark.parametrize("training", [True, False])
def test_results_gradients_and_random_numbers_are_the_same_bit_for_bit(training):
    cell = gated.zoneout("lstm", h=0.1, c=0.3)
    model = nn.Sequential(gated.Recurrent(cell, D, H, 3, bidirectional=True, dropout=0.5))
    model.train(training)
    x = torch.randn(T, B, D)

    def run():
        torch.manual_seed(0)
        model.zero_grad()
        output, states = model(x)
        output.square().sum().backward()
        grads = [p.grad.clone() for p in model.parameters()]
        return [output.detach(), *states, *grads, torch.get_rng_state()]

    plain = run()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with gated.record(model):
        under = run()
    for one, other in zip(plain, under, strict=True):
        assert torch.equal(one, other)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_an_operator_that_hides_its_gates_is_replaced_and_agrees_to_rounding():
    layer, x = gated.LSTM(D, H), torch.randn(T, B, D)
    assert layer.choice(x).engine == "torch"
    plain, _ = layer(x)
    with gated.record(layer):
        torch.testing.assert_close(layer(x)[0], plain)
    layer.engine = "torch"
    with pytest.raises(EngineError, match="use engine='auto'"), gated.record(layer):
        layer(x)


def test_hooks_are_gone_after_the_block_and_after_an_error_in_it():
    layer, x = gated.LSTM(D, H), torch.randn(T, B, D)
    with gated.record(layer) as recording:
        layer(x)
        assert hooks(layer)
    assert not hooks(layer)
    with pytest.raises(ShapeError), gated.record(layer):
        layer(x[..., :2])
    assert not hooks(layer)
    layer(x)
    assert len(recording["layer"].calls) == 1


def test_an_error_in_a_call_leaves_the_next_call_as_it_is():
    layer, x = gated.LSTM(D, H), torch.randn(T, B, D)
    with gated.record(layer):
        with pytest.raises(ShapeError):
            layer(x[..., :2], trace=True)
        assert len(layer(x)) == 2


def test_one_record_in_another_sees_the_same():
    layer, x = gated.LSTM(D, H), torch.randn(T, B, D)
    with gated.record(layer) as outer:
        with gated.record(layer, ("f",)) as inner:
            assert len(layer(x)) == 2
            assert len(layer(x, trace=True)) == 3
        assert len(layer(x)) == 2
    assert (len(outer["layer"].calls), len(inner["layer"].calls)) == (3, 2)
    for call, same in zip(outer["layer"].calls[:2], inner["layer"].calls, strict=True):
        assert torch.equal(call.values()["f"], same.values()["f"])


def test_a_hook_of_the_user_sees_what_the_caller_sees():
    layer, seen = gated.LSTM(D, H), []
    layer.register_forward_hook(lambda module, args, found: seen.append(len(found)))
    with gated.record(layer):
        layer.register_forward_hook(lambda module, args, found: seen.append(len(found)))
        layer(torch.randn(T, B, D))
    assert seen == [2, 2]


def test_what_is_changed_in_place_afterwards_is_told_not_shown():
    layer, x = gated.LSTM(D, H), torch.randn(T, B, D)
    with gated.record(layer) as recording:
        layer(x)
    assert recording["layer"].calls[0].values()
    x.relu_()
    with pytest.raises(OptionError, match="changed in place"):
        recording["layer"].calls[0].values()


def test_inference_mode_keeps_a_copy_since_it_counts_no_changes():
    layer = gated.LSTM(D, H)
    with torch.inference_mode(), gated.record(layer) as recording:
        x = torch.randn(T, B, D)
        expected = x.transpose(0, 1).clone()
        layer(x)
        x.zero_()
    assert torch.equal(recording["layer"].calls[0].x, expected)


@pytest.mark.parametrize("keep", ["all", "last"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpoint_that_runs_again_on_the_way_back_is_recorded_once(reentrant, keep):
    layer = gated.LSTM(D, H)
    x = torch.randn(T, B, D, requires_grad=True)
    with gated.record(layer, keep=keep, max_memory=T * B * (6 * H + D) * 4) as recording:
        output = checkpoint(lambda x: layer(x)[0], x, use_reentrant=reentrant)
        output.sum().backward()
    assert len(recording["layer"].calls) == 1
    found = layer.weight_hh_l0.grad.clone()
    layer.zero_grad()
    layer(x)[0].sum().backward()
    torch.testing.assert_close(found, layer.weight_hh_l0.grad)


def test_a_compiled_model_runs_as_it_was_written_and_is_compiled_again_after():
    model = nn.Sequential(gated.LSTM(D, H, engine="reference"))
    counted = []

    def backend(graph, inputs):
        def run(*args):
            counted.append(1)
            return graph.forward(*args)

        return run

    compiled = torch.compile(model, backend=backend)
    x = torch.randn(T, B, D)
    plain, _ = compiled(x)
    runs = len(counted)
    with gated.record(compiled) as recording:
        output, _ = compiled(x)
    assert torch.equal(output, plain)
    assert len(recording["0"].calls) == 1
    assert len(counted) == runs
    compiled(x)
    assert len(counted) == 2 * runs


def test_inside_a_transform_there_are_no_values_to_record():
    layer = gated.LSTM(D, H, engine="reference")
    with gated.record(layer):
        with pytest.raises(OptionError, match="inside a transform"):
            torch.func.vmap(lambda x: layer(x)[0])(torch.randn(2, T, D))
        assert len(layer(torch.randn(T, D))) == 2


def test_pytorchs_own_layers_are_named_with_what_to_put_in_their_place():
    model = nn.ModuleDict({"rnn": nn.LSTM(D, H), "head": nn.Linear(H, 1)})
    message = (
        r"ModuleDict has no layer of gated to look into: rnn is a torch\.nn\.LSTM.*load_state_dict"
    )
    with pytest.raises(OptionError, match=message), gated.record(model):
        pass


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(2, 2), r"no layer of gated.*gated\.LSTM"),
        ("model.pt", "model is str, expected a"),
    ],
)
def test_what_has_no_layers_is_refused(model, message):
    with pytest.raises(OptionError, match=message), gated.record(model):
        pass
