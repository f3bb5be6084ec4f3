"""Layers whose parameters are set by the symbols of the equations, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import gated
from gated.equations import Cell
from gated.equations.graph import length
from gated.equations.layout import layout

D, H, P = 3, 4, 2
T, B = 8, 2

Arrays = dict[str, np.ndarray]


def layer_of(cell: str | Cell | type[Cell], values: Arrays, **options: Any) -> gated.Recurrent:
    """A layer of one cell that holds `values`, the parameters by key."""
    sizes = {"input_size": D, "hidden_size": H, **options}
    if "P" in gated.cell(cell).graph.letters:
        sizes.setdefault("P", P)
    layer = gated.Recurrent(cell, dtype=torch.float64, **sizes)
    fill(layer, values)
    return layer


def fill(layer: gated.Recurrent, values: Arrays) -> None:
    """Write parameters into a layer of one level and direction; what is left out becomes 0.

    A key that stands in two stored tensors, as PyTorch's two biases, is split into unequal parts.
    """
    keys = {p.key for p in layer.cell.parameters}
    assert keys <= set(values), f"no value for {keys - set(values)}"
    stored = dict(layer.named_parameters())
    left = dict(values)
    slots = layout(layer.cell.graph, pytorch="bias_hh_l0" in stored)
    with torch.no_grad():
        for slot in reversed(slots):
            places = stored[f"{slot.name}_l0"].chunk(len(slot.keys))
            for key, place in zip(slot.keys, places, strict=True):
                last = sum(key in other.keys for other in slots) == 1 or slot.name == "bias_ih"
                share = left[key] if last else 0.25 * values[key]
                left[key] = values[key] - share
                place.copy_(torch.from_numpy(np.ascontiguousarray(share)))


def random_values(cell: str | Cell | type[Cell], seed: int = 0, **sizes: int) -> Arrays:
    """A random value for every parameter of a cell, by key."""
    draw = np.random.default_rng(seed)
    sizes = {"D": D, "H": H, "P": P, **sizes}
    return {
        p.key: draw.normal(size=[length(size, sizes) for size in p.shape])
        for p in gated.cell(cell).parameters
    }


def random_states(cell: str | Cell | type[Cell], seed: int = 1, batch: int = B) -> Arrays:
    """Random states by name; the sLSTM's normaliser is above 0, as c is divided by it."""
    draw = np.random.default_rng(seed)
    sizes = {"D": D, "H": H, "P": P}
    states = gated.cell(cell).states
    found = {s.name: draw.normal(size=(batch, length(s.size, sizes))) for s in states}
    if "n" in found:
        found["n"] = np.abs(found["n"]) + 0.5
    return found


def random_inputs(
    cell: str | Cell | type[Cell], seed: int = 2, steps: int = T, batch: int = B
) -> Arrays:
    """Random inputs by name, the sequence first: masks of 0 and 1, time gaps above 0."""
    draw = np.random.default_rng(seed)
    found = {}
    for name, size in gated.cell(cell).graph.input_sizes.items():
        value = draw.normal(size=(steps, batch, length(size, {"D": D, "H": H})))
        found[name] = {"mask": (value > 0) * 1.0, "delta": np.abs(value)}.get(name, value)
    return found


def call(layer: gated.Recurrent, inputs: Arrays, states: Arrays | None = None, **options: Any):
    """(output, final states by name, trace by name) of a call, as arrays."""
    names = [state.name for state in layer.cell.states]
    hx = None
    if states is not None:
        tensors = [torch.from_numpy(states[name]).unsqueeze(0) for name in names]
        hx = tuple(tensors) if len(tensors) > 1 else tensors[0]
    given = {name: torch.from_numpy(value) for name, value in inputs.items()}
    with torch.no_grad():
        output, final, *trace = layer(given.pop("x"), hx, **given, **options)
    finals = final if isinstance(final, tuple) else (final,)
    shown = trace[0].at() if trace else {}
    return (
        output.numpy(),
        {name: value[0].numpy() for name, value in zip(names, finals, strict=True)},
        {name: value.numpy() for name, value in shown.items()},
    )
