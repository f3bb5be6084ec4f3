"""Layers on the scan engine, beside the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fused_cases import NEAR, RAGGED, B, D, H, T, agree, pair, results
from scan_cases import OWN, Chain
from torch.autograd import forward_ad

import gated
from gated import engines
from gated.cells.probes import clamped, probed
from gated.engines.scan import loop
from gated.equations import Cell, U, W, b
from gated.errors import EngineError
from linear_cells import LINEAR, Window

CELLS = [*LINEAR, *OWN]
LENGTHS = pytest.mark.parametrize("lengths", [None, RAGGED], ids=["full", "ragged"])


@pytest.fixture(autouse=True)
def _pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is cut, however few the units and steps are."""
    monkeypatch.setattr(loop, "_pieces", lambda count, width: 3)


def name(cell: Any) -> str:
    return cell if isinstance(cell, str) else cell.name


def test_the_catalogue_has_linear_cells():
    assert LINEAR


@pytest.mark.parametrize("cell", CELLS, ids=name)
@LENGTHS
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one", "both"])
@pytest.mark.parametrize("dtype", NEAR, ids=str)
def test_values_and_all_gradients_are_the_references(cell, lengths, bidirectional, dtype):
    scan, reference = pair("scan", cell, bidirectional=bidirectional, dtype=dtype)
    agree(results(scan, lengths), results(reference, lengths), NEAR[dtype])


@pytest.mark.parametrize("options", [
    {"num_layers": 3, "bidirectional": True},
    {"num_layers": 2, "dropout": 0.5},
    {"bias": False},
    {"batch_first": False, "residual": True, "num_layers": 2},
], ids=str)  # fmt: skip
@LENGTHS
def test_options_of_layers_are_the_references(options, lengths):
    scan, reference = pair("scan", LINEAR[0], dtype=torch.float64, **options)
    agree(results(scan, lengths), results(reference, lengths), 1e-12)


class DiagonalLinear(Cell):
    """Linear where its map is a vector."""

    def step(self, x, h):
        h = U @ h + W @ x + b
        return h


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        (DiagonalLinear, {"maps": "diagonal"}),
        (gated.zoneout(LINEAR[0], h=0.5), {}),
        (gated.cell(LINEAR[0]), {"maps": {"W": gated.Heads(1)}}),
    ],
    ids=["diagonal", "noise", "blocks"],
)
@LENGTHS
def test_maps_and_noise_leave_a_cell_linear(cell, options, lengths):
    scan, reference = pair("scan", cell, dtype=torch.float64, **options)
    agree(results(scan, lengths), results(reference, lengths), 1e-12)


def test_images_are_scanned_place_by_place():
    found = []
    for engine in ("scan", "reference"):
        torch.manual_seed(0)
        layer = gated.Recurrent(
            LINEAR[0], 2, 3, maps=gated.Convolution(3), engine=engine, dtype=torch.float64
        )
        x = torch.randn(T, B, 2, 4, 5, dtype=torch.float64)
        found.append([*layer(x, lengths=RAGGED)])
    agree(found[0], found[1], 1e-12)


@pytest.mark.parametrize("cell", CELLS, ids=name)
@LENGTHS
def test_every_gate_and_state_is_shown_and_has_the_references_gradients(cell, lengths):
    found = []
    for layer in pair("scan", cell, bidirectional=True, dtype=torch.float64):
        torch.manual_seed(1)
        x = torch.randn(T, B, D, dtype=torch.float64, requires_grad=True)
        *_, trace = layer(x, lengths=lengths, trace=True)
        shown = list(trace.at().values())
        loss = sum((v * torch.randn_like(v)).sum() for v in shown)
        wanted = [x, *layer.parameters()]
        found.append([*shown, *torch.autograd.grad(loss, wanted, allow_unused=True,
                                                   materialize_grads=True)])  # fmt: skip
    agree(found[0], found[1], 1e-12)


@pytest.mark.parametrize("change", [lambda c: probed(c, "h"), lambda c: clamped(c, "h")])
def test_probes_and_clamps_are_scanned(change):
    cell = change(LINEAR[0])
    scan, reference = pair("scan", cell, dtype=torch.float64)
    further = {n: torch.randn(T, B, H, dtype=torch.float64) for n in [*cell.graph.inputs][1:]}
    x = torch.randn(T, B, D, dtype=torch.float64)
    agree([*scan(x, **further)], [*reference(x, **further)], 1e-12)


def test_episodes_are_the_references():
    resets = torch.zeros(T, B, dtype=torch.bool)
    resets[3, 1] = resets[2, 0] = resets[5, 0] = True
    scan, reference = pair("scan", Chain, dtype=torch.float64)
    x = torch.randn(T, B, D, dtype=torch.float64)
    one, two = (layer(x, resets=resets) for layer in (scan, reference))
    agree([one[0], *one[1]], [two[0], *two[1]], 1e-12)


def test_faults_14_second_derivatives_are_the_references():
    found = []
    for layer in pair("scan", Chain, dtype=torch.float64):
        torch.manual_seed(1)
        x = torch.randn(T, B, D, dtype=torch.float64, requires_grad=True)
        output, _ = layer(x, lengths=RAGGED)
        (first,) = torch.autograd.grad(output.square().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), [x, *layer.parameters()]))
    agree(*found, 1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bits_are_nearer_to_the_truth_than_the_reference_in_that_type(dtype):
    scan, reference = pair("scan", LINEAR[0], dtype=dtype)
    exact = gated.Recurrent(LINEAR[0], D, H, engine="reference", dtype=torch.float64)
    exact.load_state_dict(scan.state_dict())
    x = torch.randn(100, B, D).to(dtype)
    truth, _ = exact(x.double())
    errors = [(layer(x)[0].double() - truth).abs().max() for layer in (scan, reference)]
    assert scan(x)[0].dtype == dtype
    assert errors[0] < errors[1]
    scan(x)[0].sum().backward()
    assert all(w.grad is not None and w.grad.dtype == dtype for w in scan.parameters())


def test_under_autocast_it_computes_as_a_layer_of_that_type():
    scan, _ = pair("scan", LINEAR[0])
    x = torch.randn(T, B, D)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = scan(x)
    assert torch.equal(found, scan.to(torch.bfloat16)(x.to(torch.bfloat16))[0])


def test_faults_9_nan_in_padding_changes_nothing():
    scan, _ = pair("scan", Window)
    x = torch.randn(T, B, D)
    clean, _ = scan(x, lengths=RAGGED)
    for row, length in enumerate(RAGGED):
        x[length:, row] = torch.nan
    assert torch.equal(scan(x, lengths=RAGGED)[0], clean)


@pytest.mark.parametrize("shape", [(0, B), (T, 0), (1, 1)], ids=str)
def test_faults_1_and_2_batches_without_rows_or_steps(shape):
    scan, reference = pair("scan", LINEAR[0])
    x = torch.randn(*shape, D)
    agree([*scan(x)], [*reference(x)], 1e-6)


def test_tensors_without_numbers_have_the_references_shapes():
    layer = gated.Recurrent(Chain, D, H, engine="scan", device="meta", bidirectional=True)
    output, (h, s) = layer(torch.empty(T, B, D, device="meta"))
    assert (output.shape, h.shape, s.shape) == ((T, B, 2 * H), (2, B, H), (2, B, H))


# -- what it refuses, and when it is chosen


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("lstm", "time cannot be a scan: the states h and c depend on one another"),
        ("indrnn", r"time cannot be a scan: h = relu\(...\) is not linear in the state h"),
        (DiagonalLinear, "time cannot be a scan: U mixes the units of the state h"),
    ],
)
def test_a_cell_that_is_not_linear_is_refused_with_the_reason(cell, reason):
    layer = gated.Recurrent(cell, D, H, engine="scan")
    with pytest.raises(EngineError, match=reason):
        layer(torch.randn(T, B, D))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_forward_mode_and_transforms_are_refused_not_wrong():
    scan, _ = pair("scan", LINEAR[0])
    x = torch.randn(T, B, D)
    with forward_ad.dual_level(), pytest.raises(EngineError, match="forward-mode"):
        scan(forward_ad.make_dual(x, torch.ones_like(x)))
    with pytest.raises(EngineError, match=r"torch\.func"):
        torch.func.vmap(lambda v: scan(v)[0])(torch.randn(2, T, B, D))


def test_auto_takes_it_for_long_sequences_where_no_kernel_is(monkeypatch):
    monkeypatch.setattr(engines, "AUTOMATIC", engines.allowed("scan"))
    layer = gated.Recurrent(LINEAR[0], D, H)
    assert layer.choice(torch.randn(256, 1, D)).engine == "scan"
    engine, reason = layer.choice(torch.randn(255, 1, D))
    assert engine == "reference"
    assert reason == "scan: a loop over 255 steps takes no longer; from 256 on it does"


def test_auto_takes_the_kernel_of_the_cpu_before_it(monkeypatch):
    monkeypatch.setattr(engines, "AUTOMATIC", engines.allowed("cpu,scan"))
    monkeypatch.setattr(engines.cpu, "supports", lambda job: None)
    assert gated.Recurrent(LINEAR[0], D, H).choice(torch.randn(999, 1, D)).engine == "cpu"
