"""A cell of one's own on the command line: FILE.py:Class or package.module:Class."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from gated.equations import Cell
from gated.errors import GatedError, OptionError

__all__ = ["is_own", "own_cell"]


def is_own(target: str) -> bool:
    """Whether it names a place rather than a cell of the catalogue."""
    return ":" in target or target.endswith(".py")


def own_cell(target: str) -> Cell:
    """The cell of a class in a file or module.

    Raises:
        OptionError: the file, the module or the class is not there, or its code fails.
        CellError: a cell in it is malformed.
    """
    place, _, name = target.rpartition(":") if not target.endswith(".py") else (target, "", "")
    if not place:
        raise OptionError(f"{target}: expected FILE.py:Class or package.module:Class")
    module = _loaded(place)
    found = vars(module).get(name)
    if isinstance(found, Cell):
        return found
    if isinstance(found, type) and issubclass(found, Cell) and found.step is not Cell.step:
        return found()
    if found is None or not name:
        raise OptionError(f"{place}{_choice(place, name, _cells(module))}")
    what = "class" if isinstance(found, type) else type(found).__name__
    raise OptionError(f"{target} is a {what}, not a cell: expected a subclass of gated.Cell")


def _loaded(place: str) -> ModuleType:
    """The module, run; what goes wrong in it is told by its file and line."""
    is_file = place.endswith(".py")
    path = Path(place)
    if is_file and not path.is_file():
        raise OptionError(f"{place}: there is no such file")
    try:
        with _first_on_path(path.parent if is_file else Path()):
            return _run(path) if is_file else importlib.import_module(place)
    except GatedError:
        raise
    except ModuleNotFoundError as error:
        if not is_file and error.name and f"{place}.".startswith(f"{error.name}."):
            raise OptionError(f"{place}: there is no module {error.name}") from None
        raise OptionError(_fault(place, error)) from None
    except (Exception, SystemExit) as error:
        raise OptionError(_fault(place, error)) from None


def _run(path: Path) -> ModuleType:
    # a file may be called as a package is that is loaded already
    name = path.stem if path.stem.isidentifier() and path.stem not in sys.modules else "_own_cells"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "it ends in .py"
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    """Let the code import what lies beside it, as Python does for a script."""
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(entry)


def _fault(place: str, error: BaseException) -> str:
    """The reader's line at which an error arose."""
    if isinstance(error, SyntaxError):
        return f"{error.filename or place}, line {error.lineno}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if Path(f.filename).name == Path(place).name]
    line = f", line {own[-1].lineno}" if own else ""
    return f"{place}{line}: {type(error).__name__}: {error}"


def _cells(module: ModuleType) -> list[str]:
    """The cells that a module defines itself."""
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Cell)
        and value.__module__ == module.__name__
    ]


def _choice(place: str, name: str, known: list[str]) -> str:
    """How a message goes on that has found no cell of that name."""
    if not known:
        return " defines no cell: write `class MyCell(gated.Cell)` with a step"
    if not name:
        return f": which cell? It defines {', '.join(known)}: write {place}:{known[0]}"
    close = difflib.get_close_matches(name.lower(), [one.lower() for one in known], n=1)
    found = next((one for one in known if [one.lower()] == close), None)
    hint = f"did you mean {found!r}?" if found else f"it defines {', '.join(known)}"
    return f" has no cell {name!r}: {hint}"
