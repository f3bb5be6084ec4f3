"""The text of the cells' JavaScript: what it holds, and what it never holds."""

import re

import pytest

import gated
from gated.equations import Cell, Family, R, U, W, b, tanh
from gated.equations.javascript import program
from gated.equations.maps import Convolution, Heads, mapped
from gated.errors import CellError

MARKUP = "</script><script>alert(1)</script><!--"


class Hostile(Cell):
    """A family whose LaTeX is markup."""

    def step(self, x, h):
        h = tanh(Family("V", latex=MARKUP).i @ x + U @ h + b)
        return h


@pytest.fixture(scope="module")
def whole():
    return program([gated.cell(name) for name in gated.cells()])


def test_a_step_reads_like_the_equations():
    text = program([gated.cell("rnn")])
    start = text.index("  step(")
    assert (
        text[start : text.index("  },", start)]
        == """\
  step(parameters, inputs, states) {
    const x = take(inputs, "x");
    const D = x.length;
    const last_h = take(states, "h");
    const H = last_h.length;
    const W = take(parameters, "W", H * D);
    const U = take(parameters, "U", H * H);
    const b = take(parameters, "b", H);
    // h = tanh(W x + U h₋ + b)
    const W_x = matmul(W, x);
    const U_last_h = matmul(U, last_h);
    const h = new Float64Array(H);
    for (let u = 0; u < h.length; u++) h[u] = Math.tanh(W_x[u] + U_last_h[u] + b[u]);
    return { h };
"""
    )


def test_it_holds_nothing_that_ends_its_element_or_is_run_from_text(whole):
    for text in (whole, program([Hostile()]), program({MARKUP: gated.cell("rnn")})):
        assert not re.search(r"</script|<!--|\beval\b|\bFunction\b|\bimport\b|\bexport\b", text)


def test_it_is_strict(whole):
    assert whole.startswith('(() => {\n"use strict";\n')


def test_every_parameter_state_and_input_is_told_with_its_size():
    text = program([gated.cell("slstm"), gated.cell("t-lstm")])
    assert (
        '{ name: "n", size: "H", initial: 0 }, { name: "m", size: "H", initial: -Infinity }' in text
    )
    assert 'inputs: [{ name: "x", size: "D" }, { name: "delta", size: 1 }]' in text
    assert '{ key: "W.i", shape: ["H", "D"] }' in text


def test_the_shape_of_blocks_names_their_number():
    text = program([mapped(gated.cell("rnn"), Heads(4))])
    assert '{ key: "U", shape: [4, "H/4", "H/4"] }' in text
    assert "blocks(U, last_h, 4)" in text


def test_a_cell_that_is_named_twice_is_written_once():
    assert program([gated.cell("gru"), gated.cell("gru")]) == program([gated.cell("gru")])


def test_two_cells_of_one_name_need_names_of_their_own():
    lstm, heads = gated.cell("lstm"), mapped(gated.cell("lstm"), Heads(2))
    with pytest.raises(CellError, match=r"two cells are named lstm.*give a dictionary"):
        program([lstm, heads])
    text = program({"lstm": lstm, "lstm, 2 heads": heads})
    assert text.count('name: "lstm"') == 2
    assert '"lstm, 2 heads": {' in text


def test_a_convolution_is_refused():
    with pytest.raises(CellError, match=r"cell lstm: .*convolve.*not with images"):
        program([mapped(gated.cell("lstm"), Convolution(3))])


def test_a_size_that_nothing_tells_is_refused():
    class Within(Cell):
        sizes = {"h": "P"}

        def step(self, x, h):
            h = tanh(R @ (W @ x) + U @ h)
            return h

    program([Within()])
    with pytest.raises(CellError, match="cell within: a page cannot tell how many units H are"):
        program([mapped(Within(), {"R": Heads(2), "W": Heads(2)})])
