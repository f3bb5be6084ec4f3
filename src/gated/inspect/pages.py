"""What every offline page needs: its files, its content-security policy, a safe way to disk."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from importlib import resources
from pathlib import Path

from gated.errors import OptionError

__all__ = ["check_target", "policy", "script", "template_file", "write_whole"]


def template_file(name: str) -> str:
    """The text of a file of `templates/`."""
    return resources.files("gated.inspect").joinpath("templates", name).read_text("utf-8")


def script(text: str) -> str:
    """A script's text exactly as a browser will hash it, and unable to close its own element."""
    return text.replace("\r\n", "\n").replace("</script", "<\\/script").replace("<!--", "<\\!--")


def policy(*scripts: str) -> str:
    """The policy that lets exactly these scripts run, and nothing be loaded."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'"
        for s in scripts
    )
    allowed = hashes or "'none'"
    # Plotly sets style attributes and draws heat maps as data: images
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def check_target(path: str | os.PathLike[str], option: str = "") -> Path:
    """The path of a page that is yet to be made: refused before the work, not after it.

    Args:
        path: where the page is to stand.
        option: how the path was given, "--out", for the message.

    Raises:
        OptionError: no file can be written there.

    Example:
        >>> check_target("nowhere/page.html", "--out")
        Traceback (most recent call last):
        gated.errors.OptionError: --out nowhere/page.html: there is no directory nowhere; make \
it first, or name another file
    """
    target, said = Path(path), f"{option} {path}".strip()
    if target.is_dir():
        raise OptionError(f"{said}: this is a directory; name a file, as {target / 'page.html'}")
    if not target.parent.is_dir():
        raise OptionError(
            f"{said}: there is no directory {target.parent}; make it first, or name another file"
        )
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OptionError(
            f"{said}: nothing can be written into {target.parent}; change its permissions, or name "
            f"another file"
        )
    return target


def write_whole(text: str, path: str | os.PathLike[str]) -> Path:
    """Write a page into a file; a reader of ``path`` sees the old page or the new, whole one.

    Raises:
        OSError: the file cannot be written, with `path` as its filename; what was there is
            untouched.
    """
    target = Path(path)
    try:
        _replace(text.encode(), target)
    except OSError as error:  # it names the temporary file, which nobody asked for
        raise OSError(error.errno, error.strerror, str(target)) from error
    return target


def _replace(content: bytes, target: Path) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """mkstemp makes private files; a page gets what open() would have given it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
