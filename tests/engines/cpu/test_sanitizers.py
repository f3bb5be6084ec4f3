"""`make sanitize` finds faults: of one cell, planted in its kernel's source."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gated.cells import cell
from gated.engines.cpu.build import unavailable

sys.path.append(str(Path(__file__).parents[3]))
from bench.sanitize.check import compiled, executed, missing
from bench.sanitize.program import program

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="needs a C++ compiler")

# each fault comes with the environment variable PLANTED, so that one program serves for all
PLANTED = """
#include <cstdlib>
#include <cstring>
static long planted(const char* fault) {
    static const char* const wanted = std::getenv("PLANTED");
    return wanted && std::strcmp(wanted, fault) == 0;
}
"""
FAULTS = {
    "u < size_H;": 'u < size_H + planted("a unit too many");',
    "now_h.reserve(count * size_H": 'now_h.reserve(count * size_H - planted("too little memory")',
    "std::memcpy(w.final_h": 'if (!planted("not written")) std::memcpy(w.final_h',
    "TURN / (end - first)": 'TURN / (end - first) / (1 - planted("by zero"))',
    "rows.part(me, of)": 'rows.part(planted("shared rows") ? 0 : me, of)',
    # on x86-64 this makes no other code, and no wrong number
    "done.load(std::memory_order_acquire)": "done.load(planted("
    '"relaxed") ? std::memory_order_relaxed : std::memory_order_acquire)',
}


@pytest.fixture(scope="module", params=["address", "thread"])
def kernel(request, tmp_path_factory) -> Path:
    """The program of one cell, named by its sanitizer."""
    folder = tmp_path_factory.mktemp("sanitize")
    if reason := missing(request.param, folder):
        pytest.skip(f"needs the {request.param} sanitizer: {reason}")
    text = program(cell("rnn").graph, "float", small=request.param == "address")
    for right, wrong in FAULTS.items():
        assert right in text
        text = text.replace(right, wrong)
    assert compiled(PLANTED + text, request.param, folder / request.param) is None
    return folder / request.param


def test_the_kernel_as_it_is_has_no_fault(kernel):
    assert executed(kernel) is None


@pytest.mark.parametrize("kernel", ["address"], indirect=True)
@pytest.mark.parametrize(
    ("fault", "report"),
    [
        ("a unit too many", "heap-buffer-overflow"),
        ("too little memory", "heap-buffer-overflow"),
        ("not written", "forward's final_h is NaN"),
        ("by zero", "division by zero"),
    ],
)
def test_finds_a_fault_of_memory_and_undefined_behaviour(kernel, fault, report, monkeypatch):
    monkeypatch.setenv("PLANTED", fault)
    assert report in (executed(kernel) or "nothing")


@pytest.mark.parametrize("kernel", ["thread"], indirect=True)
@pytest.mark.parametrize("fault", ["shared rows", "relaxed"])
def test_finds_a_race(kernel, fault, monkeypatch):
    monkeypatch.setenv("PLANTED", fault)
    assert "ThreadSanitizer: data race" in (executed(kernel) or "nothing")
