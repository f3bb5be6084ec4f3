"""A cell's equations as one line of text, and back: what an operator is told of its cell.

A program that `torch.export` saved holds this text, so it runs where nobody defined the cell. The
text may come from anybody's file: it is data alone, and every name, operation and shape is checked.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from gated.equations.dims import Size, shape, sizes
from gated.equations.graph import Graph, Parameter, State
from gated.equations.ops import OPS
from gated.equations.shapes import result_shape
from gated.equations.symbols import Family, Node, Symbol, check_name
from gated.errors import CellError

_FORM = 1
_MOST = 1_000_000  # characters
_REMEMBERED = 256
_SIZE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(/[1-9][0-9]{0,5})?\Z")
_SAFE = re.compile(r"[^\x00-\x1f\x7f\\]{0,200}\Z")
_SECOND = "b'"  # how a second bias is written in comments
_LEAVES = ("input", "state", "parameter", "constant")

# graphs by their text: what this process wrote it need not read
_written: dict[str, Graph] = {}


@lru_cache(maxsize=_REMEMBERED)
def write(graph: Graph) -> str:
    """The graph as text; equal for equal equations."""
    nodes = graph.nodes()
    leaves = [*graph.inputs.values(), *graph.previous.values()]
    nodes = [*(leaf for leaf in leaves if leaf not in nodes), *nodes]
    place = {node: k for k, node in enumerate(nodes)}
    whole = {
        "form": _FORM,
        "cell": graph.cell,
        "inputs": {name: [place[n], graph.input_sizes[name]] for name, n in graph.inputs.items()},
        "states": [
            [s.name, s.size, s.initial, place[graph.previous[s.name]], place[graph.updates[s.name]]]
            for s in graph.states
        ],
        "equations": {name: place[node] for name, node in graph.equations.items()},
        "parameters": [[p.family, p.symbol.subscript, p.shape] for p in graph.parameters],
        "nodes": [_node(node, place) for node in nodes],
    }
    text = json.dumps(whole, separators=(",", ":"), ensure_ascii=True)
    if len(_written) >= _REMEMBERED:
        _written.clear()
    _written[text] = graph
    return text


def _node(node: Node, place: dict[Node, int]) -> list[Any]:
    args = [place[arg] for arg in node.args]
    if node.op in OPS:
        return [node.op, args, node.name]
    if node.op == "constant":
        return [node.op, node.value, node.name]
    leaf = [node.op, node.label, node.name, list(sizes(node.shape))]
    if node.symbol is None:
        return leaf
    family = node.symbol.family
    return [*leaf, family.letter, node.symbol.subscript, family.latex == _SECOND]


def read(text: str) -> Graph:
    """The graph that a text says.

    Raises:
        CellError: it says none, or one that no cell could have.
    """
    if text in _written:
        return _written[text]
    return _read(text)


@lru_cache(maxsize=_REMEMBERED)
def _read(text: str) -> Graph:
    if len(text) > _MOST:
        raise CellError(f"a cell's equations hold {len(text)} characters, at most {_MOST} are read")
    try:
        return _graph(json.loads(text))
    except CellError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise CellError(
            f"this is not a cell's equations as an operator takes them: {text[:60]!r} ({error}); "
            f"export the layer anew"
        ) from error


def _graph(whole: dict[str, Any]) -> Graph:
    if whole["form"] != _FORM:
        raise CellError(
            f"equations of form {whole['form']!r}, this version reads {_FORM}: export them anew"
        )
    nodes: list[Node] = []
    for one in whole["nodes"]:
        nodes.append(_read_node(one, nodes))
    inputs, states = whole["inputs"], whole["states"]
    graph = Graph(
        cell=_safe(whole["cell"]),
        inputs={check_name(name, "input"): _leaf(nodes[k], "input", name, [size])
                for name, (k, size) in inputs.items()},
        input_sizes={name: _size(size) for name, (_, size) in inputs.items()},
        previous={name: _leaf(nodes[k], "state", name, [size]) for name, size, _, k, _ in states},
        states=tuple(State(check_name(n, "state"), _size(s), float(v)) for n, s, v, _, _ in states),
        parameters=tuple(_parameter(one, nodes) for one in whole["parameters"]),
        updates={name: _update(nodes[k], name, size) for name, size, _, _, k in states},
        equations={n: _named(nodes[k], n) for n, k in whole["equations"].items()},
    )  # fmt: skip
    known = {*graph.inputs.values(), *graph.previous.values()}
    keys = {parameter.key for parameter in graph.parameters}
    for node in graph.nodes():
        if node.op in ("input", "state") and node not in known:
            raise CellError(f"the equations read a {node.op} {node.label} that is not declared")
        if node.op == "parameter" and node.label not in keys:
            raise CellError(f"the equations read a parameter {node.label} that is not declared")
    return graph


def _read_node(one: list[Any], before: list[Node]) -> Node:
    op, what, name, *rest = one
    if name is not None:
        check_name(name, "name")
    if op in OPS:
        if len(what) != OPS[op].arity or any(not 0 <= k < len(before) for k in what):
            raise CellError(f"{op} has operands {what}")
        args = tuple(before[k] for k in what)
        return Node(op, args, result_shape(op, args), name=name)
    if op not in _LEAVES:
        raise CellError(f"there is no operation {op!r}")
    if op == "constant":
        value = float(what)
        if value != value:
            raise CellError("an equation holds NaN")
        return Node(op, value=value, name=name)
    axes, *marks = rest
    symbol = None
    if op == "parameter":
        letter, subscript, second = marks
        family = Family(letter, latex=_SECOND if second else None)
        symbol = Symbol(family, subscript and check_name(subscript, "subscript"))
        if symbol.key != what:
            raise CellError(f"parameter {what!r} has the key {symbol.key!r}")
    else:
        check_name(what, op)
    return Node(op, shape=shape(*map(_size, axes)), label=what, symbol=symbol, name=name)


def _parameter(one: list[Any], nodes: list[Node]) -> Parameter:
    letter, subscript, axes = one
    key = f"{letter}.{subscript}" if subscript else letter
    for node in nodes:
        if node.op == "parameter" and node.label == key and node.symbol is not None:
            if list(sizes(node.shape)) != list(axes):
                raise CellError(f"{key} has shape {axes} and {list(sizes(node.shape))}")
            return Parameter(node.symbol, tuple(map(_size, axes)))
    raise CellError(f"no equation reads the parameter {key}")


def _leaf(node: Node, op: str, label: str, axes: list[Size]) -> Node:
    if (node.op, node.label, list(sizes(node.shape))) != (op, label, axes):
        raise CellError(f"{op} {label} of {axes} is the node of {node.op} {node.label}")
    return node


def _named(node: Node, name: str) -> Node:
    check_name(name, "name")
    if node.name not in (None, name):
        raise CellError(f"{name} is the equation of {node.name}")
    return node


def _update(node: Node, name: str, size: Size) -> Node:
    axes = list(sizes(node.shape))
    if axes != [size]:
        raise CellError(f"state {name} has {size} units, its new value {axes}")
    return node


def _size(size: Any) -> Size:
    if isinstance(size, int) and not isinstance(size, bool) and 0 < size < 1 << 31:
        return size
    if isinstance(size, str) and _SIZE.match(size):
        return size
    raise CellError(f"{size!r} is no size")


def _safe(text: str) -> str:
    if not isinstance(text, str) or not _SAFE.match(text):
        raise CellError(f"{str(text)[:60]!r} is no name of a cell")
    return text
