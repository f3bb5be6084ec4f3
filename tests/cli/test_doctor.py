"""`gated doctor`: sections, a planted fault found, a layer's choice, and errors in one line."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from types import SimpleNamespace

import pytest
import torch

from gated.engines import ENGINES, reference
from gated.engines.cpu import toolchain
from gated.inspect.doctor import checks, comparison, facts

MAPPED = "7f00-7f01 r-xp 00000000 08:01 1{}    /env/{}\n"
LAYER = ["--cell", "lstm", "-D", 3, "-H", 4, "-B", 2, "-T", 5]


@pytest.fixture(autouse=True)
def _as_in_a_process_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("GATED_CACHE", str(tmp_path / "kernels"))
    monkeypatch.setattr(comparison, "_SECONDS", 0.1)
    # other tests of this process may have loaded packages that bring a runtime of their own
    monkeypatch.setattr(facts, "mapped_files", lambda: MAPPED.format(1, "libgomp.so.1"))


@pytest.fixture
def without_cpu():
    """No kernel is compiled: PyTorch's operators and the reference are there."""
    whole = dict(ENGINES)
    for name in whole.keys() - {"torch", "reference"}:
        del ENGINES[name]
    yield
    ENGINES.clear()
    ENGINES.update(whole)  # in their order, which counts


@pytest.fixture
def wrong(without_cpu, monkeypatch):
    """An engine whose outputs are off by a thousandth."""

    def run(job):
        result = reference.run(job)
        return result._replace(output=result.output + 1e-3)

    monkeypatch.setitem(ENGINES, "planted", SimpleNamespace(supports=lambda job: None, run=run))


def test_the_report_has_each_section_and_quick_leaves_out_the_check(gated, tmp_path):
    shown = gated("doctor", "--quick")
    assert shown.code == 0
    starts = [line.split()[0] for line in shown.out.splitlines() if line]
    assert starts == [
        "Versions", "gated", "Python", "PyTorch", "compiler",
        "Machine", "CPU", "instructions", "threads", "OpenMP", "GPU",
        "Cache", "folder", "state",
    ]  # fmt: skip
    assert str(tmp_path / "kernels") in shown.out


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_every_engine_is_checked_kernels_too(gated, monkeypatch):
    monkeypatch.delitem(checks.ALLOWED, torch.float64)  # one kernel is enough
    shown = gated("doctor", "--cells", "rnn")
    assert shown.code == 0
    header, row = shown.out.partition("states, gradients\n")[2].splitlines()[:2]
    assert header.split() == [
        "cell", "cpu", "float32", "torch", "float32", "reference", "float32",
    ]  # fmt: skip
    assert row.split()[0] == "rnn"
    assert all(0 < float(error) < 2e-6 for error in row.split()[1:])
    assert "All engines agree with the reference" in shown.out


def test_a_wrong_engine_is_found_with_what_to_do(gated, wrong):
    shown = gated("doctor", "--cells", "rnn,lstm")
    assert shown.code == 1
    assert shown.out.count("1e-03 wrong") == 4  # two cells, two types
    assert "planted is wrong on rnn, lstm: output is off by 1.0e-03 on rnn in float" in shown.out
    assert "pass engine='reference'" in shown.out
    assert "All engines agree" not in shown.out


def test_an_engine_that_fails_on_all_is_told_once(gated, monkeypatch, without_cpu):
    def run(job):
        raise RuntimeError("the compiler\nfell over")

    engine = SimpleNamespace(supports=lambda job: None, run=run)
    monkeypatch.setitem(ENGINES, "planted", engine)
    shown = gated("doctor", "--cells", "rnn,lstm")
    assert shown.code == 1
    assert "planted fails on rnn, lstm: RuntimeError: the compiler fell over" in shown.out
    assert shown.out.count("– failed") == 4  # two cells, two types


def test_why_an_engine_leaves_out_a_cell_is_said_once(gated, without_cpu):
    out = gated("doctor", "--cells", "peephole,slstm,lstm").out
    assert out.count("no fused operator") == 1
    assert "torch does not run peephole, slstm:" in out
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert "–" in lines["peephole"]
    assert "–" not in lines["lstm"]


def test_two_openmp_runtimes_are_warned_of(gated, monkeypatch):
    both = MAPPED.format(1, "libgomp.so.1") + MAPPED.format(2, "libiomp5.so")
    monkeypatch.setattr(facts, "mapped_files", lambda: both)
    out = gated("doctor", "--quick").out
    assert "OpenMP        /env/libgomp.so.1, /env/libiomp5.so" in out
    assert "warning: 2 OpenMP runtimes are in this process" in out


def test_a_cache_that_others_may_write_to_is_told(gated, tmp_path):
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels").chmod(0o777)
    out = " ".join(gated("doctor", "--quick").out.split())
    assert out.count("others may write to") == 2  # the fact, and the warning
    assert "warning: the cache cannot be used" in out


def test_what_engines_warn_of_is_told_once_and_not_what_was_said(gated, monkeypatch, tmp_path):
    def run(job):
        problem = f"others may write to {tmp_path}/kernels (mode 777): chmod 700 it"
        warnings.warn(f"each process compiles: {problem}", RuntimeWarning, stacklevel=1)
        warnings.warn("too slow", RuntimeWarning, stacklevel=1)
        return reference.run(job)

    engine = SimpleNamespace(supports=lambda job: None, run=run)
    monkeypatch.setitem(ENGINES, "cpu", engine)
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels").chmod(0o777)
    said = json.loads(gated("doctor", "--cells", "rnn", "--json").out)["warnings"]
    assert [text.split(":")[0] for text in said] == [
        "the cache cannot be used, so kernels are compiled anew in each process",
        "too slow",
    ]


def test_without_a_compiler_the_reason_is_told_and_the_others_are_checked(gated, monkeypatch):
    search = lambda: "there is no C++ compiler: install g++"  # noqa: E731
    monkeypatch.setattr(toolchain, "search", search)
    monkeypatch.setattr("gated.engines.cpu.build.search", search)
    shown = gated("doctor", "--cells", "lstm")
    assert shown.code == 0
    assert "compiler      none: there is no C++ compiler: install g++" in shown.out
    assert "warning: no kernel can be compiled" in shown.out
    assert "torch float64" in shown.out


def test_json_is_one_object_and_holds_all(gated, wrong):
    shown = gated("doctor", "--cells", "rnn", "--json")
    content = json.loads(shown.out)
    assert (shown.code, shown.err) == (1, "")
    assert content["machine"]["torch"] == torch.__version__
    found = {(c["engine"], c["dtype"]): c["wrong"] for c in content["checks"]}
    assert found == {
        ("torch", "float32"): False,
        ("torch", "float64"): False,
        ("reference", "float32"): False,
        ("planted", "float32"): True,
        ("planted", "float64"): True,
    }


def test_a_layers_choice_is_shown_with_the_times_of_all(gated, without_cpu):
    out = gated("doctor", *LAYER, "--train").out
    assert out.startswith("lstm, D = 3, H = 4, B = 2, T = 5, float32, cpu, training\n")
    assert "auto takes  torch\nbecause     it is the fastest that can run this\n" in out
    rows = [line.split() for line in out.splitlines() if line.startswith(("torch", "reference"))]
    assert {row[0] for row in rows[:2]} == {"torch", "reference"}
    assert "The choice is right" in out or "is faster here" in out


def test_why_an_engine_cannot_run_a_layer_is_said_once(gated, without_cpu):
    out = gated("doctor", *LAYER, "--trace").out
    assert "auto takes  reference" in out
    assert out.count("do not show their gates") == 1
    assert "No other engine runs this." in out


def test_a_slow_choice_is_told_with_the_remedy(gated, monkeypatch, without_cpu):
    import time

    def run(job):
        time.sleep(0.02)
        return reference.run(job)

    slow = SimpleNamespace(supports=lambda job: None, run=run)
    monkeypatch.setitem(ENGINES, "torch", slow)
    out = gated("doctor", *LAYER).out
    assert "auto takes  torch" in out
    assert "reference is faster here: 0." in out
    assert "pass engine='reference'" in out


def test_a_layers_choice_as_json(gated, without_cpu):
    arguments = ["--maps", "heads:2", "--quick", "--lengths", "--json"]
    content = json.loads(gated("doctor", *LAYER, *arguments).out)
    assert content["engine"] == "reference"
    assert content["layer"]["maps"] == "Heads(count=2)"
    reasons = {run["engine"]: run["reason"] for run in content["engines"]}
    assert reasons["reference"] is None
    assert "no fused operator" in reasons["torch"]


def test_a_cell_of_ones_own_can_be_asked_about(gated, monkeypatch, tmp_path, without_cpu):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "leaky_cells.py").write_text(
        "from gated.equations import Cell, U, W, b, tanh\n\n\n"
        "class Leaky(Cell):\n"
        "    def step(self, x, h):\n"
        "        h = 0.5 * h + tanh(W @ x + U @ h + b)\n"
        "        return h\n"
    )
    name = "leaky_cells.py:Leaky"
    assert "auto takes  reference" in gated("doctor", "--cell", name, "--quick").out
    assert "\nleaky " in gated("doctor", "--cells", name).out
    sys.modules.pop("leaky_cells", None)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--cell", "lstn"], "there is no cell 'lstn': did you mean 'lstm'?"),
        (["--cells", "lstn"], "there is no cell 'lstn': did you mean 'lstm'?"),
        (["--cells", ","], "--cells is empty"),
        (["--cell", "lstm", "-H", 0], "--hidden-size"),
        (["--cell", "lstm", "-H", 4_000_000], "does not fit into memory: lower --batch"),
        (["--cell", "lstm", "--maps", "heads:5"], "do not divide into 5 heads"),
        (["--cell", "lstm", "--maps", "round"], "--maps round: expected dense, diagonal, or"),
        (["--cell", "lstm", "--device", "abacus"], "there is no device 'abacus'"),
        (["--cell", "lstm", "--cells", "gru"], "give one of them"),
        (["--cells", "gru", "--quick"], "give one of them"),
        (["--hidden-size", 3], "--hidden-size is about a layer: name its --cell too"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(gated, arguments, complaint):
    shown = gated("doctor", *arguments)
    assert (shown.code, shown.out) == (2, "")
    assert complaint in shown.line
