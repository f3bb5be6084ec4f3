"""onnxruntime, inference alone: one LSTM node with the layer's weights as constants."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bench.cpu.problem import Data
from bench.cpu.sides import NotSupportedError, Results, Side

# where ONNX's gates i, o, f, c stand among ours
_ORDER = (0, 3, 1, 2)


def onnxruntime(data: Data) -> Side:
    """A session on as many threads as PyTorch has."""
    asked = data.problem
    if asked.cell != "lstm" or asked.learns or data.lengths is not None:
        raise NotSupportedError("here only for the LSTM's inference")
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise NotSupportedError(str(error)) from None
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(_model(data), options, providers=["CPUExecutionProvider"])
    steps = data.x.unsqueeze(0) if asked.mode == "step" else data.x
    zero = torch.zeros(asked.batch, asked.size)
    h, c = data.initial if asked.mode == "step" else (zero, zero)
    feed = {"X": steps.numpy(), "h": h.unsqueeze(0).numpy(), "c": c.unsqueeze(0).numpy()}
    wanted = ["h_n", "c_n"] if asked.mode == "step" else ["Y"]

    def run() -> Results:
        return [_laid_out(value, asked.mode) for value in session.run(wanted, feed)]

    return run


def _laid_out(value: np.ndarray, mode: str) -> Tensor:
    """ONNX's output (T, S, B, H) without the axis of directions, its states as they are."""
    found = torch.from_numpy(value)
    return found if mode == "step" else found[:, 0]


def _model(data: Data) -> bytes:
    """The file of one LSTM node."""
    from onnx import TensorProto, helper, numpy_helper

    def reordered(name: str) -> np.ndarray:
        gates = data.state[name].chunk(4)
        return torch.cat([gates[k] for k in _ORDER]).unsqueeze(0).numpy()

    biases = [reordered("bias_ih_l0"), reordered("bias_hh_l0")]
    constants = {
        "W": reordered("weight_ih_l0"),
        "R": reordered("weight_hh_l0"),
        "B": np.concatenate(biases, 1),
    }
    node = helper.make_node(
        "LSTM", ["X", "W", "R", "B", "", "h", "c"], ["Y", "h_n", "c_n"],
        hidden_size=data.problem.size,
    )  # fmt: skip
    shapes = {name: [None] * 3 for name in ("X", "h", "c", "h_n", "c_n")} | {"Y": [None] * 4}
    info = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    }
    graph = helper.make_graph(
        [node], "lstm", [info[n] for n in "Xhc"], [info[n] for n in ("Y", "h_n", "c_n")],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString()
