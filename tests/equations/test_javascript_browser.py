"""The cells' equations as JavaScript, run by a real browser: every number is PyTorch's."""

import json
import shutil
import warnings
from collections.abc import Iterator

import pytest
import torch
from small_cells import LayerNormLSTM

import gated
from gated.engines.reference import evaluate
from gated.equations.javascript import program
from gated.equations.maps import Heads, mapped
from gated.inspect.pages import policy
from gated.inspect.symbols import by_symbol

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a chromium binary"),
    # playwright's pipes and event loop close after pytest has looked
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

T, D, H, P = 5, 4, 6, 3
CELLS = {name: gated.cell(name) for name in gated.cells()} | {
    "lstm, two heads": mapped(gated.cell("lstm"), {"U": Heads(2), "W": Heads(2)}),
    "gru, diagonal": mapped(gated.cell("gru"), {"U": "diagonal"}),
    "zoneout": gated.zoneout("lstm", h=0.1, c=0.2),
    "normalised gate by gate": LayerNormLSTM(),
}

# One sequence forward and back: the gradients of a sum of all states at all steps, each with its
# own factor. Missing numbers come as null.
RUN = """
({ name, parameters, inputs, factors }) => {
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


def truth(cell):
    """What autograd says: the gradients of equations and inputs by step, of all else in sum."""
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
    }


def rows(values):
    """One dictionary a step; NaN, which JSON does not know, as None."""
    return [
        {k: [None if n != n else n for n in v[t].tolist()] for k, v in values.items()}
        for t in range(T)
    ]


@pytest.fixture(scope="module")
def page() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking",
                      "--disable-component-update", "--disable-sync", "--no-first-run"],
            )  # fmt: skip
            page = chromium.new_page()
            page.heard = []
            page.on("console", lambda message: page.heard.append(message.text))
            page.on("pageerror", lambda error: page.heard.append(str(error)))
            text = program(CELLS)
            page.set_content(
                f'<meta http-equiv="Content-Security-Policy" content="{policy(text)}">'
                f"<script>{text}</script>"
            )
            yield page
            chromium.close()


@pytest.fixture(scope="module")
def results(page):
    return page.evaluate(
        f"(cases) => cases.map({RUN})", [json.loads(json.dumps(case(name))) for name in CELLS]
    )


@pytest.fixture(params=CELLS)
def found(request, results):
    return request.param, results[list(CELLS).index(request.param)]


def close(got, expected):
    expected = torch.as_tensor(expected)
    got = torch.tensor(got, dtype=torch.float64).reshape(expected.shape)
    scale = max(1.0, expected.abs().max().item())
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12 * scale)


def test_the_page_says_nothing(page):
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
    expected = truth(CELLS[name])[part]
    if isinstance(expected, dict):
        expected, got = [expected], [result[part]]
    else:
        got = result[part]
    for one, other in zip(got, expected, strict=True):
        assert list(one) == list(other)
        for key, value in other.items():
            close(one[key], value)
