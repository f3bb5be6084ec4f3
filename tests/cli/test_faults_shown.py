"""What a person did wrong: exit code 2, one line that says where, nothing written."""

import errno
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from small_shops import SMALL

from gated.cli import main

HEAD = b"ds,y\n2024-01-01,1\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(HEAD + b"2024-01-02\n", "t.csv, line 3, column 'y'", id="15 ragged"),
        pytest.param(HEAD + b"2024-01-02,oops\n", "t.csv, line 3, column 'y'", id="16 text"),
        pytest.param(HEAD + b"2024-01-02,\0\n", "t.csv, line 3, column 'y'", id="17 NUL"),
        pytest.param(b"\xff\xfed\0s\0", "t.csv, line 1, column 1: the byte-order", id="17 mark"),
        pytest.param(HEAD + b"2024-01-02,\xe9\n", "t.csv, line 3, column 'y'", id="17 bad UTF-8"),
        pytest.param(HEAD + b'2024-01-02,"2\n', "t.csv, line 3, column 'y'", id="18 quote"),
        pytest.param(b"", "t.csv: no rows", id="19 empty"),
        pytest.param(b"ds,y\n", "t.csv: no rows", id="19 header only"),
        pytest.param(HEAD + b"2024-01-02,2\n", "t.csv: ", id="too short"),
        pytest.param(b"PK\x03\x04", "t.csv is a zip or Excel file", id="Excel"),
    ],
)
def test_a_table_that_cannot_be_read(gated, tmp_path, monkeypatch, content, said):
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_bytes(content)
    shown = gated("train", "forecast", "t.csv", "--target", "y")
    assert (shown.code, shown.out) == (2, "")
    assert shown.line.startswith(f"error: {said}")
    assert os.listdir() == ["t.csv"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "did you mean 'train'"),
        (["train", "forcast"], "did you mean 'forecast'"),
        (["train", "forecast"], "FILE is missing"),
        (["train", "forecast", "shop.csv"], "did you mean shops.csv"),
        (["train", "forecast", "shops.csv", "--horizn=3"], "'--horizon'"),
        (["train", "forecast", "shops.csv", "--horizon=x"], "'--horizon'"),
        (["train", "forecast", "shops.csv", "--horizon=0"], "--horizon 0: expected a whole number"),
        (["train", "forecast", "shops.csv", "--horizon=99"], "shops.csv: the longest series"),
        (["train", "forecast", "shops.csv", "--cell=lstn"], "--cell lstn: there is no cell"),
        (["train", "forecast", "shops.csv", "--target=z"], "--target: the table has no column 'z'"),
        (["train", "forecast", "shops.csv", "--quantiles=0.5,x"], "--quantiles 0.5,x: expected"),
        (["train", "forecast", "shops.csv", "--resume", "--overwrite"], "exclude each other"),
        (
            ["train", "forecast", "shops.csv", "--run", "shops.csv"],
            "--run shops.csv: this is a file",
        ),
        (["train", "forecast", "--resume"], "--resume needs --run DIR"),
        (["train", "forecast", "--resume", "--run", "none"], "there is no run in none"),
        (["evaluate"], "Missing argument 'RUN'"),
        (["evaluate", "."], ". is not a run"),
        (["predict", "runs/x", "--update"], "--update keeps the rows of FILE"),
    ],
)
def test_a_command_line_that_makes_no_sense(gated, place, arguments, said):
    shown = gated(*arguments)
    assert (shown.code, shown.out) == (2, "")
    assert shown.line.startswith("error: ")
    assert said in shown.line
    assert os.listdir() == ["shops.csv"]


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_25_a_truncated_model(gated, run):
    model = run / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-5])
    shown = gated("evaluate", run)
    assert (shown.code, shown.out) == (2, "")
    assert "model.safetensors" in shown.line


def test_26_a_flipped_bit_names_its_tensor(gated, run):
    flip(run / "model.safetensors", -3)
    shown = gated("predict", run, "--output", "out.csv")
    assert shown.code == 2
    assert "tensor" in shown.line
    assert not Path("out.csv").exists()


def test_27_a_pickle_is_refused_unread(gated, run):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (Path("sprung"),))

    (run / "model.safetensors").write_bytes(pickle.dumps(Trap()))
    shown = gated("predict", run)
    assert shown.code == 2
    assert "pickle" in shown.line
    assert not Path("sprung").exists()


def test_31_another_architecture_lists_what_differs(gated, run):
    config = json.loads((run / "config.json").read_text())
    config["forecast"]["hidden_size"] = 8
    (run / "config.json").write_text(json.dumps(config))
    shown = gated("evaluate", run)
    assert shown.code == 2
    assert "forecast.hidden_size: 4 became 8" in shown.line


def test_31_another_version_is_named(gated, run):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"format_version": 99}))
    shown = gated("evaluate", run)
    assert shown.code == 2
    assert "format version 99" in shown.line


def test_28_a_full_disk_is_one_line(gated, place, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        shown = gated("train", "forecast", "shops.csv", *SMALL, "--horizon=7", "--quiet")
    assert shown.code == 2
    assert "No space left on device" in shown.line


def test_a_full_stdout_is_one_line():
    command = [sys.executable, "-m", "gated", "cells"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error():
    command = [sys.executable, "-m", "gated", "cells"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    with process:
        assert process.stderr.read() == b""
    assert process.returncode == 141


# a process that has loaded PyTorch, and none of the packages, lends itself to each case
WITHOUT = """
import json, os, sys, tempfile
import torch
for package, *arguments in json.loads(sys.argv[1]):
    assert package not in sys.modules
    with tempfile.TemporaryFile("w+") as told:
        child = os.fork()
        if not child:
            os.dup2(told.fileno(), 2)
            sys.modules[package] = None
            from gated.cli import main
            code = main(arguments)
            sys.stderr.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        told.seek(0)
        print(json.dumps([code, told.read()]), flush=True)
"""


def test_a_package_that_is_missing_names_its_extra(run):
    cases = {
        "pandas": ("gated[forecast]", ["train", "forecast", "shops.csv"]),
        "sklearn": ("gated[forecast]", ["evaluate", str(run)]),
        "plotly": ("gated[forecast]", ["report", str(run)]),
        "bokeh_sampledata": ("gated[demo]", ["demo"]),
    }
    given = json.dumps([[package, *arguments] for package, (_, arguments) in cases.items()])
    command = [sys.executable, "-c", WITHOUT, given]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    for (package, (extra, _)), (code, told) in zip(cases.items(), outcomes, strict=True):
        assert code == 2, told
        assert told.count("\n") == 1, told
        assert package in told
        assert extra in told


def test_a_bug_is_called_one_and_shown_on_request(gated, monkeypatch):
    def broken(*_):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("gated.cli.cells.find", broken)
    quiet = gated("cells", "lstm")
    loud = gated("cells", "lstm", "--debug")
    assert quiet.code == loud.code == 1
    assert "this is a bug" in quiet.line
    assert "RuntimeError: two lines" in quiet.line
    assert "Traceback" in loud.err


@pytest.mark.parametrize("arguments", [["--debug", "evaluate", "x"], ["evaluate", "x", "--debug"]])
def test_debug_shows_the_traceback_wherever_it_stands(gated, arguments):
    shown = gated(*arguments)
    assert shown.code == 2
    assert "Traceback" in shown.err
    assert shown.err.splitlines()[-1].startswith("error: x: there is no such run")


def test_what_would_drive_the_terminal_is_printed_as_text(gated, place):
    shown = gated("train", "forecast", "no\x1b[31m\nfile.csv")
    assert "no\\x1b[31m file.csv" in shown.line


def test_without_a_command_the_help_is_shown(capsys):
    assert main([]) == 0
    assert "gated demo" in capsys.readouterr().out
