"""PyTorch's own module tests of LSTM, GRU and RNN, run on ours: gradients and layouts in memory.

Each test goes over every input in PyTorch's table, 80 of them, on the engine that is chosen and on
the reference.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from module_cases import (
    assert_near,
    assert_same,
    built,
    each,
    every_engine,
    every_name,
    every_type,
    mapped,
    tensors,
)  # fmt: skip
from torch import Tensor, nn
from torch.autograd import grad, gradcheck, gradgradcheck
from torch.func import functional_call

# the mode changes nothing in a module without dropout, so one does for each engine
every_run = pytest.mark.parametrize(
    ("engine", "training"),
    [("auto", True), ("reference", False)],
    ids=["auto-train", "reference-eval"],
)
# of both orders; PyTorch allows 1e-3 and 1e-5
LIMITS = {"rtol": 1e-5, "atol": 1e-7, "fast_mode": True}


def _gradients(outputs: Any, wanted: Sequence[Tensor], weights: Any) -> tuple[Tensor, ...]:
    return grad(tensors(outputs), wanted, tensors(weights))


def _twisted(value: Tensor) -> Tensor:
    """The same numbers, every other one in a longer memory."""
    found = value.detach().repeat_interleave(2, dim=-1)[..., ::2]
    assert not found.is_contiguous()
    return found.requires_grad_(value.requires_grad)


@every_name
@every_run
@every_type
def test_non_contiguous_tensors(name: str, training: bool, dtype: torch.dtype, engine: str):
    """Inputs and gradients of outputs may lie anyhow in memory."""
    for module, case in each(name, training, dtype, requires_grad=True, engine=engine):
        args, weights = case.forward_input.args, list(module.parameters())
        output = module(*args)
        given = mapped(torch.randn_like, output)
        expected = _gradients(output, tensors(args) + weights, given)
        ways = itertools.product((args, mapped(_twisted, args)), (given, mapped(_twisted, given)))
        for own, incoming in list(ways)[1:]:
            again = module(*own)
            assert_same(again, output)
            assert_near(_gradients(again, tensors(own) + weights, incoming), expected, dtype)


@every_name
@every_run
@every_type
def test_memory_format(name: str, training: bool, dtype: torch.dtype, engine: str):
    """Outputs and gradients are contiguous, whichever format is asked of the module."""
    for module, case in each(name, training, dtype, requires_grad=True, engine=engine):
        args = case.forward_input.args
        first = module(*args)
        for form in (torch.preserve_format, torch.contiguous_format):
            module.to(memory_format=form)
            output = module(*args)
            assert_same(output, first)
            wanted = tensors(args) + list(module.parameters())
            found = grad(sum(value.sum() for value in tensors(output)), wanted)
            assert all(value.is_contiguous() for value in (*tensors(output), *found))


def _as_function(module: nn.Module, args: Any) -> tuple[Callable[..., list[Tensor]], list[Tensor]]:
    """A call as a function of all its inputs and parameters, and these."""
    parameters = dict(module.named_parameters())

    def function(*values: Tensor) -> list[Tensor]:
        given = iter(values)
        own = mapped(lambda _: next(given), args)
        return tensors(functional_call(module, dict(zip(parameters, given, strict=True)), own))

    return function, tensors(args) + list(parameters.values())


@every_name
@every_run
def test_grad(name: str, training: bool, engine: str):
    """Gradients of outputs and states by every input and parameter are those by differences."""
    for module, case in each(name, training, torch.float64, requires_grad=True, engine=engine):
        assert gradcheck(*_as_function(module, case.forward_input.args), **LIMITS)


@every_name
def test_gradgrad(name: str):
    """So are gradients of gradients."""
    for module, case in each(name, True, torch.float64, requires_grad=True):
        call = _as_function(module, case.forward_input.args)
        assert gradgradcheck(*call, check_undefined_grad=False, **LIMITS)


@every_name
@every_engine
def test_grad_and_gradgrad_of_one_parameter(name: str, engine: str):
    """A parameter that alone asks for a gradient gets the one that torch.nn's gets among others."""
    for module, case in each(name, True, torch.float64, requires_grad=True, engine=engine):
        args, theirs = case.forward_input.args, built(name, case, nn, dtype=torch.float64)
        theirs.load_state_dict(module.state_dict())
        expected = _two_orders(theirs, args, list(theirs.parameters()))
        module.requires_grad_(False)
        for parameter, both in zip(module.parameters(), expected, strict=True):
            parameter.requires_grad_(True)
            assert_near(_two_orders(module, args, [parameter]), both, torch.float64)
            parameter.requires_grad_(False)


def _two_orders(
    module: nn.Module, args: Any, parameters: list[Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """For each parameter, the gradient of the outputs, and that of its own squared norm."""
    output = tensors(module(*args))
    total = sum((value.sin() * (k + 1)).sum() for k, value in enumerate(output))
    first = grad(total, parameters, create_graph=True)
    second = [
        grad(own.square().sum(), parameter, retain_graph=True)[0]
        for own, parameter in zip(first, parameters, strict=True)
    ]
    return list(zip(first, second, strict=True))
