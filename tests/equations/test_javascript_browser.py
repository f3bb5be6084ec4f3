"""The cells' equations as JavaScript, run by a real browser: every number is PyTorch's."""

import json
import math
import re
import xml.etree.ElementTree as ET
from functools import cache

import pytest
import torch
from small_cells import SMALL

import browsers
import gated
from gated.cells.probes import clamped, probed
from gated.engines.reference import evaluate
from gated.equations import Cell, R, U, W, absolute, b, p, relu, sigmoid, tanh
from gated.equations.javascript import program
from gated.equations.maps import Heads, mapped
from gated.equations.render import latex_lines
from gated.inspect.mathml import mathml
from gated.inspect.pages import policy
from gated.inspect.recording.symbols import by_symbol

pytestmark = browsers.MARKS

T, D, H, P = 5, 4, 6, 3


class Words(Cell):
    """Names that JavaScript and its functions here have a use for."""

    inputs = {"inputs": "D", "parameters": "D"}

    def step(self, inputs, parameters, states, H, last_H):
        take = sigmoid(W.new @ inputs + U.D @ states)
        u = tanh(W.u @ parameters + b.u) * take
        number = u * H + last_H
        delete = number - take
        Math = relu(delete) + absolute(number)
        states = states * take + u
        H = tanh(Math) * H
        last_H = Math / (1 + Math * Math) - last_H
        return states, H, last_H


class Signs(Cell):
    """What needs parentheses."""

    def step(self, x, h):
        a = W.a @ x + U.a @ h
        d = a - (h - a) - (-(a + h)) + 2 * (-a)
        e = -(a - d) * (-h) / (1 + a * a) - (a / 4) / (3 / (2 + h * h))
        h = tanh(-1 - (d - -0.5) * (e + (a - h)) - -e)
        return h


class Hidden(Cell):
    """A layer of H units within, of which no input and no state says how many they are."""

    sizes = {"h": "P"}

    def step(self, x, h):
        h = tanh(R @ (U.a @ p.a + relu(W @ x + U.h @ h + b)))
        return h


CELLS = {name: gated.cell(name) for name in gated.cells()} | {
    "lstm, two heads": mapped(gated.cell("lstm"), {"U": Heads(2), "W": Heads(2)}),
    "gru, diagonal": mapped(gated.cell("gru"), {"U": "diagonal"}),
    "clamped": clamped("lstm", ["f", "c"]),
    "probed": probed("gru", ["z", "h"]),
    "zoneout": gated.zoneout("lstm", h=0.1, c=0.2),
    **{f"small {cell.__name__}": cell() for cell in (*SMALL, Words, Signs, Hidden)},
}

# One sequence forward and back: the gradients of a sum of all states at all steps, each with its
# own factor. Missing numbers come as null.
RUN = """
({ name, parameters, inputs, factors, unit }) => {
  const cell = gatedCells[name];
  const arrays = (of) =>
    Object.fromEntries(
      Object.entries(of).map(([key, v]) => [key, Float64Array.from(v, (n) => n ?? NaN)])
    );
  const p = arrays(parameters);
  const lengths = {};
  for (const { name, size } of cell.states) lengths[name] = factors[0][name].length;
  let s = Object.fromEntries(
    cell.states.map(({ name, initial }) => [name, new Float64Array(lengths[name]).fill(initial)])
  );
  const run = inputs.map((one) => {
    const x = arrays(one);
    const v = cell.step(p, x, s);
    const before = s;
    s = Object.fromEntries(cell.states.map(({ name }) => [name, v[name]]));
    return { x, before, v };
  });
  const d = [];
  let later = {};
  const total = {};
  for (let t = run.length - 1; t >= 0; t--) {
    const arriving = arrays(factors[t]);
    for (const key in later) later[key].forEach((n, u) => (arriving[key][u] += n));
    const g = cell.back(p, run[t].x, run[t].before, run[t].v, arriving);
    for (const key in g.parameters) {
      total[key] ??= new Float64Array(g.parameters[key].length);
      g.parameters[key].forEach((n, u) => (total[key][u] += n));
    }
    later = g.states;
    d.unshift(g);
  }
  const plain = (of) => Object.fromEntries(Object.entries(of).map(([k, v]) => [k, [...v]]));
  return {
    values: run.map(({ v }) => plain(v)),
    equations: d.map((g) => plain(g.equations)),
    inputs: d.map((g) => plain(g.inputs)),
    states: plain(later),
    parameters: plain(total),
    first: cell.lines(p, run[0].x, run[0].before, unit, 12),
    lines: cell.lines(p, run.at(-1).x, run.at(-1).before, unit, 12),
  };
}
"""


def layer_of(cell):
    sizes = {letter: P for letter in cell.graph.letters if letter not in "DH"}
    torch.manual_seed(0)
    layer = gated.Recurrent(cell, D, H, engine="reference", dtype=torch.float64, **sizes)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return layer.eval()


def inputs_of(cell):
    """(T, n) for each input; a tenth of what a mask covers is missing."""
    sizes = {"D": D, "H": H}
    generator = torch.Generator().manual_seed(1)
    found = {
        name: torch.randn(T, sizes.get(size, size), generator=generator, dtype=torch.float64)
        for name, size in cell.graph.input_sizes.items()
    }
    if "delta" in found:
        found["delta"] = found["delta"].abs()
    if "mask" in found:
        found["mask"] = (found["mask"] > -0.7).double()
        found["x"] = found["x"].masked_fill(found["mask"] == 0, float("nan"))
    return found


def factors_of(cell):
    """What the loss multiplies each state with, (T, n)."""
    sizes = {"D": D, "H": H, "P": P}
    generator = torch.Generator().manual_seed(2)
    return {
        s.name: torch.randn(T, sizes.get(s.size, s.size), generator=generator, dtype=torch.float64)
        for s in cell.states
    }


@cache
def truth(name):
    """What autograd says: the gradients of equations and inputs by step, of all else in sum."""
    cell = CELLS[name]
    graph = cell.graph
    leaves = {node.label: node for node in graph.nodes() if node.op == "parameter"}
    parameters = {k: v.detach().requires_grad_() for k, v in by_symbol(layer_of(cell)).items()}
    factors, inputs = factors_of(cell), inputs_of(cell)
    steps = [{k: v[t].clone().requires_grad_() for k, v in inputs.items()} for t in range(T)]
    first = {s.name: torch.full_like(factors[s.name][0], s.initial) for s in cell.states}
    first = {name: value.requires_grad_() for name, value in first.items()}
    states, loss, named = first, torch.zeros((), dtype=torch.float64), []
    for t, one in enumerate(steps):
        known = {leaves[key]: value for key, value in parameters.items()}
        known |= {graph.inputs[name]: value for name, value in one.items()}
        known |= {graph.previous[name]: value for name, value in states.items()}
        values = evaluate(graph.equations.values(), known)
        named.append({name: values[node] for name, node in graph.equations.items()})
        for value in named[-1].values():
            value.retain_grad()
        states = {name: named[-1][name] for name in states}
        loss = loss + sum((factors[name][t] * value).sum() for name, value in states.items())
    loss.backward()

    def gradients(of):
        return {k: torch.zeros_like(v) if v.grad is None else v.grad for k, v in of.items()}

    return {
        "equations": [gradients(one) for one in named],
        "inputs": [gradients(one) for one in steps],
        "states": gradients(first),
        "parameters": gradients(parameters),
    }


def case(name):
    """What the page is given."""
    cell = CELLS[name]
    return {
        "name": name,
        "parameters": {k: v.flatten().tolist() for k, v in by_symbol(layer_of(cell)).items()},
        "inputs": rows(inputs_of(cell)),
        "factors": rows(factors_of(cell)),
        "unit": H - 1 if cell.maps else 1,  # in the last head
    }


def rows(values):
    """One dictionary a step; NaN, which JSON does not know, as None."""
    return [
        {k: [None if n != n else n for n in v[t].tolist()] for k, v in values.items()}
        for t in range(T)
    ]


@pytest.fixture(scope="module")
def page(browser):
    page = browser.new_page()
    page.heard = []
    page.on("console", lambda message: page.heard.append(message.text))
    page.on("pageerror", lambda error: page.heard.append(str(error)))
    text = program(CELLS)
    page.set_content(
        f'<meta http-equiv="Content-Security-Policy" content="{policy(text)}">'
        f"<script>{text}</script>"
    )
    return page


@pytest.fixture(scope="module")
def results(page):
    return page.evaluate(
        f"(cases) => cases.map({RUN})", [json.loads(json.dumps(case(name))) for name in CELLS]
    )


@pytest.fixture(params=CELLS)
def found(request, results):
    return request.param, results[list(CELLS).index(request.param)]


def read(math):
    """MathML numbers as what Python computes them to, stage by stage."""
    (row,) = ET.fromstring(math)
    stages = [""]
    for element in row:
        if element.tag == "mo" and element.text == "=":
            stages.append("")
        else:
            stages[-1] += python(element)
    stages = [re.sub(r"\|(.+?)\|", r"abs(\1)", stage) for stage in stages if "?" not in stage]
    return [eval(stage, {}, FUNCTIONS) for stage in stages]


FUNCTIONS = {
    "sigmoid": lambda v: 1 / (1 + math.exp(-v)),
    "softplus": lambda v: math.log1p(math.exp(v)),
    "relu": lambda v: max(v, 0),
    "max": max,
    "min": min,
    "abs": abs,
    **{name: getattr(math, name) for name in ("exp", "log", "sqrt", "tanh", "inf")},
}
# what is left out of a long sum cannot be computed, as a name cannot
SIGNS = {"−": "-", "·": "*", "×": "*", "σ": "sigmoid", "∞": "inf", "⋯": "?"}


def python(element):
    parts = [python(child) for child in element]
    match element.tag:
        case "mn" | "mo" | "mi":
            return SIGNS.get(element.text, element.text)
        case "mrow":
            return f"({''.join(parts)})" if len(parts) != 2 or parts[0] != "-" else "".join(parts)
        case "mfrac":
            return f"({parts[0]})/({parts[1]})"
        case "msup":
            return f"{parts[0]}**({parts[1]})"
        case "msqrt":
            return f"sqrt({parts[0]})"
        case "msub" | "mover":  # a name
            return "?"
    raise AssertionError(element.tag)


def text(markup):
    return re.sub(r"\s", "", "".join(ET.fromstring(markup).itertext()))


def close(got, expected):
    expected = torch.as_tensor(expected)
    got = torch.tensor(got, dtype=torch.float64).reshape(expected.shape)
    scale = max(1.0, expected.abs().max().item())
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12 * scale)


def test_the_page_says_nothing(page, results):
    assert len(results) >= len(CELLS)
    assert page.heard == []


def test_every_gate_and_state_is_that_of_the_reference_engine(found):
    name, result = found
    layer, inputs = layer_of(CELLS[name]), inputs_of(CELLS[name])
    x, *others = (v[:, None] for v in inputs.values())
    with torch.no_grad():
        trace = layer(x, **dict(zip(list(inputs)[1:], others, strict=True)), trace=True)[-1]
    assert list(result["values"][0]) == list(trace)
    for equation, values in trace.items():
        close([v[equation] for v in result["values"]], values[:, 0])


@pytest.mark.parametrize("part", ["equations", "inputs", "states", "parameters"])
def test_every_gradient_is_autograds(found, part):
    name, result = found
    expected = truth(name)[part]
    if isinstance(expected, dict):
        expected, got = [expected], [result[part]]
    else:
        got = result[part]
    for one, other in zip(got, expected, strict=True):
        assert list(one) == list(other)
        for key, value in other.items():
            close(one[key], value)


@pytest.mark.parametrize("when", ["first", "lines"])
def test_each_equations_numbers_come_to_its_value_at_every_stage(found, when):
    _, result = found
    values = result["values"][0 if when == "first" else -1]
    lines = {line["name"]: line for line in result[when]}
    assert list(lines) == list(values)
    for equation, line in lines.items():
        assert line["value"] == values[equation][line["unit"]]
        for sums in (line, *line["products"]):
            stages = read(sums["numbers"])
            assert stages == pytest.approx([sums["value"]] * len(stages), rel=1e-9, abs=1e-9)


def test_each_equations_symbols_are_those_of_its_latex(found):
    name, result = found
    # latex2mathml takes W_d for one word; a constant is shortened
    other = str.maketrans({"_": ""})
    for line, latex in zip(result["lines"], latex_lines(CELLS[name].graph), strict=True):
        expected = text(mathml(latex.replace(repr(math.e), "2.718"))).translate(other)
        assert text(line["symbols"]).replace("if", "") == expected.replace("if", "")


@pytest.fixture(scope="module")
def worked_example(page):
    """Four words through an LSTM of two units whose weights are all 0.5."""
    return page.evaluate("""
    () => {
      const { step, back, lines, parameters } = gatedCells.lstm;
      const p = {};
      for (const { key } of parameters)
        p[key] = key.startsWith("b") ? [0, 0] : [0.5, 0.5, 0.5, 0.5];
      const words = [[0.5, -0.1], [0.3, 0.8], [0.1, -0.2], [0.9, 0.7]];
      let s = { h: [0, 0], c: [0, 0] };
      const run = words.map((x) => {
        const v = step(p, { x }, s);
        const one = { x, s, v, lines: lines(p, { x }, s, 1) };
        s = { h: v.h, c: v.c };
        return one;
      });
      let d = { c: [1, 1] };
      const total = run.reverse().map(({ x, s, v }) => {
        const g = back(p, { x }, s, v, d);
        d = g.states;
        return g.equations.c[0];
      });
      return {
        table: run.reverse().map(({ v }) => [v.f[1], v.c[1], v.h[1]]),
        lines: run[1].lines.map(({ numbers }) => numbers),
        total,
      };
    }
    """)


def test_the_worked_example_comes_out(worked_example):
    expected = [
        (0.549834, 0.108524, 0.059437),
        (0.647812, 0.422538, 0.258520),
        (0.551942, 0.346668, 0.184027),
        (0.727907, 0.801769, 0.484076),
    ]
    for got, row in zip(worked_example["table"], expected, strict=True):
        assert got == pytest.approx(row, abs=5e-7)


def test_the_worked_examples_total_gradients_come_out(worked_example):
    assert worked_example["total"][1:] == pytest.approx([0.9886, 0.9378, 0.9515], abs=5e-5)


def test_the_worked_examples_second_step_reads_as_one_would_write_it(worked_example):
    assert [text(line) for line in worked_example["lines"]] == [
        "it=σ(0.55+0.0594+0)=σ(0.609)=0.648",
        "ft=σ(0.55+0.0594+0)=σ(0.609)=0.648",
        "gt=tanh(0.55+0.0594+0)=tanh(0.609)=0.544",
        "ot=σ(0.55+0.0594+0)=σ(0.609)=0.648",
        "ct=0.648·0.109+0.648·0.544=0.0703+0.352=0.423",
        "ht=0.648·tanh(0.423)=0.648·0.399=0.259",
    ]


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (0, 3, "0"), (-0.0, 3, "0"), (1, 3, "1"), (-0.5, 3, "−0.5"), (0.19999, 3, "0.200"),
        (1 / 3, 4, "0.3333"), (12345.6, 3, "12346"), (99999.7, 3, "1.00×105"), (1e-5, 3, "10−5"),
        (-2.5e-7, 3, "−2.5×10−7"), (1.23456e30, 3, "1.23×1030"), (0.00123456, 3, "0.00123"),
    ],
)  # fmt: skip
def test_a_number_is_written_with_the_digits_that_count(page, value, digits, expected):
    """The bias of an RNN that sees nothing else."""
    numbers = page.evaluate(
        """([value, digits]) => gatedCells["rnn-relu"].lines(
             { W: [0], U: [0], b: [value] }, { x: [0] }, { h: [0] }, 0, digits)[0].numbers""",
        [value, digits],
    )
    sign = "+" if not expected.startswith("−") else ""
    assert text(numbers).startswith(f"ht=relu(0+0{sign}{expected})=")


def test_an_equation_of_fewer_units_is_left_out(page):
    names = page.evaluate("""
    () => {
      const { lines, parameters } = gatedCells.lstmp;
      const size = { D: 1, H: 3, P: 2 };
      const p = {};
      for (const { key, shape } of parameters)
        p[key] = new Float64Array(shape.reduce((n, letter) => n * size[letter], 1));
      return lines(p, { x: [1] }, { h: [0, 0], c: [0, 0, 0] }, 2).map(({ name }) => name);
    }
    """)
    assert names == ["i", "f", "g", "o", "c"]


@pytest.mark.parametrize(
    ("parameters", "states", "message"),
    [
        ("{ W: [1, 2], U: [3] }", "{ h: [0] }", "b is missing: given are W, U"),
        ("{ W: [1, 2, 3], U: [3], b: [0] }", "{ h: [0] }", "W has 3 numbers, expected 2"),
        ("{}", "{}", "h is missing: given are none"),
    ],
)
def test_an_array_that_is_missing_or_of_another_length_is_named(page, parameters, states, message):
    said = page.evaluate(f"""
    () => {{
      try {{ gatedCells.rnn.step({parameters}, {{ x: [1, 2] }}, {states}); }}
      catch (error) {{ return error.message; }}
    }}
    """)
    assert said == message


def test_a_gradient_that_arrives_is_not_written_to(page):
    assert (
        page.evaluate("""
    () => {
      const p = { W: [1], U: [1], b: [0] };
      const [x, s, h] = [{ x: [1] }, { h: [1] }, Float64Array.of(3)];
      const { step, back } = gatedCells["rnn-relu"];
      back(p, x, s, step(p, x, s), { h }).equations.h[0] = 7;
      return h[0];
    }
    """)
        == 3
    )
