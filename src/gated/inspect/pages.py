"""What every offline page needs: its files, its content-security policy, a safe way to disk."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from importlib import resources
from pathlib import Path

__all__ = ["policy", "script", "template_file", "write_whole"]


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


def write_whole(text: str, path: str | os.PathLike[str]) -> Path:
    """Write a page into a file; a reader of ``path`` sees the old page or the new, whole one.

    Raises:
        OSError: the file cannot be written; what was there is untouched.
    """
    target = Path(path)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target


def _umask() -> int:
    """mkstemp makes private files; a page gets what open() would have given it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
