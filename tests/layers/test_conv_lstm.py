"""`ConvLSTM`, and other cells over images and signals, against loops with F.conv2d by hand."""

import pickle

import pytest
import torch
from cell_cases import as_hx, as_states
from episodes import table, weigh
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_sequence

import gated
from gated import Convolution
from gated.errors import CellError, OptionError, ShapeError

T, B, D, H = 5, 3, 2, 3
LENGTHS = [5, 0, 3]
CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
# kernels, and the images or signals that they go over
KERNELS = {3: (4, 5), 1: (2, 3), (3,): (6,), (3, 5): (4, 6), (1, 3, 3): (2, 3, 4)}
every_kernel = pytest.mark.parametrize(("kernel", "image"), KERNELS.items(), ids=map(str, KERNELS))


def conv(value, kernel):
    """The convolution that keeps the image's size, zeros beyond its edge."""
    padding = [size // 2 for size in kernel.shape[2:]]
    return CONV[value.dim() - 2](value, kernel, padding=padding)


def channels(vector, like):
    """One number a channel, over the axes of an image."""
    return vector.view(-1, *[1] * (like.dim() - 2))


def lstm_step(own, x, h, c):
    """The equations of Shi et al. 2015, with one peephole a channel where there are any."""
    sums = conv(x, own["weight_ih"]) + conv(h, own["weight_hh"])
    i, f, g, o = (sums + channels(own["bias"], sums)).chunk(4, dim=1)
    p = [channels(q, c) for q in own["p"].chunk(3)] if "p" in own else [0, 0, 0]
    i, f = torch.sigmoid(i + p[0] * c), torch.sigmoid(f + p[1] * c)
    c = f * c + i * torch.tanh(g)
    return torch.sigmoid(o + p[2] * c) * torch.tanh(c), c


def weights_of(layer, index=0, ending=""):
    end = f"_l{index}{ending}"
    return {n.removesuffix(end): w for n, w in layer.named_parameters() if n.endswith(end)}


def by_hand(layer, x, states, lengths):
    """A stack of ConvLSTM layers, row by row and step by step; x is (T, B, D, *image)."""
    finals = [[None] * x.shape[1] for _ in range(len(states[0]))]
    for index in range(layer.num_layers):
        sides = []
        for direction in range(layer.num_directions):
            place = index * layer.num_directions + direction
            own = weights_of(layer, index, "_reverse" if direction else "")
            outputs = []
            for row, length in enumerate(lengths):
                h, c = (s[place, row : row + 1] for s in states)
                seen = [x.new_zeros(h.shape)] * len(x)
                order = range(length)
                for t in reversed(order) if direction else order:
                    h, c = lstm_step(own, x[t, row : row + 1], h, c)
                    seen[t] = h
                finals[place][row] = (h, c)
                outputs.append(torch.stack(seen))
            sides.append(torch.cat(outputs, dim=1))
        x = torch.cat(sides, dim=2)
    final = [
        torch.stack([torch.cat([pair[k] for pair in rows]) for rows in finals]) for k in range(2)
    ]
    return x, final


def built(kernel, image, **options):
    layer = gated.ConvLSTM(D, H, kernel, dtype=torch.float64, **options)
    x = torch.randn(T, B, D, *image, dtype=torch.float64, requires_grad=True)
    rows = layer.num_layers * layer.num_directions
    states = [
        torch.randn(rows, B, H, *image, dtype=torch.float64, requires_grad=True) for _ in range(2)
    ]
    return layer, x, states


@every_kernel
@pytest.mark.parametrize(
    "options",
    [{}, {"peephole": True}, {"num_layers": 2}, {"bidirectional": True, "num_layers": 2}],
    ids=["plain", "peephole", "two layers", "both directions"],
)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
def test_a_layer_is_its_convolutions_step_by_step(kernel, image, options, lengths):
    layer, x, states = built(kernel, image, **options)
    output, final = layer(x, tuple(states), lengths=lengths)
    expected, last = by_hand(layer, x, states, lengths or [T] * B)
    torch.testing.assert_close(output, expected, rtol=1e-11, atol=1e-12)
    for mine, theirs in zip(final, last, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-12)
    wanted = [x, *states, *layer.parameters()]
    mine = torch.autograd.grad(weigh(output, final), wanted)
    theirs = torch.autograd.grad(weigh(expected, tuple(last)), wanted)
    for one, two in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-10)


def test_without_states_given_it_starts_from_0():
    layer, x, states = built(3, (4, 5))
    output, _ = layer(x)
    torch.testing.assert_close(output, by_hand(layer, x, [s * 0 for s in states], [T] * B)[0])


def test_without_biases_they_count_as_0():
    layer, x, states = built(3, (4, 5), bias=False)
    assert list(layer.state_dict()) == ["weight_ih_l0", "weight_hh_l0"]
    layer_with = gated.ConvLSTM(D, H, 3, dtype=torch.float64)
    with torch.no_grad():
        layer_with.bias_l0.zero_()
    layer_with.load_state_dict(layer.state_dict(), strict=False)
    torch.testing.assert_close(layer(x, tuple(states)), layer_with(x, tuple(states)))


def test_faults_9_what_padding_holds_changes_nothing():
    layer, x, states = built(3, (4, 5), bidirectional=True)
    beyond = (torch.arange(T).unsqueeze(1) >= torch.tensor(LENGTHS)).view(T, B, 1, 1, 1)
    runs = []
    for filling in (0.0, float("nan")):
        filled = x.detach().masked_fill(beyond, filling).requires_grad_()
        output, final = layer(filled, tuple(states), lengths=LENGTHS)
        gradients = torch.autograd.grad(weigh(output, final), [filled, *layer.parameters()])
        runs.append([output, *final, *gradients])
    for one, two in zip(*runs, strict=True):
        assert torch.equal(one, two)
    assert not runs[0][0][beyond.expand(-1, -1, 2 * H, 4, 5)].any()
    assert torch.equal(runs[0][1][:, 1], states[0][:, 1])


# How the axes stand


@every_kernel
def test_axes_in_and_out(kernel, image):
    layer = gated.ConvLSTM(D, H, kernel, num_layers=2, bidirectional=True)
    output, (h, c) = layer(torch.randn(T, B, D, *image))
    assert output.shape == (T, B, 2 * H, *image)
    assert h.shape == c.shape == (4, B, H, *image)
    size = (3, 3) if kernel == 3 else (1, 1) if kernel == 1 else kernel
    assert layer.weight_ih_l0.shape == (4 * H, D, *size)
    assert layer.weight_ih_l1.shape == (4 * H, 2 * H, *size)
    assert layer.weight_hh_l1_reverse.shape == (4 * H, H, *size)
    assert layer.bias_l0.shape == (4 * H,)


@every_kernel
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_batch_first(kernel, image, lengths):
    layer, x, states = built(kernel, image, batch_first=True)
    twin = gated.ConvLSTM(D, H, kernel, dtype=torch.float64)
    twin.load_state_dict(layer.state_dict())
    output, final = layer(x.transpose(0, 1), tuple(states), lengths=lengths)
    expected, last = twin(x, tuple(states), lengths=lengths)
    torch.testing.assert_close(output, expected.transpose(0, 1))
    torch.testing.assert_close(final, last)


@every_kernel
@pytest.mark.parametrize("batch_first", [False, True])
def test_unbatched(kernel, image, batch_first):
    layer, x, states = built(kernel, image, batch_first=batch_first)
    output, final = layer(x[:, 1], tuple(s[:, 1] for s in states))
    twin = gated.ConvLSTM(D, H, kernel, dtype=torch.float64)
    twin.load_state_dict(layer.state_dict())
    expected, last = twin(x, tuple(states))
    torch.testing.assert_close(output, expected[:, 1])
    for mine, theirs in zip(final, last, strict=True):
        torch.testing.assert_close(mine, theirs[:, 1])


@every_kernel
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_stream_of_frames_is_one_run(kernel, image, batch_first):
    layer, x, states = built(kernel, image, num_layers=2, batch_first=batch_first)
    expected, last = layer(x.transpose(0, 1) if batch_first else x, tuple(states))
    state = tuple(states)
    for t in range(T):
        output, state = layer.step(x[t], state)
        torch.testing.assert_close(output, expected[:, t] if batch_first else expected[t])
    torch.testing.assert_close(state, last)
    alone, _ = layer.step(x[0, 0])
    torch.testing.assert_close(alone, layer.step(x[0])[0][0])


def test_one_layer_takes_images_of_different_sizes():
    layer = gated.ConvLSTM(D, H, 3)
    for image in ((4, 5), (1, 1), (9, 2), (4, 5)):
        x = torch.randn(T, B, D, *image)
        zeros = [torch.zeros(1, B, H, *image)] * 2
        torch.testing.assert_close(layer(x)[0], by_hand(layer, x, zeros, [T] * B)[0])


@pytest.mark.parametrize("shape", [(0, B, D, 4, 5), (T, 0, D, 4, 5)], ids=["T=0", "B=0"])
def test_faults_1_and_2_nothing_in_nothing_out(shape):
    layer = gated.ConvLSTM(D, H, 3, num_layers=2, bidirectional=True)
    states = [torch.randn(4, shape[1], H, 4, 5) for _ in range(2)]
    output, final = layer(torch.randn(shape), tuple(states))
    assert output.shape == (*shape[:2], 2 * H, 4, 5)
    for before, after in zip(states, final, strict=True):
        assert torch.equal(before, after)


# What convolutions must do


@pytest.mark.parametrize("cell", ["lstm", "gru", "layernorm-lstm", "slstm"])
def test_a_kernel_of_one_pixel_is_the_dense_layer_at_each_pixel(cell):
    layer = gated.Recurrent(cell, D, H, maps=Convolution(1), num_layers=2, bidirectional=True)
    dense = gated.Recurrent(cell, D, H, num_layers=2, bidirectional=True, engine="reference")
    weights = {n: w[..., 0, 0] if w.dim() == 4 else w for n, w in layer.state_dict().items()}
    if "bias_hh_l0" in dense.state_dict():  # PyTorch's two biases, where the cell has one
        for name in [n for n in weights if n.startswith("bias_l")]:
            place = name.removeprefix("bias")
            bias = weights.pop(name)
            second = torch.zeros_like(bias)
            if cell == "gru":
                second[2 * H :] = weights.pop(f"b_h{place}")
            weights |= {f"bias_ih{place}": bias, f"bias_hh{place}": second}
    dense.load_state_dict(weights, strict=True)
    x = torch.randn(T, B, D, 4, 5)
    output, _ = layer(x)
    pixels = x.permute(0, 1, 3, 4, 2).reshape(T, B * 20, D)
    expected = dense(pixels)[0].view(T, B, 4, 5, 2 * H).permute(0, 1, 4, 2, 3)
    torch.testing.assert_close(output, expected)


def test_moving_the_image_moves_the_output_away_from_the_edge():
    layer = gated.ConvLSTM(D, H, 3, dtype=torch.float64)
    image = torch.zeros(2, B, D, 16, 16, dtype=torch.float64)
    image[..., 4:9, 5:9] = torch.randn(2, B, D, 5, 4, dtype=torch.float64)
    output, (_, c) = layer(image)
    moved, (_, c_moved) = layer(image.roll((3, 2), dims=(-2, -1)))
    # two steps of a kernel of 3 see 4 pixels far
    inner = (..., slice(7, 12), slice(7, 12))
    torch.testing.assert_close(output.roll((3, 2), dims=(-2, -1))[inner], moved[inner])
    torch.testing.assert_close(c.roll((3, 2), dims=(-2, -1))[inner], c_moved[inner])
    assert not torch.allclose(output[inner], moved[inner])


def test_a_pixel_is_seen_one_kernel_further_at_every_step():
    layer = gated.ConvLSTM(1, H, (3, 5))
    x = torch.randn(2, 1, 1, 9, 15, requires_grad=True)
    for step, (rows, columns) in ((0, (1, 2)), (1, (2, 4))):
        (gradient,) = torch.autograd.grad(layer(x)[0][step, 0, :, 4, 7].sum(), x)
        seen = gradient[0, 0, 0] != 0
        expected = torch.zeros_like(seen)
        expected[4 - rows : 5 + rows, 7 - columns : 8 + columns] = True
        assert torch.equal(seen, expected), step


@pytest.mark.parametrize(("kernel", "image"), [((3,), (4,)), ((3, 1), (2, 2)), (3, (2, 3))])
@pytest.mark.parametrize("peephole", [False, True])
def test_gradients_are_right_with_ragged_lengths(kernel, image, peephole):
    layer = gated.ConvLSTM(1, 2, kernel, peephole=peephole, dtype=torch.float64)
    x = torch.randn(T, 2, 1, *image, dtype=torch.float64, requires_grad=True)
    shape = (1, 2, 2, *image)
    states = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    weights = dict(layer.named_parameters())

    def run(x, h, c, *rest):
        own = dict(zip(weights, rest, strict=True))
        output, final = torch.func.functional_call(
            layer, own, (x, (h, c)), {"lengths": [T, 3]}
        )  # fmt: skip
        return (output, *final)

    arguments = (x, *states, *weights.values())
    # element by element over signals, along random directions over images
    fast = len(image) > 1
    assert torch.autograd.gradcheck(run, arguments, rtol=1e-5, atol=1e-7, fast_mode=fast)


# Other cells, and what layers can do besides


def test_a_convolutional_gru_by_hand():
    layer = gated.Recurrent("gru", D, H, maps=Convolution(3), dtype=torch.float64)
    x = torch.randn(T, B, D, 4, 5, dtype=torch.float64)
    own, h = weights_of(layer), torch.zeros(B, H, 4, 5, dtype=torch.float64)
    output, last = layer(x)
    for t in range(T):
        a = conv(x[t], own["weight_ih"])
        a = (a + channels(own["bias"], a)).chunk(3, dim=1)
        u = conv(h, own["weight_hh"]).chunk(3, dim=1)
        r, z = torch.sigmoid(a[0] + u[0]), torch.sigmoid(a[1] + u[1])
        n = torch.tanh(a[2] + r * (u[2] + channels(own["b_h"], h)))
        h = (1 - z) * n + z * h
        torch.testing.assert_close(output[t], h)
    torch.testing.assert_close(last[0], h)


def test_layer_normalisation_is_over_the_channels_of_each_pixel():
    layer = gated.Recurrent("layernorm-lstm", D, H, maps=Convolution(3), dtype=torch.float64)
    x = torch.randn(T, B, D, 4, 5, dtype=torch.float64)
    own, eps = weights_of(layer), 1e-5
    output, _ = layer(x)
    h = c = torch.zeros(B, H, 4, 5, dtype=torch.float64)

    def normal(value):
        mean, variance = value.mean(1, True), value.var(1, correction=0, keepdim=True)
        return (value - mean) / (variance + eps).sqrt()

    for t in range(T):
        a, u = normal(conv(x[t], own["weight_ih"])), normal(conv(h, own["weight_hh"]))
        bias = own["bias"][: 4 * H]
        sums = channels(own["gain_x"], a) * a + channels(own["gain_h"], u) * u + channels(bias, a)
        i, f, g, o = sums.chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        scaled = channels(own["gain_c"], c) * normal(c) + channels(own["bias"][4 * H :], c)
        h = o.sigmoid() * scaled.tanh()
        torch.testing.assert_close(output[t], h, rtol=1e-10, atol=1e-10)


def test_a_convolutional_gru_d_takes_masks_and_gaps_as_images():
    layer = gated.Recurrent("gru-d", D, H, maps=Convolution(3), dtype=torch.float64)
    with torch.no_grad():
        layer.x_mean_l0.copy_(torch.randn(D))
    x = torch.randn(T, B, D, 4, 5, dtype=torch.float64)
    mask = (torch.randn_like(x) > 0).double()
    delta = torch.rand_like(x)
    output, (_, x_last) = layer(x.masked_fill(mask == 0, float("nan")), mask=mask, delta=delta)
    own, h, last = weights_of(layer), torch.zeros(B, H, 4, 5, dtype=torch.float64), 0 * x[0]
    for t in range(T):
        rate = channels(own["W_gamma_x"], x[t]) * delta[t] + channels(own["b_gamma_x"], x[t])
        decay = torch.exp(-rate.clamp(min=0))
        guess = decay * last + (1 - decay) * channels(own["x_mean"], x[t])
        seen, last = (torch.where(mask[t] > 0, x[t], other) for other in (guess, last))
        rate = conv(delta[t], own["W_gamma_h"])
        h = torch.exp(-(rate + channels(own["b_gamma_h"], rate)).clamp(min=0)) * h
        fixed = conv(seen, own["weight_ih"]) + conv(mask[t], own["V"])
        fixed = (fixed + channels(own["bias"], fixed)).chunk(3, dim=1)
        kernels = own["weight_hh"].chunk(3)
        r, z = (torch.sigmoid(fixed[k] + conv(h, kernels[k])) for k in (0, 1))
        n = torch.tanh(fixed[2] + conv(r * h, kernels[2]))
        h = (1 - z) * h + z * n
        torch.testing.assert_close(output[t], h)
    torch.testing.assert_close(x_last[0], last)


def test_resets_start_a_rows_images_anew():
    layer, x, states = built(3, (4, 5), batch_first=True, bidirectional=True)
    resets = table([[2], [], [0]], T)
    rows = x.transpose(0, 1)
    output, (_, c) = layer(rows, tuple(states), resets=resets.T)
    whole, (_, c_whole) = layer(rows, tuple(states))
    torch.testing.assert_close(output[1], whole[1])
    torch.testing.assert_close(c[:, 1], c_whole[:, 1])
    parts = [layer(part) for part in (rows[:1, :2], rows[:1, 2:])]
    # the first direction of the first part starts from the state given, the second of the last
    torch.testing.assert_close(output[0, 2:, :H], parts[1][0][0, :, :H])
    torch.testing.assert_close(output[0, :2, H:], parts[0][0][0, :, H:])
    torch.testing.assert_close(c[:1, 0], parts[1][1][1][:1, 0])
    torch.testing.assert_close(c[1:, 0], parts[0][1][1][1:, 0])


def test_truncation_cuts_between_frames():
    layer, x, states = built(3, (4, 5), batch_first=True)
    rows = x.transpose(0, 1)
    output, final = layer(rows, tuple(states), truncate=2, lengths=LENGTHS)
    torch.testing.assert_close((output, final), layer(rows, tuple(states), lengths=LENGTHS))
    (gradient,) = torch.autograd.grad(output[0, 3].sum(), x)
    assert not gradient[:2].any()
    assert gradient[2:4, 0].any()


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_trace_shows_every_layers_gates_laid_out_as_the_output(batch_first):
    layer = gated.ConvLSTM(D, H, 3, num_layers=2, batch_first=batch_first)
    x = torch.randn(B, T, D, 4, 5) if batch_first else torch.randn(T, B, D, 4, 5)
    output, (h, _), trace = layer(x, lengths=LENGTHS, trace=True)
    assert trace.at(0)["f"].shape == output.shape
    assert torch.equal(trace.at(1)["h"], output)
    last = trace.at(0)["h"].transpose(0, 1) if batch_first else trace.at(0)["h"]
    assert torch.equal(last[LENGTHS[2] - 1, 2], h[0, 2])


def test_merges_and_residuals_are_over_channels():
    layer, x, _ = built(3, (4, 5), num_layers=2, bidirectional=True)
    twin = gated.ConvLSTM(D, H, 3, bidirectional=True, merge="sum", dtype=torch.float64)
    twin.load_state_dict({n: w for n, w in layer.state_dict().items() if "_l0" in n})
    first, _, trace = layer(x, trace=True)
    both = trace.at(0, 0)["h"] + trace.at(0, 1)["h"]
    torch.testing.assert_close(twin(x)[0], both)
    deep = gated.ConvLSTM(D, H, 3, 2, bidirectional=True, residual=True, dtype=torch.float64)
    deep.load_state_dict(layer.state_dict())
    below = torch.cat([trace.at(0, 0)["h"], trace.at(0, 1)["h"]], dim=2)
    torch.testing.assert_close(deep(x)[0], first + below)


def test_under_autocast_a_run_is_in_bfloat16():
    layer, x = gated.ConvLSTM(D, H, 3), torch.randn(T, B, D, 4, 5)
    expected, _ = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, (h, _) = layer(x, lengths=[5, 5, 5])
    assert output.dtype == h.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), expected, atol=0.02, rtol=0.02)


def test_a_layer_is_pickled_with_its_kernel():
    layer, x = gated.ConvLSTM(D, H, (3, 5), peephole=True), torch.randn(T, B, D, 4, 5)
    again = pickle.loads(pickle.dumps(layer))
    assert again.kernel_size == (3, 5)
    assert torch.equal(again(x)[0], layer(x)[0])


def test_a_forget_bias_is_there_by_name():
    layer = gated.ConvLSTM(D, H, 3, forget_bias=1.0)
    assert torch.equal(layer.bias_l0[H : 2 * H], torch.ones(H))


# What is refused


@pytest.mark.parametrize(
    ("kernel", "says"),
    [
        (2, "kernel_size is 2.*an even extent cannot keep the image's size, use an odd one"),
        ((3, 4), r"kernel_size is \(3, 4\).*even"),
        (0, "kernel_size is 0"),
        (-1, "kernel_size is -1"),
        (2.5, "kernel_size is 2.5"),
        ("3", "kernel_size is '3'"),
        ((), r"kernel_size is \(\)"),
        ((3, 3, 3, 3), "expected one to three axes"),
        (True, "kernel_size is True"),
        (None, "kernel_size is None"),
    ],
)
def test_kernels_that_cannot_be_are_refused(kernel, says):
    with pytest.raises(CellError, match=says):
        gated.ConvLSTM(D, H, kernel)


@pytest.mark.parametrize(
    ("kernel", "shape", "says"),
    [
        (3, (T, B, 4, 5, D), r"expected 2 channels in axis -3, before the 2 of the image"),
        (3, (T, B, 3, 4, 5), r"x has shape \(5, 3, 3, 4, 5\), expected 2 channels in axis -3"),
        (3, (D, 4, 5), "expected three axes, or two if unbatched, before the 2 of the image"),
        (3, (1, T, B, D, 4, 5), "before the 2 of the image"),
        (3, (4, 5), "expected 2 channels in axis -3"),
        ((3,), (T, B, D, 4, 5), "before those of the signal|before the 1 of the signal"),
        ((3, 3, 3), (T, D, 4, 5), "channels in axis -4, before the 3 of the volume"),
    ],
)
def test_an_input_of_the_wrong_shape_is_told_the_right_one(kernel, shape, says):
    with pytest.raises(ShapeError, match=says):
        gated.ConvLSTM(D, H, kernel)(torch.randn(shape))


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((1, B, H), r"h0 has shape \(1, 3, 3\), expected \(1, 3, 3, 4, 5\).*axes of the image"),
        ((1, B, H, 5, 4), r"expected \(1, 3, 3, 4, 5\)"),
        ((1, B, 4, 5, H), r"expected \(1, 3, 3, 4, 5\)"),
        ((B, H, 4, 5), r"expected \(1, 3, 3, 4, 5\)"),
    ],
)
def test_a_state_of_the_wrong_shape_is_told_the_right_one(shape, says):
    with pytest.raises(ShapeError, match=says):
        gated.ConvLSTM(D, H)(torch.randn(T, B, D, 4, 5), (torch.zeros(shape),) * 2)


def test_a_step_of_the_wrong_shape_is_told_the_right_one():
    with pytest.raises(ShapeError, match=r"one step has \(B, features\).*2 of the image"):
        gated.ConvLSTM(D, H).step(torch.randn(1, T, B, D, 4, 5)[0])


def test_masks_of_another_image_are_refused():
    layer = gated.Recurrent("gru-d", D, H, maps=Convolution(3))
    x = torch.randn(T, B, D, 4, 5)
    with pytest.raises(ShapeError, match=r"delta has shape \(5, 3, 2, 4, 4\), x has"):
        layer(x, mask=x, delta=x[..., :4])


def test_packed_sequences_carry_no_images():
    with pytest.raises(ShapeError, match="carries vectors of x alone; pass padded tensors"):
        gated.ConvLSTM(D, H)(pack_sequence([torch.randn(3, D, 4, 5)]))


def test_a_wrong_option_gets_the_nearest_right_one():
    with pytest.raises(OptionError, match="no option kernel: did you mean 'kernel_size'"):
        gated.ConvLSTM(D, H, kernel=3)
    with pytest.raises(OptionError, match="did you mean 'peephole'"):
        gated.ConvLSTM(D, H, peepholes=True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"maps": "diagonal"}, r"its own maps: for another use gated.Recurrent\(cell, 2, 3, maps="),
        ({"cell": "gru"}, "its own cell: for another use gated.Recurrent"),
        ({"peephole": 1}, "peephole is 1 .*expected True or False"),
    ],
)
def test_what_it_is_by_name_cannot_be_given(options, says):
    with pytest.raises(OptionError, match=says):
        gated.ConvLSTM(D, H, 3, **options)


def test_a_state_is_taken_back_as_it_was_returned():
    layer, x = gated.ConvLSTM(D, H, num_layers=2), torch.randn(T, B, D, 4, 5)
    whole, final = layer(x)
    first, state = layer(x[:2])
    second, last = layer(x[2:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(as_states(last), as_states(as_hx(list(final))))
