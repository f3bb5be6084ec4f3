"""The house's rules, read from its source: which room may import which, and what stands where."""

from __future__ import annotations

import ast
import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import gated

HOUSE = Path(gated.__file__).parent
ROOMS = ["errors", "equations", "cells", "engines", "layers", "models", "data", "training",
         "inspect", "tasks", "export", "cli"]  # fmt: skip
WITHOUT_TORCH = ["errors", "equations", "cells", "data"]
FILES = sorted(HOUSE.rglob("*.py"))


def module_name(file: Path) -> str:
    parts = file.relative_to(HOUSE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str | None:
    """The room of a module: "engines" for gated.engines.torch; None for gated itself."""
    parts = module.split(".")
    if parts[0] != "gated" or len(parts) < 2:
        return None
    return "cli" if parts[1] == "__main__" else parts[1]


def imports(source: str, module: str, *, package: bool = False) -> Iterator[tuple[int, str]]:
    """Every module that a source imports, with its line: in functions and for types too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = module.split(".")[: None if package else -1]
            base = up[: len(up) - (node.level - 1)] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{start}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            constants = [a.value for a in node.args if isinstance(a, ast.Constant)]
            yield from ((node.lineno, name) for name in constants if isinstance(name, str))


def upward(source: str, module: str, *, package: bool = False) -> list[str]:
    """The imports of a room that lies above, of the whole house, or of a room that is none."""
    own = room(module)
    found = []
    for line, imported in imports(source, module, package=package):
        if imported.split(".")[0] != "gated" or imported == "gated.__version__":
            continue
        other = room(imported)
        if own == "cli" and other is None:  # the topmost room may see the whole house
            continue
        if own not in ROOMS or other not in ROOMS or ROOMS.index(other) > ROOMS.index(own):
            found.append(f"{module}, line {line}: imports {imported}")
    return found


def files_of(*rooms: str) -> list[Path]:
    return [file for file in FILES if room(module_name(file)) in rooms]


def named(files: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("file", files, ids=module_name)


@named([file for file in FILES if module_name(file) != "gated"])
def test_a_room_imports_only_from_the_rooms_before_it(file):
    found = upward(file.read_text(), module_name(file), package=file.name == "__init__.py")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "module", "complaint"),
    [
        ("import gated.layers", "gated.engines.cpu", "imports gated.layers"),
        ("from gated.layers import LSTM", "gated.engines.cpu", "imports gated.layers.LSTM"),
        ("from gated import layers", "gated.engines.cpu", "imports gated.layers"),
        ("from gated import LSTM", "gated.engines.cpu", "imports gated.LSTM"),
        ("from ..layers import LSTM", "gated.engines.cpu", "imports gated.layers.LSTM"),
        ("from .. import layers", "gated.engines.cpu", "imports gated.layers"),
        ("def f():\n    import gated.cli", "gated.tasks.x", "line 2: imports gated.cli"),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from gated.cells import cell",
            "gated.equations.graph",
            "line 3: imports gated.cells.cell",
        ),
        ("import importlib\nimportlib.import_module('gated.tasks')", "gated.data.x", "gated.tasks"),
        ("import gated.nowhere", "gated.cli", "imports gated.nowhere"),
        ("import gated", "gated.tasks.x", "imports gated"),
    ],
)
def test_an_arrow_that_points_up_would_be_seen(source, module, complaint):
    (found,) = upward(source, module)
    assert complaint in found


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from gated.equations import Cell", "gated.cells.lstm"),
        ("from gated.engines.job import Job", "gated.engines.cpu"),
        ("from .job import Job", "gated.engines.cpu"),
        ("from gated import __version__", "gated.training.run"),
        ("import torch, gatedly", "gated.engines.cpu"),
        ("import gated", "gated.cli.app"),
    ],
)
def test_an_arrow_that_points_down_is_fine(source, module):
    assert upward(source, module) == []


def test_every_file_stands_in_a_room():
    assert {room(module_name(file)) for file in FILES} <= {None, *ROOMS}


@named(files_of(*WITHOUT_TORCH))
def test_these_rooms_know_no_pytorch(file):
    found = [
        f"line {line}: {name}"
        for line, name in imports(file.read_text(), module_name(file))
        if name.split(".")[0] in ("torch", "lightning_fabric")
    ]
    assert not found


@named(files_of("engines"))
def test_an_engine_names_no_cell(file):
    """No string that is a cell's name, nothing out of the catalogue."""
    names = set(gated.cells())
    tree = ast.parse(file.read_text())
    strings = [
        f"line {node.lineno}: {node.value!r}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value.lower().replace("_", "-") in names
    ]
    assert not strings
    assert not [n for _, n in imports(file.read_text(), module_name(file)) if room(n) == "cells"]


@named(files_of("engines"))
def test_an_engine_holds_no_parameters(file):
    attributes = {ast.unparse(n) for n in ast.walk(ast.parse(file.read_text()))
                  if isinstance(n, ast.Attribute)}  # fmt: skip
    assert not attributes & {"nn.Parameter", "torch.nn.Parameter", "nn.Module", "torch.nn.Module"}


@named([file for file in FILES if room(module_name(file)) != "cli"])
def test_only_the_command_line_prints(file):
    calls = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]
    assert not calls


def public(body: list[ast.stmt], inside: str = "") -> Iterator[tuple[str, ast.AST]]:
    """The public functions and classes of a body, and the methods of those classes."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            overloaded = any("overload" in ast.unparse(d) for d in node.decorator_list)
            if node.name.startswith("_") or overloaded:
                continue
            yield inside + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{node.name}.")


@named(FILES)
def test_everything_public_has_a_docstring(file):
    tree = ast.parse(file.read_text())
    # a cell's step is its own description
    cells = room(module_name(file)) == "cells"
    missing = [
        name
        for name, node in public(tree.body)
        if not ast.get_docstring(node) and not (cells and name.endswith(".step"))
    ]
    assert not missing
    assert ast.get_docstring(tree)


@named([file for file in FILES if file.name != "__main__.py"])
def test_the_examples_in_docstrings_run(file):
    result = doctest.testmod(
        importlib.import_module(module_name(file)), optionflags=doctest.ELLIPSIS
    )
    assert result.failed == 0


def test_the_examples_that_newcomers_read_first_are_there():
    import gated.equations.cell

    examples = [e for t in doctest.DocTestFinder().find(gated.equations.cell) for e in t.examples]
    assert len(examples) >= 3
