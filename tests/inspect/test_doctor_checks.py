"""What `gated doctor` measures: each fact against a planted one, each engine against the truth."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch

import gated
from gated.engines import ENGINES, reference, triton
from gated.engines.cpu import build, operation, toolchain
from gated.errors import EngineError, OptionError
from gated.inspect.doctor import (
    Comparison,
    Gpu,
    Layer,
    Run,
    check,
    checks,
    compare,
    machine,
    steps,
    timing,
)
from gated.inspect.doctor.facts import gpu, kernel_cache, openmp

MAPS = """\
55d0-55d1 r--p 00000000 08:01 11    /usr/bin/python3.11
7f00-7f01 r-xp 00000000 08:01 12    /env/my torch/lib/libgomp-a34b3233.so.1
7f01-7f02 r--p 00001000 08:01 12    /env/my torch/lib/libgomp-a34b3233.so.1
7f02-7f03 rw-p 00000000 00:00 0
7f03-7f04 r-xp 00000000 08:01 13    /env/lib/libcomputer.so.1
7f04-7f05 r-xp 00000000 08:01 14    /env/lib/libgompertz.so
7ffc-7ffd rw-p 00000000 00:00 0     [stack]
"""


def planted(run, supports=lambda job: None):
    return SimpleNamespace(supports=supports, run=run)


def changed(what, by):
    """An engine that is the reference, but for one thing."""

    def run(job):
        result = reference.run(job)
        return result._replace(**{what: by(getattr(result, what))})

    return planted(run)


@pytest.fixture(autouse=True)
def _quick_timings(monkeypatch):
    monkeypatch.setattr(timing, "_SECONDS", 0.1)


@pytest.fixture
def engines():
    """The engines that there are: torch and the reference, and those that a test adds."""
    whole = dict(ENGINES)
    for name in whole.keys() - {"torch", "reference"}:
        del ENGINES[name]
    yield ENGINES.__setitem__
    ENGINES.clear()
    ENGINES.update(whole)  # in their order, which counts


def found(cell="rnn"):
    return {(c.engine, c.dtype): c for c in check([gated.cell(cell)])}


@pytest.mark.parametrize(
    ("file", "is_one"),
    [
        ("libgomp.so.1", True),
        ("libgomp.so.1.0.0", True),
        ("libgomp-a34b3233.so.1", True),
        ("libiomp5.so", True),
        ("libomp.so.5", True),
        ("libomp-14.so", True),
        ("libomp.dylib", True),
        ("libomptarget.so", False),
        ("libgompertz.so", False),
        ("libgomp-plugin.txt", False),
    ],
)
def test_an_openmp_runtime_is_known_by_its_name(file, is_one):
    assert bool(openmp(f"7f00-7f01 r-xp 00000000 08:01 12    /lib/{file}\n")) is is_one


def test_runtimes_are_counted_by_file_not_by_mapping():
    assert openmp(MAPS) == ("/env/my torch/lib/libgomp-a34b3233.so.1",)
    two = MAPS + "7f05-7f06 r-xp 00000000 08:01 15    /env/lib/libiomp5.so (deleted)\n"
    assert openmp(two) == (*openmp(MAPS), "/env/lib/libiomp5.so")


@pytest.fixture
def here(monkeypatch, tmp_path):
    monkeypatch.setenv("GATED_CACHE", str(tmp_path / "kernels"))
    return machine()


@pytest.mark.parametrize(
    ("facts", "warning"),
    [
        ({"compiler": None, "compiler_version": "there is none"}, "compiled: there is none. Cells"),
        ({"openmp": ("/a/libgomp.so", "/b/libomp.so")}, "2 OpenMP .*: /a/libgomp.so, /b/libomp.so"),
        (
            {"gpu": Gpu("H200", "9.0", 10**11, 1), "triton": None},
            "Triton is not installed, so no k",
        ),
        ({"torch_threads": 8, "allowed_threads": 2}, r"8 threads, .*set_num_threads\(2\)"),
    ],
)
def test_what_is_slow_is_warned_of_with_the_remedy(here, facts, warning):
    fine = {"compiler": "/g++", "openmp": ("/a",), "torch_threads": 1, "allowed_threads": 1}
    fine |= {"gpu": None, "triton": "3.6.0"}
    assert dataclasses.replace(here, **fine).warnings == []
    (told,) = dataclasses.replace(here, **{**fine, **facts}).warnings
    with pytest.raises(ValueError, match=warning):
        raise ValueError(told)


def test_the_gpu_that_pytorch_takes_is_told(monkeypatch):
    properties = SimpleNamespace(name="NVIDIA H200", major=9, minor=0, total_memory=150 * 10**9)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", {1: properties}.get)
    assert gpu() == Gpu("NVIDIA H200", "9.0", 150 * 10**9, 2)


def test_kernels_in_the_cache_are_counted(here, tmp_path):
    folder = tmp_path / "kernels"
    for name, content in {"a.so": b"12345", "b.so": b"1", "a.cpp": b"22"}.items():
        (folder / name).write_bytes(content)
    cache = kernel_cache()
    assert (cache.folder, cache.problem, cache.kernels, cache.size) == (str(folder), None, 2, 8)


def test_a_cache_that_others_may_write_to_is_a_problem(here, tmp_path):
    (tmp_path / "kernels").chmod(0o777)
    assert kernel_cache().problem == (
        f"others may write to {tmp_path}/kernels (mode 777): chmod 700 it"
    )


def test_a_cache_below_a_file_is_a_problem_told_in_the_systems_words(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GATED_CACHE", str(tmp_path / "file" / "kernels"))
    cache = kernel_cache()
    assert (cache.kernels, cache.size) == (0, 0)
    assert "file" in cache.problem
    assert "[Errno" not in cache.problem


def test_right_engines_are_found_right(engines):
    seen = found("lstm")
    assert set(seen) == {
        ("torch", "float32"),
        ("torch", "float64"),
        ("reference", "float32"),
    }  # and the reference in float64 is the truth
    assert not any(c.wrong for c in seen.values())
    assert 0 < seen["torch", "float32"].error < 2e-6
    assert seen["torch", "float64"].error < 1e-14


@pytest.mark.parametrize(
    ("what", "by", "value", "size"),
    [
        ("output", lambda output: output + 1e-3, "output", 1e-3),
        ("final", lambda final: tuple(state + 1e-3 for state in final), "final h", 1e-3),
        # the value is right, and its gradient is not
        ("output", lambda output: output + 0.5 * (output - output.detach()), "gradient of", 0.5),
        ("output", lambda output: output * float("nan"), "output", float("inf")),
    ],
    ids=["output", "state", "gradient", "nan"],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_wrong_engine_is_found_and_what_is_wrong_is_named(engines, what, by, value, size, dtype):
    engines("planted", changed(what, by))
    one = found()["planted", dtype]
    assert one.wrong
    assert one.value.startswith(value)
    assert one.error == pytest.approx(size, rel=0.5)


def test_an_engine_that_is_wrong_only_without_gradients_is_found(engines):
    off = changed("output", lambda output: output + 1e-3 * (not torch.is_grad_enabled()))
    engines("planted", off)
    assert found()["planted", "float64"].value == "output without gradients"


def test_an_output_of_another_shape_is_wrong(engines):
    engines("planted", changed("output", lambda output: output[..., :-1]))
    assert found()["planted", "float64"].error == float("inf")


def test_an_engine_that_fails_is_told_with_its_words_and_the_check_goes_on(engines):
    def run(job):
        raise EngineError("the compiler fell over")

    engines("planted", planted(run))
    seen = found()
    assert seen["planted", "float64"].wrong
    assert seen["planted", "float64"].failure == "EngineError: the compiler fell over"
    assert not seen["reference", "float32"].wrong


def test_an_engine_that_says_why_it_cannot_is_not_wrong(engines):
    engines("planted", planted(reference.run, lambda job: "no such thing here"))
    one = found()["planted", "float32"]
    assert (one.reason, one.error, one.wrong) == ("no such thing here", None, False)


def test_in_16_bits_a_few_steps_of_the_type_are_right_and_more_are_wrong(engines, monkeypatch):
    monkeypatch.setitem(checks.TYPES, "cpu", checks.HALVES)
    engines("near", changed("output", lambda o: o + 2 * torch.finfo(o.dtype).eps))
    engines("far", changed("output", lambda o: o + 8 * torch.finfo(o.dtype).eps))
    seen = found("lstm")
    assert {one.dtype for one in seen.values()} == {"bfloat16", "float16"}
    assert {engine for (engine, _), one in seen.items() if one.wrong} == {"far"}
    assert seen["reference", "float16"].allowed == 4 * 2**-10
    assert seen["reference", "float16"].error < 2 * 2**-10


def test_in_16_bits_what_rounding_alone_makes_of_a_cell_is_allowed_twice(engines, monkeypatch):
    monkeypatch.setitem(checks.TYPES, "cpu", checks.HALVES)
    one = found("layernorm-lstm")["reference", "bfloat16"]
    assert one.allowed == 2 * one.error > 4 * 2**-7


def test_float32_is_not_rounded_to_tf32_during_the_check_and_as_before_after_it(engines):
    def settings():
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    seen = []

    def run(job):
        seen.append(settings())
        return reference.run(job)

    engines("planted", planted(run))
    before = settings()
    found()
    assert set(seen) == {("highest", False)}
    assert settings() == before != ("highest", False)


def test_an_engine_of_strategies_is_checked_by_each_and_refuses_for_all(engines):
    ways = ("triton", "triton-resident", "triton-stepwise")
    engines(ways[0], planted(reference.run))
    engines(ways[1], planted(reference.run))
    engines(ways[2], planted(reference.run, lambda job: "too small"))
    seen = {engine: one for (engine, dtype), one in found().items() if dtype == "float32"}
    assert "triton" not in seen
    assert seen["triton-resident"].error is not None
    assert seen["triton-stepwise"].reason == "too small"
    for way in ways:
        engines(way, planted(reference.run, lambda job: "for GPUs"))
    assert [one.reason for (engine, _), one in found().items() if engine in ways] == [
        "for GPUs"
    ] * 2


def test_without_a_compiler_the_others_are_checked(monkeypatch):
    monkeypatch.setattr(toolchain, "search", lambda: "there is no C++ compiler")
    monkeypatch.setattr("gated.engines.cpu.build.search", toolchain.search)
    for held in (operation.compiled, build.library):
        held.cache_clear()  # another test may have had the kernel compiled
    seen = found("peephole")
    assert "there is no C++ compiler" in seen["cpu", "float32"].reason
    assert seen["reference", "float32"].error is not None


def test_what_comes_next_is_told_as_often_as_was_said(engines):
    cells, told = [gated.cell("rnn"), gated.cell("gru")], []
    list(check(cells, lambda *what: told.append(what)))
    assert len(told) == steps(cells) == 8
    assert told[0] == ("rnn", "reference", "float64", "cpu")


def test_random_numbers_are_left_where_they_were(engines):
    before = torch.get_rng_state()
    list(check([gated.cell("rnn")]))
    compare(Layer(gated.cell("rnn")), timed=False)
    assert torch.equal(torch.get_rng_state(), before)


SMALL = {"input_size": 3, "hidden_size": 4, "batch": 3, "steps": 5}


@pytest.mark.parametrize("options", [{}, {"trace": True}, {"lengths": True, "bidirectional": True},
                                     {"train": True, "num_layers": 2}])  # fmt: skip
def test_the_choice_is_that_of_the_layer(engines, options):
    layer = Layer(gated.cell("lstm"), **SMALL, **options)
    named = ("num_layers", "bidirectional")
    real = gated.LSTM(3, 4, **{n: v for n, v in options.items() if n in named})
    lengths = [5, 4, 3] if "lengths" in options else None
    choice = real.choice(torch.zeros(5, 3, 3), lengths=lengths, trace="trace" in options)
    asked = compare(layer, timed=False)
    assert (asked.engine, asked.reason) == choice
    assert not any(run.seconds for run in asked.runs)


def test_every_engine_that_runs_it_is_timed_and_the_others_say_why(engines):
    engines("planted", planted(reference.run, lambda job: "no such thing here"))
    asked = compare(Layer(gated.cell("lstm"), **SMALL, train=True))
    runs = {run.engine: run for run in asked.runs}
    assert min(len(runs[name].seconds) for name in ("torch", "reference")) >= 3
    assert all(second > 0 for second in runs["torch"].seconds)
    assert (runs["planted"].reason, runs["planted"].seconds) == ("no such thing here", ())
    assert asked.runs[-1].engine == "planted"


def test_strategies_are_timed_but_the_one_taken_once(engines):
    ways = {"resident": "too large", "stepwise": None}
    whole = planted(reference.run)
    whole.strategies = lambda job: ways
    other = planted(reference.run, lambda job: "too large")
    engines("triton", whole)
    engines("triton-resident", other)
    engines("triton-stepwise", whole)
    runs = {run.engine: run for run in compare(Layer(gated.cell("rnn"), **SMALL)).runs}
    assert (runs["triton"].strategy, len(runs["triton"].seconds) >= 3) == ("stepwise", True)
    assert (runs["triton-stepwise"].same_as, runs["triton-stepwise"].seconds) == ("triton", ())
    assert runs["triton-resident"].reason == "too large"


def test_without_triton_a_gpu_would_take_what_there_is_and_why_is_told(engines, monkeypatch):
    for name in ("triton", *triton.ONE):
        engines(name, triton.Engine())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(triton, "_missing", lambda: "Triton is not installed")
    layer = Layer(gated.cell("peephole"), **SMALL, device="cuda", lengths=True, train=True)
    asked = compare(layer)
    assert (asked.engine, asked.absent) == ("reference", True)
    reasons = {run.engine: run.reason for run in asked.runs}
    assert reasons["triton"] == "Triton is not installed"
    assert not any(run.seconds for run in asked.runs)


def test_gradients_are_asked_for_in_training_alone(engines):
    wanted = []

    def run(job):
        wanted.append(torch.is_grad_enabled() and any(w.requires_grad for w in job.weights))
        return reference.run(job)

    engines("planted", planted(run))
    compare(Layer(gated.cell("lstm"), **SMALL))
    assert set(wanted) == {False}
    wanted.clear()
    compare(Layer(gated.cell("lstm"), **SMALL, train=True))
    assert set(wanted) == {True}


@pytest.mark.parametrize(
    ("fault", "told"),
    [(EngineError("it fell"), "it fell"), (ValueError("it fell"), "ValueError: it fell")],
)
def test_an_engine_that_fails_is_not_timed(engines, fault, told):
    def run(job):
        raise fault

    engines("planted", planted(run))
    runs = {run.engine: run for run in compare(Layer(gated.cell("rnn"), **SMALL)).runs}
    assert (runs["planted"].failure, runs["planted"].seconds) == (told, ())


@pytest.mark.parametrize(
    ("own", "other", "fastest"),
    [
        ((1, 1, 1, 1, 1), (2, 2, 2, 2, 2), "own"),
        ((1, 1, 1, 1, 1), (0.97, 0.97, 0.97, 0.97, 0.97), "own"),  # timings vary by more
        ((1, 1, 1, 1, 1), (0.5, 0.5, 0.5, 0.5, 2), "other"),
        ((1, 1, 1, 1, 1), (0.5, 0.5, 0.5, 2, 2), "own"),  # too often it is not
        ((1, 1, 4, 4, 4), (0.5, 0.5, 2, 2, 2), "other"),  # slow rounds are slow for both
    ],
)
def test_the_choice_counts_as_fastest_unless_another_is_clearly_faster(own, other, fastest):
    runs = (Run("other", seconds=other), Run("own", seconds=own), Run("none", reason="no"))
    assert Comparison(Layer(gated.cell("rnn")), "own", "", runs).fastest.engine == fastest


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"hidden_size": 4_000_000}, "does not fit into memory: lower --batch"),
        ({"device": "abacus"}, "there is no device 'abacus'"),
    ],
)
def test_what_cannot_be_is_refused(options, complaint):
    with pytest.raises(OptionError, match=complaint):
        compare(Layer(gated.cell("lstm"), **options))
