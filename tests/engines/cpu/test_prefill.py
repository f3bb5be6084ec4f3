"""Filling a folder with the catalogue's kernels: all of them, again, in part, interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
from click.testing import CliRunner, Result

import gated
from gated.cli import prefill
from gated.engines.cpu import cache, operation
from gated.engines.cpu.machine import SETS, instruction_set

ANSWER = 'extern "C" int answer() { return 42; }\n'
HERE = instruction_set().name


def call(*arguments: object) -> Result:
    return CliRunner().invoke(prefill.main, [str(each) for each in arguments])


@pytest.fixture
def quick(kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source for each cell that compiles at once."""
    monkeypatch.setattr(
        prefill, "source", lambda graph, real, traced: f"{ANSWER}// {graph.cell} {real}\n"
    )


def test_every_cell_of_the_catalogue_has_a_kernel_for_each_type_and_set() -> None:
    kernels = list(prefill.plan(gated.cells(), ["dense"], prefill.TYPES, SETS[:2]))
    assert {wanted.title for wanted in kernels} >= {
        f"{name} dense {kind} {machine.name}"
        for name in gated.cells()
        for kind in prefill.TYPES
        for machine in SETS[:2]
    }
    assert len({wanted.name for wanted in kernels}) == len(kernels)


def test_a_map_that_a_cell_cannot_have_is_left_out() -> None:
    kernels = prefill.plan(["lstm", "lstmp"], ["diagonal"], ["float32"], SETS[:1])
    assert [wanted.title for wanted in kernels] == [
        "lstm diagonal float32 x86-64-v4",
        "lstm diagonal float32 traced x86-64-v4",
    ]


@pytest.mark.parametrize("maps", [None, "diagonal"])
def test_the_engine_asks_for_the_same_source(
    maps: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(operation, "library", lambda text: asked.append(text) or Mock())
    cell = gated.Recurrent("lstm", 3, 4, maps=maps).cell
    for traced in (False, True):
        operation.Compiled(cell.graph, "float", traced)
    kernels = prefill.plan(["lstm"], [maps or "dense"], ["float32"], SETS[:1])
    assert asked == [wanted.text for wanted in kernels]


def test_a_source_is_the_same_in_every_process() -> None:
    # where sets and dictionaries of strings have other orders
    code = (
        "import gated; from gated.cli import prefill\n"
        "print(end=prefill.source(gated.cell('slstm').graph, 'float'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout == prefill.source(gated.cell("slstm").graph, "float")


def test_what_is_there_is_not_compiled_again(
    quick: None, wrapper: Callable[[str], Path], tmp_path: Path
) -> None:
    wrapper("echo compiled >> $here/count")
    folder = tmp_path / "new" / "folder"
    for cells in ("lstm", "lstm,gru"):
        done = call(folder, "--cells", cells, "--maps", "dense", "--sets", HERE)
        assert done.exit_code == 0, done.output
    made = list(folder.iterdir())
    assert len(made) == 4
    assert all(cache.intact(path) for path in made)
    # two calls for an object: it is linked without the runtime's name
    assert (tmp_path / "count").read_text().split() == ["compiled"] * 8


def test_what_is_no_longer_asked_for_is_removed_on_request(quick: None, tmp_path: Path) -> None:
    only = ("--maps", "dense", "--sets", HERE, "--types", "float32")
    call(tmp_path / "k", "--cells", "lstm,gru", *only)
    told = call(tmp_path / "k", "--cells", "rnn", *only).output
    assert "0 removed" in " ".join(told.split())  # lines break where the folder's name ends
    told = call(tmp_path / "k", "--cells", "gru", *only, "--prune").output
    assert "2 removed" in " ".join(told.split())
    assert len(list((tmp_path / "k").glob("*.so"))) == 1


def test_a_compiler_that_fails_is_one_message(
    quick: None, wrapper: Callable[[str], Path], tmp_path: Path
) -> None:
    wrapper('echo "kernel.cpp: error: no" >&2; exit 1')
    done = call(tmp_path / "k", "--cells", "lstm", "--jobs", 1)
    assert done.exit_code == 1
    assert "error: no" in done.output
    assert "Traceback" not in done.output
    assert not list((tmp_path / "k").iterdir())


@pytest.mark.parametrize(
    "option", [("--cells", "lstm,lsmt"), ("--types", "float16"), ("--sets", "x86-64-v9")]
)
def test_a_word_that_is_not_known(tmp_path: Path, option: tuple[str, str]) -> None:
    done = call(tmp_path / "k", *option)
    assert done.exit_code == 2
    assert repr(option[1].split(",")[-1]) in done.output
    assert "known are" in done.output
    assert not (tmp_path / "k").exists()


def test_ctrl_c_leaves_whole_objects_only(wrapper: Callable[[str], Path], tmp_path: Path) -> None:
    # the second object's compiler waits to be interrupted
    wrapper("if mkdir $here/begun 2> /dev/null; then sleep 60; fi")
    folder = tmp_path / "k"
    process = subprocess.Popen(
        [
            sys.executable, "-m", "gated.cli.prefill", folder, "--jobs", "2",
            "--cells", "rnn", "--maps", "dense", "--types", "float64",
        ],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    limit = time.monotonic() + 60
    while not list(folder.glob("*.so")) and time.monotonic() < limit:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    (made,) = folder.iterdir()
    assert cache.intact(made)
