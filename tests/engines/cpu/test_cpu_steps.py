"""Single steps on the CPU engine: the short way, without gradients, and the long one are one."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

import gated
from gated.engines.cpu.build import unavailable
from gated.equations import Cell, U, W, tanh
from gated.errors import ShapeError
from gated.layers import stack

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="needs a C++ compiler")
D, H, P, T = 5, 6, 4, 7


class OneMatrix(Cell):
    def step(self, x, h):
        h = tanh(W.h @ x + U.h @ h)
        return h


# the short way is open to these
CELLS = ["lstm", "gru", "peephole", "lstmp", "indrnn", OneMatrix]


def layer_of(cell: Any, **options: Any) -> gated.Recurrent:
    torch.manual_seed(0)
    letters = gated.cell(cell).graph.letters
    own = {letter: P for letter in letters if letter not in ("D", "H")}
    return gated.Recurrent(cell, D, H, engine="cpu", **own, **options)


def states_of(layer: gated.Recurrent, batch: int) -> Any:
    """Random states, as the layer returns them."""
    letters = {"D": D, "H": H, **layer.sizes}
    dtype = next(layer.parameters()).dtype
    sizes = [letters[s.size] for s in layer.cell.graph.states]
    states = tuple(torch.randn(1, batch, n, dtype=dtype) for n in sizes)
    return states if len(states) > 1 else states[0]


@contextmanager
def short_way(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No gradients, and to run a whole call, the long way, is a fault."""
    with torch.no_grad(), monkeypatch.context() as patch:
        patch.setattr(stack, "run", lambda *_: pytest.fail("the long way"))
        yield


def stream(layer, x, state):
    """The outputs of all steps, one after the other, and the last state."""
    outputs = []
    for value in x:
        output, state = layer.step(value, state)
        outputs.append(output)
    return torch.stack(outputs), state


@pytest.mark.parametrize("batch", [1, 3, 40])
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_stream_by_the_short_way_is_one_run(cell, batch, monkeypatch):
    layer = layer_of(cell, dtype=torch.float64)
    x, start = torch.randn(T, batch, D, dtype=torch.float64), states_of(layer, batch)
    with short_way(monkeypatch):
        outputs, state = stream(layer, x, start)
    whole, final = layer(x, start)
    torch.testing.assert_close(outputs, whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, final, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("batch", [1, 3, 40])
@pytest.mark.parametrize("cell", ["lstm", "peephole"])
def test_a_stream_in_float32_is_one_run(cell, batch, monkeypatch):
    layer = layer_of(cell)
    x, start = torch.randn(T, batch, D), states_of(layer, batch)
    with short_way(monkeypatch):
        outputs, state = stream(layer, x, start)
    whole, final = layer(x, start)
    torch.testing.assert_close(outputs, whole, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(state, final, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("cell", [*CELLS, "gru"], ids=str)
def test_a_stream_with_gradients_has_those_of_one_run(cell):
    layer = layer_of(cell, dtype=torch.float64)
    x, start = torch.randn(T, 3, D, dtype=torch.float64, requires_grad=True), states_of(layer, 3)
    whole, _ = layer(x, start)
    outputs, state = [], start
    for value in x:
        output, state = layer.step(value, state)
        outputs.append(output)
    weigh = torch.randn_like(whole)
    wanted = [x, *layer.parameters()]
    expected = torch.autograd.grad((whole * weigh).sum(), wanted)
    found = torch.autograd.grad((torch.stack(outputs) * weigh).sum(), wanted)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


def test_later_steps_change_neither_what_went_in_nor_what_came_out():
    layer = layer_of("lstm")
    x, state = torch.randn(3, D), states_of(layer, 3)
    kept = copy.deepcopy((x, state))
    with torch.no_grad():
        first, new = layer.step(x, state)
        held = copy.deepcopy((first, new))
        layer.step(torch.randn(3, D), new)
        layer.step(torch.randn(40, D), states_of(layer, 40))
    torch.testing.assert_close((x, state), kept, rtol=0, atol=0)
    torch.testing.assert_close((first, new), held, rtol=0, atol=0)


def test_weights_that_an_optimiser_changed_are_used():
    layer = layer_of("lstm")
    x, state = torch.randn(3, D), states_of(layer, 3)
    with torch.no_grad():
        layer.step(x, state)
    layer.weight_hh_l0.data.mul_(2)
    layer.bias_ih_l0 = torch.nn.Parameter(torch.randn(4 * H))
    expected, _ = layer.step(x, state)
    with torch.no_grad():
        found, _ = layer.step(x, state)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


# -- where more is asked for than arithmetic, a step takes the long way


@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
def test_hooks_are_called(register):
    layer, seen = layer_of("lstm"), []
    getattr(layer, register)(lambda *_: seen.append(1))
    with torch.no_grad():
        layer.step(torch.randn(3, D), states_of(layer, 3))
    assert seen


@pytest.mark.parametrize(
    "register", ["register_module_forward_hook", "register_module_forward_pre_hook"]
)
def test_hooks_of_all_modules_are_called(register):
    layer, seen = layer_of("lstm"), []
    handle = getattr(torch.nn.modules.module, register)(lambda *_: seen.append(1))
    with torch.no_grad():
        layer.step(torch.randn(3, D), states_of(layer, 3))
    handle.remove()
    assert seen


def test_a_forward_that_was_put_in_its_place_is_called():
    layer = layer_of("lstm")
    x, state = torch.randn(3, D), states_of(layer, 3)
    with torch.no_grad():
        expected, _ = layer.step(x, state)
        forward = layer.forward
        layer.forward = lambda *args, **options: (-forward(*args, **options)[0], None)
        torch.testing.assert_close(layer.step(x, state)[0], -expected, rtol=1e-6, atol=1e-6)


def test_a_forward_of_ones_own_is_called():
    class Doubled(gated.Recurrent):
        def forward(self, *args: Any, **options: Any) -> Any:
            output, state = super().forward(*args, **options)
            return 2 * output, state

    layer = Doubled("lstm", D, H, engine="cpu")
    x, state = torch.randn(3, D), states_of(layer, 3)
    expected, _ = layer.step(x, state)
    with torch.no_grad():
        found, _ = layer.step(x, state)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_autocast_gives_what_it_gives_with_gradients():
    layer = gated.LSTM(D, H)
    x, state = torch.randn(3, D), states_of(layer, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected, _ = layer.step(x, state)
        with torch.no_grad():
            found, _ = layer.step(x, state)
    assert found.dtype == expected.dtype
    assert torch.equal(found, expected)


@pytest.mark.parametrize("what", ["x", "state", "both"])
def test_memory_that_is_not_contiguous_gives_the_same(what):
    layer = layer_of("lstm", dtype=torch.float64)
    x, state = torch.randn(3, D, dtype=torch.float64), states_of(layer, 3)
    strided_x = torch.stack([x, x + 1], -1)[..., 0] if what != "state" else x
    strided = tuple(s.mT.contiguous().mT for s in state) if what != "x" else state
    with torch.no_grad():
        expected, found = layer.step(x, state), layer.step(strided_x, strided)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_a_number_that_stands_with_the_other_sign_is_read_right():
    layer = gated.Recurrent("lstm", 1, H, engine="cpu")
    x = torch.ones(1, 1, dtype=torch.complex64).mul(1j).conj().imag
    assert x.is_neg()
    state = states_of(layer, 1)
    with torch.no_grad():
        expected = layer.step(x.resolve_neg().clone(), state)[0]
        assert torch.equal(layer.step(x, state)[0], expected)
        assert torch.equal(layer(x.unsqueeze(0), state)[0][0], expected)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, s: (x.double(), s),
        lambda x, s: (x[:, :-1], s),
        lambda x, s: (x, (s[0].double(), s[1])),
        lambda x, s: (x, (s[0], s[1][:, :-1])),
        lambda x, s: (x, (s[0], s[1][..., :-1])),
        lambda x, s: (x, (s[0],)),
        lambda x, s: (x, s[0]),
        lambda x, s: (x, (s[0], None)),
        lambda x, s: (x.unsqueeze(0), s),
        lambda x, s: (x.int(), s),
    ],
    ids=[
        "double x", "narrow x", "double state", "few rows", "narrow state", "one state",
        "no tuple", "None", "three axes", "integers",
    ],
)  # fmt: skip
def test_faults_have_the_same_words_as_with_gradients(wrong):
    layer = layer_of("lstm")
    x, state = wrong(torch.randn(3, D), states_of(layer, 3))
    with pytest.raises(ShapeError) as long:
        layer.step(x, state)
    with torch.no_grad(), pytest.raises(ShapeError) as short:
        layer.step(x, state)
    assert str(short.value) == str(long.value)


@pytest.mark.parametrize("gradients", [False, True], ids=["without", "with"])
@pytest.mark.parametrize(
    "value",
    [torch.zeros(4, 4), torch.zeros(H, 4 * H), torch.zeros(4 * H, H, dtype=torch.float64)],
    ids=["small", "transposed", "double"],
)
def test_a_parameter_of_another_size_or_type_is_refused(value, gradients):
    layer = layer_of("lstm")
    x, state = torch.randn(3, D), states_of(layer, 3)
    with torch.no_grad():
        layer.step(x, state)  # the short way is known
    layer.weight_hh_l0 = torch.nn.Parameter(value)
    with (
        torch.set_grad_enabled(gradients),
        pytest.raises(ShapeError, match=r"lstm: weight_hh_l0 is .* expected \(24, 6\)"),
    ):
        layer.step(x, state)


def test_a_copy_of_a_layer_steps_with_its_own_weights():
    layer = layer_of("lstm")
    x, state = torch.randn(3, D), states_of(layer, 3)
    with torch.no_grad():
        before, _ = layer.step(x, state)
        other = copy.deepcopy(layer)
        other.weight_ih_l0.mul_(2)
        assert not torch.equal(other.step(x, state)[0], before)
        assert torch.equal(layer.step(x, state)[0], before)


def test_what_is_drawn_in_training_is_drawn_in_a_step():
    layer = gated.Recurrent(gated.zoneout("rnn", h=0.5), D, H, engine="cpu")
    x, state = torch.randn(3, D), states_of(layer, 3)

    def run() -> Tensor:
        with torch.no_grad():
            return layer.step(x, state)[0]

    assert not torch.equal(run(), run())
    layer.eval()
    assert torch.equal(run(), run())


def test_a_weight_of_another_type_in_the_same_memory_is_refused():
    layer = layer_of("lstm")
    x, state = torch.randn(2, D), states_of(layer, 2)
    with torch.no_grad():
        layer.step(x, state)
        for weight in layer.parameters():
            weight.data = weight.data.view(torch.bfloat16)[..., : weight.shape[-1]].contiguous()
        with pytest.raises(ShapeError, match="bfloat16"):
            layer.step(x, state)


def test_a_copy_that_shares_what_was_found_out_steps_with_its_own_weights():
    layer = layer_of("gru", dtype=torch.float64)
    twin = copy.copy(layer)
    twin._parameters = {
        name: torch.nn.Parameter(2 * value.data) for name, value in layer._parameters.items()
    }
    x, state = torch.randn(3, D, dtype=torch.float64), states_of(layer, 3)
    expected = [one(x[None], state)[0][0] for one in (layer, twin)]
    with torch.no_grad(), ThreadPoolExecutor(2) as pool:
        work = [(one, pool.submit(repeatedly, one, x, state)) for one in (layer, twin)]
        for (_, outputs), wanted in zip(work, expected, strict=True):
            for output in outputs.result():
                torch.testing.assert_close(output, wanted, rtol=1e-12, atol=1e-12)


def repeatedly(layer, x, state):
    with torch.no_grad():
        return [layer.step(x, state)[0] for _ in range(3000)]


def test_weights_that_were_replaced_are_not_kept_alive():
    layer = layer_of("lstm")
    x, state = torch.randn(2, D), states_of(layer, 2)
    with torch.no_grad():
        layer.step(x, state)
    old = weakref.ref(layer.weight_hh_l0)
    layer.weight_hh_l0 = torch.nn.Parameter(torch.zeros(4 * H, H))
    gc.collect()
    assert old() is None


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_weight_whose_memory_was_freed_is_refused(cell):
    layer = layer_of(cell)
    layer.weight_hh_l0.untyped_storage().resize_(0)
    x, state = torch.randn(2, D), states_of(layer, 2)
    with torch.no_grad(), pytest.raises(ShapeError, match="weight_hh_l0 has no memory"):
        layer.step(x, state)
