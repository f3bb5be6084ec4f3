"""What `gated.record` has recorded: of every layer, every call, and in it every gate and state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gated.equations import Cell
from gated.errors import OptionError
from gated.inspect.recording import tables
from gated.inspect.recording.call import Call, joined
from gated.layers import Recurrent

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr

__all__ = ["Call", "LayerRecording", "Recording"]


@dataclass(frozen=True)
class LayerRecording:
    """The calls of one layer.

    Attributes:
        name: the layer's place in the model, "encoder.rnn"; "layer" if it is the model.
        layer: the layer.
        names: the gates and states that are recorded, in the order of the equations.
        calls: one for each forward call, in order.
    """

    name: str
    layer: Recurrent = field(repr=False)
    names: tuple[str, ...]
    calls: list[Call] = field(default_factory=list, repr=False)

    @property
    def cell(self) -> Cell:
        """The layer's cell."""
        return self.layer.cell

    def __getitem__(self, call: int | str) -> Call:
        """One of the calls, from 0: `recording["rnn"][0]` is `recording["rnn"].calls[0]`.

        Raises:
            OptionError: it is asked for a gate, which stands in a call.
            IndexError: there are fewer calls.
        """
        if isinstance(call, str):
            raise OptionError(
                f"{self.name}[{call!r}]: expected the number of a call, from 0; a value stands in "
                f"a call, as recording[{self.name!r}][0].values()[{call!r}]"
            )
        return self.calls[call]

    def __iter__(self) -> Iterator[Call]:
        return iter(self.calls)

    def joined(self) -> LayerRecording:
        """The same with calls that go on from one another as one: a stream of steps, or chunks.

        A call goes on from the one before if it was given the very states in which that ended.
        """
        streams = [[self.calls[k] for k in stream] for stream in self.streams()]
        return replace(self, calls=[joined(stream) for stream in streams])

    def streams(self) -> list[range]:
        """The calls that go on from one another, by their numbers: what `joined` makes one."""
        found: list[range] = []
        for k, call in enumerate(self.calls):
            if found and call.goes_on_from(self.calls[k - 1]):
                found[-1] = range(found[-1].start, k + 1)
            else:
                found.append(range(k, k + 1))
        return found


class Recording(Mapping[str, LayerRecording]):
    """The recordings of a model's layers by name: `recording["rnn"].calls[0].values()["f"]`."""

    def __init__(self, layers: Mapping[str, LayerRecording]):
        self._layers = dict(layers)

    def __getitem__(self, name: str) -> LayerRecording:
        if name not in self._layers:
            raise KeyError(f"{name!r} was not recorded, these were: {', '.join(self._layers)}")
        return self._layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __repr__(self) -> str:
        words = [
            f"{name}: {len(one.calls)} calls of {one.cell.name} ({', '.join(one.names)})"
            for name, one in self._layers.items()
        ]
        return f"Recording({'; '.join(words)})"

    def joined(self) -> Recording:
        """The same with calls that go on from one another as one: see `LayerRecording.joined`."""
        return Recording({name: one.joined() for name, one in self._layers.items()})

    def to_numpy(self) -> dict[str, np.ndarray[Any, Any]]:
        """All values as arrays (B, T, n): "rnn.l0.f", "rnn.l0_reverse.f", the input "rnn.l0.x".

        The rows of all calls stand one after the other. Steps beyond a row's length hold NaN.

        Raises:
            OptionError: nothing was recorded, or calls on images of several sizes.
        """
        return {name: array.values for name, array in tables.arrays(self).items()}

    def to_xarray(self) -> xr.Dataset:
        """The arrays of `to_numpy` as variables, with dimensions batch, time and unit.

        Each variable says its equation, and what it is to the cell. `rnn.length` has the rows'
        lengths and `rnn.call` the call that each row is from. A dimension that has another size in
        another variable is called by it there: "unit_16".

        Raises:
            OptionError: as `to_numpy`, or xarray is not installed.
        """
        return tables.dataset(self)

    def to_pandas(self, form: str = "long") -> pd.DataFrame:
        """The arrays of `to_numpy` as a table, without the steps beyond a row's length.

        Args:
            form: "long" for one value a line, beside its layer, name, batch, time and unit; "wide"
                for one step a line, a column for each layer, name and unit.

        Raises:
            OptionError: as `to_numpy`, another form, or pandas is not installed.
        """
        return tables.frame(self, form)
