"""Where in the reader's files an equation stands, for messages."""

from __future__ import annotations

import linecache
import re
import sys
from pathlib import Path
from types import CodeType, FrameType, TracebackType


def place(code: CodeType, line: int) -> str:
    """A line of the code, as a message shows it: file, line and what is written there."""
    source = linecache.getline(code.co_filename, line).strip()
    where = f" ({Path(code.co_filename).name}, line {line}"
    return f"{where}: {source})" if source else f"{where})"


def statement() -> str:
    """The place of the class statement that is being run: the nearest line outside this room."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(__package__):
        frame = frame.f_back
    return place(frame.f_code, frame.f_lineno) if frame else ""


def line_of(code: CodeType, traceback: TracebackType | None, otherwise: int) -> int:
    """The line of the code that an error passed through."""
    line = otherwise
    while traceback is not None:
        if traceback.tb_frame.f_code is code:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def fault(error: Exception) -> str:
    """What a message says of an error that Python raised in the reader's lines."""
    if not isinstance(error, NameError):
        return f"{type(error).__name__}: {error}"
    # not error.name: it is None for a local variable that has no value yet
    quoted = re.search("'.*'", str(error))
    return (
        f"unknown symbol {quoted[0] if quoted else error}: assign it above, or import its family "
        f"from gated.equations"
    )
