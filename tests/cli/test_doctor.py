"""`gated doctor`: sections, a planted fault found, a layer's choice, and errors in one line."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from types import SimpleNamespace

import pytest
import torch

import gated as gated_package
from gated import engines
from gated.cli.comparison import show_comparison
from gated.cli.screen import Screen
from gated.engines import ENGINES, reference, triton
from gated.engines.cpu import build, operation, toolchain
from gated.inspect.doctor import Check, Comparison, Layer, Run, checks, facts, timing

MAPPED = "7f00-7f01 r-xp 00000000 08:01 1{}    /env/{}\n"
LAYER = ["--cell", "lstm", "-D", 3, "-H", 4, "-B", 2, "-T", 5]


@pytest.fixture(autouse=True)
def _as_in_a_process_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("GATED_CACHE", str(tmp_path / "kernels"))
    monkeypatch.setattr(timing, "_SECONDS", 0.1)
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
        "Versions", "gated", "Python", "PyTorch", "CUDA", "Triton", "compiler",
        "Machine", "CPU", "instructions", "threads", "OpenMP", "GPU",
        "Cache", "folder", "state",
    ]  # fmt: skip
    assert str(tmp_path / "kernels") in shown.out


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_every_engine_is_checked_kernels_and_scans_too(gated, monkeypatch):
    monkeypatch.setitem(checks.TYPES, "cpu", (torch.float32,))  # one kernel is enough
    shown = gated("doctor", "--cells", "minlstm")
    assert shown.code == 0
    lines = [line.split() for line in shown.out.partition("on cpu\n")[2].splitlines()]
    assert lines[0] == ["cell", "engine", "float32"]
    assert [line[-2] for line in lines[1:4]] == ["cpu", "scan", "reference"]
    assert lines[1][0] == "minlstm"
    assert all(0 < float(line[-1]) < 2e-6 for line in lines[1:4])
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
    rows = [line.split() for line in out.splitlines() if " torch  " in line]
    assert [row[0] for row in rows] == ["lstm"]


def test_why_an_engine_runs_nowhere_is_said_once_for_all_its_strategies(gated, refusing):
    told = "it runs on a GPU, here only if TRITON_INTERPRET=1 is set"
    out = gated("doctor", "--cells", "rnn,lstm").out
    assert f"triton does not run here: {told}\n" in out
    assert out.count(told) == 1
    out = gated("doctor", *LAYER, "--quick").out
    assert f"triton does not run this: {told}\n" in out
    assert out.count(told) == 1


@pytest.fixture
def refusing(without_cpu):
    """An engine of two strategies for GPUs."""
    ENGINES.update(dict.fromkeys(("triton", "triton-resident", "triton-stepwise"), triton.ALL))


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
    for held in (operation.compiled, build.library):
        held.cache_clear()  # another test may have had the kernel compiled
    shown = gated("doctor", "--cells", "lstm")
    assert shown.code == 0
    assert "compiler      none: there is no C++ compiler: install g++" in shown.out
    assert "warning: no kernel can be compiled" in shown.out
    assert "cpu does not run here: its kernel did not come with gated, and there is" in shown.out
    assert "All engines agree" in shown.out


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


def planned(cells, tell, devices):
    for device in devices:
        yield Check("lstm", "reference", "float32", device, 1e-5, 2e-7, "output")
        yield Check("lstm", "triton-resident", "bfloat16", device, 0.03, 0.02, "output")
        yield Check("lstm", "cpu", "float32", device, reason=f"not on {device}")


def test_where_there_is_a_gpu_it_is_shown_and_engines_are_checked_on_it_too(gated, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    one = facts.Gpu("NVIDIA H200", "9.0", 150_100_000_000, 8)
    monkeypatch.setattr(facts, "gpu", lambda: one)
    monkeypatch.setattr("gated.inspect.doctor.check", planned)
    monkeypatch.setattr("gated.inspect.doctor.device_of", torch.device)
    shown = gated("doctor")
    assert shown.code == 0
    assert "GPU           NVIDIA H200, compute capability 9.0, 150 GB; one of 8" in shown.out
    for device in ("cpu", "cuda"):
        table = shown.out.partition(f"\non {device}\n")[2].splitlines()
        assert [line.split() for line in table[:3]] == [
            ["cell", "engine", "float32", "bfloat16"],
            ["lstm", "reference", "2e-07"],
            ["triton-resident", "2e-02"],
        ]
        assert f"cpu does not run here in float32: not on {device}" in table
    assert "in 16 bits within 4 eps" in " ".join(shown.out.split())
    content = json.loads(gated("doctor", "--device", "cuda", "--cells", "lstm", "--json").out)
    assert content["machine"]["gpu"]["capability"] == "9.0"
    assert {check["device"] for check in content["checks"]} == {"cuda"}


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(engines, "AUTOMATIC", engines.allowed(None))


def test_of_a_gpu_that_is_not_here_it_is_told_what_one_would_take(gated, no_gpu):
    pytest.importorskip("triton", reason="needs Triton: install the extra gated[triton]")
    shown = gated("doctor", "--cell", "peephole", "--device", "cuda")
    assert shown.code == 0
    assert "There is no GPU here" in shown.out
    assert "auto takes  triton, strategy resident\nbecause     cpu: the CPU eng" in shown.out
    assert "\n            torch: PyTorch has no fused operator" in shown.out
    assert "By name triton-stepwise and reference run it too" in shown.out
    assert "median" not in shown.out


def test_why_the_other_strategy_was_not_taken_is_told(gated, no_gpu):
    pytest.importorskip("triton", reason="needs Triton: install the extra gated[triton]")
    asked = ["--cell", "peephole", "--hidden-size", 1000, "--device", "cuda", "--json"]
    content = json.loads(gated("doctor", *asked).out)
    assert (content["engine"], content["strategy"]) == ("triton", "stepwise")
    assert (content["absent"], content["tf32"]) == (True, None)
    runs = {run["engine"]: run for run in content["engines"]}
    assert runs["triton-stepwise"]["same_as"] == "triton"
    assert "a program has at most" in runs["triton-resident"]["reason"]
    assert "not resident: a program has at most" in content["reason"]


def test_times_of_unlike_precision_are_remarked_on(capsys):
    layer, run = Layer(gated_package.cell("lstm")), Run("torch", seconds=(1.0,))
    show_comparison(Screen(), Comparison(layer, "torch", "", (run,), tf32=(True, False)))
    assert "cuDNN (torch) may round float32 to tf32" in capsys.readouterr().out
    show_comparison(Screen(), Comparison(layer, "torch", "", (run,), tf32=(True, True)))
    assert "tf32" not in capsys.readouterr().out


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
        (["--device", "cpu", "--quick"], "--quick leaves out the check"),
        (["--device", "abacus"], "there is no device 'abacus'"),
        (["--hidden-size", 3], "--hidden-size is about a layer: name its --cell too"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(gated, arguments, complaint):
    shown = gated("doctor", *arguments)
    assert (shown.code, shown.out) == (2, "")
    assert complaint in shown.line
