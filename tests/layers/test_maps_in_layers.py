"""Layers whose recurrent matrices are diagonal or of heads: the dense layer with zeros beside."""

import pickle

import pytest
import torch
from cell_cases import as_hx, as_states, each, layer_of, random_states, sequences
from episodes import weigh

import gated
from gated import Heads
from gated.errors import CellError

T, B = 5, 6
D, H, P = SIZES = (2, 4, 3)
RAGGED = [5, 0, 3, 1, 5, 2]
MAPS = {"diagonal": "diagonal", "heads": Heads(2)}
CELLS = ["lstm", "gru", "gru-reset-before", "fgr", "layernorm-lstm", "slstm", "t-lstm", "gru-d"]
every_map = pytest.mark.parametrize("maps", MAPS.values(), ids=MAPS)
some_cells = pytest.mark.parametrize("cell", CELLS)


def built(cell, maps, **options):
    options = {"num_layers": 2, "bidirectional": True, "dtype": torch.float64, **options}
    return layer_of(cell, "reference", SIZES, maps=maps, **options)


def as_dense(value):
    """Matrices (G * H, H), one below the other, from G diagonals or G pairs of blocks."""
    if value.dim() == 1:
        return torch.cat([torch.diag(part) for part in value.split(H)])
    return torch.cat([torch.block_diag(*part) for part in value.split(2)])


def as_mapped(value, like):
    """The part of matrices, one below the other, that diagonals or pairs of blocks keep."""
    if like.dim() == 1:
        return torch.cat([matrix.diagonal() for matrix in value.split(H)])
    half = H // 2
    corners = [(m[:half, :half], m[half:, half:]) for m in value.split(H)]
    return torch.cat([torch.stack(pair) for pair in corners])


def in_pytorchs_names(weights):
    """One bias as PyTorch's two: the second is 0 but for what the equations call b_h."""
    found = {}
    for name, value in weights.items():
        place = name[name.index("_l") :] if name.startswith("bias") else ""
        if name.startswith("bias_l"):
            second = torch.zeros_like(value)
            if f"b_h{place}" in weights:
                second[-H:] = weights[f"b_h{place}"]
            found |= {f"bias_ih{place}": value, f"bias_hh{place}": second}
        elif not name.startswith("b_h"):
            found[name] = value
    return found


def as_named(name, dense):
    """A parameter of a mapped layer, or its gradient, in those of the dense one."""
    if name in dense:
        return dense[name]
    if name.startswith("b_h_l"):
        return dense[name.replace("b_h_l", "bias_hh_l")][-H:]
    return dense[name.replace("bias_l", "bias_ih_l")]


def twin(layer, cell, **options):
    """The dense layer with the mapped matrices copied in, zeros beside them."""
    dense = built(cell, None, **options)
    weights = layer.state_dict()
    if "bias_hh_l0" in dense.state_dict():
        weights = in_pytorchs_names(weights)
    shapes = {name: value.shape for name, value in dense.state_dict().items()}
    dense.load_state_dict(
        {n: v if v.shape == shapes[n] else as_dense(v) for n, v in weights.items()}, strict=True
    )
    return dense


@some_cells
@every_map
@pytest.mark.parametrize("lengths", [None, RAGGED], ids=["full", "ragged"])
def test_a_mapped_layer_is_the_dense_one_with_zeros_beside(cell, maps, lengths):
    layer = built(cell, maps)
    dense = twin(layer, cell)
    inputs = sequences(layer, T, B, dtype=torch.float64)
    inputs["x"].requires_grad_()
    states = random_states(layer, B, dtype=torch.float64, requires_grad=True)
    runs = []
    for one in (layer, dense):
        output, final = one(**inputs, hx=as_hx(states), lengths=lengths)
        wanted = {"x": inputs["x"], "h0": states[0], **dict(one.named_parameters())}
        gradients = torch.autograd.grad(weigh(output, final), list(wanted.values()))
        runs.append((output, as_states(final), dict(zip(wanted, gradients, strict=True))))
    (output, final, gradients), (expected, last, theirs) = runs
    torch.testing.assert_close(output, expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(final, last, rtol=1e-11, atol=1e-11)
    for name, gradient in gradients.items():
        other = as_named(name, theirs)
        other = other if other.shape == gradient.shape else as_mapped(other, gradient)
        torch.testing.assert_close(gradient, other, rtol=1e-9, atol=1e-11, msg=name)


@some_cells
@every_map
def test_gradients_are_right_with_ragged_lengths(cell, maps):
    layer = layer_of(cell, "reference", SIZES, maps=maps, dtype=torch.float64)
    inputs = sequences(layer, T, 2, dtype=torch.float64)
    inputs["x"].requires_grad_()
    states = random_states(layer, 2, dtype=torch.float64, requires_grad=True)
    weights = dict(layer.named_parameters())
    names = list(weights)

    def run(x, *rest):
        given, own = rest[: len(states)], dict(zip(names, rest[len(states) :], strict=True))
        output, final = torch.func.functional_call(
            layer, own, (x,), {**others, "hx": as_hx(list(given)), "lengths": [T, 3]}
        )
        return (output, *as_states(final))

    others = {name: value for name, value in inputs.items() if name != "x"}
    arguments = (inputs["x"], *states, *weights.values())
    # element by element for one cell, along random directions for the others
    fast = cell != "lstm"
    assert torch.autograd.gradcheck(run, arguments, rtol=1e-5, atol=1e-7, fast_mode=fast)


@pytest.mark.parametrize(
    ("cell", "maps", "shapes"),
    [
        ("lstm", "diagonal", {"weight_ih": (16, 2), "weight_hh": (16,), "bias": (16,)}),
        ("lstm", Heads(2), {"weight_ih": (16, 2), "weight_hh": (8, 2, 2), "bias": (16,)}),
        ("lstm", Heads(4), {"weight_ih": (16, 2), "weight_hh": (16, 1, 1), "bias": (16,)}),
        ("lstm", {"W": Heads(2)}, {"weight_ih": (8, 2, 1), "weight_hh": (16, 4), "bias": (16,)}),
        (
            "gru", "diagonal",
            {"weight_ih": (12, 2), "weight_hh": (12,), "bias": (12,), "b_h": (4,)},
        ),
        (
            "t-lstm", Heads(2),
            {"W_d": (2, 2, 2), "b_d": (4,), "weight_ih": (16, 2), "weight_hh": (8, 2, 2),
             "bias": (16,)},
        ),
    ],
)  # fmt: skip
def test_the_state_dict_has_its_names_and_the_shapes_of_its_maps(cell, maps, shapes):
    layer = layer_of(cell, "auto", SIZES, maps=maps, bidirectional=True)
    found = {name: tuple(value.shape) for name, value in layer.state_dict().items()}
    expected = [(f"{n}_l0{end}", s) for end in ("", "_reverse") for n, s in shapes.items()]
    assert list(found.items()) == expected


def test_gates_of_one_family_may_have_different_maps():
    layer = gated.LSTM(D, H, maps={"U.f": "diagonal"})
    shapes = {name: tuple(value.shape) for name, value in layer.state_dict().items()}
    assert shapes["U_f_l0"] == (H,)
    assert shapes["U_i_l0"] == (H, H)
    x = torch.randn(T, B, D)
    _, _, trace = layer(x, trace=True)
    h = torch.cat([torch.zeros(1, B, H), trace["h"][:-1]])
    sums = x @ layer.weight_ih_l0[H : 2 * H].T + layer.U_f_l0 * h + layer.bias_l0[H : 2 * H]
    torch.testing.assert_close(trace["f"], sums.sigmoid())


def test_dense_is_no_map_at_all():
    layer = gated.LSTM(D, H, maps="dense")
    assert list(layer.state_dict()) == list(torch.nn.LSTM(D, H).state_dict())
    assert layer.choice(torch.randn(T, B, D)).engine == "torch"


# Laws


@some_cells
@every_map
def test_a_sequence_in_two_parts_is_the_whole(cell, maps):
    layer = built(cell, maps, bidirectional=False)
    inputs = sequences(layer, T, B, dtype=torch.float64)
    whole, final = layer(**inputs)
    first, state = layer(**each(lambda v: v[:2], inputs))
    second, last = layer(**each(lambda v: v[2:], inputs), hx=state)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(last, final, rtol=1e-12, atol=1e-12)


@some_cells
@every_map
def test_faults_9_what_padding_holds_changes_nothing(cell, maps):
    layer = built(cell, maps)
    beyond = (torch.arange(T).unsqueeze(1) >= torch.tensor(RAGGED)).unsqueeze(-1)
    clean, runs = sequences(layer, T, B, dtype=torch.float64), []
    for filling in (0.0, float("nan")):
        inputs = each(lambda v, to=filling: v.masked_fill(beyond, to), clean)
        inputs["x"].requires_grad_()
        output, final = layer(**inputs, lengths=RAGGED)
        wanted = [inputs["x"], *layer.parameters()]
        gradients = torch.autograd.grad(output.pow(2).sum(), wanted)
        runs.append([output, *as_states(final), *gradients])
    for one, two in zip(*runs, strict=True):
        assert torch.equal(one, two)
    assert not runs[0][0][beyond.expand_as(runs[0][0])].any()


@some_cells
@every_map
def test_permuting_the_rows_permutes_the_results(cell, maps):
    layer = layer_of(cell, "reference", (3, 10, 4), maps=maps, num_layers=2, bidirectional=True)
    order = [3, 0, 5, 1, 4, 2]
    inputs = sequences(layer, T, B)
    output, final = layer(**inputs, lengths=RAGGED)
    moved, last = layer(
        **each(lambda v: v[:, order], inputs), lengths=[RAGGED[k] for k in order]
    )  # fmt: skip
    assert torch.equal(moved, output[:, order])
    for one, two in zip(as_states(last), as_states(final), strict=True):
        assert torch.equal(one, two[:, order])


@some_cells
@every_map
@pytest.mark.parametrize("shape", [(0, 3), (5, 0)], ids=["T=0", "B=0"])
def test_faults_1_and_2_nothing_in_nothing_out(cell, maps, shape):
    layer = built(cell, maps)
    states = random_states(layer, shape[1], dtype=torch.float64)
    output, final = layer(**sequences(layer, *shape, dtype=torch.float64), hx=as_hx(states))
    assert output.shape == (*shape, 2 * H)
    for before, after in zip(states, as_states(final), strict=True):
        assert torch.equal(before, after)


@some_cells
@every_map
def test_a_row_of_length_0_ends_in_the_state_given_with_outputs_0(cell, maps):
    layer = built(cell, maps)
    states = random_states(layer, B, dtype=torch.float64)
    inputs = sequences(layer, T, B, dtype=torch.float64)
    output, final = layer(**inputs, hx=as_hx(states), lengths=RAGGED)
    assert not output[:, 1].any()
    for before, after in zip(states, as_states(final), strict=True):
        assert torch.equal(before[:, 1], after[:, 1])
        assert not torch.equal(before[:, 0], after[:, 0])


@every_map
def test_a_mapped_layer_is_pickled_with_its_map(maps):
    layer = gated.LSTM(D, H, maps=maps)
    again, x = pickle.loads(pickle.dumps(layer)), torch.randn(T, B, D)
    assert torch.equal(again(x)[0], layer(x)[0])
    assert repr(again) == repr(layer)


@every_map
def test_units_of_other_heads_are_not_seen(maps):
    layer = gated.LSTM(D, H, maps=maps)
    h = torch.zeros(1, 1, H, requires_grad=True)
    _, (last, _) = layer(torch.randn(1, 1, D), (h, torch.zeros(1, 1, H)))
    (gradient,) = torch.autograd.grad(last[0, 0, 0], h)
    seen = 1 if maps == "diagonal" else H // 2
    assert gradient[0, 0].ne(0).tolist() == [True] * seen + [False] * (H - seen)


# What is refused


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"hidden_size": 6, "maps": Heads(4)}, "H = 6 units do not divide into 4 heads"),
        (
            {"hidden_size": 6, "proj_size": 3, "maps": Heads(2)},
            "P = 3 units do not divide into 2 heads",
        ),
        ({"hidden_size": 4, "maps": {"W": Heads(4)}}, "D = 2 units do not divide into 4 heads"),
        ({"hidden_size": 6, "proj_size": 3, "maps": "diagonal"}, "as many rows as columns"),
        ({"hidden_size": 6, "maps": "diagnal"}, "did you mean 'diagonal'"),
        ({"hidden_size": 6, "maps": {"Q": "diagonal"}}, "Q"),
        ({"hidden_size": 6, "maps": {"b": "diagonal"}}, "b"),
        ({"hidden_size": 6, "maps": 4}, "there is no map 4"),
    ],
)
def test_impossible_maps_are_refused_when_the_layer_is_built(options, says):
    with pytest.raises(CellError, match=says):
        gated.LSTM(D, **options)


def test_peepholes_take_no_map_as_they_are_no_matrices():
    with pytest.raises(CellError, match="p is a vector"):
        gated.Recurrent("peephole", D, H, maps={"p": Heads(2)})


def test_heads_are_refused_where_no_matrix_sees_a_state():
    with pytest.raises(CellError, match="there is no recurrent matrix"):
        gated.Recurrent("minlstm", D, H, maps=Heads(2))
