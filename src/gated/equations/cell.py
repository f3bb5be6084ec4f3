"""`Cell`: a recurrent cell as its equations. Defining the class traces and checks them."""

from __future__ import annotations

import inspect
import linecache
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any, ClassVar

from gated.equations import facts, render
from gated.equations.graph import Graph, Parameter, Size, State, sort
from gated.equations.symbols import (
    Dim,
    Expr,
    Node,
    Tracing,
    _active,
    check_name,
    describe,
    unify,
)
from gated.errors import CellError


class Cell:
    """A recurrent cell, written as its equations in the paper's symbols.

    Subclass it and write `step(self, x, h, c)`: the inputs first, then the previous states; assign
    gates and new states by the names the paper gives them; return the new states in their order.
    The first state is the cell's output. Defining the class runs `step` once on symbols and
    rejects what is malformed with a `CellError` that names cell, file and line.

    Class attributes (all optional):
        name: how the catalogue knows it; the class name in lower case if not given.
        inputs: the inputs and their sizes, {"x": "D"} if not given. D is the input size, H the
            hidden size, another letter a size given when a layer is built, a number itself.
        sizes: states that have another size than H, as {"h": "P"}.
        initial: values of states before the first step, if other than 0, as {"m": float("-inf")}.
        source: the paper, with equation numbers.
        renames: the paper's symbol for each of ours that differs, as {"g": "z"}.

    Example:
        >>> from gated.equations import Cell, U, W, b, tanh
        >>> class Elman(Cell):
        ...     def step(self, x, h):
        ...         h = tanh(W @ x + U @ h + b)
        ...         return h
        >>> print(Elman())
        h = tanh(W x + U h₋ + b)
        >>> Elman().parameter_count(input_size=3, hidden_size=5)
        45
    """

    name: ClassVar[str] = ""
    inputs: ClassVar[Mapping[str, Size]] = {"x": "D"}
    sizes: ClassVar[Mapping[str, Size]] = {}
    initial: ClassVar[Mapping[str, float]] = {}
    source: ClassVar[str] = ""
    renames: ClassVar[Mapping[str, str]] = {}
    graph: ClassVar[Graph]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()
        if cls.step is not Cell.step:
            cls.graph = trace(cls)

    def step(self, *symbols: Any) -> Any:
        """One step: inputs and previous states in, new states out."""
        raise NotImplementedError

    @property
    def states(self) -> tuple[State, ...]:
        """The states in order; the first is the output."""
        return self.graph.states

    @property
    def gates(self) -> tuple[str, ...]:
        """The names that the step assigns besides the states."""
        return self.graph.gates

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters with their shapes in letters, in the order of the equations."""
        return self.graph.parameters

    @property
    def diagonal(self) -> bool:
        """Whether each unit sees only itself through time."""
        return facts.diagonal(self.graph)

    @property
    def linear(self) -> bool:
        """Whether the new states are linear (affine) in the previous ones."""
        return facts.linear(self.graph)

    @property
    def kept(self) -> dict[str, Node]:
        """For each state that has one, the factor by which its units keep their last value."""
        return facts.kept(self.graph)

    @property
    def successive_products(self) -> int:
        """How many matrix products must follow one another within a step."""
        return facts.successive_products(self.graph)

    def parameter_count(self, input_size: int, hidden_size: int, **sizes: int) -> int:
        """The number of weights for given sizes, one bias per equation."""
        known = {"D": input_size, "H": hidden_size, **sizes}
        return sum(shape_size(p.shape, known) for p in self.parameters)

    def latex(self) -> str:
        """The equations as a LaTeX `aligned` block."""
        return render.latex(self.graph)

    def text(self) -> str:
        """The equations for a terminal, one a line."""
        return render.text(self.graph)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<cell {self.name}: states {', '.join(s.name for s in self.states)}>"


def shape_size(shape: tuple[Size, ...], known: Mapping[str, int]) -> int:
    """The number of elements of a shape in letters.

    Raises:
        CellError: a letter has no value in `known`.
    """
    count = 1
    for size in shape:
        if isinstance(size, str) and size not in known:
            raise CellError(f"size {size} is not known: give {size}=..., known are {sorted(known)}")
        count *= known[size] if isinstance(size, str) else size
    return count


def trace(cls: type[Cell]) -> Graph:
    """Run a cell's step once on symbols and return its graph.

    Raises:
        CellError: what is malformed; the message names cell, file and line.
    """
    step = _Step(cls)
    try:
        return step.graph()
    except CellError as error:
        raise CellError(f"cell {cls.name}{step.where()}: {error}") from None


class _Step:
    """One tracing of a step: runs it line by line and notes which name got which node."""

    def __init__(self, cls: type[Cell]):
        self.cls = cls
        self.code: CodeType = cls.step.__code__
        self.tracing = Tracing()
        self.named: dict[str, Node] = {}
        self.leaves: dict[str, Node] = {}
        self.line = self.code.co_firstlineno

    def where(self) -> str:
        """The place of the line at fault."""
        source = linecache.getline(self.code.co_filename, self.line).strip()
        place = f" ({Path(self.code.co_filename).name}, line {self.line}"
        return f"{place}: {source})" if source else f"{place})"

    def graph(self) -> Graph:
        """Trace, check and assemble."""
        inputs, previous = self._leaves()
        self.leaves = {**inputs, **previous}
        returned = self._run(list(self.leaves.values()))
        updates = self._updates(previous, returned)
        for name, node in updates.items():
            self._settle_state(name, node, previous[name])
        self._settle_open()
        self._used(updates)
        sizes = {name: _size(node) for name, node in previous.items()}
        return Graph(
            cell=self.cls.name,
            inputs=inputs,
            input_sizes=dict(self.cls.inputs),
            previous=previous,
            states=tuple(
                State(name, sizes[name], float(self.cls.initial.get(name, 0.0)))
                for name in previous
            ),
            parameters=tuple(
                Parameter(node.symbol, tuple(_value(dim) for dim in node.shape))
                for node in self.tracing.parameters.values()
                if node.symbol is not None
            ),
            updates=updates,
            equations=dict(self.named),
        )

    def _leaves(self) -> tuple[dict[str, Node], dict[str, Node]]:
        names = list(inspect.signature(self.cls.step).parameters)[1:]
        for name in names:
            check_name(name, "symbol")
        for name in self.cls.inputs:
            if name not in names:
                raise CellError(f"input {name} is not an argument of step({', '.join(names)})")
        states = [name for name in names if name not in self.cls.inputs]
        if not states:
            raise CellError(
                f"step({', '.join(names)}) has no state: name at least one, as in (x, h)"
            )
        for attribute in ("sizes", "initial"):
            for name in getattr(self.cls, attribute):
                if name not in states:
                    raise CellError(f"{attribute} names {name}, the states are {', '.join(states)}")
        inputs = {n: _leaf("input", n, self.cls.inputs[n]) for n in self.cls.inputs}
        previous = {n: _leaf("state", n, self.cls.sizes.get(n, "H")) for n in states}
        return {n: inputs[n] for n in names if n in inputs}, previous

    def _run(self, leaves: list[Node]) -> tuple[object, ...]:
        _active.append(self.tracing)
        try:
            with _watching(self.code, self._line):
                returned = self.cls.step(self.cls(), *leaves)
        except CellError:
            raise
        except NameError as error:
            self._locate(error.__traceback__)
            raise CellError(
                f"unknown symbol {error.name!r}: assign it above, or import its family from "
                f"gated.equations"
            ) from None
        except Exception as error:
            self._locate(error.__traceback__)
            raise CellError(f"{type(error).__name__}: {error}") from None
        finally:
            _active.pop()
        return returned if isinstance(returned, tuple) else (returned,)

    def _locate(self, traceback: TracebackType | None) -> None:
        while traceback is not None:
            if traceback.tb_frame.f_code is self.code:
                self.line = traceback.tb_lineno
            traceback = traceback.tb_next

    def _line(self, values: Mapping[str, object], line: int) -> None:
        """Note what the line that has just run assigned, then move to the next."""
        for name, value in values.items():
            if isinstance(value, Node) and value is not self.leaves.get(name):
                self._assign(name, value)
        self.line = self.tracing.line = line

    def _assign(self, name: str, node: Node) -> None:
        if self.named.get(name) is node:
            return
        check_name(name, "name")
        if name in self.named:
            raise CellError(f"{name} is assigned twice: each name has one equation")
        if name in self.cls.inputs:
            raise CellError(f"{name} is an input and cannot be assigned: use another name")
        if node.op in ("input", "state", "parameter"):
            if name in self.leaves:
                self._plain_state(name, node)
            return  # another name for what was there before the step
        if node.name is not None and node.name != name:
            raise CellError(f"{name} is only another name for {node.name}: use one of them")
        node.name = name
        self.named[name] = node

    def _plain_state(self, name: str, node: Node) -> None:
        raise CellError(
            f"state {name} is set to {describe(node)} as it is: write an equation for it"
        )

    def _updates(
        self, previous: Mapping[str, Node], returned: tuple[object, ...]
    ) -> dict[str, Node]:
        states = tuple(previous)
        if len(returned) != len(states) or None in returned:
            got = 0 if None in returned else len(returned)
            raise CellError(
                f"step returns {got} values, expected the {len(states)} states {', '.join(states)}"
            )
        updates = {}
        for name, value in zip(states, returned, strict=True):
            if value is previous[name]:
                raise CellError(f"state {name} is never set")
            if not isinstance(value, Expr) or (node := value.node()).op == "constant":
                raise CellError(f"state {name} is returned as {value!r}, expected an expression")
            if node.name not in (None, name):
                raise CellError(
                    f"step returns {node.name or describe(node)} in the place of state {name}: "
                    f"return {', '.join(states)}"
                )
            if node.name is None:
                self._assign(name, node)
            updates[name] = node
        return updates

    def _settle_state(self, name: str, node: Node, previous: Node) -> None:
        self.line = node.line or self.line
        size = previous.shape[0]
        if not node.shape or not unify(node.shape[0], size):
            got = f"{node.shape[0]} units" if node.shape else "a number"
            raise CellError(f"shape mismatch: state {name} has {size} units, its equation {got}")

    def _settle_open(self) -> None:
        for node in sort(self.named.values()):
            for dim in node.shape:
                dim.settle("H")

    def _used(self, updates: Mapping[str, Node]) -> None:
        used = set(sort(updates.values()))
        for name, node in self.named.items():
            if node not in used:
                self.line = node.line
                raise CellError(f"{name} is computed and never used: no state depends on it")


def _leaf(op: str, name: str, size: Size) -> Node:
    return Node(op, shape=(Dim(size),), label=name)


def _size(node: Node) -> Size:
    return _value(node.shape[0])


def _value(dim: Dim) -> Size:
    value = dim.value
    assert value is not None, "open dimensions were settled"
    return value


@contextmanager
def _watching(code: CodeType, on_line: Any) -> Iterator[None]:
    """Call `on_line(local variables, next line)` before each line of `code` and at its return."""

    def follow(frame: FrameType, event: str, _arg: object) -> Any:
        if event in ("line", "return"):
            on_line(dict(frame.f_locals), frame.f_lineno)
        return follow

    def enter(frame: FrameType, event: str, _arg: object) -> Any:
        return follow if event == "call" and frame.f_code is code else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield
    finally:
        sys.settrace(before)
