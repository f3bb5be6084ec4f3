"""The node test cases that ONNX itself carries for LSTM, GRU and RNN, on our layers."""

import importlib

import numpy as np
import onnx_layers
import pytest
from onnx import numpy_helper
from onnx.backend.test.case import node as nodes
from onnx.backend.test.case.test_case import TestCase as Case

NAMES = (
    "test_lstm_defaults", "test_lstm_with_initial_bias", "test_lstm_with_peepholes",
    "test_lstm_batchwise", "test_lstm_reverse", "test_lstm_bidirectional",
    "test_gru_defaults", "test_gru_with_initial_bias", "test_gru_seq_length",
    "test_gru_batchwise", "test_gru_reverse", "test_gru_bidirectional",
    "test_simple_rnn_defaults", "test_simple_rnn_with_initial_bias", "test_rnn_seq_length",
    "test_simple_rnn_batchwise", "test_simple_rnn_reverse", "test_simple_rnn_bidirectional",
)  # fmt: skip


@pytest.fixture(scope="session")
def onnx_cases() -> dict[str, Case]:
    """ONNX's recurrent cases by name, of its modules of these operators alone: those of all
    operators take seconds to compute."""
    for name in ("lstm", "gru", "rnn"):
        importlib.import_module(f"{nodes.__name__}.{name}")
    return {case.name: case for case in nodes._NodeTestCases}


def test_all_18_recurrent_cases_of_onnx_are_run(onnx_cases: dict[str, Case]):
    assert len(NAMES) == 18
    assert set(onnx_cases) == {*NAMES}


@pytest.mark.parametrize("engine", ["auto", "reference"])
@pytest.mark.parametrize("name", NAMES)
def test_a_node_case_gives_its_stored_outputs(
    onnx_cases: dict[str, Case], name: str, engine: str
):  # fmt: skip
    case = onnx_cases[name]
    (node,) = case.model.graph.node
    roles = onnx_layers.INPUTS[node.op_type]
    names = [role for role, used in zip(roles, node.input, strict=False) if used]
    wanted = [role for role, used in zip(("Y", "Y_h", "Y_c"), node.output, strict=False) if used]
    ((inputs, outputs),) = case.data_sets
    found = onnx_layers.run(node, dict(zip(names, map(_array, inputs), strict=True)), engine)
    for role, expected in zip(wanted, map(_array, outputs), strict=True):
        onnx_layers.assert_near(found[role], expected, role)


def _array(value) -> np.ndarray:
    """A stored value, kept as an array or as a tensor of ONNX."""
    return value if isinstance(value, np.ndarray) else numpy_helper.to_array(value)
