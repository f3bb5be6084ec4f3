"""A page about a cell says what is so: held against layers that run, and against hand counts."""

import html
import re
import xml.etree.ElementTree as ET

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import gated
from gated.equations import Cell, U, W, b, sigmoid, tanh
from gated.equations import counts as count
from gated.equations.maps import Convolution, Heads, mapped
from gated.equations.render import latex_lines
from gated.inspect.cell.catalogue import catalogue
from gated.inspect.cell.page import CellPage, describe
from gated.inspect.cell.render import as_html, as_markdown, write_page

NAMES = gated.cells()
SIZES = {"D": 5, "H": 7, "P": 3}


@pytest.fixture(scope="module")
def pages() -> dict[str, CellPage]:
    return {name: describe(gated.cell(name)) for name in NAMES}


def layer(name: str, sizes: dict[str, int] = SIZES) -> gated.Recurrent:
    others = {letter: sizes[letter] for letter in gated.cell(name).graph.letters if letter == "P"}
    return gated.Recurrent(name, sizes["D"], sizes["H"], engine="reference", **others)


def inputs(
    name: str, steps: int, rows: int, sizes: dict[str, int] = SIZES
) -> dict[str, torch.Tensor]:
    """Random numbers for each input of a cell."""
    letters = gated.cell(name).graph.input_sizes
    return {key: torch.rand(steps, rows, sizes.get(size, size)) for key, size in letters.items()}


@pytest.mark.parametrize("name", NAMES)
def test_multiply_adds_are_those_that_pytorch_counts(name):
    eights = {"D": 8, "H": 24, "P": 16}  # what the engine need not pad
    with FlopCounterMode(display=False) as counter:
        layer(name, eights)(**inputs(name, 1, 8, eights))
    pairs = count.products(gated.cell(name).graph).value(eights)
    assert counter.get_total_flops() == 2 * 8 * pairs


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_those_that_the_layer_holds(name):
    net = layer(name)
    stored = sum(weight.numel() for weight in net.parameters())
    if "bias_hh_l0" in dict(net.named_parameters()):  # PyTorch stores two, whose sum counts
        stored -= net.bias_hh_l0.numel()
        stored += sum(SIZES["H"] for p in gated.cell(name).parameters if p.family == "b_h")
    assert count.parameters(gated.cell(name).graph).value(SIZES) == stored


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("rnn", "3 H"),  # two sums, tanh
        ("lstm", "17 H"),  # four gates of two sums and a function; c: three; h: two
        ("gru", "15 H"),  # r, z: three each; n: three sums, a product, tanh; h: four
        ("cifg", "19 H"),  # i, o: five each with their peepholes; f: one; g: three; c, h
        ("indrnn", "4 H"),  # a product, two sums, relu
    ],
)
def test_operations_unit_by_unit_are_counted_as_by_hand(name, by_hand):
    assert str(count.elementwise(gated.cell(name).graph)) == by_hand


def test_counts_are_written_in_letters():
    lstm = gated.cell("lstm")
    assert str(count.parameters(mapped(lstm, Heads(4)).graph)) == "4 D H + H² + 4 H"
    assert str(count.products(mapped(lstm, Convolution(3)).graph)) == "36 D H + 36 H²"
    assert str(count.parameters(gated.cell("lstmp").graph)) == "4 D H + 5 H P + 4 H"


def test_a_share_of_heads_is_a_fraction():
    graph = mapped(gated.cell("rnn"), Heads(3)).graph
    assert str(count.parameters(graph)) == "D H + H² / 3 + H"
    assert count.parameters(graph).value({"D": 2, "H": 6}) == 12 + 12 + 6


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_is_stored_where_the_page_says(pages, name):
    net = layer(name)
    named = dict(net.named_parameters())
    seen = {key: torch.zeros_like(value) for key, value in named.items()}
    shapes = {p.key: tuple(SIZES.get(s, s) for s in p.shape) for p in gated.cell(name).parameters}
    for row in pages[name].parameters:
        for place in row.place.split(" + "):
            key, _, rows = place.partition(" ")
            part = slice(*(_number(end) for end in rows.strip("[]").split(":"))) if rows else ...
            assert named[key][part].shape == shapes[row.key]
            seen[key][part] += 1
    assert all(bool((counted == 1).all()) for counted in seen.values())


def _number(size: str) -> int:
    factor, letter = re.fullmatch(r"(\d*)([A-Z]?)", size).groups()
    return int(factor or 1) * SIZES.get(letter, 1)


@pytest.mark.parametrize("name", NAMES)
def test_every_value_stays_in_the_range_that_the_page_gives(pages, name):
    torch.manual_seed(1)
    net = layer(name)
    _, _, trace = net(**inputs(name, 20, 2), trace=True)
    limits = {"0 to 1": (0, 1), "−1 to 1": (-1, 1), "≥ 0": (0, 1e9), "> 0": (0, 1e9)}
    limits["≤ 0"] = (-1e9, 0)
    for value in pages[name].values:
        if value.kind in ("gate", "intermediate"):
            assert value.name in trace
            low, high = limits.get(value.note, (-1e9, 1e9))
            assert bool(((trace[value.name] >= low) & (trace[value.name] <= high)).all())


def test_a_range_follows_from_the_whole_equation_not_from_its_last_function(pages):
    notes = {name: {v.name: (v.kind, v.note) for v in pages[name].values}
             for name in ("gru-d", "cifg", "slstm", "layernorm-lstm", "mingru")}  # fmt: skip
    assert notes["gru-d"]["gamma_x"] == ("gate", "0 to 1")  # exp(-max(0, ·))
    assert notes["gru-d"]["h_hat"] == ("intermediate", "")
    assert notes["gru-d"]["x_hat"] == ("intermediate", "")
    assert notes["cifg"]["f"] == ("gate", "0 to 1")  # 1 - i
    assert notes["slstm"]["i"] == ("gate", "> 0")
    assert notes["slstm"]["logf"] == ("intermediate", "≤ 0")
    assert notes["layernorm-lstm"]["m_a"] == ("intermediate", "")
    assert notes["layernorm-lstm"]["s_a"] == ("intermediate", "≥ 0")
    assert notes["mingru"]["g"] == ("intermediate", "")


def test_a_cell_is_not_compared_with_itself(pages):
    for name in ("lstm", "rnn", "gru"):
        for text in (as_markdown(pages[name]), as_html(pages[name])):
            table = text[text.index("in letters") :].partition("\n")[0]
            for other in {"lstm", "rnn"} - {name}:
                assert other.upper() in table
            assert name.upper() not in table
            assert ("of the LSTM" in table) == (name != "lstm")


@pytest.mark.parametrize("name", NAMES)
def test_the_example_runs(pages, name, capsys):
    exec(compile(pages[name].example, f"example of {name}", "exec"), {})
    assert "tensor(" in capsys.readouterr().out


def test_gru_d_is_shown_with_a_true_mask_and_the_time_since_each_feature_was_observed(pages):
    names: dict[str, object] = {"print": lambda shown: None}
    exec(compile(pages["gru-d"].example, "example of gru-d", "exec"), names)
    x, mask, delta, times = (names[key] for key in ("x", "mask", "delta", "times"))
    assert x.isnan().any()
    assert torch.equal(mask == 0, x.isnan())
    assert torch.equal(mask == 1, ~x.isnan())
    assert names["output"].isfinite().all()
    for row, step, feature in torch.cartesian_prod(*map(torch.arange, x.shape)):
        # from the beginning where it has not been observed before
        seen = [t for t in range(int(step)) if t == 0 or not x[row, t, feature].isnan()]
        since = times[row, step] - times[row, seen[-1]] if seen else torch.tensor(0.0)
        torch.testing.assert_close(delta[row, step, feature], since, atol=1e-5, rtol=0)


def test_t_lstm_is_shown_with_the_time_since_the_last_step(pages):
    names: dict[str, object] = {"print": lambda shown: None}
    exec(compile(pages["t-lstm"].example, "example of t-lstm", "exec"), names)
    delta, times = names["delta"], names["times"]
    torch.testing.assert_close(delta[:, 0, 0], torch.zeros(2))
    torch.testing.assert_close(delta[:, 1:, 0], times[:, 1:] - times[:, :-1])


@pytest.mark.parametrize("name", NAMES)
def test_the_documentations_page_holds_todays_equations_and_chart(pages, name):
    page = catalogue()[f"{name}.md"] if name == "lstm" else as_markdown(pages[name])
    cell = gated.cell(name)
    assert page.startswith(f"# {name}\n")
    assert f"```{{math}}\n{cell.latex()}\n```" in page
    assert f'aria-labelledby="flow-{name}-title' in page
    assert all(f"`{p.key}`" in page for p in cell.parameters)
    assert all(f"`{key}`" in page for key in (*cell.gates, *(s.name for s in cell.states)))


def test_the_catalogue_has_a_page_and_a_line_for_each_cell():
    found = catalogue()
    assert set(found) == {"index.md", *(f"{name}.md" for name in NAMES)}
    assert all(f"[{name}]({name}.md)" in found["index.md"] for name in NAMES)
    line = next(one for one in found["index.md"].splitlines() if "[cifg]" in one)
    assert "75%" in line


def test_a_variant_says_what_differs_and_nothing_else(pages):
    assert pages["lstm"].base == ""
    assert [(d.base.split(" = ")[0], d.own) for d in pages["cifg"].differences] == [
        ("f_{t}", "f_{t} = 1 - i_{t}")
    ]
    assert [d.own for d in pages["nig"].differences] == [
        "i_{t} = 1",
        r"c_{t} = f_{t} \odot c_{t-1} + g_{t}",
    ]
    assert len(pages["np"].differences) == 3  # i, f and o lose their peepholes


@pytest.mark.parametrize("name", NAMES)
def test_differences_are_equations_of_the_two_cells(pages, name):
    page = pages[name]
    if page.base:
        before, now = (latex_lines(gated.cell(n).graph) for n in (page.base, name))
        changed = {d.own for d in page.differences if not re.search(r"= \d", d.own)} - {""}
        assert {d.base for d in page.differences} <= {*before}
        assert changed <= {*now}
        assert not changed & {*before}


def test_uses_that_a_cell_has_not_are_given_with_the_reason(pages):
    refused = {o.name: o.text for o in pages["gru"].options if not o.possible}
    assert list(refused) == ["proj_size=..."]
    assert "no output gate" in refused["proj_size=..."]
    layers = next(o for o in pages["gru-d"].options if o.name == "num_layers=2")
    assert not layers.possible
    assert "num_layers=1" in layers.text
    biases = {name: next(o.text for o in pages[name].options if "forget_bias" in o.name)
              for name in ("lstm", "gru", "cifg", "slstm")}  # fmt: skip
    assert biases == {
        "lstm": "sets b.f, which keeps c",
        "gru": "sets b.z, which keeps h",
        "cifg": "sets b.i, which keeps c, to its negative",
        "slstm": "sets b.f, which keeps c and n",
    }


def option(page: CellPage, name: str) -> tuple[bool, str]:
    return next((o.possible, o.text) for o in page.options if o.name == name)


def test_recurrent_dropout_of_several_memories_is_possible_by_naming_them(pages):
    possible, text = option(pages["slstm"], "gated.recurrent_dropout")
    assert possible
    assert "states=..., of c or n" in text
    gated.recurrent_dropout("slstm", 0.1, states="n")
    assert not option(pages["rnn"], "gated.recurrent_dropout")[0]


def test_chrono_and_variational_dropout_are_tried_too(pages):
    assert option(pages["lstm"], "init=gated.Chrono(...)")[0]
    assert not option(pages["rnn"], "init=gated.Chrono(...)")[0]
    assert option(pages["rnn"], "gated.variational_dropout")[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_second_direction_of_a_cell_that_reads_gaps_has_its_limit_told(pages, name):
    _, text = option(pages[name], "bidirectional=True")
    assert ("counted from the other side" in text) == ("delta" in gated.cell(name).graph.inputs)


def test_trying_what_a_cell_can_do_draws_no_random_number():
    before = torch.get_rng_state()
    describe(gated.cell("gru"))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("words", "texts"),
    [("chooses by", "?"), ("divides by", "÷"), ("is subtracted", "−"), ("max takes", "max"),
     ("σ gives", "σ"), ("relu gives", "relu")],
)  # fmt: skip
def test_the_legend_explains_the_signs_that_the_chart_has_and_no_others(pages, words, texts):
    for name in NAMES:
        drawn = ET.fromstring(pages[name].chart).iter("{http://www.w3.org/2000/svg}text")
        shown = {"".join(one.itertext()) for one in drawn}
        assert (words in " ".join(pages[name].legend)) == (texts in shown), name


def test_grey_boxes_and_pills_are_explained_where_they_are(pages):
    for name in NAMES:
        said = " ".join(pages[name].legend)
        assert ("A grey box" in said) == ('class="vertex linear' in pages[name].chart), name
        assert ("A grey pill" in said) == ('class="vertex function' in pages[name].chart), name


def test_the_legend_of_gates_without_matrices_gives_them_none(pages):
    assert "its weights, and the function" in " ".join(pages["layernorm-lstm"].legend)
    assert "matrices, bias, and the function" in " ".join(pages["lstm"].legend)


class Hostile(Cell):
    """A cell & <script>alert(1)</script> with `code <b>` and *stars*.

    A second paragraph: | a pipe, [a link](https://evil.example/).
    """

    source = '</style><img src="https://evil.example/x"> 1 < 2'
    renames = {"h": "<i>h</i>"}

    def step(self, x, h):
        z = sigmoid(W.z @ x + U.z @ h + b.z)
        h = z * h + (1 - z) * tanh(W.g @ x)
        return h


def test_what_a_docstring_says_is_text_in_the_html():
    text = as_html(describe(gated.cell(Hostile)))
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;" in text
    assert "<code>code &lt;b&gt;</code>" in text
    assert "script-src 'none'" in html.unescape(text)


def test_what_a_docstring_says_is_text_in_the_markdown():
    text = as_markdown(describe(gated.cell(Hostile)))
    assert r"\<script\>" in text
    assert r"\*stars\*" in text
    assert r"\[a link\]" in text
    assert "`code <b>`" in text


def test_the_html_page_is_whole_and_loads_nothing(pages):
    text = as_html(pages["lstm"])
    assert not re.search(r'(src|href)="(?!#)', text)
    assert "@import" not in text
    assert "url(" not in text
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    anchors = re.findall(r'href="#([^"]+)"', text)
    assert len(anchors) >= 7
    assert set(anchors) <= set(ids)
    ET.fromstring(re.search(r"<svg.*</svg>", text, re.DOTALL)[0])


def test_a_cell_without_source_and_docstring_has_a_page(tmp_path):
    class Bare(Cell):
        def step(self, x, h):
            h = tanh(W @ x + U @ h)
            return h

    text = write_page(gated.cell(Bare), tmp_path / "bare.html").read_text("utf-8")
    assert "The class names none: set its attribute source." in text
    assert "<h1>bare</h1>" in text


def test_the_page_of_a_mapped_cell_shows_its_map():
    page = describe(mapped(gated.cell("gru"), "diagonal"))
    assert page.facts[0].startswith("diagonal")
    assert "without a matrix" in " ".join(page.legend)
    assert page.counts[0].letters == "3 D H + 7 H"
