"""The kernels of the scan in Triton's interpreter, against a loop over each row."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")
sys.path.insert(0, str(Path(__file__).parents[1] / "scan"))

from fused_cases import RAGGED, agree, pair, results
from scan_cases import HARD, by_hand

from gated.engines.scan import device, operators
from gated.engines.scan.device import chunk_length
from gated.engines.scan.steps import Steps
from linear_cells import LINEAR

REACH = [3, 3, 2, 2, 2, 1, 0]
NEAR = {torch.float64: 1e-12, torch.float32: 1e-6, torch.bfloat16: 2.0**-7}


def values(rows: Steps, units: int, dtype: torch.dtype) -> list[torch.Tensor]:
    a, b = (torch.randn(rows.total, units, dtype=torch.float64) for _ in range(2))
    initial = torch.randn(rows.batch, units, dtype=torch.float64)
    return [v.to(dtype) for v in (a.tanh(), b, initial)]


@pytest.mark.parametrize("sizes", [None, REACH], ids=["full", "ragged"])
@pytest.mark.parametrize("reverse", [False, True], ids=["ahead", "back"])
@pytest.mark.parametrize("shifted", [False, True], ids=["own", "last"])
# several chunks, and borders at the end of a row, before it and behind it
@pytest.mark.parametrize("chunk", [2, 5, 6, 7])
def test_chunks_of_any_length_give_what_a_loop_over_each_row_gives(sizes, reverse, shifted, chunk):
    rows = Steps(None if sizes is None else torch.tensor(sizes), 15 if sizes else 18, 3, reverse)
    a, b, initial = values(rows, 5, torch.float64)
    found, products = device.scan(a, b, initial, rows, shifted, chunk=chunk)
    assert products is None
    torch.testing.assert_close(found, by_hand(a, b, initial, rows, shifted), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", NEAR, ids=str)
@pytest.mark.parametrize("units", [1, 16, 130])
def test_types_and_numbers_of_units(dtype, units):
    rows = Steps(None, 5, 1, False)
    given = values(rows, units, dtype)
    found, _ = device.scan(*given, rows, False, chunk=2)
    wide = by_hand(*(v.double() for v in given), rows)
    assert found.dtype == dtype
    assert (found.double() - wide).abs().max() <= NEAR[dtype] * wide.abs().max()


@pytest.mark.parametrize("sizes", [None, REACH], ids=["full", "ragged"])
@pytest.mark.parametrize("reverse", [False, True], ids=["ahead", "back"])
def test_gradients_are_those_of_the_operations_of_a_cpu(sizes, reverse, monkeypatch):
    rows = Steps(None if sizes is None else torch.tensor(sizes), 15 if sizes else 18, 3, reverse)
    found = []
    for kernels in (False, True):
        torch.manual_seed(0)
        given = [v.requires_grad_() for v in values(rows, 5, torch.float64)]
        monkeypatch.setattr(operators, "_by_kernels", lambda value, kernels=kernels: kernels)
        monkeypatch.setattr(device, "chunk_length", lambda *_: 2)
        states, final = operators.scan(*given, rows)
        loss = (states * states.detach().cos()).sum() + final.square().sum()
        found.append([states, final, *torch.autograd.grad(loss, given)])
    agree(*found, 1e-12)


@pytest.mark.parametrize("which", [name for name in HARD if len(HARD[name][0]) < 10])
def test_chunks_are_finite_infinite_or_nan_where_the_loop_is(which):
    a, b, first = HARD[which]
    rows = Steps(None, len(a), 1, False)
    initial = torch.full((1, 1), first)
    found, _ = device.scan(a, b, initial, rows, False, chunk=3)
    torch.testing.assert_close(
        found, by_hand(a, b, initial, rows), rtol=1e-6, atol=0, equal_nan=True
    )


def test_nan_in_a_unit_leaves_the_bits_of_the_others():
    rows = Steps(None, 7, 1, False)
    a, b, initial = values(rows, 4, torch.float32)
    clean, _ = device.scan(a, b, initial, rows, False, chunk=2)
    b[1, 2] = torch.nan
    found, _ = device.scan(a, b, initial, rows, False, chunk=2)
    others = [0, 1, 3]
    assert found[1:, 2].isnan().all()
    assert torch.equal(found[:, others], clean[:, others])


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("lengths", [None, RAGGED], ids=["full", "ragged"])
def test_layers_are_the_references(name, lengths, monkeypatch):
    monkeypatch.setattr(operators, "_by_kernels", lambda value: True)
    monkeypatch.setattr(device, "chunk_length", lambda *_: 3)
    scan, reference = pair("scan", name, bidirectional=name == LINEAR[0], dtype=torch.float64)
    agree(results(scan, lengths), results(reference, lengths), 1e-12)


@pytest.mark.parametrize(
    ("count", "programs", "length"),
    [(16384, 16, 249), (16384, 2000, 16384), (16384, 528, 8192), (100, 16, 34), (10, 1, 10)],
)
def test_time_is_cut_until_the_chip_is_full(count, programs, length):
    assert chunk_length(count, programs, 132) == length


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from gated.engines.scan import kernels
from gated.engines.triton.launch import REALS

NUMBERS = {"count": "i32", "batch": "i32", "n": "i32", "chunk": "i32", "limit": "fp32",
           "offsets": "*i64", "lengths": "*i64"}
for kernel, full, shifted in (
    (kernels.ends, False, True), (kernels.starts, True, False), (kernels.states, True, True),
):
    given = {"FULL": full, "REVERSE": True, "SHIFTED": shifted, "WITH_A": True,
             "REAL": REALS["float32"], "WIDTH": 128, "STAGES": 8}
    given = {name: value for name, value in given.items() if name in kernel.arg_names}
    kinds = {name: "constexpr" if name in given else NUMBERS.get(name, "*fp32")
             for name in kernel.arg_names}
    whole = {(at,): [["tt.divisibility", 16]] for at, (name, kind) in enumerate(kinds.items())
             if kind[0] == "*" or name == "n"}
    source = ASTSource(kernel, kinds, given, whole)
    options = {"num_warps": 1, "num_stages": 8, "enable_fp_fusion": True}
    text = triton.compile(source, GPUTarget("cuda", 90, 32), options).asm["ptx"]
    print(kernel.__name__, "cp.async.cg.shared.global" in text)
"""


def test_for_a_gpu_they_load_16_bytes_at_once_ahead_of_their_use(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE],
        env={**environment, "TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["ends True", "starts True", "states True"], done.stderr
