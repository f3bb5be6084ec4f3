"""PyTorch's own module tests of LSTM, GRU and RNN, run on ours: building and calling.

Each test goes over every input in PyTorch's table, 80 of them. What differs on purpose: the wording
of errors (`OURS`) and of the printed module. Not here: test_multiple_device_transfer and
test_cpu_gpu_parity, which need a GPU, and test_check_inplace, which is for modules with an option
`inplace`.
"""

from __future__ import annotations

import hypothesis
import module_cases
import pytest
import torch
from module_cases import (
    NAMES,
    assert_near,
    assert_same,
    built,
    call,
    each,
    every_engine,
    every_mode,
    every_name,
    every_type,
    tensors,
)  # fmt: skip
from torch import nn

import gated
from gated.errors import GatedError


def test_the_table_has_all_three_in_both_types_and_modes():
    infos = module_cases.infos()
    assert set(infos) == {*NAMES}
    for info in infos.values():
        assert set(info.dtypes) == {torch.float32, torch.float64}
        assert info.train_and_eval_differ
        assert info.supports_gradgrad


def test_reading_the_table_leaves_the_other_tests_alone():
    module_cases.infos()
    assert hypothesis.settings.get_current_profile_name() == "gated"
    assert not torch.backends.flags_frozen()
    assert torch._C.ScriptFunction.__call__.__name__ == "__call__"  # not PyTorch's wrapper


@every_name
@every_mode
@every_type
@every_engine
def test_forward(name: str, training: bool, dtype: torch.dtype, engine: str):
    """Outputs are those of the table's reference, and of torch.nn on the same state dict."""
    for module, case in each(name, training, dtype, engine=engine):
        output = call(module, case)
        expected = case.reference_fn(module, *case.forward_input.args, **case.forward_input.kwargs)
        assert_near(output, expected, dtype)
        theirs = built(name, case, nn, dtype=dtype).train(training)
        theirs.load_state_dict(module.state_dict(), strict=True)
        assert_near(output, call(theirs, case), dtype)
        assert all(value.dtype == dtype for value in tensors(output))


@every_name
@every_mode
@every_type
def test_forward_again(name: str, training: bool, dtype: torch.dtype):
    """A second call gives the same bits, also after a conversion to the type that it has."""
    convert = {torch.float32: nn.Module.float, torch.float64: nn.Module.double}[dtype]
    for module, case in each(name, training, dtype):
        first = call(module, case)
        assert_same(call(module, case), first)
        convert(module)
        assert_same(call(module, case), first)
        assert {p.dtype for p in module.parameters()} == {dtype}
        assert {p.device.type for p in module.parameters()} == {"cpu"}


@every_name
@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_factory_kwargs(name: str, device: str, dtype: torch.dtype):
    """The constructor's device and dtype are those of every parameter; there are no buffers."""
    for case in module_cases.inputs(name, training=True):
        module = built(name, case, device=device, dtype=dtype)
        assert {(p.device.type, p.dtype) for p in module.parameters()} == {(device, dtype)}
        assert not list(module.buffers())


@every_name
@every_mode
def test_device_ctx_init(name: str, training: bool):
    """Built under the device "meta", the parameters are there and differ in nothing else."""
    for case in module_cases.inputs(name, training):
        ours = dict(built(name, case).named_parameters())
        with torch.device("meta"):
            meta = dict(built(name, case).named_parameters())
        assert ours.keys() == meta.keys()
        for key, value in meta.items():
            assert value.is_meta
            assert type(value) is type(ours[key]) is nn.Parameter
            for fact in ("shape", "dtype", "requires_grad", "is_leaf", "layout"):
                assert getattr(value, fact) == getattr(ours[key], fact), fact
            assert value.stride() == ours[key].stride()


@every_name
@every_mode
def test_forward_on_meta_gives_the_shapes(name: str, training: bool):
    """Beyond PyTorch's tests: without values, a call still says what comes out."""
    for module, case in each(name, training, torch.float32):
        expected = [(v.shape, v.dtype) for v in tensors(call(module, case))]
        module.to("meta")
        case.forward_input.args = module_cases.mapped(
            lambda value: value.to("meta"), case.forward_input.args
        )
        found = tensors(call(module, case))
        assert all(value.is_meta for value in found)
        assert [(value.shape, value.dtype) for value in found] == expected


@every_name
@every_mode
@every_type
def test_repr(name: str, training: bool, dtype: torch.dtype):
    """str and repr name the class, the sizes and whatever is not the default."""
    for module, case in each(name, training, dtype):
        text, options = repr(module), case.constructor_input.kwargs
        assert text == str(module)
        assert text.startswith(f"{name}(")
        assert f"{options['input_size']}, {options['hidden_size']}" in text
        for key, usual in (("num_layers", 1), ("bias", True), ("bidirectional", False)):
            assert (f"{key}={options[key]}" in text) == (options[key] != usual)


@every_name
def test_if_train_and_eval_modes_differ(name: str):
    """As the table says, a call asks for the mode."""
    for module, case in each(name, True, torch.float32):
        del module.training
        with pytest.raises(AttributeError, match="'training'"):
            call(module, case)


# what PyTorch's message of each erroneous input must match, and what ours must
OURS = {
    "hidden_size must be greater than zero": "hidden_size is 0, expected at least 1",
    "num_layers must be greater than zero": "num_layers is 0, expected at least 1",
    "input_size must be greater than zero": r"input_size is (0|-1), expected at least 1",
    "bias should be of type bool, got: int": r"bias is [01] \(int\), expected True or False",
    "bias should be of type bool, got: str": r"bias is 'True' \(str\), expected True or False",
    "batch_first should be of type bool, got: int":
        r"batch_first is [01] \(int\), expected True or False",
    "batch_first should be of type bool, got: str":
        r"batch_first is 'False' \(str\), expected True or False",
    "input_size should be of type int, got: float":
        r"input_size is 3\.0 \(float\), expected an integer",
    "input_size should be of type int, got: str":
        r"input_size is '10' \(str\), expected an integer",
    "hidden_size should be of type int, got: float":
        r"hidden_size is 5\.0 \(float\), expected an integer",
    r"RNN input dtype .* does not match weight dtype .* "
    r"Convert input: input\.to\(.*\), or convert model: model\.to\(.*\)":
        r"x has dtype torch\.float(32|64), the weights have torch\.float(64|32); convert .*\.to\(",
}  # fmt: skip


@every_name
@every_mode
@every_type
def test_errors(name: str, training: bool, dtype: torch.dtype):
    """What PyTorch refuses is refused with the same type of error, saying what was got."""
    info = module_cases.infos()[name]
    errors = info.module_error_inputs_func(
        info, device="cpu", dtype=dtype, requires_grad=False, training=training
    )
    assert len(errors) == module_cases.ERRORS
    for error in errors:
        case = error.module_error_input
        at_call = error.error_on.name == "FORWARD_ERROR"
        module = built(name, case) if at_call else None
        with pytest.raises(error.error_type, match=OURS[error.error_regex]) as caught:
            _ = call(module, case) if at_call else built(name, case)
        assert isinstance(caught.value, GatedError)


def test_the_modules_are_ours():
    for name in NAMES:
        module = built(name, module_cases.inputs(name, training=True)[0])
        assert isinstance(module, gated.Recurrent)
        assert not isinstance(module, nn.RNNBase)
