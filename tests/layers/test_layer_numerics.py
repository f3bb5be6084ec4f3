"""How exact float32 is, over long sequences too; and the example that textbooks work by hand."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

import gated
from gated.engines.cpu.build import unavailable

BENCH = Path(__file__).parents[2] / "bench"
ENGINES = ["torch", "reference", *(["cpu"] if unavailable() is None else [])]


def with_forget_bias(layer: nn.Module, bias: float) -> nn.Module:
    """Set the sum of the two biases of an LSTM's forget gate."""
    size = layer.hidden_size
    with torch.no_grad():
        layer.bias_ih_l0[size : 2 * size] = bias
        layer.bias_hh_l0[size : 2 * size] = 0
    return layer


def error(layer: nn.Module, x: torch.Tensor, weights: dict[str, torch.Tensor]) -> float:
    """The largest difference of outputs and of c from float64's, of the same numbers."""
    exact = nn.LSTM(layer.input_size, layer.hidden_size, dtype=torch.float64)
    exact.load_state_dict({k: v.double() for k, v in weights.items()})
    layer.load_state_dict(weights)
    with torch.no_grad():
        output, (_, c) = layer(x)
        expected, (_, c_expected) = exact(x.double())
    apart = (output.double() - expected).abs().max(), (c.double() - c_expected).abs().max()
    return float(max(apart))


@pytest.mark.parametrize("steps", [100, 1000])
@pytest.mark.parametrize("forget_bias", [0.0, 1.0, 3.0, 6.0])
@pytest.mark.parametrize("engine", ENGINES)
def test_float32_is_at_most_twice_as_far_from_float64_as_pytorch_is(engine, forget_bias, steps):
    ours, theirs = [], []
    for seed in range(12 if steps == 100 else 4):
        torch.manual_seed(seed)
        start = with_forget_bias(nn.LSTM(8, 16), forget_bias).state_dict()
        x = torch.randn(steps, 4, 8)
        ours.append(error(gated.LSTM(8, 16, engine=engine), x, start))
        theirs.append(error(nn.LSTM(8, 16), x, start))
    # errors are random walks that differ threefold between seeds, so their mean is what compares
    assert sum(ours) <= 2 * sum(theirs)


@pytest.mark.parametrize(
    ("name", "engine"),
    [("LSTM", "torch"), ("RNN", "reference"), *(("LSTM", e) for e in ENGINES if e == "cpu")],
)
def test_faults_12_at_100_000_steps_the_error_is_that_at_1000_and_gradients_are_finite(
    name, engine
):
    # whole blocks, which the reference need not pad at each step
    batch, width, size = (8, 8, 8) if engine == "reference" else (1, 2, 4)
    layer = getattr(gated, name)(width, size, engine=engine)
    exact = getattr(nn, name)(width, size, dtype=torch.float64)
    exact.load_state_dict({k: v.double() for k, v in layer.state_dict().items()})
    x = torch.randn(100_000, batch, width, requires_grad=True)
    output, _ = layer(x)
    with torch.no_grad():
        apart = (output.double() - exact(x.double())[0]).abs()
    assert float(apart.max()) <= 3 * float(apart[:1000].max())
    output[-1].sum().backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad[-1].any()
    assert all(torch.isfinite(w.grad).all() for w in layer.parameters())


@pytest.fixture(scope="module")
def worked():
    spec = importlib.util.spec_from_file_location("worked_example", BENCH / "worked_example.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_the_worked_example_comes_out(worked, engine):
    lstm, x = worked.example(engine)
    rows = worked.table(lstm, x)
    assert rows["f"] == pytest.approx([0.549834, 0.647812, 0.551942, 0.727907], abs=5e-7)
    assert rows["c"] == pytest.approx([0.108524, 0.422538, 0.346668, 0.801769], abs=5e-7)
    assert rows["h"] == pytest.approx([0.059437, 0.258520, 0.184027, 0.484076], abs=5e-7)
    assert rows["c"] == pytest.approx([0.108, 0.422, 0.346, 0.802], abs=1.5e-3)
    assert rows["h"] == pytest.approx([0.059, 0.258, 0.184, 0.483], abs=1.5e-3)


@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_the_worked_examples_gradients_come_out(worked, engine):
    lstm, x = worked.example(engine)
    assert worked.direct_gradients(lstm, x) == pytest.approx([0.728, 0.402, 0.260], abs=5e-4)
    assert worked.total_gradients(lstm, x) == pytest.approx([0.9886, 0.9378, 0.9515], abs=5e-5)
