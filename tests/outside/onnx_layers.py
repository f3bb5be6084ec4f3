"""A recurrent node of ONNX as a layer of ours: its cell, its weights, its outputs.

Axes: T time, B batch, D input size, H hidden size, S directions, G gates. ONNX stacks the gates of
an LSTM as i, o, f, c, those of a GRU as z, r, h, and the peepholes as i, o, f; ours stand in the
order of the equations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

import gated

Arrays = Mapping[str, np.ndarray]

INPUTS = {
    "LSTM": ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"),
    "GRU": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "RNN": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
}
OUTPUTS = {"LSTM": ("Y", "Y_h", "Y_c"), "GRU": ("Y", "Y_h"), "RNN": ("Y", "Y_h")}
THEIR_GATES = {"LSTM": "iofc", "GRU": "zrh", "RNN": "h"}
THEIR_PEEPHOLES = "iof"
# our gates in the order of our equations, by their names in ONNX
OUR_GATES = {
    "lstm": "ifco", "lstm-1997": "ico", "peephole": "ifco", "np": "ifco",
    "nig": "fco", "nfg": "ico", "nog": "ifc", "niaf": "ifco", "noaf": "ifco", "cifg": "ico",
    "gru": "rzh", "gru-reset-before": "rzh", "rnn": "h", "rnn-relu": "h",
}  # fmt: skip
OUR_PEEPHOLES = {
    "peephole": "ifo", "nig": "fo", "nfg": "io", "nog": "if", "niaf": "ifo", "noaf": "ifo",
    "cifg": "io",
}  # fmt: skip
_WITH_TWO_BIASES = ("lstm", "np", "gru", "rnn", "rnn-relu")  # as torch.nn has them
# Affine is Affine(alpha=1, beta=0): the identity
_LSTM_ACTIVATIONS = {
    ("Sigmoid", "Tanh", "Tanh"): "peephole",
    ("Sigmoid", "Affine", "Tanh"): "niaf",
    ("Sigmoid", "Tanh", "Affine"): "noaf",
}
_DEFAULTS = {
    "LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",),
}  # fmt: skip
_KNOWN = {
    "hidden_size", "direction", "layout", "activations", "activation_alpha", "activation_beta",
    "input_forget", "linear_before_reset",
}  # fmt: skip


def run(
    node: onnx.NodeProto, given: Arrays, engine: str = "auto", cell: str | None = None
) -> dict[str, Tensor]:
    """What our layer computes for a node: Y, Y_h and, of an LSTM, Y_c, in the node's layout.

    Args:
        node: an LSTM, GRU or RNN.
        given: its inputs by the names that ONNX's documentation gives them; those left out absent.
        engine: the layer's.
        cell: one of ours; by default the one that has the node's equations.
    """
    options = attributes(node)
    batchwise = options.get("layout", 0) == 1
    # a node that only runs backwards is the second direction of one that runs both ways
    reverse = options.get("direction", "forward") == "reverse"
    if reverse:
        given = {name: _twice(name, value, batchwise) for name, value in given.items()}
    cell = cell or cell_of(node.op_type, options, given)
    layer = layer_of(node.op_type, cell, options, given, engine)
    states = [
        _turned(torch.from_numpy(given[name].copy()), batchwise)
        for name in ("initial_h", "initial_c")
        if name in given
    ]
    lengths = given.get("sequence_lens")
    with torch.no_grad():
        output, final = layer(
            torch.from_numpy(given["X"].copy()),
            (tuple(states) if len(states) > 1 else states[0]) if states else None,
            lengths=None if lengths is None else torch.from_numpy(lengths.copy()),
        )
    finals = final if isinstance(final, tuple) else (final,)
    output = output.unflatten(-1, (layer.num_directions, -1))
    # ours (T, B, S, H) or batchwise (B, T, S, H), theirs (T, S, B, H) or (B, T, S, H)
    found = [output if batchwise else output.transpose(1, 2)]
    found += [_turned(state, batchwise) for state in finals]
    if reverse:
        state_axis = 1 if batchwise else 0  # of the directions; the output has T before it
        axes = [state_axis + 1] + [state_axis] * len(finals)
        found = [value.narrow(axis, 1, 1) for value, axis in zip(found, axes, strict=True)]
    return dict(zip(OUTPUTS[node.op_type], found, strict=True))


def assert_near(found: Tensor, expected: np.ndarray, what: str) -> None:
    """Equal in shape and type, and to 1e-6 absolute."""
    torch.testing.assert_close(
        found, torch.from_numpy(expected), rtol=0, atol=1e-6, msg=lambda text: f"{what}: {text}"
    )


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes, refused if one of them would be passed over."""
    found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if wrong := found.keys() - _KNOWN:
        raise NotImplementedError(f"{node.op_type} with {sorted(wrong)}")
    texts = {"direction": bytes.decode, "activations": lambda words: [w.decode() for w in words]}
    return {name: texts.get(name, lambda value: value)(value) for name, value in found.items()}


def cell_of(op: str, options: Mapping[str, Any], given: Arrays) -> str:
    """The name of our cell that has the node's equations."""
    both = options.get("direction") == "bidirectional"
    named = tuple(options.get("activations", _DEFAULTS[op] * (2 if both else 1)))
    each = named[: len(_DEFAULTS[op])]
    if named != each * (2 if both else 1):
        raise NotImplementedError(f"{op} with activations {named}")
    if op == "RNN":
        return {("Tanh",): "rnn", ("Relu",): "rnn-relu"}[each]
    if op == "GRU":
        assert each == _DEFAULTS[op], each
        return "gru" if options.get("linear_before_reset") else "gru-reset-before"
    cell = _LSTM_ACTIVATIONS[each]
    if cell != "peephole":
        assert not options.get("input_forget"), "we have no such cell"
        return cell
    if options.get("input_forget"):
        return "cifg"
    return "peephole" if "P" in given else "lstm"


def layer_of(
    op: str, cell: str, options: Mapping[str, Any], given: Arrays, engine: str
) -> gated.Recurrent:
    """A layer of a cell of ours with the node's weights."""
    hidden = options["hidden_size"]
    layer = gated.Recurrent(
        cell,
        given["X"].shape[-1],
        hidden,
        bias="B" in given,
        batch_first=options.get("layout", 0) == 1,
        bidirectional=len(given["W"]) == 2,
        engine=engine,
    )
    stored = {}
    for index, end in enumerate(("", "_reverse")[: len(given["W"])]):
        own = {name: given[name][index] for name in "WRBP" if name in given}
        for name, value in _stored(op, cell, hidden, own).items():
            stored[f"{name}_l0{end}"] = torch.from_numpy(value)
    layer.load_state_dict(stored, strict=True)
    return layer


def _stored(op: str, cell: str, hidden: int, own: Arrays) -> dict[str, np.ndarray]:
    """One direction's weights, our order of gates, under our names."""

    def pick(value: np.ndarray, theirs: str, ours: str) -> np.ndarray:
        blocks = value.reshape(len(theirs), hidden, *value.shape[1:])
        return np.concatenate([blocks[theirs.index(gate)] for gate in ours])

    gates = THEIR_GATES[op], OUR_GATES[cell]
    found = {"weight_ih": pick(own["W"], *gates), "weight_hh": pick(own["R"], *gates)}
    if "B" in own:
        of_input, of_state = (pick(part, *gates) for part in np.split(own["B"], 2))
        if cell in _WITH_TWO_BIASES:
            found |= {"bias_ih": of_input, "bias_hh": of_state}
        else:
            found["bias"] = of_input + of_state
    if cell in OUR_PEEPHOLES:
        peepholes = own.get("P", np.zeros(3 * hidden, np.float32))
        found["p"] = pick(peepholes, THEIR_PEEPHOLES, OUR_PEEPHOLES[cell])
    return found


def _turned(state: Tensor, batchwise: bool) -> Tensor:
    """(S, B, H) of (B, S, H), and the other way round."""
    return state.transpose(0, 1) if batchwise else state


def _twice(name: str, value: np.ndarray, batchwise: bool) -> np.ndarray:
    """What belongs to one direction, for two."""
    if name in ("X", "sequence_lens"):
        return value
    axis = 1 if batchwise and name.startswith("initial") else 0
    return np.repeat(value, 2, axis)
