"""A recording as arrays of NumPy, a data set of xarray, a table of pandas."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gated.equations import Cell
from gated.equations.render import text
from gated.errors import OptionError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from gated.inspect.recording.recordings import LayerRecording, Recording

__all__ = ["Array", "arrays", "dataset", "frame"]

# the further axes of a signal, an image, a volume
_EXTENT = ((), ("width",), ("height", "width"), ("depth", "height", "width"))


@dataclass(frozen=True)
class Array:
    """The values of one name in one layer and direction over all calls.

    Attributes:
        values: (B, T, n), NaN beyond a row's length.
        dims: what its axes are.
        layer, name: "rnn.l0_reverse" and "f".
        lengths: (B,) the valid steps of each row.
        calls: (B,) the call that each row is from.
        about: what a reader wants to know of it.
    """

    values: np.ndarray[Any, Any]
    dims: tuple[str, ...]
    layer: str
    name: str
    lengths: np.ndarray[Any, Any]
    calls: np.ndarray[Any, Any]
    about: dict[str, str]

    @property
    def valid(self) -> np.ndarray[Any, Any]:
        """(B, T) whether a row has that step."""
        steps = np.arange(self.values.shape[1])
        return np.asarray(steps < self.lengths[:, None])


def arrays(recording: Recording) -> dict[str, Array]:
    """The values of a recording by layer and name.

    Raises:
        OptionError: nothing was recorded, or the calls cannot stand in one array.
    """
    found = {f"{a.layer}.{a.name}": a for one in recording.values() for a in _of_layer(one)}
    if not found:
        raise OptionError(
            "nothing was recorded: call the model inside `with gated.record(model) as recording`, "
            "and without on_call=, which takes every call away"
        )
    return found


def _of_layer(one: LayerRecording) -> Iterator[Array]:
    if not one.calls:
        return
    trace, about = one.calls[0].trace, _about(one.cell)
    unit = ("batch", "time", "unit")
    read = [call.inputs() for call in one.calls]
    for name in read[0]:
        parts = [part[name] for part in read]
        place, said = f"{one.name}.l0", {"meaning": "input"}
        yield _array(one, parts, ("batch", "time", "feature"), place, name, said)
    for i in range(trace.num_layers):
        for j in range(trace.num_directions):
            place = f"{one.name}.l{i}{'_reverse' if j else ''}"
            values = [call.values(i, j) for call in one.calls]
            for name in values[0]:
                parts = [value[name] for value in values]
                yield _array(one, parts, unit, place, name, about.get(name, {}))


def _array(
    one: LayerRecording, parts: list[Tensor], dims: tuple[str, ...], layer: str, name: str,
    about: dict[str, str],
) -> Array:  # fmt: skip
    tails = {tuple(part.shape[2:]) for part in parts}
    if len(tails) > 1:
        raise OptionError(
            f"{one.name}: calls on images of several sizes, {sorted(tails)}, do not stand in one "
            f"array: take them one by one from recording[{one.name!r}].calls"
        )
    lengths = np.concatenate([call.lengths.numpy() for call in one.calls])
    (tail,) = tails
    longest = max(part.shape[1] for part in parts)
    numbers = [_numbers(part) for part in parts]
    values = np.full((len(lengths), longest, *tail), np.nan, numbers[0].dtype)
    first = 0
    for part in numbers:
        values[first : first + len(part), : part.shape[1]] = part
        first += len(part)
    values[np.arange(longest) >= lengths[:, None]] = np.nan
    calls = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    dims = (*dims, *_EXTENT[len(tail) - 1])
    return Array(values, dims, layer, name, lengths, calls, about | {"cell": one.cell.name})


def _numbers(value: Tensor) -> np.ndarray[Any, Any]:
    value = value.detach().cpu()
    if value.dtype not in (torch.float32, torch.float64):  # bfloat16 is none of NumPy's
        value = value.float()
    return value.numpy()


def _about(cell: Cell) -> dict[str, dict[str, str]]:
    """The equation of each name, and what it is to the cell."""
    first, *states = (state.name for state in cell.states)
    meanings = {first: "state and output"} | dict.fromkeys(states, "state")
    for state, factor in cell.kept.items():
        if factor.name is not None:
            meanings.setdefault(factor.name, f"the factor by which {state} keeps its last value")
    lines = text(cell.graph).splitlines()
    return {
        name: {"equation": " ".join(line.split()), "meaning": meanings.get(name, "gate")}
        for name, line in zip(cell.graph.equations, lines, strict=True)
    }


def dataset(recording: Recording) -> xr.Dataset:
    """A recording as a data set of xarray."""
    xarray = _imported("xarray")
    variables: dict[str, Any] = {}
    of_rows: dict[str, Any] = {}
    sizes: dict[str, int] = {}

    def dims(names: tuple[str, ...], shape: tuple[int, ...]) -> list[str]:
        """The names of axes, each followed by its size if another axis of the name is as long."""
        found = []
        for name, size in zip(names, shape, strict=True):
            own = name if sizes.get(name, size) == size else f"{name}_{size}"
            sizes[own] = size
            found.append(own)
        return found

    for key, array in arrays(recording).items():
        axes = dims(array.dims, array.values.shape)
        variables[key] = (axes, array.values, array.about)
        name = array.layer.rpartition(".")[0]
        of_rows[f"{name}.length"] = (axes[:1], array.lengths)
        of_rows[f"{name}.call"] = (axes[:1], array.calls)
    coordinates = {name: np.arange(size) for name, size in sizes.items()}
    found: xr.Dataset = xarray.Dataset(variables | of_rows, coordinates)
    return found


def frame(recording: Recording, form: str) -> pd.DataFrame:
    """A recording as a table of pandas."""
    if form not in ("long", "wide"):
        raise OptionError(f"form={form!r}: expected 'long' or 'wide'")
    pandas = _imported("pandas")
    make = _long if form == "long" else _wide
    parts = [make(pandas, array) for array in arrays(recording).values()]
    if form == "wide":
        wide: pd.DataFrame = pandas.concat(parts, axis=1)
        return wide
    columns = dict.fromkeys(column for part in parts for column in part)
    found: pd.DataFrame = pandas.concat(parts, ignore_index=True)
    found = found[[*(column for column in columns if column != "value"), "value"]]
    return found.astype({"layer": "category", "name": "category"})


def _long(pandas: Any, array: Array) -> Any:
    steps = array.values[array.valid]  # (N, n)
    where = np.argwhere(array.valid)
    each = int(np.prod(steps.shape[1:]))
    places = np.indices(steps.shape[1:]).reshape(steps.ndim - 1, -1)
    units = ["unit", *array.dims[3:]]
    columns: dict[str, Any] = {"layer": array.layer, "name": array.name}
    columns |= {"batch": where[:, 0].repeat(each), "time": where[:, 1].repeat(each)}
    columns |= {u: np.tile(at, len(steps)) for u, at in zip(units, places, strict=True)}
    return pandas.DataFrame(columns | {"value": steps.reshape(-1)})


def _wide(pandas: Any, array: Array) -> Any:
    steps = array.values[array.valid]
    rows = pandas.MultiIndex.from_arrays(np.argwhere(array.valid).T, names=["batch", "time"])
    units = [
        place[0] if len(place) == 1 else ",".join(map(str, place))
        for place in np.ndindex(*steps.shape[1:])
    ]
    columns = pandas.MultiIndex.from_product(
        [[array.layer], [array.name], units], names=["layer", "name", "unit"]
    )
    return pandas.DataFrame(steps.reshape(len(steps), -1), rows, columns)


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise OptionError(
            f"{name} is not installed, and a recording becomes a table of it: "
            f"pip install 'gated[inspect]', or take to_numpy()"
        ) from None
