"""Tracing a cell's step: run it once on symbols, note what it assigns, reject what is malformed."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import CodeType, FrameType, FunctionType
from typing import TYPE_CHECKING, Any

from gated.equations.declared import declared
from gated.equations.dims import sizes, unify
from gated.equations.graph import Graph, Parameter, sort
from gated.equations.place import fault, line_of, place
from gated.equations.shapes import describe
from gated.equations.symbols import (
    Expr,
    Family,
    Node,
    Symbol,
    Tracing,
    check_name,
    leaf,
    traced,
)
from gated.errors import CellError

if TYPE_CHECKING:
    from gated.equations.cell import Cell

_PLAIN = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


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
        function = inspect.unwrap(cls.step)
        self.code: CodeType | None = getattr(function, "__code__", None)
        self.tracing = Tracing()
        self.named: dict[str, Node] = {}
        self.inputs: dict[str, Node] = {}
        self.previous: dict[str, Node] = {}
        self.line = self.code.co_firstlineno if self.code else 0

    def where(self) -> str:
        """The place of the line at fault."""
        return place(self.code, self.line) if self.code else ""

    def graph(self) -> Graph:
        """Trace, check and assemble."""
        given = declared(self.cls, self._arguments())
        self.inputs = {n: leaf("input", n, size) for n, size in given.inputs.items()}
        self.previous = {s.name: leaf("state", s.name, s.size) for s in given.states}
        updates = self._updates(self._run())
        self._settle_open()
        self._used(updates)
        return Graph(
            cell=self.cls.name,
            inputs=self.inputs,
            input_sizes=given.inputs,
            previous=self.previous,
            states=given.states,
            parameters=tuple(
                Parameter(node.symbol, sizes(node.shape))
                for node in self.tracing.parameters.values()
                if node.symbol is not None
            ),
            updates=updates,
            equations=dict(self.named),
        )

    def _arguments(self) -> list[str]:
        """The names that step takes, besides self."""
        if self.code is None or not isinstance(inspect.unwrap(self.cls.step), FunctionType):
            raise CellError("step is no method: write `def step(self, x, h): ...`")
        if isinstance(inspect.getattr_static(self.cls, "step"), (staticmethod, classmethod)):
            raise CellError("step is a static or class method: write `def step(self, x, h): ...`")
        arguments = list(inspect.signature(self.cls.step).parameters.values())[1:]
        for argument in arguments:
            check_name(argument.name, "symbol")
            if argument.kind not in _PLAIN or argument.default is not argument.empty:
                raise CellError(
                    f"step takes `{argument}`: name each input and state plainly, as in (x, h, c)"
                )
        return [argument.name for argument in arguments]

    def _run(self) -> tuple[object, ...]:
        assert self.code is not None, "_arguments has checked it"
        leaves = [*self.inputs.values(), *self.previous.values()]
        try:
            with traced(self.tracing), _watching(self.code, self._line):
                returned = self.cls.step(self.cls(), *leaves)
        except CellError:
            raise
        except Exception as error:
            self.line = line_of(self.code, error.__traceback__, self.line)
            raise CellError(fault(error)) from None
        return returned if isinstance(returned, tuple) else (returned,)

    def _line(self, values: Mapping[str, object], line: int) -> None:
        """Note what the line that has just run assigned, then move to the next."""
        leaves = {**self.inputs, **self.previous}
        new = {n: v for n, v in values.items() if v is not self.named.get(n, leaves.get(n))}
        # a line may assign several names: those first on which the others depend
        nodes = [value for value in new.values() if isinstance(value, Node)]
        order: dict[object, int] = {node: k for k, node in enumerate(sort(nodes))}
        for name, value in sorted(new.items(), key=lambda item: order.get(item[1], -1)):
            if name in self.named:
                raise CellError(f"{name} is assigned twice: each name has one equation")
            if isinstance(value, Expr):
                self._assign(name, value)
            elif name in leaves:
                raise CellError(f"{name} is set to {value!r}: write an equation for it")
        self.line = self.tracing.line = line

    def _assign(self, name: str, value: Expr) -> None:
        if name in self.inputs:
            raise CellError(f"{name} is an input and cannot be assigned: use another name")
        if not isinstance(value, Node) or value.op in ("input", "state", "parameter"):
            if name in self.previous:
                raise CellError(f"state {name} is set to {_written(value)} as it is: {_EQUATION}")
            return  # another name for what was there before the step
        check_name(name, "name")
        if value.name is not None and value.name != name:
            raise CellError(f"{name} is only another name for {value.name}: use one of them")
        if name in self.previous:
            self._settle_state(name, value)
        value.name = name
        self.named[name] = value

    def _updates(self, returned: tuple[object, ...]) -> dict[str, Node]:
        states = tuple(self.previous)
        if len(returned) != len(states) or any(value is None for value in returned):
            got = "None" if any(value is None for value in returned) else f"{len(returned)} values"
            raise CellError(
                f"step returns {got}, expected the {len(states)} states {', '.join(states)}"
            )
        updates = {}
        for name, value in zip(states, returned, strict=True):
            if value is self.previous[name]:
                raise CellError(f"state {name} is never set")
            if not isinstance(value, Node):
                raise CellError(f"state {name} is returned as {_written(value)}: {_EQUATION}")
            if value.name not in (None, name) or (value.name is None and name in self.named):
                raise CellError(
                    f"step returns {describe(value)} in the place of state {name}: "
                    f"return {', '.join(states)}"
                )
            if value.name is None:
                self._assign(name, value)
            updates[name] = value
        return updates

    def _settle_state(self, name: str, node: Node) -> None:
        size = self.previous[name].shape[0]
        if not unify(node.shape[0], size):
            raise CellError(
                f"shape mismatch: state {name} has {size} units, its equation has {node.shape[0]}"
            )

    def _settle_open(self) -> None:
        for node in sort(self.named.values()):
            for dim in node.shape:
                dim.settle("H")

    def _used(self, updates: Mapping[str, Node]) -> None:
        for name, node in updates.items():
            if not any(below.op in ("input", "state") for below in sort([node])):
                self.line = node.line
                raise CellError(f"state {name} depends on no input and no state: it never changes")
        used = set(sort(updates.values()))
        own = {*self.inputs.values(), *self.previous.values(), *self.tracing.parameters.values()}
        for node in used - own:
            if node.op in ("input", "state", "parameter"):
                self.line = self.code.co_firstlineno if self.code else 0
                raise CellError(f"an equation holds {describe(node)} of another cell")
        for name, node in self.named.items():
            if node not in used:
                self.line = node.line
                raise CellError(f"{name} is computed and never used: no state depends on it")
        for key, node in self.tracing.parameters.items():
            if node not in used:
                self.line = node.line
                raise CellError(f"{key} is a parameter of no equation: no state depends on it")


_EQUATION = "write an equation for it"


def _written(value: object) -> str:
    if isinstance(value, Symbol):
        return value.key
    if isinstance(value, Family):
        return value.letter
    return describe(value) if isinstance(value, Node) else repr(value)


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
