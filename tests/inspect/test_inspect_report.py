"""The page as text: its parts, its tables, its size, its policy; and how it is written."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import gated.inspect.report.render as report_module
from gated.errors import ShapeError
from gated.inspect import CurvesView, ForecastView, Report, SeriesRow, TraceView, render, write

ALL = (
    "data verdict horizon series forecasts curves trace memory equations config environment command"
)


class Reader(HTMLParser):
    """Elements with their attributes and, for scripts and table cells, their text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag):
        self.elements.append(("", {}, []))  # what follows belongs to no element that is looked for

    def handle_data(self, data):
        if self.elements:
            self.elements[-1][2].append(data)

    def of(self, tag):
        return [(attrs, "".join(text)) for name, attrs, text in self.elements if name == tag]


def sections(text: str) -> list[str]:
    return [str(attrs["id"]) for attrs, _ in Reader(text).of("section")]


@pytest.fixture(scope="module")
def text(make_report):
    return render(make_report())


def test_every_part_has_its_section_in_the_promised_order(text):
    assert sections(text) == ALL.split()


@pytest.mark.parametrize(
    ("part", "section"),
    [
        ("metrics", "verdict"),
        ("by_horizon", "horizon"),
        ("by_series", "series"),
        ("forecasts", "forecasts"),
        ("curves", "curves"),
        ("trace", "trace"),
        ("half_life", "memory"),
        ("equations", "equations"),
        ("config", "config"),
        ("environment", "environment"),
        ("command", "command"),
    ],
)
def test_a_part_that_is_none_has_no_section(make_report, part, section):
    found = sections(render(make_report(**{part: None})))
    assert found == [name for name in ALL.split() if name != section]


def test_a_page_of_a_trace_alone_holds_only_that(make_report):
    whole = make_report()
    page = render(Report("What it did", "Gates of one window", trace=whole.trace))
    assert sections(page) == ["trace"]


def test_a_page_without_charts_carries_no_chart_library():
    assert len(render(Report("t", "h", config={"a": 1}))) < 50_000


def test_nothing_on_the_page_names_another_host(text):
    reader = Reader(text)
    for tag, attrs, _ in reader.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset", "background"):
            value = attrs.get(name)
            assert value is None or value.startswith("#"), (tag, name, value)
    style = reader.of("style")[0][1]
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_allows_exactly_the_two_scripts_of_the_page(text):
    reader = Reader(text)
    policy = next(
        str(attrs["content"]) for attrs, _ in reader.of("meta") if attrs.get("http-equiv")
    )
    scripts = [body for attrs, body in reader.of("script") if "type" not in attrs]
    hashes = {base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts}
    assert len(scripts) == 2
    assert set(re.findall(r"'sha256-([^']+)'", policy)) == hashes
    assert policy.startswith("default-src 'none';")
    assert "unsafe-inline" not in policy.split("style-src")[0]
    assert "unsafe-eval" not in policy


def test_the_stated_size_is_the_size_of_the_file(text):
    stated = re.search(r"One file, (\d+\.\d) MB", text)
    assert stated
    assert float(stated[1]) == round(len(text.encode()) / 1e6, 1)


def test_a_huge_trace_is_thinned_and_the_page_says_so(make_report, make_gates):
    wave = np.sin(np.arange(5000) / 9)
    gates = make_gates(wave[:2000], 200)
    gates = {
        name: np.repeat(np.concatenate([v] * 3)[:5000], 2, axis=1) for name, v in gates.items()
    }
    layers = {f"layer {k}": gates for k in (1, 2, 3, 4)}
    trace = TraceView(np.arange(5000), {"wave": wave}, layers)
    page = render(make_report(trace=trace, half_life=None))
    assert len(page.encode()) < 6_000_000
    assert "Each column is the average of" in page
    assert "layer 2: 64 of its 400 units are drawn" in page


def test_the_network_stands_first_and_the_best_of_each_row_is_marked(make_report):
    metrics = {
        "naive": {"MASE": 1.0, "90% coverage": 0.99},
        "LSTM": {"MASE": 1.25, "90% coverage": 0.88},
    }
    reader = Reader(render(make_report(metrics=metrics)))
    heads = [body for attrs, body in reader.of("th") if attrs.get("role") == "columnheader"]
    cells = [(body, attrs["class"]) for attrs, body in reader.of("td") if "class" in attrs]
    assert heads == ["LSTM", "naive"]
    marked = [(body.strip(), "best" in str(classes)) for body, classes in cells[:4]]
    assert marked == [("1.25", False), ("1.00", True), ("88%", True), ("99%", False)]


def test_a_metric_that_a_model_lacks_is_a_dash_and_never_best(make_report):
    metrics = {"LSTM": {"MASE": 1.0}, "naive": {}, "ridge": {"MASE": float("nan")}}
    reader = Reader(render(make_report(metrics=metrics)))
    cells = [(body.strip(), attrs["class"]) for attrs, body in reader.of("td") if "class" in attrs]
    assert [body for body, _ in cells[:3]] == ["1.00", "–", "–"]
    assert ["best" in str(c) for _, c in cells[:3]] == [True, False, False]


def test_of_many_series_the_five_hardest_and_five_easiest_are_shown(make_report):
    rows = [SeriesRow(f"s{k}", float(k), {"ridge": 9.5}) for k in range(1, 21)]
    reader = Reader(render(make_report(by_series=rows)))
    named = [body for attrs, body in reader.of("th") if re.fullmatch(r"s\d+", body)]
    assert named == ["s20", "s19", "s18", "s17", "s16", "s1", "s2", "s3", "s4", "s5"]


def test_the_page_counts_the_series_that_the_network_wins(make_report):
    rows = [SeriesRow(f"s{k}", float(k), {"ridge": 9.5, "naive": 30.0}) for k in range(1, 21)]
    assert "better than every baseline on 9 of 20 series" in render(make_report(by_series=rows))


def test_a_layer_without_forget_gate_says_so(make_report):
    page = render(make_report(half_life={"layer 1": None}))
    assert "layer 1: this cell has no forget gate" in page
    assert "memory" in sections(page)


def test_units_that_never_forget_are_counted(make_report):
    page = render(make_report(half_life={"layer 1": np.array([1.0, np.inf, np.inf, 8.0, 2.0])}))
    assert "2 units did not forget at all" in page
    assert "the longest half-life is 8 hours" in page


def test_missing_values_do_not_break_the_chart_data(make_report):
    whole = make_report()
    view = whole.forecasts[0]
    truth = view.truth.copy()
    truth[3:6] = np.nan
    page = render(replace(whole, forecasts=[replace(view, truth=truth)]))
    data = next(body for attrs, body in Reader(page).of("script") if attrs.get("id") == "charts")
    assert "forecasts" in json.loads(data)


def test_every_layer_has_its_own_mark_in_the_legend_of_memories(make_report):
    layers = {f"layer {k}": np.array([1.0, 2.0, 4.0]) for k in range(1, 8)}
    page = render(make_report(half_life=layers))
    legend = page[page.index('<section id="memory"') : page.index('id="chart-memory"')]
    marks = re.findall(r'fill="([^"]+)">(\S)</text>\s*</svg>(layer \d)', legend)
    assert [name for _, _, name in marks] == list(layers)
    assert len({(colour, glyph) for colour, glyph, _ in marks}) == len(layers)


def test_integer_steps_serve_as_time(make_report):
    whole = make_report()
    trace = replace(whole.trace, time=np.arange(168))
    assert sections(render(replace(whole, trace=trace))) == ALL.split()


def test_one_step_of_everything_still_makes_a_page(make_report):
    one = np.ones(1)
    view = ForecastView("s", np.arange(1), one, np.arange(1, 2), one, one, {0.1: one, 0.9: one})
    page = render(
        make_report(
            forecasts=[view],
            curves=CurvesView(np.array([1]), one, one, best=1),
            by_horizon={"MASE": {"LSTM": one, "Ridge": one}},
            trace=TraceView(np.arange(1), {"x": one}, {"layer 1": {"f": np.ones((1, 1))}}),
            half_life={"layer 1": np.array([np.inf])},
        )
    )
    assert sections(page) == ALL.split()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: CurvesView(np.arange(3), np.ones(2), np.ones(3)),
            r"train has shape \(2,\), expected \(3,\)",
        ),
        (
            lambda: TraceView(np.arange(3), {}, {"layer 1": {"f": np.ones((3, 2, 5))}}),
            r"f has shape \(3, 2, 5\), expected \(T=3, H\)",
        ),
        (
            lambda: ForecastView(
                "s",
                np.arange(2),
                np.ones(2),
                np.arange(4),
                np.ones(4),
                np.ones(4),
                {0.5: np.ones(3)},
            ),
            r"series 's': quantile 0\.5 has shape \(3,\), expected \(4,\)",
        ),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(make, said):
    with pytest.raises(ShapeError, match=said):
        make()


def test_write_leaves_exactly_the_page(make_report, tmp_path, text):
    path = write(make_report(), tmp_path / "report.html")
    assert path.read_text("utf-8") == text
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_failed_write_keeps_the_old_page_and_leaves_no_stray(make_report, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report_module.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(make_report(), path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_colours_of_text_and_lines_can_be_told_from_the_page():
    """WCAG 2.2: text 4.5 to 1, graphics 3 to 1, on both themes."""
    css = (Path(report_module.__file__).parents[1] / "templates" / "report.css").read_text()
    themes = [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", css[:at])) for at in (900, 1800)]
    for theme in themes:
        for name in ("ink", "soft", "net"):
            assert contrast(theme[name], theme["paper"]) >= 4.5, name
            assert contrast(theme[name], theme["card"]) >= 4.5, name
        for name in ("base1", "base2", "base3", "base4", "base5", "plus", "minus"):
            assert contrast(theme[name], theme["paper"]) >= 3, name


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
