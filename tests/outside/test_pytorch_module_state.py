"""PyTorch's own module tests of LSTM, GRU and RNN, run on ours: copies, conversions, state dicts.

Each test goes over every input in PyTorch's table, 80 of them.
"""

from __future__ import annotations

import copy
import io

import module_cases
import pytest
import torch
from module_cases import (
    assert_near,
    assert_same,
    built,
    call,
    each,
    every_mode,
    every_name,
    every_type,
    tensors,
)  # fmt: skip
from torch import nn


def _saved(module: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@every_name
@every_mode
@every_type
@pytest.mark.parametrize("duplicate", [_saved, copy.deepcopy], ids=["torch.save", "deepcopy"])
def test_pickle(name: str, training: bool, dtype: torch.dtype, duplicate):
    """A saved module, and a copy, gives the same bits, in the same mode, from its own memory."""
    for module, case in each(name, training, dtype):
        twin = duplicate(module)
        assert twin.training == training
        assert_same(call(twin, case), call(module, case))
        own = {p.data_ptr() for p in module.parameters()}
        assert own.isdisjoint(p.data_ptr() for p in twin.parameters())


@every_name
@every_mode
@every_type
def test_a_saved_state_dict_is_loaded_without_pickle(name: str, training: bool, dtype: torch.dtype):
    """Weights alone go through a file into a module that was drawn anew."""
    for module, case in each(name, training, dtype):
        file = io.BytesIO()
        torch.save(module.state_dict(), file)
        file.seek(0)
        other = built(name, case, dtype=dtype).train(training)
        other.load_state_dict(torch.load(file, weights_only=True), strict=True)
        assert_same(call(other, case), call(module, case))


@pytest.fixture(params=[False, True], ids=["set", "swap"])
def swap(request: pytest.FixtureRequest):
    """Whether a conversion swaps what parameters hold rather than setting it."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(request.param)
    yield request.param
    torch.__future__.set_swap_module_params_on_conversion(before)


@every_name
@every_mode
@pytest.mark.parametrize("with_gradients", [False, True], ids=["", "gradients"])
def test_to(name: str, training: bool, swap: bool, with_gradients: bool):
    """Conversions keep the parameters the objects that they are, and the module runs after each."""
    for module, case in each(name, training, torch.float32):
        if with_gradients:
            sum(value.sum() for value in tensors(call(module, case))).backward()
            before = {key: p.grad.clone() for key, p in module.named_parameters()}
        parameters = dict(module.named_parameters())
        for dtype in (torch.half, torch.float32, torch.float64, torch.bfloat16, torch.float64):
            module.to(dtype=dtype)
            assert all(p is parameters[key] for key, p in module.named_parameters())
            assert {p.dtype for p in module.parameters()} == {dtype}
            own = module_cases.mapped(lambda v, d=dtype: v.to(d), case.forward_input.args)
            assert {value.dtype for value in tensors(module(*own))} == {dtype}
            if with_gradients:
                assert {p.grad.dtype for p in module.parameters()} == {dtype}
        if with_gradients:
            for key, p in module.named_parameters():
                torch.testing.assert_close(p.grad.float(), before[key], rtol=0.005, atol=1e-6)


@every_name
@every_mode
def test_to_empty(name: str, training: bool, swap: bool):
    """A module built without values gets memory, and runs once it is filled."""
    for case in module_cases.inputs(name, training):
        with torch.device("meta"):
            module = built(name, case).train(training)
        before = dict(module.named_parameters())
        module.to_empty(device="cpu")
        for key, value in module.named_parameters():
            assert isinstance(value, nn.Parameter)
            assert (value.device.type, value.dtype) == ("cpu", torch.float32)
            assert (value is before[key]) == swap
        source = built(name, case).train(training)
        module.load_state_dict(source.state_dict())
        assert_same(call(module, case), call(source, case))


@every_name
def test_state_dict_hooks(name: str):
    """Hooks of PyTorch's kinds run when weights are taken and loaded, in a parent as well."""
    for module, case in each(name, True, torch.float32):
        heard: list[str] = []
        parent = nn.ModuleDict({"layer": module})
        module.register_state_dict_pre_hook(lambda *_, heard=heard: heard.append("before taking"))
        module.register_state_dict_post_hook(lambda *_, heard=heard: heard.append("after taking"))
        module.register_load_state_dict_pre_hook(
            lambda *_, heard=heard: heard.append("before loading")
        )
        module.register_load_state_dict_post_hook(
            lambda *_, heard=heard: heard.append("after loading")
        )
        state = parent.state_dict()
        assert list(state) == [f"layer.{key}" for key in built(name, case, nn).state_dict()]
        parent.load_state_dict(state, strict=True)
        assert heard == ["before taking", "after taking", "before loading", "after loading"]
        with pytest.raises(RuntimeError, match=r"Missing key.*layer\.weight_ih_l0"):
            parent.load_state_dict({k: v for k, v in state.items() if "ih_l0" not in k})


@every_name
@every_mode
@every_type
def test_parametrized_weights(name: str, training: bool, dtype: torch.dtype):
    """A weight that is computed at each call is used; what it is computed from has a gradient."""
    for module, case in each(name, training, dtype):
        theirs = built(name, case, nn, dtype=dtype).train(training)
        theirs.load_state_dict(module.state_dict())
        for each_module in (module, theirs):
            nn.utils.parametrize.register_parametrization(each_module, "weight_hh_l0", _Twice())
        assert_near(call(module, case), call(theirs, case), dtype)
        gradients = []
        for each_module in (module, theirs):
            original = each_module.parametrizations.weight_hh_l0.original
            total = sum(value.sum() for value in tensors(call(each_module, case)))
            gradients += torch.autograd.grad(total, original)
        assert_near(*gradients, dtype)


class _Twice(nn.Module):
    def forward(self, weight):
        return 2 * weight
