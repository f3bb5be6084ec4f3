"""A variant as its difference from its base: the LSTM *where* f = 1."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace

from gated.equations.dims import unify
from gated.equations.graph import Graph, sort
from gated.equations.ops import OPS
from gated.equations.rewrite import assemble, simplified
from gated.equations.symbols import Expr, Node, Tracing, check_name, describe, traced
from gated.errors import CellError

Change = float | Callable[..., Expr | float]


def varied(graph: Graph, where: Mapping[str, Change], cell: str) -> Graph:
    """The graph with some equations changed.

    Args:
        graph: the base.
        where: for the name of an equation, what stands in its place: a number, or a function of
            names as they are known at that line, as `lambda i: 1 - i`. For a family or a
            parameter ("p", "p.o"), a number.
        cell: the name of the variant.

    Raises:
        CellError: a name is not known, or what is written in its place is malformed.
    """
    try:
        return _Variant(graph, where).graph(cell)
    except CellError as error:
        raise CellError(f"cell {cell}: where {error}") from None


class _Variant:
    """The base's equations, gone through in order."""

    def __init__(self, graph: Graph, where: Mapping[str, Change]):
        self.base, self.where = graph, where
        self.leaves = {n.label: n for n in graph.nodes() if n.op == "parameter"}
        self.new = {n: _number(where[k]) for k in where for n in self._symbols(k)}
        # what each name means at the line that is reached
        self.scope: dict[str, Node] = {**graph.inputs, **graph.previous}

    def _symbols(self, key: str) -> list[Node]:
        """The parameters that a key of `where` names, none if it names an equation."""
        if key in self.base.equations:
            return []
        found = [n for n in self.leaves.values() if key in (n.label, n.label.partition(".")[0])]
        if not found:
            families = list(self.base.families)
            known = ", ".join([*self.base.equations, *families])
            raise CellError(f"names {key}, which the base has not: its symbols are {known}")
        if callable(self.where[key]):
            raise CellError(f"{key} = ...: a parameter can only be set to a number")
        return found

    def graph(self, cell: str) -> Graph:
        equations: dict[str, Node] = {}
        for name, node in self.base.equations.items():
            found = self._changed(name, node) if name in self.where else self._again(node)
            if found.op not in OPS or found.name not in (None, name):
                # a number, or another name for what is there: no equation of its own
                if name in self.base.updates:
                    raise CellError(f"leaves state {name} equal to {describe(found)}")
            else:
                found = found if found.name == name else replace(found, name=name)
                equations[name] = found
            self.new[node] = self.scope[name] = found
        return assemble(self.base, equations, cell=cell)

    def _again(self, root: Node) -> Node:
        for node in sort([root]):
            if node not in self.new:
                self.new[node] = simplified(node, [self.new[arg] for arg in node.args])
        return self.new[root]

    def _changed(self, name: str, node: Node) -> Node:
        """What `where` writes in the place of an equation."""
        change = self.where[name]
        if not callable(change):
            return _number(change)
        arguments = list(inspect.signature(change).parameters)
        for argument in arguments:
            if argument not in self.scope:
                raise CellError(
                    f"{name} = ... uses {check_name(argument, 'symbol')}, which is not known at "
                    f"that line: known are {', '.join(self.scope)}"
                )
        tracing = Tracing()
        tracing.parameters = dict(self.leaves)
        with traced(tracing):
            written = change(*[self.scope[argument] for argument in arguments])
            if not isinstance(written, Expr):
                return _number(written)
            found = written.node()
        if not unify(found.shape[0], node.shape[0]):
            raise CellError(
                f"{name} = ... has {found.shape[0]} units, in the base {name} has {node.shape[0]}"
            )
        for below in sort([found]):
            for dim in below.shape:
                dim.settle("H")
        return found


def _number(value: object) -> Node:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise CellError(f"gives {value!r}, expected a number or a function of the cell's symbols")
    return Node("constant", value=float(value))
