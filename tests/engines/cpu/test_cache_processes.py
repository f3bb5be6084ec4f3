"""Many processes and one cache: builders killed, folders full, read-only or without execution."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from gated.engines.cpu import build, cache

Child = Callable[..., str]

ANSWER = 'extern "C" int answer() { return 42; }\n'

# forks, since a process that imports PyTorch takes seconds to start
MANY = """
import os, signal, sys, time
from gated.engines.cpu import build
count, mark = int(sys.argv[2]), sys.argv[3:]

def start():
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(build.library(sys.argv[1]).answer())
    return child

if mark:  # the first builder dies while it compiles
    builder = start()
    while not os.path.exists(mark[0]):
        time.sleep(0.01)
    os.kill(builder, signal.SIGKILL)
children = [start() for _ in range(count)]
print({os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children})
"""

MOUNTED = """
import os, subprocess, sys, warnings
from pathlib import Path
from gated.engines.cpu import build
root = Path(os.environ["GATED_CACHE"]).parent
for name, options in {"full": "size=8k", "noexec": "noexec", "read-only": "ro"}.items():
    (root / name).mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", root / name], check=True)
    os.environ["GATED_CACHE"] = str(root / name / "kernels")
    build.cache._warned.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answers = [build.library(f"{sys.argv[1]}// {name} {n}").answer() for n in range(2)]
    print(name, answers, len(caught), str(caught[0].message).partition(": ")[2])
"""

READ_ONLY = """
import os, sys, warnings
from gated.engines.cpu import build
text, folder = sys.argv[1], os.environ["GATED_CACHE"]
build.library(text)
os.chmod(folder, 0o555)
build.library.cache_clear()
print(build.library(text).answer())  # what is there is used
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(build.library(text + "// 1").answer(), build.library(text + "// 2").answer())
print(len(caught), "Permission denied" in str(caught[0].message))
"""


def compiled(folder: Path) -> int:
    return len((folder / "count").read_text().split())


# -- 35


def test_cold_processes_compile_once(
    child: Child, wrapper: Callable[[str], Path], tmp_path: Path
) -> None:
    wrapper("echo compiled >> $here/count")
    assert child(MANY, ANSWER, "64").strip() == "{42}"
    assert compiled(tmp_path) == 1


def test_a_killed_builder_keeps_nobody_waiting(
    child: Child, wrapper: Callable[[str], Path], tmp_path: Path
) -> None:
    # the first compiler outlives its builder
    wrapper(
        "echo compiled >> $here/count; if mkdir $here/first 2> /dev/null; then exec sleep 30; fi"
    )
    assert child(MANY, ANSWER, "16", str(tmp_path / "first")).strip() == "{42}"
    assert compiled(tmp_path) == 2


def test_a_stopped_builder_is_not_waited_for_for_ever(
    kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_WAIT", 0.1)
    kernels.mkdir(parents=True, mode=0o700)
    with ExitStack() as held:
        for number in range(256):
            held.enter_context(cache.locked(kernels, f"{number:02x}"))
        assert build.library(ANSWER).answer() == 42


def test_a_file_system_without_locks(kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert build.library(ANSWER).answer() == 42


# -- 34


def test_full_noexec_and_read_only_file_systems(child: Child, tmp_path: Path) -> None:
    alone = ("unshare", "--user", "--map-root-user", "--mount")
    try:
        subprocess.run([*alone, "mount", "-t", "tmpfs", "none", tmp_path], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a user name space with mounts")
    told = child(MOUNTED, ANSWER, before=alone).splitlines()
    assert len(told) == 3
    for line, said in zip(told, ("No space left", "noexec", "Read-only"), strict=True):
        assert "[42, 42] 1 " in line
        assert said in line


def test_a_read_only_cache_is_still_read(child: Child) -> None:
    alone: tuple[str, ...] = ()
    if os.geteuid() == 0:  # whom no mode stops, unless told
        alone = ("setpriv", "--bounding-set=-dac_override")
        if subprocess.run([*alone, "true"], check=False).returncode:
            pytest.skip("root cannot be stopped from writing")
    assert child(READ_ONLY, ANSWER, before=alone).split() == ["42", "42", "42", "1", "True"]
