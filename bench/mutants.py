"""Single changes to the equations of the catalogue's cells, made on their syntax trees.

A change is one that a slip of the pen could make: a sign, a gate's subscript, a squashing function,
a term or a factor left out, the new value for the old one, operands swapped, another state. Nothing
here imports gated: what a change means is judged by `mutations.py`.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

Replacement = tuple[ast.AST, str]

# a function that is mistaken for another
_FUNCTIONS = {
    "sigmoid": "tanh",
    "tanh": "sigmoid",
    "relu": "tanh",
    "exp": "softplus",
    "log": "exp",
    "sqrt": "absolute",
    "softplus": "relu",
    "maximum": "minimum",
}
_DECLARED = ("where", "initial", "inputs", "sizes")


@dataclass(frozen=True)
class Mutant:
    """A file of the catalogue with one change."""

    file: str
    place: str
    line: int
    kind: str
    before: str
    after: str
    source: str


@dataclass
class _Scope:
    """What the equations of one class speak of."""

    states: list[str] = field(default_factory=list)
    subscripts: dict[str, list[str]] = field(default_factory=dict)
    # the names assigned in the step, with the line of their equation
    assigned: dict[str, int] = field(default_factory=dict)


def mutants(path: Path) -> Iterator[Mutant]:
    """Every change to the equations in one file."""
    tree = ast.parse(path.read_text())
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef):
            yield from _changes(
                path.name, tree, statement, statement.name, statement.body, _Scope()
            )
        if isinstance(statement, ast.ClassDef):
            yield from _of_class(path.name, tree, statement)


def _of_class(file: str, tree: ast.Module, cls: ast.ClassDef) -> Iterator[Mutant]:
    scope = _scope(cls)
    for part in cls.body:
        if isinstance(part, ast.FunctionDef) and part.name == "step":
            yield from _changes(file, tree, part, cls.name, part.body, scope)
            yield from _order_of_states(file, tree, part, cls.name, scope)
        elif isinstance(part, ast.Assign) and _target(part) in _DECLARED:
            yield from _changes(file, tree, part, cls.name, [part], scope)


def _scope(cls: ast.ClassDef) -> _Scope:
    scope = _Scope()
    for node in ast.walk(cls):
        if isinstance(node, ast.FunctionDef) and node.name == "step":
            last = node.body[-1]
            assert isinstance(last, ast.Return)
            returned = last.value
            elements = returned.elts if isinstance(returned, ast.Tuple) else [returned]
            scope.states = [e.id for e in elements if isinstance(e, ast.Name)]
            scope.assigned = {_target(s): s.lineno for s in node.body if isinstance(s, ast.Assign)}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            known = scope.subscripts.setdefault(node.value.id, [])
            if node.attr not in known:
                known.append(node.attr)
    return scope


def _target(statement: ast.Assign) -> str:
    target = statement.targets[0]
    return target.id if isinstance(target, ast.Name) else ""


def _changes(
    file: str, tree: ast.Module, owner: ast.AST, place: str, body: list[ast.stmt], scope: _Scope
) -> Iterator[Mutant]:
    for statement in body:
        if isinstance(statement, ast.Expr):  # a docstring
            continue
        before = ast.unparse(statement)
        for put, node in _spots(statement):
            for new, kind in _replacements(node, statement, scope):
                put(new)
                after, undo = ast.unparse(statement), _keep_old(owner, kind, node)
                source = ast.unparse(ast.fix_missing_locations(tree))
                undo()
                put(node)
                yield Mutant(file, place, statement.lineno, kind, before, after, source)


def _spots(node: ast.AST) -> Iterator[tuple[Callable[[ast.AST], None], ast.AST]]:
    """Every node below, with what puts another in its place."""
    for name, value in ast.iter_fields(node):
        if isinstance(node, ast.Assign) and name == "targets":
            continue
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, (ast.expr, ast.keyword)):
                yield _putter(node, name, index if isinstance(value, list) else None), child
                yield from _spots(child)


def _putter(node: ast.AST, name: str, index: int | None) -> Callable[[ast.AST], None]:
    def put(new: ast.AST) -> None:
        if index is None:
            setattr(node, name, new)
        else:
            getattr(node, name)[index] = new

    return put


def _keep_old(owner: ast.AST, kind: str, node: ast.AST) -> Callable[[], None]:
    """For `old for new`: give the old value a name at the top of the step, until undone."""
    if kind != "old for new" or not isinstance(owner, ast.FunctionDef):
        return lambda: None
    assert isinstance(node, ast.Name)
    owner.body.insert(0, ast.parse(f"before_{node.id} = {node.id}").body[0])
    return lambda: owner.body.__delitem__(0)


def _replacements(node: ast.AST, statement: ast.stmt, scope: _Scope) -> Iterator[Replacement]:
    if isinstance(node, ast.BinOp):
        yield from _of_operation(node)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        yield from _of_call(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand, "sign"
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        yield from _of_subscript(node, scope)
    elif isinstance(node, ast.Constant):
        yield from _of_constant(node, statement, scope)
    elif isinstance(node, ast.Name):
        yield from _of_name(node, statement, scope)


def _of_operation(node: ast.BinOp) -> Iterator[Replacement]:
    left, right = node.left, node.right

    def other(op: ast.operator, a: ast.expr = left, b: ast.expr = right) -> ast.BinOp:
        return ast.BinOp(a, op, b)

    if isinstance(node.op, ast.Add):
        yield other(ast.Sub()), "sign"
        yield left, "missing term"
        if not (isinstance(left, ast.BinOp) and isinstance(left.op, ast.Add)):
            yield right, "missing term"
    elif isinstance(node.op, ast.Sub):
        yield other(ast.Add()), "sign"
        yield other(ast.Sub(), right, left), "operands swapped"
        yield left, "missing term"
        yield right, "1 - z for z" if isinstance(left, ast.Constant) else "missing term"
    elif isinstance(node.op, ast.Mult):
        yield left, "missing factor"
        yield right, "missing factor"
        yield other(ast.Add()), "wrong operator"
    elif isinstance(node.op, ast.Div):
        yield other(ast.Div(), right, left), "operands swapped"
        yield other(ast.Mult()), "wrong operator"
    elif isinstance(node.op, ast.MatMult):
        yield other(ast.Mult()), "diagonal for dense"
        yield right, "missing matrix"


def _of_call(node: ast.Call) -> Iterator[Replacement]:
    assert isinstance(node.func, ast.Name)
    name, args = node.func.id, node.args
    if name in _FUNCTIONS:
        yield ast.Call(ast.Name(_FUNCTIONS[name]), args, []), "wrong function"
    if name == "select":
        yield ast.Call(node.func, [args[0], args[2], args[1]], []), "operands swapped"
    for arg in args if len(args) < 4 else []:
        yield arg, "missing function"


def _of_subscript(node: ast.Attribute, scope: _Scope) -> Iterator[Replacement]:
    assert isinstance(node.value, ast.Name)
    if node.value.id == "math":
        yield ast.Constant(3.0), "wrong constant"
        return
    for other in _next(node.attr, scope.subscripts.get(node.value.id, [])):
        yield ast.Attribute(node.value, other), "wrong subscript"


def _of_constant(node: ast.Constant, statement: ast.stmt, scope: _Scope) -> Iterator[Replacement]:
    declared = _target(statement) if isinstance(statement, ast.Assign) else ""
    if isinstance(node.value, str):
        if declared == "where":
            for other in _next(node.value, ["i", "f", "o"]):
                yield ast.Constant(other), "wrong gate"
        if declared == "initial" and node.value in scope.states:
            for other in _next(node.value, scope.states):
                yield ast.Constant(other), "another state"
        if (declared == "initial" and node.value == "-inf") or node.value == "inf":
            yield ast.Constant("0"), "wrong constant"
        if declared in ("sizes", "inputs") and node.value in ("D", "P"):
            yield ast.Constant("H"), "wrong size"
    elif isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1), "wrong constant"
        yield ast.Constant(node.value / 2 if node.value else -1), "wrong constant"


def _of_name(node: ast.Name, statement: ast.stmt, scope: _Scope) -> Iterator[Replacement]:
    name = node.id
    if name == "NORMALIZE_EPS":
        yield ast.Constant(1e-3), "wrong constant"
    if name in scope.states:
        for other in _next(name, scope.states):
            yield ast.Name(other), "another state"
        if scope.assigned.get(name, statement.lineno) < statement.lineno:
            yield ast.Name(f"before_{name}"), "old for new"
    elif scope.assigned.get(name, statement.lineno) < statement.lineno:
        earlier = [n for n, line in scope.assigned.items() if line < statement.lineno]
        for other in _next(name, [n for n in earlier if n not in scope.states]):
            yield ast.Name(other), "another gate"
        yield ast.BinOp(ast.Constant(1), ast.Sub(), ast.Name(name)), "1 - z for z"


def _next(name: str, names: list[str]) -> list[str]:
    """The one after it in a round, none if it is alone."""
    return (
        [names[(names.index(name) + 1) % len(names)]] if name in names[:] and len(names) > 1 else []
    )


def _order_of_states(
    file: str, tree: ast.Module, step: ast.FunctionDef, place: str, scope: _Scope
) -> Iterator[Mutant]:
    """Two neighbours of the states change places, among the arguments and in what is returned."""
    arguments, last = step.args.args, step.body[-1]
    assert isinstance(last, ast.Return)
    for first, second in zip(scope.states, scope.states[1:], strict=False):
        kept_arguments, kept_value = list(arguments), copy.deepcopy(last.value)
        swap = {first: second, second: first}
        for argument in arguments:
            argument.arg = swap.get(argument.arg, argument.arg)
        assert isinstance(last.value, ast.Tuple)
        for element in last.value.elts:
            assert isinstance(element, ast.Name)
            element.id = swap.get(element.id, element.id)
        source = ast.unparse(tree)
        for argument in arguments:
            argument.arg = swap.get(argument.arg, argument.arg)
        step.args.args, last.value = kept_arguments, kept_value
        yield Mutant(
            file, place, step.lineno, "order of states", f"{first}, {second}",
            f"{second}, {first}", source,
        )  # fmt: skip
