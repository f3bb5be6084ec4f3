"""From an exception to one line and an exit code: 2 for what a person can set right, 1 for bugs."""

from __future__ import annotations

import click

from gated.errors import GatedError

# What each extra of the package brings, as it is imported.
_EXTRAS = {
    "forecast": (
        "jinja2", "latex2mathml", "lightning_fabric", "markupsafe", "pandas", "plotly", "pyarrow",
        "sklearn", "utilsforecast", "yaml",
    ),
    "demo": ("bokeh_sampledata",),
}  # fmt: skip


class Stopped(Exception):
    """A signal or a closed pipe ended the command; `message` may be empty."""

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code


class Terminated(BaseException):
    """SIGTERM came. No Exception, so that nothing swallows it: like KeyboardInterrupt."""


def explain(error: BaseException) -> tuple[str, int]:
    """The line that stands on stderr (empty for none), and the exit code."""
    if isinstance(error, Stopped):
        return one_line(str(error)), error.exit_code
    if isinstance(error, click.UsageError):
        return f"error: {one_line(error.format_message().rstrip('.'))}{_help(error)}", 2
    if isinstance(error, click.ClickException):
        return f"error: {one_line(error.format_message())}", 2
    if isinstance(error, GatedError):
        return f"error: {one_line(str(error))}", getattr(error, "exit_code", 2)
    known = _package(error) or _disk(error) or _memory(error)
    if known:
        return f"error: {one_line(known)}", 2
    what = one_line(f"{type(error).__name__}: {error}")
    return f"error: this is a bug in gated, please report it with what --debug shows: {what}", 1


def one_line(text: str) -> str:
    """The text without line breaks, and without what would drive the terminal.

    >>> one_line("a\\nb\\x1b[31m")
    'a b\\\\x1b[31m'
    """
    joined = " ".join(part.strip() for part in text.splitlines())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in joined)


def _help(error: click.UsageError) -> str:
    return f"; see {error.ctx.command_path} --help" if error.ctx else ""


def _package(error: BaseException) -> str:
    """Which extra to install, if a package of one is missing."""
    name = error.name.split(".")[0] if isinstance(error, ImportError) and error.name else ""
    for extra, packages in _EXTRAS.items():
        if name in packages:
            return (
                f"this needs the package {name}, which is not installed; "
                f"pip install 'gated[{extra}]'"
            )
    return ""


def _disk(error: BaseException) -> str:
    if not isinstance(error, OSError) or not error.strerror:
        return ""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}; free some space, change the permissions, or use another path"


def _memory(error: BaseException) -> str:
    # PyTorch's own kinds: one has a class of its own, the CPU's has only its words
    short = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if short or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error)):
        return "out of memory; lower --batch-size, --context-length or --hidden-size"
    return ""
