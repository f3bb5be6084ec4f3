"""Which engine runs what: found by comparing graphs, never by names, and never in silence."""

import pytest
import torch
from torch.autograd import forward_ad

import gated
from gated import engines
from gated.engines.pytorch import operator
from gated.equations import Cell, Family, R, U, W, b, b_h, relu, sigmoid, tanh
from gated.errors import EngineError, OptionError

D, H = 3, 4
# PyTorch scripts some of its own forward-mode rules
scripts = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")


class Renamed(Cell):
    """An LSTM under other names of gates and states, its sums and products turned round."""

    def step(self, x, out, memory):
        write = sigmoid(b.one + U.one @ out + W.one @ x)
        keep = sigmoid(U.two @ out + (b.two + W.two @ x))
        fresh = tanh(W.three @ x + b.three + U.three @ out)
        show = sigmoid(b.four + W.four @ x + U.four @ out)
        memory = fresh * write + memory * keep
        out = tanh(memory) * show
        return out, memory


class RenamedGRU(Cell):
    def step(self, x, s):
        u = sigmoid(U.u @ s + W.u @ x + b.u)
        v = sigmoid(W.v @ x + b.v + U.v @ s)
        w = tanh((U.w @ s + b_h.w) * u + (W.w @ x + b.w))
        s = s * v + w * (1 - v)
        return s


class SignChanged(Cell):
    def step(self, x, h, c):
        i = sigmoid(W.i @ x + U.i @ h + b.i)
        f = sigmoid(W.f @ x + U.f @ h + b.f)
        g = tanh(W.g @ x + U.g @ h + b.g)
        o = sigmoid(W.o @ x + U.o @ h + b.o)
        c = f * c - i * g
        h = o * tanh(c)
        return h, c


class GatesReordered(Cell):
    """The forget gate first: its rows stand first, where PyTorch's operator has the input gate."""

    def step(self, x, h, c):
        f = sigmoid(W.f @ x + U.f @ h + b.f)
        i = sigmoid(W.i @ x + U.i @ h + b.i)
        g = tanh(W.g @ x + U.g @ h + b.g)
        o = sigmoid(W.o @ x + U.o @ h + b.o)
        c = f * c + i * g
        h = o * tanh(c)
        return h, c


class OneFamilyReordered(Cell):
    """U is first met in another order than W, so that its rows stand in another order."""

    def step(self, x, h, c):
        u_f, u_i = U.f @ h, U.i @ h
        i = sigmoid(W.i @ x + u_i + b.i)
        f = sigmoid(W.f @ x + u_f + b.f)
        g = tanh(W.g @ x + U.g @ h + b.g)
        o = sigmoid(W.o @ x + U.o @ h + b.o)
        c = f * c + i * g
        h = o * tanh(c)
        return h, c


class StatesSwapped(Cell):
    """The memory is the output."""

    def step(self, x, c, h):
        i = sigmoid(W.i @ x + U.i @ h + b.i)
        f = sigmoid(W.f @ x + U.f @ h + b.f)
        g = tanh(W.g @ x + U.g @ h + b.g)
        o = sigmoid(W.o @ x + U.o @ h + b.o)
        c = f * c + i * g
        h = o * tanh(c)
        return c, h


class OtherStart(Cell):
    initial = {"h": 1.0}

    def step(self, x, h):
        h = tanh(W @ x + U @ h + b)
        return h


class WeightsShared(Cell):
    def step(self, x, h, c):
        i = sigmoid(W.i @ x + U.i @ h + b.i)
        f = sigmoid(W.f @ x + U.i @ h + b.f)
        g = tanh(W.g @ x + U.g @ h + b.g)
        o = sigmoid(W.o @ x + U.o @ h + b.o)
        c = f * c + i * g
        h = o * tanh(c)
        return h, c


class OtherSubscripts(Cell):
    """The second bias stands under a subscript of its own, so PyTorch's two do not hold it."""

    def step(self, x, h):
        r = sigmoid(W.r @ x + U.r @ h + b.r)
        z = sigmoid(W.z @ x + U.z @ h + b.z)
        n = tanh(W.n @ x + b.n + r * (U.n @ h + b_h.inner))
        h = (1 - z) * n + z * h
        return h


class ZSwapped(Cell):
    def step(self, x, h):
        r = sigmoid(W.r @ x + U.r @ h + b.r)
        z = sigmoid(W.z @ x + U.z @ h + b.z)
        n = tanh(W.n @ x + b.n + r * (U.n @ h + b_h.n))
        h = (1 - z) * h + z * n
        return h


def doubled(v, times):
    return doubled(v + v, times - 1) if times else v


class Doubling(Cell):
    """Sums of shared sums: written out they would have 2^60 terms."""

    def step(self, x, h):
        h = relu(doubled(W @ x + U @ h + b, 60))
        return h


DIFFERENT = [
    SignChanged, GatesReordered, OneFamilyReordered, StatesSwapped, OtherStart, WeightsShared,
    OtherSubscripts, ZSwapped,
]  # fmt: skip


@pytest.mark.parametrize(("cell", "name"), [(Renamed, "LSTM"), (RenamedGRU, "GRU")])
def test_a_cell_with_pytorchs_equations_runs_on_pytorchs_operator(cell, name):
    layer, theirs = gated.Recurrent(cell, D, H, 2), getattr(torch.nn, name)(D, H, 2)
    layer.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(5, 2, D)
    assert layer.choice(x).engine == "torch"
    assert torch.equal(layer(x)[0], theirs(x)[0])


@pytest.mark.parametrize(("cell", "name"), [(Renamed, "LSTM"), (RenamedGRU, "GRU")])
def test_its_own_equations_say_the_same_as_the_operator(cell, name):
    layer = gated.Recurrent(cell, D, H, engine="reference", dtype=torch.float64)
    theirs = getattr(torch.nn, name)(D, H, dtype=torch.float64)
    layer.load_state_dict(theirs.state_dict())
    x = torch.randn(5, 2, D, dtype=torch.float64)
    torch.testing.assert_close(layer(x)[0], theirs(x)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cell", DIFFERENT)
def test_a_cell_that_computes_something_else_does_not(cell, monkeypatch):
    monkeypatch.setattr(engines, "AUTOMATIC", engines.allowed("torch"))  # nothing to compile
    layer = gated.Recurrent(cell, D, H)
    choice = layer.choice(torch.randn(5, 2, D))
    assert choice.engine == "reference"
    with pytest.raises(EngineError, match=f"no fused operator that computes {cell.name} as it"):
        gated.Recurrent(cell, D, H, engine="torch")(torch.randn(5, 2, D))


def test_rows_of_reordered_gates_mean_what_the_equations_say():
    layer, theirs = gated.Recurrent(GatesReordered, D, H), torch.nn.LSTM(D, H)
    i_f_g_o = theirs.state_dict()
    f_i_g_o = [k * H + r for k in (1, 0, 2, 3) for r in range(H)]
    layer.load_state_dict(
        {
            "weight_ih_l0": i_f_g_o["weight_ih_l0"][f_i_g_o],
            "weight_hh_l0": i_f_g_o["weight_hh_l0"][f_i_g_o],
            "bias_l0": (i_f_g_o["bias_ih_l0"] + i_f_g_o["bias_hh_l0"])[f_i_g_o],
        },
        strict=True,
    )
    x = torch.randn(5, 2, D)
    assert layer.choice(x).engine == "cpu"
    torch.testing.assert_close(layer(x)[0], theirs(x)[0])


def test_a_sum_of_shared_sums_is_compared_in_no_time():
    assert operator(Doubling.graph) is None


def test_other_letters_for_families_are_another_layout():
    K = Family("K")

    class Lettered(Cell):
        def step(self, x, h):
            h = tanh(K @ x + U @ h + b)
            return h

    assert operator(Lettered.graph) is None


@pytest.mark.parametrize("name", ["lstm", "lstmp", "gru", "rnn", "rnn-relu"])
def test_pytorchs_cells_have_an_operator(name):
    assert operator(gated.cell(name).graph) is not None


def test_the_choice_says_why():
    lstm, x = gated.LSTM(D, H), torch.randn(5, 2, D)
    little = "cpu: PyTorch's own operator is as quick for so little work"
    assert lstm.choice(x).engine == "torch"
    assert lstm.choice(x).reason.startswith(f"{little}; scan: time cannot be a scan: ")
    assert lstm.choice(x, trace=True) == ("cpu", "it is the fastest that can run this")
    half = gated.LSTM(D, H, dtype=torch.bfloat16)
    engine, reason = half.choice(x.to(torch.bfloat16), trace=True)
    assert engine == "reference"
    cpu, scan, torchs, triton = reason.split("; ")
    assert cpu == "cpu: the CPU engine computes in float32 and float64, not in torch.bfloat16"
    assert scan.startswith("scan: time cannot be a scan: ")
    assert torchs == "torch: PyTorch's fused operators do not show their gates"
    assert triton == "triton: it is for GPUs, the input is on cpu"
    lstm.engine = "torch"
    assert lstm.choice(x) == ("torch", "asked for by name")


def test_an_engine_asked_for_by_name_never_falls_back():
    x = torch.randn(5, 2, D)
    with pytest.raises(EngineError, match="do not show their gates; use engine='auto'"):
        gated.LSTM(D, H, engine="torch")(x, trace=True)
    with pytest.raises(EngineError, match="no fused operator that computes gru-reset-before"):
        gated.Recurrent("gru-reset-before", D, H, engine="torch")(x)
    with pytest.raises(EngineError, match="cannot run this"):
        gated.Recurrent("gru-reset-before", D, H, engine="torch")(x[:0])


@pytest.mark.parametrize("projected", [H, H + 2])
def test_a_projection_that_is_not_smaller_does_not_go_to_pytorchs_operator(projected):
    layer = gated.Recurrent("lstmp", D, H, P=projected)
    output, (h, c) = layer(torch.randn(5, 2, D))
    assert layer.choice(torch.randn(5, 2, D)).engine == "cpu"
    assert (output.shape[-1], h.shape[-1], c.shape[-1]) == (projected, projected, H)


@scripts
def test_forward_mode_goes_to_the_reference_and_is_right():
    lstm, x = gated.LSTM(D, H, dtype=torch.float64), torch.randn(5, 2, D, dtype=torch.float64)
    tangent, step = torch.randn_like(x), 1e-6
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, tangent)
        assert lstm.choice(dual).engine == "reference"
        derivative = forward_ad.unpack_dual(lstm(dual)[0]).tangent
    numeric = (lstm(x + step * tangent)[0] - lstm(x - step * tangent)[0]) / (2 * step)
    torch.testing.assert_close(derivative, numeric, rtol=1e-7, atol=1e-8)
    _, transformed = torch.func.jvp(lambda x: lstm(x)[0], (x,), (tangent,))
    torch.testing.assert_close(transformed, derivative)


@scripts
def test_forward_mode_on_an_engine_that_lacks_it_is_refused_not_zero():
    lstm = gated.LSTM(D, H, engine="torch")
    with forward_ad.dual_level(), pytest.raises(EngineError, match="forward-mode"):
        lstm(forward_ad.make_dual(torch.randn(5, 2, D), torch.randn(5, 2, D)))


def test_a_projected_cell_of_ones_own_is_found_too():
    class Own(Cell):
        sizes = {"y": "P"}

        def step(self, x, y, s):
            i = sigmoid(W.i @ x + U.i @ y + b.i)
            f = sigmoid(W.f @ x + U.f @ y + b.f)
            g = tanh(W.g @ x + U.g @ y + b.g)
            o = sigmoid(W.o @ x + U.o @ y + b.o)
            s = i * g + f * s
            y = R @ (tanh(s) * o)
            return y, s

    layer, theirs = gated.Recurrent(Own, D, H, P=2), torch.nn.LSTM(D, H, proj_size=2)
    layer.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(5, 2, D, dtype=torch.float32)
    assert layer.choice(x).engine == "torch"
    torch.testing.assert_close(layer(x)[0], theirs(x)[0])


def test_the_environment_can_leave_engines_out():
    assert engines.allowed(None) == ("cpu", "scan", "torch", "triton", "reference")
    assert engines.allowed("torch") == ("torch", "reference")
    assert engines.allowed(" reference, cpu") == ("cpu", "reference")
    with pytest.raises(OptionError, match="engine='cuda'"):
        engines.allowed("torch,cuda")
