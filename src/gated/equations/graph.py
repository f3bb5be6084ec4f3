"""The graph of a cell: its inputs, previous states, parameters and the equations between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from gated.equations.dims import Size as Size
from gated.equations.symbols import Node, Symbol
from gated.errors import CellError

T = TypeVar("T")


@dataclass(frozen=True)
class State:
    """A state that a cell carries from step to step: its size and its value before the first."""

    name: str
    size: Size
    initial: float = 0.0


@dataclass(frozen=True)
class Parameter:
    """A parameter of a cell and its shape, in letters: ("H", "D") for `W.i`, ("H",) for `b.i`."""

    symbol: Symbol
    shape: tuple[Size, ...]

    @property
    def key(self) -> str:
        """How it is looked up: "W.i"."""
        return self.symbol.key

    @property
    def family(self) -> str:
        """The letter it shares with its siblings: "W"."""
        return self.symbol.family.letter


@dataclass(frozen=True, eq=False)
class Graph:
    """What a cell's step says, as data.

    `inputs` and `previous` are leaves; `updates` maps each state to the node of its new value;
    `equations` are the named nodes in the order in which the step assigns them.
    """

    cell: str
    inputs: Mapping[str, Node]
    input_sizes: Mapping[str, Size]
    previous: Mapping[str, Node]
    states: tuple[State, ...]
    parameters: tuple[Parameter, ...]
    updates: Mapping[str, Node]
    equations: Mapping[str, Node]

    @property
    def gates(self) -> tuple[str, ...]:
        """Every name that the step assigns and that is not a state, in order."""
        return tuple(name for name in self.equations if name not in self.updates)

    @property
    def families(self) -> dict[str, tuple[Parameter, ...]]:
        """The parameters by letter, each family in the order of the equations."""
        found: dict[str, tuple[Parameter, ...]] = {}
        for parameter in self.parameters:
            found[parameter.family] = (*found.get(parameter.family, ()), parameter)
        return found

    @property
    def letters(self) -> tuple[str, ...]:
        """The sizes that stand open, as letters: D, H and whatever else the cell names."""
        shapes = [p.shape for p in self.parameters]
        shapes += [(s.size,) for s in self.states] + [(s,) for s in self.input_sizes.values()]
        letters = [n.split("/")[0] for shape in shapes for n in shape if isinstance(n, str)]
        return tuple(dict.fromkeys(letters))

    def nodes(self) -> list[Node]:
        """Every node that a new state or a named value needs, operands before results."""
        return sort([*self.equations.values(), *self.updates.values()])

    def depends_on_state(self) -> set[Node]:
        """The nodes that cannot be computed before the previous step has been."""
        found: set[Node] = set()
        for node in self.nodes():
            if node.op == "state" or any(arg in found for arg in node.args):
                found.add(node)
        return found


def length(size: Size, known: Mapping[str, int]) -> int:
    """The number that a size stands for, given the values of the letters.

    Raises:
        CellError: a letter has no value, or does not divide into its parts.
    """
    if isinstance(size, int):
        return size
    if size in known:
        return known[size]
    letter, _, parts = size.partition("/")
    if letter not in known:
        raise CellError(f"size {letter} is not known: give {letter}=..., known are {sorted(known)}")
    if parts and known[letter] % int(parts):
        raise CellError(
            f"{letter} = {known[letter]} units do not divide into {parts} heads of equal size"
        )
    return known[letter] // int(parts or 1)


def sort(roots: Iterable[Node]) -> list[Node]:
    """The nodes below `roots`, operands before results, each once."""
    order: dict[Node, None] = {}

    for root in roots:
        stack = [root]
        while stack:
            node = stack[-1]
            waiting = next((arg for arg in node.args if arg not in order), None)
            if waiting is None:
                order.setdefault(node)
                stack.pop()
            else:
                stack.append(waiting)
    return list(order)


def fold(roots: Iterable[Node], value: Callable[[Node, list[T]], T]) -> dict[Node, T]:
    """Compute `value(node, values of its operands)` for every node below `roots`."""
    found: dict[Node, T] = {}
    for node in sort(roots):
        found[node] = value(node, [found[arg] for arg in node.args])
    return found
