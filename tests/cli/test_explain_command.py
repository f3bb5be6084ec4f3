"""`gated explain` on a finished run: the explorer's file, its options, and what goes wrong."""

import json
import re
import signal
import subprocess
import sys
import time
import webbrowser

import numpy as np
import pytest

from gated.inspect.measures.clamping import clamp
from gated.inspect.recording.surgery import layers_of
from gated.inspect.words import file_size
from gated.tasks.forecast import Forecaster
from gated.tasks.forecast.metric import HeldOut


def content(path):
    text = path.read_text("utf-8")
    return json.loads(re.search(r'id="content">(.*?)</script>', text, re.DOTALL)[1])


@pytest.fixture
def quick(gated, run):
    """`gated explain` of the run without what takes longest."""
    return lambda *more: gated("explain", run, "--no-importance", *more)


def test_it_writes_one_file_into_the_run_and_prints_its_path_alone(quick, run):
    shown = quick()
    page = run / "explorer.html"
    assert (shown.code, shown.out) == (0, f"{page}\n")
    assert file_size(page.stat().st_size) in shown.err
    links = set(re.findall(r"https?://[\w.]+", page.read_text("utf-8")))
    assert links <= {"http://www.w3.org"}  # names of vocabularies, which nothing loads
    assert "Content-Security-Policy" in page.read_text("utf-8")


def test_it_shows_the_end_of_the_first_series(quick, run, place):
    quick()
    page = content(run / "explorer.html")
    context = Forecaster.from_pretrained(run).config.context_length
    assert page["steps"] == context
    assert page["subtitle"].startswith("north: ")
    assert [m["name"] for m in page["places"][0]["maps"]] == list("ifgoch")
    found = re.fullmatch(
        r"(\d+) windows of (\d+) steps, which hold ([\d,]+) of the ([\d,]+) rows of the data",
        page["places"][0]["tops"]["source"],
    )
    windows, steps, read, rows = (int(n.replace(",", "")) for n in found.groups())
    assert rows == len((place / "shops.csv").read_text().split()) - 1
    assert steps == context
    assert windows * steps - steps < read <= min(rows, windows * steps)
    assert page["metric"] is None


def test_another_series_more_steps_and_another_file(quick, run, place):
    series = Forecaster.from_pretrained(run).data.series[1].unique_id
    shown = quick("--series", series, "--steps", 100, "--out", "here.html")
    assert shown.out == "here.html\n"
    page = content(place / "here.html")
    assert page["steps"] == 100
    assert page["subtitle"].startswith(f"{series}: ")
    context = Forecaster.from_pretrained(run).config.context_length
    assert f"from step {context} on" in page["notes"][0]
    assert page["context"] == context
    assert not (run / "explorer.html").exists()
    assert page["command"] == (
        f"gated explain {run} --series {series} --steps 100 --out here.html --no-importance"
    )


@pytest.mark.parametrize(("asked", "why"), [(1, "the least"), (100_000, "no more")])
def test_steps_that_cannot_be_shown_are_named_and_the_command_says_what_was_done(
    quick, run, asked, why
):
    shown = quick("--steps", asked)
    page = content(run / "explorer.html")
    assert page["steps"] != asked
    assert f"--steps {asked}: {why}" in shown.err
    assert f"{page['steps']:,} are shown" in shown.err
    assert f"--steps {page['steps']} " in page["command"]


def test_places_in_view_are_those_that_the_label_names(quick, run):
    import pandas as pd

    quick("--steps", 100_000)
    page = content(run / "explorer.html")
    one = Forecaster.from_pretrained(run).read(pd.read_csv("shops.csv")).data.series[0]
    tops = page["places"][0]["tops"]
    found = [pair for k in range(len(tops["steps"]))
             for pair in zip(tops["labels"][k], tops["steps"][k], strict=True)]  # fmt: skip
    assert any(step is not None for _, step in found)
    for label, step in found:
        if step is not None:
            assert label.split(", ") == [one.unique_id, str(pd.Timestamp(one.ds[step]).date())]


def test_importance_is_the_change_of_the_verdict_s_metric(gated, run, place):
    import pandas as pd

    assert gated("explain", run, "--units", 2).code == 0
    page = content(run / "explorer.html")
    shown = page["places"][0]
    assert shown["clamped"] == ["f = 1", "i = 0", "o = 1", "frozen"]
    forecaster = Forecaster.from_pretrained(run).read(pd.read_csv("shops.csv"))
    metric = HeldOut(forecaster)
    assert page["metric"]["name"] == metric.name == "MASE"
    before = metric(forecaster.network.eval())
    (layer,) = layers_of(forecaster.network)
    with clamp(forecaster.network, {(layer, 0, 0): {"f": 1.0}}):
        change = metric(forecaster.network) - before
    assert dict(shown["whole"])["f = 1"] == pytest.approx(change, rel=1e-6)
    assert page["metric"]["value"] == pytest.approx(before, rel=1e-6)


def test_the_metric_is_that_of_the_verdict(run, place):
    import pandas as pd

    forecaster = Forecaster.from_pretrained(run).read(pd.read_csv("shops.csv"))
    metric = HeldOut(forecaster, windows=10_000)
    assert metric.name == "MASE"
    evaluation = forecaster.evaluate()
    truth = evaluation.metrics[evaluation.network]["MASE"]
    np.testing.assert_allclose(metric(forecaster.network), truth, rtol=1e-6)


def test_json_tells_where_the_page_is_and_how_large(quick, run):
    found = json.loads(quick("--json").out)
    page = run / "explorer.html"
    assert found == {"run": str(run), "page": str(page), "bytes": page.stat().st_size,
                     "steps": content(page)["steps"]}  # fmt: skip


def test_open_shows_it(quick, run, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    quick("--open")
    assert opened == [(run / "explorer.html").resolve().as_uri()]


def test_a_series_that_is_not_there_is_refused_with_the_nearest(quick, run):
    known = Forecaster.from_pretrained(run).data.series[0].unique_id
    shown = quick("--series", known + "x")
    assert shown.code == 2
    assert f"did you mean {known!r}" in shown.err.splitlines()[-1]
    assert not (run / "explorer.html").exists()


def test_units_to_clamp_without_clamping_are_refused(quick):
    shown = quick("--units", 4)
    assert shown.code == 2
    assert "give one of them" in shown.err


@pytest.mark.parametrize("option", ["--steps", "--units"])
def test_less_than_one_is_refused(quick, option):
    assert quick(option, 0).code == 2


def test_ctrl_c_leaves_the_old_page_and_no_half_one(run):
    page = run / "explorer.html"
    page.write_text("old")
    command = [sys.executable, "-m", "gated", "explain", str(run)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        for line in process.stderr:
            if line.startswith("clamping"):
                break
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert rest.count("\n") == 1, rest
    assert rest.startswith("stopped by Ctrl-C; nothing was written. Quicker: "), rest
    assert page.read_text() == "old"
    assert [p.name for p in run.iterdir() if "explorer" in p.name] == ["explorer.html"]
