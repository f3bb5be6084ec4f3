"""Files that are either the old one or the new one, whatever happens while they are written."""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gated.errors import CheckpointError

_STRAY = ".writing"


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data`; a crash leaves the old file or the new one, never a mixture.

    The bytes go to a hidden name in the same directory, are forced to the disk, and only then take
    the real name; the directory is forced too, so that the new name survives a loss of power.

    Raises CheckpointError when the disk is full or fails; `path` is then what it was.
    """
    stray = path.with_name(f".{path.name}.{os.getpid()}{_STRAY}")
    try:
        with disk_errors(path):
            _write_and_force(stray, data)
            os.replace(stray, path)
            force_directory(path.parent)
    finally:
        # After a success the name is gone already; after an error nothing half-written may stay.
        with suppress(OSError):
            stray.unlink()


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Within the block, an error of the disk becomes a CheckpointError that names the path."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"cannot write {path}: {error.strerror or error}; "
            f"{'what it held before is intact' if path.exists() else 'nothing was left behind'}; "
            "free some space or choose another directory, then run again"
        ) from error


def _write_and_force(path: Path, data: bytes) -> None:
    # The lock tells a sweeper that the writer is alive. The kernel drops it even after SIGKILL.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def force_directory(path: Path) -> None:
    """Force the names in a directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(directory: Path) -> list[str]:
    """Remove the half-written files that killed writers left behind; return their names."""
    removed = []
    for stray in directory.glob(f".*{_STRAY}"):
        with suppress(OSError), _locked(stray) as free:
            if free:
                stray.unlink()
                removed.append(stray.name)
    return sorted(removed)


def hold(path: Path) -> int:
    """Lock a file, made if absent, for as long as the descriptor that is returned stays open.

    Raises CheckpointError when another process holds it (the message names it), or the disk fails.
    """
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    if not _take(descriptor):
        holder = os.read(descriptor, 100).decode(errors="replace").strip()
        os.close(descriptor)
        raise CheckpointError(
            f"another training ({holder or 'of unknown process'}) is using {path.parent}; "
            "wait for it, stop it, or choose another directory"
        )
    # The name of the holder is a courtesy: on a full disk the lock holds without it.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode())
    return descriptor


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold the file's lock while the block runs; gives False when someone else holds it."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        yield _take(descriptor)
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    """Take the lock of an open file without waiting; False when someone else holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
