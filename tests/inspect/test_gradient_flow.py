"""Gradient flow against autograd through a loop by hand, for every cell of the catalogue."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import step_loop
import torch
from step_loop import LENGTHS, B, H, T, inputs_of, layer_of
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import gated
from gated.equations.maps import Convolution, Heads
from gated.errors import OptionError
from gated.inspect.measures.clamping import clamp
from gated.inspect.measures.gradient import gradient_flow

CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def weighted_sum(value, seed):
    draw = torch.Generator().manual_seed(seed)
    weights = torch.randn(value.shape, generator=draw, dtype=value.dtype)
    return (weights * torch.sin(value)).sum()


def loss_of(output, states):
    """Of every output and every final state."""
    states = states if isinstance(states, tuple) else (states,)
    return weighted_sum(output, 0) + sum(weighted_sum(s, k) for k, s in enumerate(states, 1))


def loss_by_hand(layer, rows):
    """The same loss of what the loop found; initial states are 0 where a row has no step."""
    output = torch.zeros(B, T, rows[0][0][layer.cell.states[0].name].shape[-1]).double()
    steps = [[v[layer.cell.states[0].name] for v in row] for row in rows]
    output = torch.stack(
        [torch.stack([*row, *output[k, len(row) :]]) for k, row in enumerate(steps)]
    )
    finals = []
    for state in layer.cell.states:
        size = rows[0][0][state.name].shape
        start = torch.full(size, state.initial, dtype=torch.float64)
        ends = [row[-1][state.name] if row else start for row in rows]
        finals.append(torch.stack(ends).unsqueeze(0))
    return loss_of(output, tuple(finals))


def call(layer, inputs, model, **options):
    inputs = dict(inputs)
    return loss_of(*model(inputs.pop("x"), **inputs, **options))


def gradients(rows, name, units):
    """What autograd left at each step, NaN where a row has none."""
    found = np.full((B, T, units), np.nan)
    for row, values in enumerate(rows):
        for t, step in enumerate(values):
            found[row, t] = 0 if step[name].grad is None else step[name].grad
    return found


def finite(layer):
    """Whether the loss may read all final states: not one that starts at minus infinity."""
    return all(np.isfinite(state.initial) for state in layer.cell.states)


class TestTotal:
    @pytest.mark.parametrize("name", gated.cells())
    def test_is_autograds_for_every_state_and_gate_of_every_cell(self, name):
        layer = layer_of(name)
        inputs = inputs_of(layer)
        lengths = LENGTHS if finite(layer) else [5, 3, 1]
        rows = step_loop.loop(layer, inputs, lengths)
        loss_by_hand(layer, rows).backward()
        names = tuple(layer.cell.graph.equations)
        flow = gradient_flow(layer, partial(call, layer, inputs, lengths=lengths), names=names)
        for each in names:
            found = flow["layer"].total(each)
            wanted = gradients(rows, each, found.shape[-1])
            np.testing.assert_allclose(found, wanted, **CLOSE, err_msg=each)

    @pytest.mark.parametrize("maps", ["diagonal", Heads(2), {"U": Heads(2), "W": "dense"}])
    def test_is_autograds_whatever_the_maps_mean(self, maps):
        layer = layer_of("peephole", maps=maps)
        inputs = inputs_of(layer)
        rows = step_loop.loop(layer, inputs, LENGTHS)
        loss_by_hand(layer, rows).backward()
        flow = gradient_flow(layer, partial(call, layer, inputs, lengths=LENGTHS))
        for name in ("h", "c"):
            found = flow["layer"].total(name)
            np.testing.assert_allclose(found, gradients(rows, name, H), **CLOSE)

    def test_is_autograds_in_every_layer_and_direction_of_a_stack(self):
        layer = layer_of("lstm", num_layers=2, bidirectional=True)
        values, loops = inputs_of(layer), {}
        for index in range(2):
            ways = [step_loop.loop(layer, values, LENGTHS, index, way) for way in range(2)]
            loops |= {(index, way): rows for way, rows in enumerate(ways)}
            read = [
                [torch.cat([way[row][t]["h"] for way in ways]) for t in range(steps)]
                for row, steps in enumerate(LENGTHS)
            ]
            blank = torch.zeros(2 * H, dtype=torch.float64)
            both = [torch.stack([*row, *[blank] * (T - len(row))]) for row in read]
            values = {"x": torch.stack(both)}
        weighted_sum(values["x"], 0).backward()
        inputs = inputs_of(layer)
        flow = gradient_flow(
            layer, lambda model: weighted_sum(model(inputs["x"], lengths=LENGTHS)[0], 0)
        )
        for place, rows in loops.items():
            for name in ("h", "c"):
                found = flow["layer"].total(name, *place)
                np.testing.assert_allclose(found, gradients(rows, name, H), **CLOSE)

    def test_of_images_is_autograds_from_a_state_put_in_between(self):
        torch.manual_seed(0)
        layer = gated.Recurrent(
            "lstm", 1, 2, maps=Convolution(3), batch_first=True, dtype=torch.float64
        )
        x = torch.randn(2, 4, 1, 3, 3, dtype=torch.float64)
        flow = gradient_flow(layer, lambda model: weighted_sum(model(x)[0][:, -1], 0))
        _, (_, c), trace = layer(x[:, :2], trace=True)
        c = c.detach().requires_grad_()
        h = trace["o"][:, -1].detach() * torch.tanh(c[0])
        weighted_sum(layer(x[:, 2:], (h.unsqueeze(0), c))[0][:, -1], 0).backward()
        np.testing.assert_allclose(flow["layer"].total("c")[:, 1], c.grad[0], **CLOSE)


def lstm_by_hand(weights, x):
    """c and its direct path alone: what a step reads of the last one, but f ⊙ c₋, is held."""
    h, c, cells, outputs = torch.zeros(H).double(), torch.zeros(H).double(), [], []
    for value in x:
        a = {
            k: weights[f"W.{k}"] @ value + weights[f"U.{k}"] @ h + weights[f"b.{k}"] for k in "ifgo"
        }
        i, f, g, o = *(torch.sigmoid(a[k]) for k in "if"), torch.tanh(a["g"]), torch.sigmoid(a["o"])
        c = f.detach() * c + (i * g).detach()
        c.requires_grad_().retain_grad()
        cells.append(c)
        outputs.append(o.detach() * torch.tanh(c))
        h = outputs[-1].detach()
    return cells, outputs, c


def zoneout_by_hand(weights, x):
    """h reads c_new, which is on the way from c to the next c."""
    h, c, cells, outputs = torch.zeros(H).double(), torch.zeros(H).double(), [], []
    for value in x:
        a = {
            k: weights[f"W.{k}"] @ value + weights[f"U.{k}"] @ h + weights[f"b.{k}"] for k in "ifgo"
        }
        i, f, g, o = *(torch.sigmoid(a[k]) for k in "if"), torch.tanh(a["g"]), torch.sigmoid(a["o"])
        new = f.detach() * c + (i * g).detach()
        c = 0.25 * c + 0.75 * new
        c.requires_grad_().retain_grad()
        cells.append(c)
        outputs.append(o.detach() * torch.tanh(new))
        h = outputs[-1].detach()
    return cells, outputs, c


def peephole_by_hand(weights, x):
    h, c, cells, outputs = torch.zeros(H).double(), torch.zeros(H).double(), [], []
    for value in x:
        a = {
            k: weights[f"W.{k}"] @ value + weights[f"U.{k}"] @ h + weights[f"b.{k}"] for k in "ifgo"
        }
        i = torch.sigmoid(a["i"] + weights["p.i"] * c).detach()
        f = torch.sigmoid(a["f"] + weights["p.f"] * c).detach()
        c = f * c + i * torch.tanh(a["g"]).detach()
        c.requires_grad_().retain_grad()
        cells.append(c)
        # o reads the new c within the step
        outputs.append(torch.sigmoid(a["o"] + weights["p.o"] * c) * torch.tanh(c))
        h = outputs[-1].detach()
    return cells, outputs, c


def gru_by_hand(weights, x):
    h, states = torch.zeros(H).double(), []
    for value in x:
        held = h.detach()
        r, z = (
            torch.sigmoid(weights[f"W.{k}"] @ value + weights[f"U.{k}"] @ held + weights[f"b.{k}"])
            for k in "rz"
        )
        n = weights["W.n"] @ value + weights["b.n"] + r * (weights["U.n"] @ held + weights["b_h.n"])
        h = z * h + (1 - z) * torch.tanh(n)
        h.requires_grad_().retain_grad()
        states.append(h)
    return states, states, h


class TestDirectPath:
    @pytest.mark.parametrize("direction", [0, 1])
    @pytest.mark.parametrize(
        ("name", "by_hand"),
        [
            ("lstm", lstm_by_hand),
            ("peephole", peephole_by_hand),
            ("gru", gru_by_hand),
            (gated.zoneout("lstm", c=0.25), zoneout_by_hand),
        ],
    )
    def test_is_autograds_where_all_other_ways_are_cut(self, name, by_hand, direction):
        layer = layer_of(name, bidirectional=True).eval()
        x, kept = inputs_of(layer)["x"], "h" if name == "gru" else "c"
        place = [state.name for state in layer.cell.states].index(kept)

        def loss(output, final):
            return weighted_sum(output, 0) + weighted_sum(final, 1)

        def of_model(model):
            output, states = model(x, lengths=LENGTHS)
            state = states[place] if isinstance(states, tuple) else states
            mine = slice(direction * H, (direction + 1) * H)
            return loss(output[..., mine], state[direction])

        weights = {k: v.detach() for k, v in step_loop.by_symbol(layer, 0, direction).items()}
        output, finals, wanted = torch.zeros(B, T, H).double(), [], []
        for row, steps in enumerate(LENGTHS):
            order = range(steps)[::-1] if direction else range(steps)
            cells, outputs, final = by_hand(weights, x[row, list(order)])
            wanted.append(cells[::-1] if direction else cells)
            if steps:
                shown = torch.stack(outputs[::-1] if direction else outputs)
                output = output.index_put((torch.tensor(row), torch.arange(steps)), shown)
            finals.append(final)
        loss(output, torch.stack(finals)).backward()
        found = gradient_flow(layer, of_model)["layer"].direct(kept, 0, direction)
        for row, cells in enumerate(wanted):
            for t, cell in enumerate(cells):
                np.testing.assert_allclose(found[row, t], cell.grad, **CLOSE)
        assert np.isnan(found[1, 3:]).all()

    def test_is_the_product_of_the_forget_gates_from_a_loss_at_the_end(self):
        layer = layer_of("lstm", num_layers=2)
        x = inputs_of(layer)["x"]
        flow = gradient_flow(layer, lambda model: model(x)[1][1][0].sum())["layer"]
        _, _, trace = layer(x, trace=True)
        f = trace.at(0)["f"].detach().numpy()
        for t in range(T):
            np.testing.assert_allclose(flow.direct("c")[:, t], f[:, t + 1 :].prod(1), **CLOSE)

    def test_of_a_cell_that_keeps_nothing_is_refused(self):
        layer = layer_of("rnn")
        flow = gradient_flow(layer, partial(call, layer, inputs_of(layer)))
        with pytest.raises(OptionError, match="rnn: h has no direct path, since no factor keeps"):
            flow["layer"].direct("h")


def test_the_worked_example_has_the_published_gradients():
    words = torch.tensor([[[0.5, -0.1], [0.3, 0.8], [0.1, -0.2], [0.9, 0.7]]], dtype=torch.float64)
    lstm = gated.LSTM(2, 2, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for name, weight in lstm.named_parameters():
            weight.fill_(0.5 if name.startswith("weight") else 0)
    flow = gradient_flow(lstm, lambda model: model(words)[1][1].sum())["layer"]
    assert flow.direct("c")[0, ::-1, 0].tolist() == pytest.approx(
        [1, 0.728, 0.402, 0.260], abs=5e-4
    )
    wanted = [1, 0.9886, 0.9378, 0.9515]
    assert flow.total("c")[0, ::-1, 0].tolist() == pytest.approx(wanted, abs=5e-5)


class Tagger(nn.Module):
    """A network with a layer somewhere in it, called twice."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleDict({"rnn": gated.GRU(D := 3, D, batch_first=True)})
        self.head = nn.Linear(D, 1)

    def forward(self, x):
        once, _ = self.parts["rnn"](x)
        return self.head(self.parts["rnn"](once)[0])


class TestInAModel:
    def test_each_call_of_a_layer_has_its_own(self):
        net, x = Tagger(), torch.randn(2, 4, 3)
        flow = gradient_flow(net, lambda model: model(x)[:, -1].sum())
        assert list(flow) == ["parts.rnn"]
        assert len(flow["parts.rnn"].calls) == 2
        first, second = (flow["parts.rnn"].total("h", call=k) for k in range(2))
        assert not np.array_equal(first, second)
        np.testing.assert_allclose(second[:, -1], net.head.weight.detach().expand(2, 3), rtol=1e-6)

    def test_packed_rows_have_the_gradients_of_padded_ones(self):
        layer = layer_of("lstm", num_layers=2)
        x = inputs_of(layer)["x"]
        packed = pack_padded_sequence(x[:2], LENGTHS[:2], batch_first=True)
        some = gradient_flow(layer, lambda model: model(packed)[1][0].sum())["layer"]
        other = gradient_flow(layer, lambda model: model(x[:2], lengths=LENGTHS[:2])[1][0].sum())
        for path in ("total", "direct"):
            for index in range(2):
                found = getattr(some, path)("c", index)
                np.testing.assert_array_equal(found, getattr(other["layer"], path)("c", index))

    def test_no_path_crosses_a_reset(self):
        layer = layer_of("lstm")
        x = inputs_of(layer)["x"][:1]
        resets = torch.tensor([[False, False, True, False, False]])
        whole = gradient_flow(layer, lambda m: weighted_sum(m(x, resets=resets)[0][:, 2:], 0))
        last = gradient_flow(layer, lambda m: weighted_sum(m(x[:, 2:])[0], 0))
        for path in ("total", "direct"):
            found = getattr(whole["layer"], path)("c")
            assert (found[:, :2] == 0).all()
            np.testing.assert_allclose(found[:, 2:], getattr(last["layer"], path)("c"), **CLOSE)

    def test_while_it_is_recorded_and_clamped_sees_what_runs(self):
        layer = layer_of("lstm")
        x = inputs_of(layer)["x"]
        with gated.record(layer) as recording, clamp(layer, {"layer": {"f": {1: 0.0}}}):
            flow = gradient_flow(layer, lambda model: model(x)[0][:, -1].sum())["layer"]
        assert (recording["layer"].calls[0].values()["f"][..., 1] == 0).all()
        assert (flow.direct("c")[:, :-1, 1] == 0).all()
        assert (flow.direct("c")[:, :-1, 0] != 0).all()
        assert list(recording["layer"].calls[0].values()) == ["i", "f", "g", "o", "c", "h"]

    def test_truncation_cuts_both_paths(self):
        layer = layer_of("lstm")
        x = inputs_of(layer)["x"]
        flow = gradient_flow(layer, lambda model: model(x, truncate=2)[0][:, -1].sum())["layer"]
        for path in ("total", "direct"):
            norms = flow.norms("c", path)
            assert (norms[:, :4] == 0).all()
            assert (norms[:, 4] > 0).all()

    def test_in_inference_mode_is_that_outside(self):
        layer = layer_of("lstm")
        loss = partial(call, layer, inputs_of(layer))
        wanted = gradient_flow(layer, loss)["layer"].total("c")
        with torch.inference_mode():
            np.testing.assert_array_equal(gradient_flow(layer, loss)["layer"].total("c"), wanted)

    def test_takes_one_path_and_names_those_it_has(self):
        model, x = nn.ModuleDict({"rnn": layer_of("lstm")}), inputs_of(layer_of("lstm"))["x"]
        flow = gradient_flow(model, lambda m: m["rnn"](x)[0].sum(), layers="rnn")
        assert list(flow) == ["rnn"]
        with pytest.raises(KeyError, match="no gradient flows through 'run', but: rnn"):
            flow["run"]

    def test_of_a_loss_that_runs_no_layer_is_refused(self):
        model = layer_of("lstm")
        with pytest.raises(OptionError, match="ran no layer of 'layer', expected one that runs"):
            gradient_flow(model, lambda m: next(m.parameters()).sum())

    def test_leaves_the_model_as_it_was(self):
        net, x = Tagger(), torch.randn(2, 4, 3)
        layer = net.parts["rnn"]
        before, wanted = dict(vars(layer)), net(x)
        with pytest.raises(ZeroDivisionError):
            gradient_flow(net, lambda model: model(x).sum() / 0 if 1 / 0 else None)
        gradient_flow(net, lambda model: model(x).sum())
        assert vars(layer) == before
        assert all(parameter.grad is None for parameter in net.parameters())
        assert torch.equal(net(x), wanted)

    def test_as_a_table_has_a_row_for_each_value_and_step(self):
        layer = layer_of("lstm")
        flow = gradient_flow(layer, partial(call, layer, inputs_of(layer), lengths=LENGTHS))
        table = flow.to_pandas()
        assert len(table) == 2 * sum(LENGTHS)
        row = table[(table["value"] == "c") & (table.row == 1) & (table.step == 2)].iloc[0]
        assert row.total == pytest.approx(np.linalg.norm(flow["layer"].total("c")[1, 2]))
        assert row.direct == pytest.approx(np.linalg.norm(flow["layer"].direct("c")[1, 2]))


@pytest.mark.parametrize(
    ("loss", "options", "complaint"),
    [
        (lambda m: m(torch.randn(2, 4, 3)), {}, r"gave a tensor of shape \(2, 4, 1\)"),
        (lambda m: 3.0, {}, "gave float, expected a tensor of one number"),
        (lambda m: m(torch.randn(2, 4, 3)).sum(), {"names": "q"}, "no cell of the model has an eq"),
        (
            lambda m: m(torch.randn(2, 4, 3)).sum(),
            {"layers": ["rnn"]},
            "no recurrent layer 'rnn': it has 'parts.rnn'",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_remedy(loss, options, complaint):
    with pytest.raises(OptionError, match=complaint):
        gradient_flow(Tagger(), loss, **options)


def test_a_model_without_layers_of_gated_is_told_how_to_get_them():
    with pytest.raises(OptionError, match="Linear has no layer of gated to look into"):
        gradient_flow(nn.Linear(2, 2), lambda model: model(torch.ones(2)).sum())


def test_the_norm_of_a_gradient_whose_square_float32_cannot_hold():
    layer = gated.RNN(1, 2, bias=False, batch_first=True)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(20 * torch.eye(2))
    flow = gradient_flow(layer, lambda model: model(torch.zeros(1, 20, 1))[0][0, -1].sum())
    found = flow["layer"].norms("h")[0]
    np.testing.assert_allclose(found, np.sqrt(2) * 20.0 ** np.arange(19, -1, -1), rtol=1e-5)
