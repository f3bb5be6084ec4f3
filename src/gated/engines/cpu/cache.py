"""The folder of compiled kernels: who may write to it, and what is believed of it.

A shared library is code that runs, so the folder is this user's alone, and a library is loaded
only if the checksum at its end is that of its content and its name. Files appear under their
name complete or not at all. Nobody waits for a process that died.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_MARK = b"gated-1\0"
_WAIT = 600.0  # seconds to wait for another process's build, should it be stopped and not dead
_STRAY = 3600.0  # seconds after which a working folder is that of a process that died

_warned = set[str]()


def warn_once(topic: str, message: str) -> None:
    """Warn, unless this process was warned of the topic before."""
    if topic not in _warned:
        _warned.add(topic)
        warnings.warn(message, RuntimeWarning, stacklevel=2)


def place() -> Path:
    """Where kernels are cached: $GATED_CACHE, else gated/kernels in the user's cache folder."""
    if given := os.environ.get("GATED_CACHE"):
        return Path(given).absolute()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        base = Path(os.path.expanduser("~")) / ".cache"
    return base / "gated" / "kernels"


def folder() -> Path:
    """The cache folder, made if need be; OSError if it cannot be used or trusted."""
    path = place()
    if not path.is_absolute():
        raise FileNotFoundError("there is no home folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{path} is a link or a file, not a folder")
    if found.st_uid not in (os.geteuid(), 0):
        raise PermissionError(f"{path} is owned by user {found.st_uid}, not by {os.geteuid()}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(found.st_mode)
        raise PermissionError(f"others may write to {path} (mode {mode:o}): chmod 700 it")
    if os.statvfs(path).f_flag & os.ST_NOEXEC:
        raise PermissionError(f"{path} is on a file system mounted noexec")
    return path


def digest(*parts: str) -> str:
    """A name for what is made of these texts."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "little") + part.encode("utf-8", "surrogateescape"))
    return whole.hexdigest()[:40]


def checksum(name: str, content: bytes) -> bytes:
    """The end of an object of this name and content."""
    return _MARK + hashlib.sha256(name.encode() + b"\0" + content).digest()


def valid(path: Path) -> bool:
    """Whether an object is there, belongs to this user or root, and is what was once built."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in (os.geteuid(), 0):
            return False
        return _intact(path.name, file)


def intact(path: Path) -> bool:
    """Whether an object is there and is what was once built, whoever it belongs to."""
    try:
        with path.open("rb") as file:
            return _intact(path.name, file)
    except OSError:
        return False


def _intact(name: str, file: BinaryIO) -> bool:
    try:
        content = file.read()
    except OSError:
        return False
    size = len(_MARK) + hashlib.sha256().digest_size
    return content[-size:] == checksum(name, content[:-size])


def publish(made: Path, target: Path) -> None:
    """Give a new object its checksum and, all at once, its name."""
    with made.open("r+b") as file:
        content = file.read()
        file.write(checksum(target.name, content))
        file.flush()
        os.fsync(file.fileno())
    os.replace(made, target)
    descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def working(home: Path) -> Iterator[Path]:
    """A new folder inside the cache to build in, removed after use."""
    _sweep(home)
    path = Path(tempfile.mkdtemp(prefix="work-", dir=home))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _sweep(home: Path) -> None:
    """Remove what killed builders left."""
    for stray in home.glob("work-*"):
        with suppress(OSError):
            if time.time() - stray.lstat().st_mtime > _STRAY:
                shutil.rmtree(stray)


@contextmanager
def locked(home: Path, key: str) -> Iterator[None]:
    """Hold the lock of a key. The system frees it when its holder dies, however that dies."""
    import fcntl  # which some systems lack, and which only a build needs

    # a lock file for each key would stay for ever, since removing one is a race
    name = home / f"{key[:2]}.lock"
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        limit = time.monotonic() + _WAIT
        while not _taken(descriptor) and time.monotonic() < limit:
            time.sleep(0.01)
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child forked meanwhile holds it too
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # this file system has no locks: at worst two build, and the last rename wins
        return True
    return True
