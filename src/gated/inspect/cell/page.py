"""What a page about a cell says, all of it derived from the cell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from gated.cells import cell as find
from gated.equations import Cell
from gated.equations import counts as count
from gated.equations.graph import Graph
from gated.equations.layout import layout
from gated.equations.render import latex_lines
from gated.equations.words import facts, family, keeps, notes, summary
from gated.inspect.cell.bounds import bounds, is_squashed, written
from gated.inspect.cell.example import example
from gated.inspect.cell.flowchart import svg
from gated.inspect.cell.legend import legend
from gated.inspect.cell.options import Option, options

__all__ = ["CellPage", "Compared", "Difference", "Stored", "Value", "compared", "describe"]

SIZES = {"D": 64, "H": 64}
OTHER_SIZE = 32


@dataclass(frozen=True)
class Value:
    """An input, a state or a gate: its size in letters, and what is to be known of it."""

    name: str
    kind: str
    size: str
    note: str


@dataclass(frozen=True)
class Compared:
    """A count in letters, as a number, and the LSTM's and the RNN's number for the same sizes."""

    what: str
    letters: str
    own: int
    lstm: int
    rnn: int

    @property
    def share(self) -> str:
        """The number as a share of the LSTM's."""
        return f"{100 * self.own / self.lstm:.0f}%"


@dataclass(frozen=True)
class Stored:
    """A parameter, its shape in letters, and where it stands in the layer's tensors."""

    key: str
    shape: str
    place: str


@dataclass(frozen=True)
class Difference:
    """An equation as the base has it and as the cell has it, as LaTeX; "" for none."""

    base: str
    own: str


@dataclass(frozen=True)
class CellPage:
    """What a page about a cell says, in the order in which it says it."""

    name: str
    family: str
    summary: str
    notes: tuple[str, ...]
    chart: str
    legend: tuple[str, ...]
    equations: tuple[str, ...]
    latex: str
    values: tuple[Value, ...]
    facts: tuple[str, ...]
    base: str
    differences: tuple[Difference, ...]
    sizes: str
    counts: tuple[Compared, ...]
    parameters: tuple[Stored, ...]
    example: str
    options: tuple[Option, ...]
    source: str
    renames: Mapping[str, str]

    @property
    def others(self) -> list[str]:
        """The cells beside which its size stands."""
        return [f"the {name.upper()}" for name in ("lstm", "rnn") if name != self.name]


def describe(cell: Cell) -> CellPage:
    """All that a page about a cell says.

    Raises:
        OptionError: graphlay, which lays out the flow chart, is not installed.

    Example:
        >>> page = describe(find("cifg"))
        >>> page.base, page.differences[0].own
        ('peephole', 'f_{t} = 1 - i_{t}')
        >>> page.counts[0].letters
        '3 D H + 3 H² + 5 H'
    """
    base = _base(cell)
    return CellPage(
        name=cell.name,
        family=family(cell),
        summary=summary(cell),
        notes=tuple(notes(cell)),
        chart=svg(cell),
        legend=tuple(legend(cell)),
        equations=tuple(latex_lines(cell.graph)),
        latex=cell.latex(),
        values=tuple(_values(cell)),
        facts=tuple(facts(cell)),
        base=base.name if base is not None else "",
        differences=tuple(_differences(base, cell)) if base is not None else (),
        sizes=", ".join(f"{letter} = {n}" for letter, n in _sizes(cell).items()),
        counts=compared(cell),
        parameters=tuple(_stored(cell)),
        example=example(cell),
        options=options(cell),
        source=cell.source,
        renames=cell.renames,
    )


def compared(cell: Cell) -> tuple[Compared, ...]:
    """Its weights and the operations of a step beside those of the LSTM and the RNN."""
    sizes = _sizes(cell)
    rows = [
        ("weights", count.parameters),
        ("multiply-adds with matrices, a step", count.products),
        ("operations unit by unit, a step", count.elementwise),
    ]
    others = find("lstm").graph, find("rnn").graph
    return tuple(
        Compared(what, str(own), own.value(sizes), *(of(other).value(sizes) for other in others))
        for what, of in rows
        for own in [of(cell.graph)]
    )


def _sizes(cell: Cell) -> dict[str, int]:
    """A number for each letter of the cell."""
    return {letter: SIZES.get(letter, OTHER_SIZE) for letter in sorted(cell.graph.letters)}


def _values(cell: Cell) -> list[Value]:
    graph, kept = cell.graph, keeps(cell)
    found = []
    for k, (name, size) in enumerate(graph.input_sizes.items()):
        found.append(Value(name, "input", str(size), "by name: " + name + "=..." if k else ""))
    for k, state in enumerate(cell.states):
        start = "−∞" if state.initial == -math.inf else f"{state.initial:g}"
        note = ["the output"] if k == 0 else []
        note += [f"starts at {start}"]
        note += [f"kept by {kept[state.name]}"] if state.name in kept else []
        found.append(Value(state.name, "state", str(state.size), "; ".join(note)))
    for name in cell.gates:
        node = graph.equations[name]
        width = str(node.shape[0].value) if node.shape else "H"
        kind = "gate" if is_squashed(node) else "intermediate"
        found.append(Value(name, kind, width, written(bounds(node), strict=node.op == "exp")))
    return found


def _base(cell: Cell) -> Cell | None:
    """The cell from which it differs by `where`, if it is written so."""
    if "where" not in vars(type(cell)):
        return None
    classes = [c for c in type(cell).__mro__[1:] if issubclass(c, Cell) and "graph" in vars(c)]
    return classes[0]() if classes else None


def _differences(base: Cell, cell: Cell) -> list[Difference]:
    """The equations that are not the base's, each beside the base's."""
    before, now = _by_name(base.graph), _by_name(cell.graph)
    found = []
    for name, line in before.items():
        own = now.get(name, "")
        if not own and isinstance(cell.where.get(name), (int, float)):
            own = f"{line.partition(' = ')[0]} = {cell.where[name]:g}"
        if own != line:
            found.append(Difference(line, own))
    return found + [Difference("", line) for name, line in now.items() if name not in before]


def _by_name(graph: Graph) -> dict[str, str]:
    return dict(zip(graph.equations, latex_lines(graph), strict=True))


def _stored(cell: Cell) -> list[Stored]:
    from gated.engines.pytorch import operator

    slots = layout(cell.stored, pytorch=operator(cell.stored) is not None)
    found = []
    for parameter in cell.parameters:
        places = []
        for slot in slots:
            if parameter.key in slot.keys:
                at, rows = slot.keys.index(parameter.key), slot.block[0]
                part = f" [{_times(at, rows)}:{_times(at + 1, rows)}]" if len(slot.keys) > 1 else ""
                places.append(f"{slot.name}_l0{part}")
        shape = ", ".join(map(str, parameter.shape))
        found.append(Stored(parameter.key, f"({shape})", " + ".join(places)))
    return found


def _times(number: int, size: str | int) -> str:
    if isinstance(size, int) or number == 0:
        return str(number * int(size) if isinstance(size, int) else 0)
    return size if number == 1 else f"{number}{size}"
