"""PyTorch's own descriptions of LSTM, GRU and RNN (ModuleInfo), with our class in their place.

PyTorch tests its modules from a table: how to build each, what to call it with, what it must equal,
what it must refuse. test_modules.py in PyTorch's sources says what is checked of each; that file is
not in the wheel, so the checks are written anew here, each under the name that it has there.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from unittest.mock import patch

import hypothesis
import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

import gated

NAMES = ("LSTM", "GRU", "RNN")
MODES = {"train": True, "eval": False}
# the number of inputs, and of erroneous inputs, in the table: should PyTorch change it, we hear
COUNTS = {"LSTM": 32, "GRU": 16, "RNN": 32}
ERRORS = 14

every_name = pytest.mark.parametrize("name", NAMES)
every_mode = pytest.mark.parametrize("training", MODES.values(), ids=MODES)
every_type = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
every_engine = pytest.mark.parametrize("engine", ["auto", "reference"])
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


@cache
def infos() -> dict[str, Any]:
    """The entries of PyTorch's table by the name of the class.

    Importing it loads a profile of Hypothesis, freezes global flags and wraps TorchScript's calls:
    the other tests must not feel that.
    """
    profile = hypothesis.settings.get_current_profile_name()
    script = torch._C.ScriptFunction, torch._C.ScriptMethod
    calls = [cls.__call__ for cls in script]
    with patch.object(torch.backends, "disable_global_flags"):
        table = importlib.import_module("torch.testing._internal.common_modules")
    hypothesis.settings.load_profile(profile)
    for cls, own in zip(script, calls, strict=True):
        cls.__call__ = own
    classes = {getattr(nn, name): name for name in NAMES}
    return {classes[i.module_cls]: i for i in table.module_db if i.module_cls in classes}


def inputs(
    name: str,
    training: bool,
    dtype: torch.dtype = torch.float32,
    device: str | None = "cpu",
    *,
    requires_grad: bool = False,
) -> list[Any]:
    """The table's inputs for a module, all of which can be called."""
    info = infos()[name]
    found = info.module_inputs_func(
        info, device=device, dtype=dtype, requires_grad=requires_grad, training=training
    )
    assert len(found) == COUNTS[name]
    assert all(case.forward_input is not None for case in found)
    return found


def built(name: str, case: Any, where: Any = gated, **options: Any) -> nn.Module:
    """The module that the table asks for, of our class unless said otherwise."""
    own = case.constructor_input
    return getattr(where, name)(*own.args, **own.kwargs, **options)


def each(
    name: str, training: bool, dtype: torch.dtype, *, requires_grad: bool = False, **options: Any
) -> Iterator[tuple[nn.Module, Any]]:
    """For each of the table's inputs, our module in its type and mode, and the input."""
    for case in inputs(name, training, dtype, requires_grad=requires_grad):
        yield built(name, case, **options).to("cpu").to(dtype).train(training), case


def call(module: nn.Module, case: Any) -> Any:
    """The table's call of a module."""
    return module(*case.forward_input.args, **case.forward_input.kwargs)


def tensors(values: Any) -> list[Tensor]:
    """The tensors in nested tuples."""
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def mapped(function: Callable[[Tensor], Tensor], values: Any) -> Any:
    """Nested tuples with a function applied to each tensor."""
    return tree_map(lambda v: function(v) if isinstance(v, Tensor) else v, values)


def assert_near(found: Any, expected: Any, dtype: torch.dtype) -> None:
    """Equal to the house's tolerance, relative to values above 1; inputs go up to 9 here."""
    found, expected = tensors(found), tensors(expected)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        scale = max(1.0, float(theirs.detach().abs().max()))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE[dtype] * scale)


def assert_same(found: Any, expected: Any) -> None:
    """Equal in every bit."""
    torch.testing.assert_close(tensors(found), tensors(expected), rtol=0, atol=0)
