"""A variant as its difference from its base: the LSTM *where* f = 1."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from gated.equations.close import did_you_mean
from gated.equations.dims import Dim, unify
from gated.equations.graph import Graph, sort
from gated.equations.ops import OPS
from gated.equations.place import fault, line_of, place, statement
from gated.equations.rewrite import assemble, simplified
from gated.equations.shapes import describe
from gated.equations.symbols import Expr, Node, Tracing, traced
from gated.errors import CellError

if TYPE_CHECKING:
    from gated.equations.cell import Cell

Change = float | Callable[..., Expr | float]
_PLAIN = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def with_differences(cls: type[Cell], graph: Graph) -> Graph:
    """The graph of a class's step, changed by each `where` between the step and the class.

    Raises:
        CellError: a `where` is malformed, or there are no inherited equations for it to change.
    """
    owner = next((base for base in cls.__mro__ if "step" in vars(base)), cls)
    if vars(cls).get("where") and owner is cls:
        raise CellError(
            f"cell {cls.name}{statement()}: where changes equations that are inherited, and "
            f"{cls.__name__} writes its own step: write them there"
        )
    for base in reversed(cls.__mro__):
        if not issubclass(owner, base) and "where" in vars(base):
            graph = varied(graph, vars(base)["where"], cls.name)
    return graph


def varied(graph: Graph, where: Mapping[str, Change], cell: str) -> Graph:
    """The graph with some equations changed.

    Args:
        graph: the base.
        where: for the name of an equation, what stands in its place: a number, or a function of
            names as they are known at that line, as `lambda i: 1 - i`; `last_c` is the state's
            value before the step, whatever the line. For a family or a parameter ("p", "p.o"), a
            number.
        cell: the name of the variant.

    Raises:
        CellError: a name is not known, or what is written in its place is malformed.
    """
    if not isinstance(where, Mapping):
        raise CellError(
            f"cell {cell}{statement()}: where is {where!r}, expected a dictionary, as {{'f': 1}}"
        )
    variant = _Variant(graph, where)
    try:
        return variant.graph(cell)
    except CellError as error:
        raise CellError(f"cell {cell}{variant.place or statement()}: where {error}") from None


class _Variant:
    """The base's equations, gone through in order."""

    def __init__(self, graph: Graph, where: Mapping[str, Change]):
        self.base, self.where = graph, where
        self.place = ""
        # one for all functions: a parameter that two of them use is one
        self.tracing = Tracing()
        self.tracing.parameters = {n.label: n for n in graph.nodes() if n.op == "parameter"}
        self.leaves = {*graph.inputs.values(), *graph.previous.values()}
        self.new: dict[Node, Node] = {}
        # what each name means at the line that is reached
        self.last = {f"last_{name}": node for name, node in graph.previous.items()}
        self.scope: dict[str, Node] = {**graph.inputs, **graph.previous}

    def graph(self, cell: str) -> Graph:
        """The new graph."""
        # a family first, so that one parameter of it may be another number
        for key in sorted(self.where, key=lambda key: str(key).count(".")):
            if key not in self.base.equations:
                self.new |= dict.fromkeys(self._symbols(key), self._number(key, self.where[key]))
        equations: dict[str, Node] = {}
        for name, node in self.base.equations.items():
            self.place = ""
            found = self._changed(name, node) if name in self.where else self._again(node)
            if found.op not in OPS or found.name not in (None, name):
                # a number, or another name for what is there: no equation of its own
                self._check_no_state(name, found)
            else:
                found = found if found.name == name else replace(found, name=name)
                equations[name] = found
            self.new[node] = self.scope[name] = found
        self.place = ""
        graph = assemble(self.base, equations, cell=cell)
        self._check_used(equations, graph)
        return graph

    def _symbols(self, key: str) -> list[Node]:
        """The parameters that a key of `where` names."""
        parameters = self.tracing.parameters
        found = [n for n in parameters.values() if key in (n.label, n.label.partition(".")[0])]
        if found:
            return found
        if key in self.scope:
            raise CellError(f"names {key}, an input: only equations and parameters can be changed")
        known = [*self.base.equations, *self.base.families]
        raise CellError(
            f"names {key!r}, which the base has not: {did_you_mean(key, known)}its symbols are "
            f"{', '.join(known)}"
        )

    def _again(self, root: Node) -> Node:
        """A node of the base, or one that was written in its place, on what is new."""
        for node in sort([root]):
            if node not in self.new:
                self.new[node] = simplified(node, [self.new[arg] for arg in node.args])
        return self.new[root]

    def _changed(self, name: str, node: Node) -> Node:
        """What `where` writes in the place of an equation."""
        change = self.where[name]
        if not callable(change):
            return self._number(name, change)
        written = self._called(name, change)
        if not isinstance(written, Expr):
            return self._number(name, written)
        with traced(self.tracing):
            found = written.node()
        if found.op == "parameter" and not found.shape:
            found.shape = (Dim(),)
        self._check_own(name, found)
        if len(found.shape) > 1 or not unify(found.shape[0], node.shape[0]):
            got = "is a matrix" if len(found.shape) > 1 else f"has {found.shape[0]} units"
            raise CellError(f"{name} = ... {got}, in the base {name} has {node.shape[0]} units")
        for below in sort([found]):
            for dim in below.shape:
                dim.settle("H")
        return self._again(found)

    def _called(self, name: str, change: Callable[..., Expr | float]) -> object:
        """What the function returns."""
        code = getattr(change, "__code__", None)
        line = code.co_firstlineno if code else 0
        self.place = place(code, line) if code else ""
        arguments = [self._argument(name, argument) for argument in _arguments(name, change)]
        try:
            with traced(self.tracing):
                written = change(*arguments)
        except Exception as error:
            if code:
                self.place = place(code, line_of(code, error.__traceback__, line))
            said = error if isinstance(error, CellError) else fault(error)
            raise CellError(f"{name} = ...: {said}") from None
        return written

    def _argument(self, name: str, argument: str) -> Node:
        found = self.scope.get(argument, self.last.get(argument))
        if found is None:
            later = f"it comes after {name}, " if argument in self.base.equations else ""
            raise CellError(
                f"{name} = ... uses {argument}, which is not known at that line: {later}known are "
                f"{', '.join(self.scope)}"
            )
        return found

    def _number(self, key: str, value: object) -> Node:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value):  # type: ignore[arg-type]
            wanted = "a number"
            if key in self.base.equations:
                wanted += " or a function of the cell's symbols"
            raise CellError(f"{key} = {value!r}: expected {wanted}")
        return Node("constant", value=float(value))  # type: ignore[arg-type]

    def _check_own(self, name: str, found: Node) -> None:
        """What a function brings from outside belongs to no step, or to another cell's."""
        own = {*self.leaves, *self.tracing.parameters.values()}
        for node in sort([found]):
            if node.op in ("input", "state", "parameter") and node not in own:
                raise CellError(f"{name} = ... holds {describe(node)} of another cell")

    def _check_no_state(self, name: str, found: Node) -> None:
        if name in self.base.updates:
            what = "its old value" if found is self.base.previous[name] else describe(found)
            raise CellError(f"leaves state {name} equal to {what}: write an equation for it")

    def _check_used(self, equations: Mapping[str, Node], graph: Graph) -> None:
        for name, node in graph.updates.items():
            if not self.leaves & {*sort([node])}:
                raise CellError(f"{name} = ...: state {name} depends on no input and no state")
        for name in self.where:
            if name in equations and name not in graph.equations:
                raise CellError(f"{name} = ... changes nothing: no state depends on {name} then")


def _arguments(name: str, change: Callable[..., object]) -> list[str]:
    """The names that a function takes."""
    try:
        arguments = inspect.signature(change).parameters.values()
    except (TypeError, ValueError):
        raise CellError(
            f"{name} = {change!r}: expected a number or a function, as lambda i: 1 - i"
        ) from None
    for argument in arguments:
        if argument.kind not in _PLAIN or argument.default is not argument.empty:
            raise CellError(
                f"{name} = ... takes `{argument}`: name each symbol plainly, as in lambda i, f: ..."
            )
    return [argument.name for argument in arguments]
