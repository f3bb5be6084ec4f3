"""Our layers against onnxruntime's LSTM, GRU and RNN on random weights, each number its own.

ONNX's own cases have constant weights, so that the order of gates goes unseen there.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_layers
import onnxruntime
import pytest
from onnx import TensorProto, helper

T, B, D, H = 6, 4, 3, 5
RAGGED = (6, 2, 4, 1)
IDENTITY = {"activation_alpha": [1.0], "activation_beta": [0.0]}  # of the function Affine

# the node that has a cell's equations: its operator, its attributes, whether it has peepholes, and
# the gates that our cell lacks, which in the node stand open at sigmoid(40) = 1 (in float32)
NODES: dict[str, tuple[str, dict[str, Any], bool, str]] = {
    "lstm": ("LSTM", {}, False, ""),
    "lstm-1997": ("LSTM", {}, False, "f"),
    "np": ("LSTM", {}, False, ""),
    "peephole": ("LSTM", {}, True, ""),
    "nig": ("LSTM", {}, True, "i"),
    "nfg": ("LSTM", {}, True, "f"),
    "nog": ("LSTM", {}, True, "o"),
    "niaf": ("LSTM", {"activations": ["Sigmoid", "Affine", "Tanh"], **IDENTITY}, True, ""),
    "noaf": ("LSTM", {"activations": ["Sigmoid", "Tanh", "Affine"], **IDENTITY}, True, ""),
    "cifg": ("LSTM", {"input_forget": 1}, True, ""),
    "cifg without peepholes": ("LSTM", {"input_forget": 1}, False, ""),
    "gru": ("GRU", {"linear_before_reset": 1}, False, ""),
    "gru-reset-before": ("GRU", {"linear_before_reset": 0}, False, ""),
    "rnn": ("RNN", {}, False, ""),
    "rnn-relu": ("RNN", {"activations": ["Relu"]}, False, ""),
}
CHOSEN_BY_THE_NODE = ("lstm-1997", "np", "nig", "nfg", "nog")


@dataclass(frozen=True)
class Case:
    """A node and how it is called."""

    name: str
    direction: str
    lengths: tuple[int, ...] | None
    bias: bool
    given: bool  # whether initial states are given

    def __str__(self) -> str:
        words = [self.name, self.direction, "ragged" if self.lengths else "full"]
        return "-".join(words + [flag for flag in ("bias", "given") if getattr(self, flag)])

    def node(self) -> onnx.NodeProto:
        """The node of ONNX."""
        op, options, _, _ = NODES[self.name]
        directions = 2 if self.direction == "bidirectional" else 1
        options = {k: v * directions if isinstance(v, list) else v for k, v in options.items()}
        roles, given = onnx_layers.INPUTS[op], self.inputs()
        return helper.make_node(
            op,
            [role if role in given else "" for role in roles],
            onnx_layers.OUTPUTS[op],
            hidden_size=H,
            direction=self.direction,
            **options,
        )

    def inputs(self) -> dict[str, np.ndarray]:
        """Seeded random inputs and weights, no two alike."""
        op, _, peepholes, open_gates = NODES[self.name]
        draw = np.random.default_rng(7)
        directions = 2 if self.direction == "bidirectional" else 1
        rows = len(onnx_layers.THEIR_GATES[op]) * H

        def normal(*shape: int) -> np.ndarray:
            return draw.normal(size=shape, scale=0.3).astype(np.float32)

        found = {
            "X": normal(T, B, D),
            "W": normal(directions, rows, D),
            "R": normal(directions, rows, H),
        }
        if self.bias or open_gates:
            found["B"] = normal(directions, 2 * rows)
        if self.lengths:
            found["sequence_lens"] = np.array(self.lengths, np.int32)
        if self.given:
            found["initial_h"] = normal(directions, B, H)
            if op == "LSTM":
                found["initial_c"] = normal(directions, B, H)
        if peepholes:
            found["P"] = normal(directions, 3 * H)
        for gate in open_gates:
            _open(found, gate)
        return found


def _open(found: dict[str, np.ndarray], gate: str) -> None:
    """Set an LSTM's gate to 1, whatever comes in."""
    start = onnx_layers.THEIR_GATES["LSTM"].index(gate) * H
    for name in "WR":
        found[name][:, start : start + H] = 0
    found["B"].reshape(-1, 2, 4 * H)[:, :, start : start + H] = 20  # twice: there are two biases
    if "P" in found:
        start = onnx_layers.THEIR_PEEPHOLES.index(gate) * H
        found["P"][:, start : start + H] = 0


def theirs(node: onnx.NodeProto, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What onnxruntime computes for the node."""
    inputs = [
        helper.make_tensor_value_info(
            name, TensorProto.INT32 if name == "sequence_lens" else TensorProto.FLOAT, value.shape
        )
        for name, value in given.items()
    ]
    axes = {"Y": ("T", "S", "B", "H"), "Y_h": ("S", "B", "H"), "Y_c": ("S", "B", "H")}
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, axes[n]) for n in node.output]
    graph = helper.make_graph([node], "one node", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return dict(zip(node.output, session.run(None, given), strict=True))


def ours(case: Case, engine: str = "auto") -> dict[str, Any]:
    """What our layer computes for the node."""
    cell = case.name if case.name in CHOSEN_BY_THE_NODE else None
    return onnx_layers.run(case.node(), case.inputs(), engine, cell)


CASES = [
    Case(*axes)
    for axes in itertools.product(
        NODES, ("forward", "reverse", "bidirectional"), (None, RAGGED), (True, False), (True, False)
    )
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_outputs_and_states_are_those_of_onnxruntime(case: Case):
    found, expected = ours(case), theirs(case.node(), case.inputs())
    assert found.keys() == expected.keys()
    for role, value in expected.items():
        onnx_layers.assert_near(found[role], value, role)


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn", "rnn-relu"])
def test_the_reference_engine_too_computes_what_onnxruntime_does(name: str):
    case = Case(name, "bidirectional", RAGGED, bias=True, given=True)
    found = ours(case, "reference")
    for role, value in theirs(case.node(), case.inputs()).items():
        onnx_layers.assert_near(found[role], value, role)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("name", NODES)
def test_a_row_of_length_0_ends_in_its_initial_state_where_onnxruntime_gives_0(
    name: str, direction: str
):
    case = Case(name, direction, (6, 0, 4, 1), bias=True, given=True)
    given, found = case.inputs(), ours(case)
    others = [0, 2, 3]
    for role, value in theirs(case.node(), given).items():
        # the rows are the axis before the last in all outputs
        onnx_layers.assert_near(found[role][..., others, :], value[..., others, :], role)
        assert not value[..., 1, :].any(), f"onnxruntime's {role} of an empty row"
        if role == "Y":
            assert not found[role][..., 1, :].any()
        else:
            onnx_layers.assert_near(found[role][:, 1], given[f"initial_{role[-1]}"][:, 1], role)
