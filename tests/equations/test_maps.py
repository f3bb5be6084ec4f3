"""Maps: what `W @ x` means is a choice beside the equations."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from equation_numerics import SIZES, evaluate, parameters, random_leaves, run
from small_cells import OneUnit

import gated
from gated import Convolution, Dense, Diagonal, Heads
from gated.equations import Cell, U, W, backward, sigmoid, tanh
from gated.equations.maps import Map, mapped
from gated.equations.projection import projected
from gated.errors import CellError


def lstm(maps: object) -> Cell:
    return mapped(gated.cell("lstm"), maps)


def shapes(cell: Cell) -> dict[str, tuple[str | int, ...]]:
    return {q.key: q.shape for q in cell.parameters}


def first_line(cell: Cell) -> str:
    return str(cell).splitlines()[0]


def refused(cell: str | Cell, maps: object) -> str:
    cell = gated.cell(cell)
    with pytest.raises(CellError) as error:
        mapped(cell, maps)
    message = str(error.value)
    assert message.startswith(f"cell {cell.name}: ")
    return message


class TestEquations:
    @pytest.mark.parametrize(
        ("maps", "line"),
        [
            ("dense", "i = σ(W_i x + U_i h₋ + b_i)"),
            ("diagonal", "i = σ(W_i x + U_i ⊙ h₋ + b_i)"),
            (Heads(2), "i = σ(W_i x + U_i h₋ + b_i)"),
            (Convolution(3), "i = σ(W_i ∗ x + U_i ∗ h₋ + b_i)"),
            ({"W": Convolution(3)}, "i = σ(W_i ∗ x + U_i h₋ + b_i)"),
            ({"U.i": "diagonal"}, "i = σ(W_i x + U_i ⊙ h₋ + b_i)"),
            ({"U.f": "diagonal"}, "i = σ(W_i x + U_i h₋ + b_i)"),
        ],
    )
    def test_are_printed_with_the_map(self, maps, line):
        assert first_line(lstm(maps)) == line

    def test_latex_shows_a_convolution_and_a_product_by_units(self):
        assert r"W_{i} \ast x_{t} + U_{i} \ast h_{t-1}" in lstm(Convolution(3)).latex()
        assert r"U_{i} \odot h_{t-1}" in lstm("diagonal").latex()

    def test_all_but_the_products_stays(self):
        before, after = str(gated.cell("lstm")), str(lstm("diagonal"))
        assert after.replace(" ⊙ h₋", " h₋") == before

    def test_a_product_inside_others_is_mapped_too(self):
        cell = mapped(gated.cell("gru-reset-before"), "diagonal")
        assert "n = tanh(W_n x + U_n ⊙ r ⊙ h₋ + b_n)" in str(cell)

    def test_a_product_with_a_name_keeps_it(self):
        cell = mapped(gated.cell("layernorm-lstm"), "diagonal")
        assert "u_i = U_i ⊙ h₋" in str(cell)
        assert "(mean(u_i) + mean(u_f)" in str(cell)
        assert cell.gates == gated.cell("layernorm-lstm").gates

    def test_a_matrix_that_is_used_twice_stays_one_parameter(self):
        class Twice(Cell):
            def step(self, x, h):
                r = sigmoid(U @ h)
                h = tanh(W @ x + U @ (r * h))
                return h

        cell = mapped(Twice(), "diagonal")
        assert len([n for n in cell.graph.nodes() if n.label == "U"]) == 1
        assert shapes(cell) == {"U": ("H",), "W": ("H", "D")}

    def test_the_cell_itself_stays_as_it_was(self):
        before = str(gated.cell("lstm")), shapes(gated.cell("lstm"))
        lstm(Heads(2))
        assert (str(gated.cell("lstm")), shapes(gated.cell("lstm"))) == before


class TestParameters:
    @pytest.mark.parametrize(
        ("maps", "w", "u"),
        [
            ("dense", ("H", "D"), ("H", "H")),
            ("diagonal", ("H", "D"), ("H",)),
            (Heads(2), ("H", "D"), (2, "H/2", "H/2")),
            ({"W": Heads(3), "U": Heads(1)}, (3, "H/3", "D/3"), (1, "H/1", "H/1")),
            (Convolution(3), ("H", "D", 3, 3), ("H", "H", 3, 3)),
            (Convolution((3,)), ("H", "D", 3), ("H", "H", 3)),
            (Convolution((1, 3, 5)), ("H", "D", 1, 3, 5), ("H", "H", 1, 3, 5)),
            ({"W": Convolution((3, 5)), "U": "diagonal"}, ("H", "D", 3, 5), ("H",)),
        ],
    )
    def test_shapes_follow_the_map(self, maps, w, u):
        found = shapes(lstm(maps))
        for gate in "ifgo":
            assert found[f"W.{gate}"] == w
            assert found[f"U.{gate}"] == u
            assert found[f"b.{gate}"] == ("H",)

    def test_keep_their_order(self):
        assert list(shapes(lstm(Heads(2)))) == list(shapes(gated.cell("lstm")))

    @pytest.mark.parametrize(
        ("maps", "each"),
        [
            ("dense", 12 * 6 + 12 * 12 + 12),
            ("diagonal", 12 * 6 + 12 + 12),
            (Heads(4), 12 * 6 + 12 * 12 // 4 + 12),
            (Convolution((3, 5)), 12 * 6 * 15 + 12 * 12 * 15 + 12),
        ],
    )
    def test_are_counted(self, maps, each):
        assert lstm(maps).parameter_count(input_size=6, hidden_size=12) == 4 * each

    def test_one_map_is_for_recurrent_matrices_a_convolution_for_all(self):
        cell = mapped(gated.cell("gru-d"), Heads(2))
        heads = [key for key, shape in shapes(cell).items() if len(shape) == 3]
        assert heads == ["U.r", "U.z", "U.n"]
        cell = mapped(gated.cell("t-lstm"), Convolution((3,)))
        kernels = [key for key, shape in shapes(cell).items() if len(shape) == 3]
        assert kernels == [
            key for key, shape in shapes(gated.cell("t-lstm")).items() if len(shape) == 2
        ]

    def test_heads_of_a_projection_cut_both_sizes(self):
        found = shapes(mapped(gated.cell("lstmp"), Heads(2)))
        assert found["U.i"] == (2, "H/2", "P/2")
        assert found["R"] == (2, "P/2", "H/2")


class TestDictionaries:
    def test_a_family_is_every_parameter_of_it(self):
        assert lstm({"U": "diagonal"}).maps == dict.fromkeys(
            ["U.i", "U.f", "U.g", "U.o"], Diagonal()
        )

    @pytest.mark.parametrize(
        "maps", [{"U": Heads(2), "U.o": "dense"}, {"U.o": "dense", "U": Heads(2)}]
    )
    def test_a_parameter_goes_before_its_family(self, maps):
        assert lstm(maps).maps == dict.fromkeys(["U.i", "U.f", "U.g"], Heads(2))

    def test_what_is_not_named_stays_dense(self):
        assert shapes(lstm({"U.f": "diagonal"}))["W.f"] == ("H", "D")

    def test_later_changes_of_the_dictionary_change_nothing(self):
        maps = {"U": "diagonal"}
        cell = lstm(maps)
        maps["U"] = "dense"
        assert shapes(pickle.loads(pickle.dumps(cell)))["U.i"] == ("H",)


class TestMeaning:
    """What a mapped cell computes, by NumPy."""

    def test_diagonal(self):
        records, weights = run(mapped(gated.cell("rnn"), "diagonal"), steps=3)
        h = np.zeros(SIZES["H"])
        for record in records:
            h = np.tanh(weights["W"] @ record["x"] + weights["U"] * h + weights["b"])
            np.testing.assert_allclose(record["h"], h, rtol=1e-13)

    def test_heads(self):
        records, weights = run(mapped(gated.cell("rnn"), Heads(2)), steps=3)
        whole = np.zeros((4, 4))
        whole[:2, :2], whole[2:, 2:] = weights["U"]
        h = np.zeros(4)
        for record in records:
            h = np.tanh(weights["W"] @ record["x"] + whole @ h + weights["b"])
            np.testing.assert_allclose(record["h"], h, rtol=1e-13)

    def test_convolution(self):
        cell = mapped(gated.cell("rnn"), Convolution((3,)))
        leaves = random_leaves(cell.graph, extent=(5,))
        values = {n.label: v.detach().numpy() for n, v in leaves.items()}
        expected = np.zeros((5, 4))
        for place in range(5):
            for offset in range(3):
                seen = place + offset - 1
                if 0 <= seen < 5:
                    expected[place] += values["W"][:, :, offset] @ values["x"][seen]
                    expected[place] += values["U"][:, :, offset] @ values["h"][seen]
        node = cell.graph.updates["h"]
        found = evaluate([node], leaves)[node].detach()
        np.testing.assert_allclose(found, np.tanh(expected + values["b"]), rtol=1e-13)


class TestFacts:
    @pytest.mark.parametrize("name", ["lstm", "gru", "gru-reset-before", "peephole", "slstm"])
    def test_a_diagonal_map_makes_the_recurrence_diagonal(self, name):
        assert not gated.cell(name).diagonal
        assert mapped(gated.cell(name), "diagonal").diagonal

    @pytest.mark.parametrize("maps", [Heads(2), Convolution(3)])
    def test_other_maps_do_not(self, maps):
        assert not lstm(maps).diagonal

    @pytest.mark.parametrize("maps", [Heads(2), Convolution(3)])
    def test_products_still_follow_one_another(self, maps):
        assert mapped(gated.cell("gru-reset-before"), maps).successive_products == 2

    def test_a_diagonal_has_no_product(self):
        assert mapped(gated.cell("gru-reset-before"), "diagonal").successive_products == 0

    @pytest.mark.parametrize("maps", ["diagonal", Heads(2), Convolution(3)])
    def test_what_keeps_the_memory_stays(self, maps):
        assert lstm(maps).kept["c"].name == "f"

    def test_a_linear_state_stays_linear(self):
        class Linear(Cell):
            def step(self, x, h):
                h = W @ x + U @ h
                return h

        for maps in ("dense", "diagonal", Heads(2), Convolution(3)):
            assert mapped(Linear(), maps).linear


MAPS = {
    "diagonal": ("diagonal", ()),
    "heads": (Heads(2), ()),
    "1 axis": (Convolution((3,)), (4,)),
    "2 axes": (Convolution((1, 3)), (2, 3)),
    "mixed": ({"W": Convolution((3,)), "U": Heads(2)}, (3,)),
}


@pytest.mark.parametrize("maps", MAPS)
@pytest.mark.parametrize("name", ["rnn", "lstm", "gru-reset-before", "peephole", "slstm"])
def test_the_backward_equations_are_autograds(name, maps):
    which, extent = MAPS[maps]
    graph = mapped(gated.cell(name), which).graph
    leaves = random_leaves(graph, extent=extent)
    updates = list(graph.updates.values())
    values = evaluate(updates, leaves)
    states = [values[node] for node in updates]
    arriving = [torch.linspace(-1, 2, s.numel(), dtype=s.dtype).view(s.shape) for s in states]
    derived = backward(graph)
    found = {graph.inputs[name]: node for name, node in derived.inputs.items()}
    found |= {graph.previous[name]: node for name, node in derived.previous.items()}
    found |= {parameters(graph)[key]: node for key, node in derived.parameters.items()}
    known = leaves | dict(zip(derived.seeds.values(), arriving, strict=True))
    gradients = evaluate([node for node in found.values() if node is not None], known)
    expected = torch.autograd.grad(states, list(leaves.values()), arriving, allow_unused=True)
    for leaf, want in zip(leaves, expected, strict=True):
        node = found[leaf]
        if want is None:
            assert node is None
            continue
        assert node is not None
        got = gradients[node]
        # a vector of parameters stands at every place of an image, engines sum over them
        got = got.reshape(-1, *want.shape).sum(0)
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


class TestUnaffected:
    @pytest.mark.parametrize("name", ["minlstm", "mingru", "sru", "indrnn"])
    @pytest.mark.parametrize("maps", ["dense", "diagonal"])
    def test_a_cell_whose_recurrence_is_diagonal_already(self, name, maps):
        assert mapped(gated.cell(name), maps) is gated.cell(name)

    def test_a_dense_map_changes_nothing(self):
        assert lstm("dense") is gated.cell("lstm")
        assert lstm({"U": Dense()}) is gated.cell("lstm")

    def test_the_same_map_again_changes_nothing(self):
        cell = lstm(Heads(2))
        assert mapped(cell, Heads(2)) is cell
        assert mapped(cell, {"U.i": Heads(2)}) is cell


class TestOneAfterTheOther:
    def test_maps_of_different_matrices_add_up(self):
        both = mapped(lstm({"U": "diagonal"}), {"W": Heads(3)})
        assert str(both) == str(lstm({"U": "diagonal", "W": Heads(3)}))
        assert both.maps == lstm({"U": "diagonal", "W": Heads(3)}).maps

    def test_a_map_of_all_fills_what_has_none(self):
        assert lstm({"U.i": "diagonal"}).maps != lstm("diagonal").maps
        assert mapped(lstm({"U.i": "diagonal"}), "diagonal").maps == lstm("diagonal").maps

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("diagonal", Heads(2)),
            ("diagonal", "dense"),
            (Heads(2), Heads(4)),
            (Heads(2), {"U": "diagonal"}),
            ({"U.f": "diagonal"}, Heads(2)),
            (Convolution(3), "diagonal"),
            (Convolution(3), Convolution(5)),
        ],
    )
    def test_a_matrix_gets_one_map(self, first, second):
        assert "already, it cannot get" in refused(lstm(first), second)


class TestRefused:
    @pytest.mark.parametrize(
        ("name", "maps", "complaint"),
        [
            ("lstm", "diag", "there is no map 'diag': did you mean 'diagonal'? known are"),
            ("lstm", "heads", "known are 'dense', 'diagonal', Heads(count) and"),
            ("lstm", Heads, "there is no map 'Heads': known are"),
            ("lstm", Diagonal, "there is no map 'Diagonal': did you mean 'diagonal'?"),
            ("lstm", None, "there is no map None"),
            ("lstm", 4, "there is no map 4"),
            ("lstm", {"U": 4}, "there is no map 4"),
            ("lstm", {"u": Heads(2)}, "there is no matrix 'u': did you mean 'U'?"),
            ("lstm", {"U.ff": Heads(2)}, "there is no matrix 'U.ff': did you mean 'U.f'?"),
            ("lstm", {"V": Heads(2)}, "there is no matrix 'V': the cell's matrices are W.i, U.i"),
            ("lstm", {7: Heads(2)}, "there is no matrix 7"),
            ("lstm", {}, "maps is {}: name a matrix, of W.i, U.i"),
            ("peephole", {"p": Heads(4)}, "p is a vector, it multiplies or adds unit by unit"),
            ("peephole", {"p.o": "diagonal"}, "p.o is a vector"),
            ("lstm", {"b": "diagonal"}, "b is a vector"),
            ("lstm", {"W": "diagonal"}, "W.i is (H, D): a diagonal map needs as many rows"),
            ("lstmp", "diagonal", "U.i is (H, P): a diagonal map needs as many rows as columns"),
            ("mingru", Heads(2), "there is no recurrent matrix that could be Heads(count=2)"),
            ("indrnn", Heads(2), "there is no recurrent matrix that could be Heads(count=2)"),
        ],
    )  # fmt: skip
    def test_what_has_no_meaning_is_refused_with_the_reason(self, name, maps, complaint):
        assert complaint in refused(name, maps)

    def test_heads_that_do_not_divide_a_fixed_size(self):
        class Gap(Cell):
            inputs = {"x": "D", "delta": 3}

            def step(self, x, delta, h):
                h = tanh(W.x @ x + W.d @ delta + U @ h)
                return h

        complaint = "W.d has an axis of 3, which does not divide into 2 heads"
        assert complaint in refused(Gap(), {"W.d": Heads(2)})
        assert shapes(mapped(Gap(), {"W.d": Heads(3)}))["W.d"] == (3, "H/3", 1)

    @pytest.mark.parametrize("count", [0, -1, True, 2.0, "2", None])
    def test_a_number_of_heads_is_a_whole_one(self, count):
        with pytest.raises(CellError, match=r"Heads is .*, expected an integer of at least 1"):
            Heads(count)

    @pytest.mark.parametrize(
        ("kernel", "complaint"),
        [
            (2, "even extent cannot keep the image's size"),
            ((3, 4), "even extent cannot keep the image's size"),
            (0, "expected an integer of at least 1"),
            (-3, "expected an integer of at least 1"),
            (True, "expected an integer of at least 1"),
            (3.0, "expected an integer of at least 1"),
            ("3", "expected an integer of at least 1"),
            (None, "expected an integer of at least 1"),
            ((), "expected one to three axes"),
            ((1, 1, 1, 1), "expected one to three axes"),
        ],
    )
    def test_a_kernel_is_odd_and_has_one_to_three_axes(self, kernel, complaint):
        with pytest.raises(CellError, match=complaint):
            Convolution(kernel)

    @pytest.mark.parametrize("maps", [Heads(4), {"W": Heads(4)}])
    def test_heads_that_do_not_divide_when_the_layer_is_built(self, maps):
        with pytest.raises(CellError, match=r"[UW]\.i, .*6 units do not divide into 4 heads"):
            gated.Recurrent("lstm", 6, 6, maps=maps)


class TestKernel:
    def test_one_number_is_square(self):
        assert Convolution(5) == Convolution((5, 5))

    def test_a_list_does_as_well(self):
        assert Convolution([3]) == Convolution((3,))


class TestRecord:
    @pytest.mark.parametrize(
        ("maps", "shown"),
        [
            ("dense", ""),
            ("diagonal", "; U Diagonal()"),
            ({"U": Heads(2), "W": Heads(3)}, "; W Heads(count=3); U Heads(count=2)"),
            ({"U.f": Heads(2)}, "; U.f Heads(count=2)"),
            (
                {"U": Heads(2), "U.f": "diagonal"},
                "; U.i Heads(count=2); U.f Diagonal(); U.g Heads(count=2); U.o Heads(count=2)",
            ),
        ],
    )
    def test_the_repr_shows_the_maps(self, maps, shown):
        assert repr(lstm(maps)) == f"<cell lstm: states h, c{shown}>"

    def test_regularisers_keep_it(self):
        cell = gated.dropconnect(gated.zoneout(lstm("diagonal"), 0.1), 0.2)
        assert cell.maps == lstm("diagonal").maps
        assert "U Diagonal()" in repr(cell)

    @pytest.mark.parametrize("again", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
    @pytest.mark.parametrize("maps", ["diagonal", Heads(2), {"U": Convolution((3,)), "W": "dense"}])
    def test_it_can_be_copied_and_pickled(self, again, maps):
        cell = lstm(maps)
        other = again(cell)
        assert str(other) == str(cell)
        assert shapes(other) == shapes(cell)
        assert other.maps == cell.maps
        assert repr(other) == repr(cell)

    def test_a_mapped_cell_of_ones_own_is_pickled_by_its_class(self):
        cell = mapped(OneUnit(), "diagonal")
        assert str(pickle.loads(pickle.dumps(cell))) == str(cell)


def test_name_source_and_docstring_stay_the_cells():
    cell, base = lstm(Heads(2)), gated.cell("lstm")
    assert (cell.name, cell.source, cell.renames) == (base.name, base.source, base.renames)
    assert type(cell).__doc__ == type(base).__doc__


def test_a_map_before_or_after_a_projection_is_the_same():
    first = projected(lstm(Heads(2)))
    last = mapped(projected(gated.cell("lstm")), Heads(2))
    assert shapes(first) == shapes(last)
    assert first.maps == last.maps


def test_a_variant_is_mapped_as_it_is_printed():
    class Tied(type(gated.cell("peephole"))):
        where = {"f": lambda i: 1 - i}

    cell = mapped(Tied(), "diagonal")
    assert "f = 1 - i" in str(cell)
    assert "U.f" not in shapes(cell)


@pytest.mark.parametrize("which", [Dense(), Diagonal(), Heads(2), Convolution(3)])
def test_every_map_says_what_the_protocol_asks(which):
    asked: Map = which
    assert isinstance(asked.everywhere, bool)
