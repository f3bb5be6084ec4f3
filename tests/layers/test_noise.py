"""What regularisers draw in a layer: masks are recovered from results, and are the papers'."""

import copy
from itertools import pairwise

import pytest
import torch
from cell_cases import as_states, each
from episodes import table, weigh
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import gated
from gated.equations import Cell, U, V, W, tanh

T, B, D, H = 6, 5, 4, 16
LENGTHS = [6, 0, 4, 1, 6]
WRAPPERS = {
    "zoneout": lambda cell: gated.zoneout(cell, 0.3),
    "recurrent dropout": lambda cell: gated.recurrent_dropout(cell, 0.3),
    "recurrent dropout, once": lambda cell: gated.recurrent_dropout(cell, 0.3, scope="sequence"),
    "variational dropout": lambda cell: gated.variational_dropout(cell, 0.3),
    "dropconnect": lambda cell: gated.dropconnect(cell, 0.3),
}
every_wrapper = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)


class Sum(Cell):
    """A linear cell: with the right weights its output is what a mask leaves."""

    def step(self, x, h):
        h = W @ x + U @ h
        return h


def linear(cell, size, own, seen, **options):
    """A layer of the linear cell with W = own times the identity, U = seen times the identity."""
    layer = gated.Recurrent(cell, size, size, **options)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            width = weight.shape[1]
            weight.zero_()[:, :size].fill_diagonal_(own if "ih" in name else seen)
            assert width >= size
    return layer


def assert_rate(hits, rate):
    """The share of hits is what a coin of that rate gives, within five standard deviations."""
    count = hits.numel()
    assert abs(float(hits.double().mean()) - rate) < 5 * (rate * (1 - rate) / count) ** 0.5


def assert_independent(one, two):
    """Two sets of coins agree as often as two coins do."""
    share = float((one == two).double().mean())
    rate = float(one.double().mean())
    expected = rate**2 + (1 - rate) ** 2
    assert abs(share - expected) < 5 * (expected * (1 - expected) / one.numel()) ** 0.5


# Variational dropout


def input_masks(rate=0.3, size=64, batch=40, steps=T, **options):
    """The masks of variational dropout on the input, (T, B, ...), and the layer's output."""
    layer = linear(gated.variational_dropout(Sum, inputs=rate), size, 1.0, 0.0, **options)
    return layer(torch.ones(steps, batch, size))[0].detach()


def test_variational_dropout_drops_the_same_inputs_at_every_step_others_in_every_row():
    kept = input_masks()
    torch.testing.assert_close(kept[kept > 0].unique(), torch.tensor([1 / 0.7]))
    assert torch.equal(kept, kept[:1].expand_as(kept))
    assert_rate(kept[0] == 0, 0.3)
    assert_independent(kept[0, :-1] == 0, kept[0, 1:] == 0)


def test_variational_dropout_drops_the_same_states_at_every_step():
    layer = linear(gated.variational_dropout(Sum, states=0.3), 64, 0.0, 1.0)
    kept = layer(torch.zeros(T, 40, 64), torch.ones(1, 40, 64))[0]
    mask = kept[0]
    assert_rate(mask == 0, 0.3)
    for t in range(T):
        torch.testing.assert_close(kept[t], mask ** (t + 1))


def test_variational_dropout_uses_one_mask_for_all_gates():
    layer = gated.Recurrent(gated.variational_dropout("lstm", inputs=0.5), 64, H)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            weight.zero_()
            if "ih" in name and weight.dim() == 2:
                weight.copy_(torch.eye(64).chunk(4)[0].repeat(4, 1))
    _, _, trace = layer(torch.ones(T, 40, 64), trace=True)
    assert torch.equal(trace["i"], trace["f"])
    assert torch.equal(trace["i"], trace["o"])
    assert_rate(trace["i"][0] == 0.5, 0.5)


def test_masks_are_drawn_anew_for_each_direction_layer_and_call():
    first, second = input_masks(bidirectional=True).chunk(2, dim=-1)
    assert_rate(second[0] == 0, 0.3)
    assert_independent(first[0] == 0, second[0] == 0)
    layer = linear(gated.variational_dropout(Sum, inputs=0.3), 64, 1.0, 0.0, num_layers=2)
    _, _, trace = layer(torch.ones(1, 40, 64), trace=True)
    below, both = trace["h"][0][0][0], trace["h"][1][0][0]
    assert torch.equal(both[below == 0], torch.zeros_like(both[below == 0]))
    assert_rate(both[below > 0] == 0, 0.3)
    again, _ = layer(torch.ones(1, 40, 64))
    assert_independent(both == 0, again[0] == 0)


@pytest.mark.parametrize("options", [{"residual": True}, {"bidirectional": True, "merge": "sum"}])
def test_each_layer_of_a_stack_that_is_more_than_stacked_has_masks_of_its_own(options):
    cell = gated.variational_dropout(Sum, inputs=0.3)
    layer = linear(cell, 64, 1.0, 0.0, num_layers=2, **options)
    _, _, trace = layer(torch.ones(1, 40, 64), trace=True)
    below, above = (sum(trace.at(k, d)["h"] for d in range(layer.num_directions)) for k in (0, 1))
    seen = below > 0
    first = trace.at(1, 0)["h"][seen]
    assert_rate(first == 0, 0.3)
    torch.testing.assert_close(first[first > 0], below[seen][first > 0] / 0.7)
    assert not above[~seen].any()


# Zoneout


def test_zoneout_keeps_units_at_random_at_every_step():
    layer = gated.Recurrent(gated.zoneout("lstm", h=0.2, c=0.5), D, 32)
    x = torch.randn(40, 20, D)
    output, (_, c_n), trace = layer(x, trace=True)
    for name, rate in (("h", 0.2), ("c", 0.5)):
        now, new = trace[name], trace[f"{name}_new"]
        last = torch.cat([torch.zeros_like(now[:1]), now[:-1]])
        kept = now == last
        assert torch.equal(now[~kept], new[~kept])
        assert_rate(kept, rate)
        assert_independent(kept[:-1], kept[1:])
    kept_h, kept_c = (trace[n][1:] == trace[n][:-1] for n in "hc")
    share = float((kept_h & kept_c).double().mean())
    assert abs(share - 0.1) < 5 * (0.1 * 0.9 / kept_h.numel()) ** 0.5
    # the new h is that of the new c, before zoneout: Krueger 2016, section 3.1
    torch.testing.assert_close(trace["h_new"], trace["o"] * trace["c_new"].tanh())
    last_c = torch.cat([torch.zeros_like(trace["c"][:1]), trace["c"][:-1]])
    torch.testing.assert_close(trace["c_new"], trace["f"] * last_c + trace["i"] * trace["g"])
    assert torch.equal(output, trace["h"])
    assert torch.equal(c_n[0], trace["c"][-1])


def test_zoneout_is_its_expectation_outside_training():
    layer = gated.Recurrent(gated.zoneout("lstm", h=0.2, c=0.5), D, H).eval()
    plain = gated.LSTM(D, H)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(T, B, D)
    output, (h_n, c_n) = layer(x)
    h = c = torch.zeros(1, B, H)
    for t in range(T):
        _, (h_new, c_new) = plain(x[t : t + 1], (h, c))
        h, c = 0.2 * h + 0.8 * h_new, 0.5 * c + 0.5 * c_new
        torch.testing.assert_close(output[t : t + 1], h)
    torch.testing.assert_close(h_n, h)
    torch.testing.assert_close(c_n, c)


def test_the_mean_over_zoneouts_is_what_is_computed_outside_training():
    layer = linear(gated.zoneout(Sum, 0.4), 2, 1.0, 0.5)
    x = torch.randn(4, 1, 2)
    drawn = layer(x.expand(-1, 40_000, -1))[0]
    mean, deviation = drawn.mean(1), drawn.std(1)
    assert ((mean - layer.eval()(x)[0][:, 0]).abs() < 5 * deviation / 200).all()


# Recurrent dropout


@pytest.mark.parametrize("scope", ["step", "sequence"])
def test_recurrent_dropout_drops_what_is_added_to_the_memory(scope):
    cell = gated.recurrent_dropout("lstm", 0.25, scope=scope)
    layer = gated.Recurrent(cell, D, 32, dtype=torch.float64)
    _, _, trace = layer(torch.randn(T, 40, D, dtype=torch.float64), trace=True)
    last = torch.cat([torch.zeros_like(trace["c"][:1]), trace["c"][:-1]])
    mask = (trace["c"] - trace["f"] * last) / (trace["i"] * trace["g"])
    dropped = mask.abs() < 1e-6
    torch.testing.assert_close(mask[~dropped], torch.full_like(mask[~dropped], 1 / 0.75))
    assert_rate(dropped[0], 0.25)
    if scope == "sequence":
        assert torch.equal(dropped, dropped[:1].expand_as(dropped))
    else:
        assert_rate(dropped, 0.25)
        assert_independent(dropped[:-1], dropped[1:])


# DropConnect


def test_dropconnect_drops_the_same_recurrent_weights_at_every_step_and_in_every_row():
    size = 48
    layer = gated.Recurrent(gated.dropconnect(Sum, 0.4), size, size)
    start = torch.eye(size).unsqueeze(0)
    output, _ = layer(torch.zeros(3, size, size), start)
    matrix = output[0].T  # row by row of the identity, the columns of the matrix
    dropped = matrix == 0
    assert_rate(dropped, 0.4)
    torch.testing.assert_close(matrix[~dropped], layer.weight_hh_l0[~dropped] / 0.6)
    torch.testing.assert_close(output[1].T, matrix @ matrix)
    torch.testing.assert_close(output[2].T, matrix @ matrix @ matrix)


def recurrent_masks(layer, x):
    """Which recurrent weights a call used: those that get a gradient; with its output."""
    output, final = layer(x)
    loss = weigh(output, final)
    names = [n for n, _ in layer.named_parameters() if "weight_hh" in n]
    used = torch.autograd.grad(loss, [layer.get_parameter(n) for n in names])
    return {name: gradient != 0 for name, gradient in zip(names, used, strict=True)}, output


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_dropconnect_runs_on_pytorchs_fused_operators_and_is_torch_nn_with_dropped_weights(name):
    cell = gated.dropconnect(name.lower(), 0.4)
    layer = gated.Recurrent(cell, D, H, num_layers=2, bidirectional=True, engine="torch")
    x = torch.randn(T, B, D)
    used, output = recurrent_masks(layer, x)
    twin = getattr(nn, name)(D, H, num_layers=2, bidirectional=True)
    twin.load_state_dict(layer.state_dict())
    with torch.no_grad():
        for key, mask in used.items():
            twin.get_parameter(key).mul_(mask / 0.6)
            assert_rate(~mask, 0.4)
    torch.testing.assert_close(output, twin(x)[0])
    masks = list(used.values())
    for one, two in pairwise(masks):
        assert_independent(one, two)


def test_dropconnect_drops_recurrent_weights_alone():
    layer = gated.Recurrent(gated.dropconnect("gru", 0.9), D, H)
    output, _ = layer(torch.randn(T, B, D))
    gradients = torch.autograd.grad(output.pow(2).sum(), list(layer.parameters()))
    for (name, _), gradient in zip(layer.named_parameters(), gradients, strict=True):
        assert "weight_hh" in name or gradient.ne(0).all(), name


def test_dropconnect_leaves_what_is_stored_beside_recurrent_weights():
    class Beside(Cell):
        def step(self, x, h):
            e = tanh(V @ x)
            h = tanh(U.e @ e + U.h @ h)
            return h

    layer = gated.Recurrent(gated.dropconnect(Beside, 0.4), D, H)
    output, _ = layer(torch.randn(T, B, D))
    (gradient,) = torch.autograd.grad(output.pow(2).sum(), layer.weight_hh_l0)
    seen, kept = gradient.chunk(2)
    assert (seen != 0).all()
    assert_rate(kept == 0, 0.4)


@pytest.mark.parametrize("maps", [gated.Heads(2), gated.Convolution(3)], ids=["heads", "conv"])
def test_dropconnect_knows_heads_and_kernels(maps):
    layer = gated.Recurrent(gated.dropconnect("lstm", 0.4), D, H, maps=maps)
    image = (5, 6) if isinstance(maps, gated.Convolution) else ()
    output, _ = layer(torch.randn(T, B, D, *image))
    (gradient,) = torch.autograd.grad(output.pow(2).sum(), layer.weight_hh_l0)
    assert gradient.shape == layer.weight_hh_l0.shape
    assert_rate(gradient == 0, 0.4)


# All of them


@every_wrapper
def test_outside_training_nothing_is_drawn_and_calls_repeat(wrap):
    layer = gated.Recurrent(wrap("lstm"), D, H, num_layers=2).eval()
    x = torch.randn(T, B, D)
    before = torch.get_rng_state()
    first, second = layer(x)[0], layer(x)[0]
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", [n for n in WRAPPERS if n != "zoneout"])
def test_outside_training_a_dropout_leaves_the_plain_lstm(name):
    layer = gated.Recurrent(WRAPPERS[name]("lstm"), D, H, num_layers=2).eval()
    plain = gated.LSTM(D, H, num_layers=2)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(T, B, D)
    assert torch.equal(layer(x)[0], plain(x)[0])
    assert layer.choice(x).engine == "torch"


@every_wrapper
@pytest.mark.parametrize("options", [{}, {"maps": gated.Heads(2)}, {"num_layers": 2}], ids=str)
def test_a_seed_repeats_a_call_in_training(wrap, options):
    layer = gated.Recurrent(wrap("lstm"), D, H, **options)
    x, outputs = torch.randn(T, B, D), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(layer(x, lengths=LENGTHS)[0])
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


@every_wrapper
def test_a_call_changes_no_weight(wrap):
    layer = gated.Recurrent(wrap("lstm"), D, H, num_layers=2)
    before = copy.deepcopy(layer.state_dict())
    layer(torch.randn(T, B, D))[0].sum().backward()
    assert list(layer.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


@every_wrapper
def test_the_state_dict_is_that_of_torch_nn(wrap):
    theirs = nn.LSTM(D, H, num_layers=2, bidirectional=True)
    layer = gated.Recurrent(wrap("lstm"), D, H, num_layers=2, bidirectional=True)
    layer.load_state_dict(theirs.state_dict(), strict=True)
    theirs.load_state_dict(layer.state_dict(), strict=True)


@every_wrapper
@pytest.mark.parametrize("cell", ["lstm", "gru-reset-before"])
def test_gradients_are_right_for_the_noise_that_was_drawn(wrap, cell):
    layer = gated.Recurrent(wrap(cell), 2, 3, dtype=torch.float64)
    x = torch.randn(T, 2, 2, dtype=torch.float64, requires_grad=True)
    weights = dict(layer.named_parameters())

    def run(x, *rest):
        torch.manual_seed(5)
        own = dict(zip(weights, rest, strict=True))
        output, final = torch.func.functional_call(layer, own, (x,), {"lengths": [T, 4]})
        return (output, *as_states(final))

    # along random directions: element by element are those of each cell without noise
    given = (x, *weights.values())
    assert torch.autograd.gradcheck(run, given, rtol=1e-5, atol=1e-7, fast_mode=True)


@every_wrapper
def test_faults_9_what_padding_holds_changes_nothing(wrap):
    layer = gated.Recurrent(wrap("lstm"), D, H, num_layers=2, bidirectional=True)
    beyond = (torch.arange(T).unsqueeze(1) >= torch.tensor(LENGTHS)).unsqueeze(-1)
    x, runs = torch.randn(T, B, D), []
    for filling in (0.0, float("nan")):
        torch.manual_seed(1)
        filled = x.masked_fill(beyond, filling).requires_grad_()
        output, final = layer(filled, lengths=LENGTHS)
        gradients = torch.autograd.grad(weigh(output, final), [filled, *layer.parameters()])
        runs.append([output, *final, *gradients])
    for one, two in zip(*runs, strict=True):
        assert torch.equal(one, two)
    assert not runs[0][0][beyond.expand(-1, -1, 2 * H)].any()


@every_wrapper
@pytest.mark.parametrize("shape", [(0, B), (T, 0)], ids=["T=0", "B=0"])
def test_nothing_in_nothing_out(wrap, shape):
    layer = gated.Recurrent(wrap("lstm"), D, H, num_layers=2)
    output, (h, _) = layer(torch.randn(*shape, D))
    assert output.shape == (*shape, H)
    assert h.shape == (2, shape[1], H)


@every_wrapper
def test_a_convolutional_layer_draws_for_every_pixel(wrap):
    layer = gated.Recurrent(wrap("lstm"), D, H, num_layers=2, maps=gated.Convolution(3))
    x = torch.randn(B, T, D, 4, 5).transpose(0, 1)
    torch.manual_seed(1)
    output, _ = layer(x, lengths=LENGTHS)
    torch.manual_seed(2)
    other, _ = layer(x, lengths=LENGTHS)
    assert output.shape == (T, B, H, 4, 5)
    assert not torch.equal(output, other)
    assert not output[:, 1].any()


@every_wrapper
def test_under_autocast_the_noise_is_in_its_type(wrap):
    layer, x = gated.Recurrent(wrap("lstm"), D, H, num_layers=2), torch.randn(T, B, D)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, (h, _) = layer(x, lengths=LENGTHS)
    assert output.dtype == h.dtype == torch.bfloat16
    output.float().sum().backward()
    assert all(
        w.grad.dtype == torch.float32 and w.grad.isfinite().all() for w in layer.parameters()
    )


@every_wrapper
def test_a_stream_of_steps_runs_in_training(wrap):
    layer, state = gated.Recurrent(wrap("lstm"), D, H), None
    for _ in range(3):
        output, state = layer.step(torch.randn(B, D), state)
    assert output.shape == (B, H)


@every_wrapper
def test_asking_for_the_engine_draws_nothing(wrap):
    layer, x = gated.Recurrent(wrap("lstm"), D, H), torch.randn(T, B, D)
    before = torch.get_rng_state()
    assert layer.choice(x).engine in ("torch", "reference")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "wrap",
    [gated.zoneout, gated.recurrent_dropout, gated.variational_dropout, gated.dropconnect],
)
def test_a_rate_of_0_is_the_plain_cell(wrap):
    layer, plain = gated.Recurrent(wrap("lstm", 0.0), D, H), gated.LSTM(D, H)
    plain.load_state_dict(layer.state_dict(), strict=True)
    x = torch.randn(T, B, D)
    assert torch.equal(layer(x)[0], plain(x)[0])
    assert layer.choice(x).engine == "torch"


def test_regularisers_combine_and_each_draws_for_itself():
    cell = gated.zoneout(gated.dropconnect(gated.variational_dropout("lstm", 0.3), 0.4), c=0.5)
    layer = gated.Recurrent(cell, D, 32, dtype=torch.float64)
    x = torch.randn(T, 40, D, dtype=torch.float64)
    output, _, trace = layer(x, trace=True)
    kept = trace["c"][1:] == trace["c"][:-1]
    assert_rate(kept, 0.5)
    (gradient,) = torch.autograd.grad(output.pow(2).sum(), layer.weight_hh_l0)
    assert_rate(gradient == 0, 0.4)


# Rows that end early, start anew, or come packed


def test_each_row_has_its_mask_at_all_its_steps_however_rows_are_packed():
    layer = linear(gated.variational_dropout(Sum, inputs=0.3), 64, 1.0, 0.0, bidirectional=True)
    x, lengths = torch.ones(T, B, 64), [2, 6, 4, 1, 6]
    valid = (torch.arange(T).unsqueeze(1) < torch.tensor(lengths)).unsqueeze(-1)
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    resets = table([[1], [2, 3], [], [0], [5]], T)
    for output in (
        layer(x, lengths=lengths)[0],
        layer(x, lengths=lengths, resets=resets)[0],
        pad_packed_sequence(layer(packed)[0])[0],
    ):
        assert torch.equal(output, torch.where(valid, output[:1], 0.0))
        assert_rate(output[0] == 0, 0.3)
        assert_independent(output[0, :-1] == 0, output[0, 1:] == 0)


def test_batch_first_and_unbatched_rows_have_theirs():
    layer = linear(gated.variational_dropout(Sum, inputs=0.3), 64, 1.0, 0.0, batch_first=True)
    output, _ = layer(torch.ones(B, T, 64))
    assert torch.equal(output, output[:, :1].expand_as(output))
    assert_independent(output[:-1, 0] == 0, output[1:, 0] == 0)
    output, _ = layer(torch.ones(T, 64))
    assert torch.equal(output, output[:1].expand_as(output))
    assert_rate(output[0] == 0, 0.3)


def test_a_pixel_of_a_row_has_its_mask_at_all_steps():
    layer = gated.Recurrent(
        gated.variational_dropout(Sum, inputs=0.3), 8, 8, maps=gated.Convolution(1)
    )  # fmt: skip
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.eye(8).view(8, 8, 1, 1))
        layer.weight_hh_l0.zero_()
    output, _ = layer(torch.ones(T, B, 8, 7, 9))
    assert torch.equal(output, output[:1].expand_as(output))
    assert_rate(output[0] == 0, 0.3)
    assert_independent(output[0, ..., :-1] == 0, output[0, ..., 1:] == 0)


def test_zoneout_at_a_reset_keeps_the_value_to_start_with():
    layer = gated.Recurrent(gated.zoneout("lstm", c=0.5), D, 32)
    resets = table([[3]] * 20, T)
    _, _, trace = layer(torch.randn(T, 20, D), resets=resets, trace=True)
    anew = trace["c"][3]
    assert_rate(anew == 0, 0.5)
    assert torch.equal(anew[anew != 0], trace["c_new"][3][anew != 0])


# Truncated sequences


@pytest.mark.parametrize("name", ["recurrent dropout, once", "variational dropout", "dropconnect"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
def test_what_is_drawn_once_a_call_is_one_in_all_its_chunks(name, lengths):
    layer = gated.Recurrent(WRAPPERS[name]("lstm"), D, H, num_layers=2, dtype=torch.float64)
    x = torch.randn(T, B, D, dtype=torch.float64)
    torch.manual_seed(1)
    expected, last = layer(x, lengths=lengths)
    torch.manual_seed(1)
    output, final = layer(x, lengths=lengths, truncate=2)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(final, last)


def test_zoneout_of_a_truncated_sequence_keeps_at_its_rate_in_every_chunk():
    layer = gated.Recurrent(gated.zoneout("lstm", c=0.5), D, 32)
    _, _, trace = layer(torch.randn(40, 20, D), truncate=3, trace=True)
    kept = trace["c"][1:] == trace["c"][:-1]
    assert_rate(kept, 0.5)
    assert_independent(kept[:-1], kept[1:])


# Between layers, and further inputs


def test_dropout_between_layers_is_drawn_beside_it():
    cell = gated.variational_dropout("lstm", 0.3)
    layer = gated.Recurrent(cell, D, H, num_layers=2, dropout=1.0)
    blind = gated.Recurrent(cell, D, H, num_layers=2)
    blind.load_state_dict(layer.state_dict())
    with torch.no_grad():
        blind.weight_ih_l1.zero_()
    x, outputs = torch.randn(T, B, D), []
    for one in (layer, blind):
        torch.manual_seed(1)
        outputs.append(one(x)[0])
    torch.testing.assert_close(*outputs)


@pytest.mark.parametrize("cell", ["gru-d", "t-lstm"])
def test_cells_with_further_inputs_take_noise_beside_them(cell):
    layer = gated.Recurrent(gated.zoneout(cell, h=0.5), D, H)
    inputs = {"x": torch.randn(T, B, D), "delta": torch.rand(T, B, D if cell == "gru-d" else 1)}
    if cell == "gru-d":
        inputs["mask"] = (torch.randn(T, B, D) > 0).float()
    output, final, trace = layer(**inputs, lengths=LENGTHS, trace=True)
    assert not output[:, 1].any()
    assert_rate(trace["h"][1:4, [0, 2, 4]] == trace["h"][:3, [0, 2, 4]], 0.5)
    again, _ = layer.eval()(**each(lambda v: v[:, :1], inputs))
    assert torch.isfinite(again).all()
    assert all(torch.isfinite(state).all() for state in as_states(final))
