"""--config: a YAML or TOML file of options, with errors that name file, line and option."""

import json
from pathlib import Path

import pytest
from small_shops import SMALL

from gated.tasks.forecast import ForecastConfig

YAML = """\
# all of it can stand here
file: shops.csv
run: here
horizon: 5
hidden-size: 4
context_length: 14
max_epochs: 1
quantiles: [0.1, 0.5, 0.9]
season: null
skip: false
"""
TOML = """\
horizon = 5
hidden_size = 4
context-length = 14
max_epochs = 1
quantiles = [0.1, 0.5, 0.9]
skip = false
"""


def forecast_of(run):
    return json.loads(Path(run, "config.json").read_text())["forecast"]


@pytest.mark.parametrize(
    ("name", "text", "more"),
    [("s.yaml", YAML, []), ("s.toml", TOML, ["shops.csv", "--run", "here"])],
)
def test_a_file_says_what_the_command_line_would(gated, place, name, text, more):
    Path(name).write_text(text)
    assert gated("train", "forecast", "--config", name, *more).code == 0
    found = forecast_of("here")
    assert (found["horizon"], found["hidden_size"], found["skip"]) == (5, 4, False)
    assert found["quantiles"] == [0.1, 0.5, 0.9]
    assert found["season"] == 7


def test_the_command_line_wins(gated, place):
    Path("s.yaml").write_text(YAML)
    gated("train", "forecast", "--config", "s.yaml", "--horizon=3", "--skip", "--run", "there")
    found = forecast_of("there")
    assert (found["horizon"], found["skip"], found["hidden_size"]) == (3, True, 4)


def test_a_number_may_be_whole_or_a_power_of_ten(gated, place):
    Path("s.yaml").write_text("dropout: 0\nweight_decay: 1e-2\n")  # text to YAML 1.1
    assert gated("train", "forecast", "shops.csv", "--config", "s.yaml", *SMALL).code == 0
    assert forecast_of("runs/shops")["weight_decay"] == 0.01


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "s.yaml",
            "horizon: 7\nhiden_size: 4\n",
            "s.yaml, line 2: there is no option 'hiden",
        ),
        ("s.yaml", "horizon: 7\nhorizon: 8\n", "s.yaml, line 2: 'horizon' stands here again"),
        ("s.yaml", "horizon: 7\nhidden_size: four\n", "s.yaml, line 2: hidden_size is 'four'"),
        (
            "s.yaml",
            "horizon: 7\nseason: true\n",
            "s.yaml, line 2: season is True, expected a",
        ),
        ("s.yaml", "horizon: 7\ntarget: 3\n", "s.yaml, line 2: target is 3, expected text"),
        ("s.yaml", "horizon: 7\nhidden_size: 0\n", "s.yaml, line 2: hidden_size=0: expected"),
        ("s.yaml", "horizon: 7\ncell: lstn\n", "s.yaml, line 2: cell=lstn: there is no cell"),
        ("s.yaml", "horizon: 7\ntarget: z\n", "s.yaml, line 2: --target: the table has no column"),
        ("s.yaml", "horizon: 7\nseason: [\n", "s.yaml, line 3: no YAML"),
        ("s.yaml", "- horizon\n", "s.yaml, line 1: a list"),
        ("s.yaml", "a: !!python/object/apply:os.system [touch x]\n", "s.yaml, line 1: no YAML"),
        ("s.yaml", "horizon: 7\nthreads: 0\n", "s.yaml, line 2: threads is 0, expected a whole"),
        ("s.toml", "horizon = 7\nhidden_size = \n", "s.toml, line 2: no TOML"),
        ("s.toml", "horizon = 7\n[network]\ncell = 'gru'\n", "s.toml, line 2: there is no option"),
        (
            "s.toml",
            "horizon = 7\ndropout = 'x'\n",
            "s.toml, line 2: dropout is 'x', expected",
        ),
        ("s.json", "{}", "--config s.json: expected a file named .yaml, .yml or .toml"),
        ("s.yaml", None, "--config s.yaml: no such file"),
    ],
)
def test_a_fault_names_its_line(gated, place, name, text, said):
    if text is not None:
        Path(name).write_text(text)
    shown = gated("train", "forecast", "shops.csv", "--config", name)
    assert (shown.code, shown.out) == (2, "")
    assert shown.line.startswith(f"error: {said}")
    assert not Path("runs").exists()
    assert not Path("x").exists()


def test_every_field_can_stand_in_a_file(gated, place):
    """What a run wrote down is itself a configuration, given back as YAML."""
    plain = ForecastConfig(hidden_size=4, max_epochs=1, horizon=7, context_length=14).to_dict()
    Path("s.yaml").write_text("".join(f"{k}: {json.dumps(v)}\n" for k, v in plain.items()))
    assert gated("train", "forecast", "shops.csv", "--config", "s.yaml").code == 0
    assert forecast_of("runs/shops")["hidden_size"] == 4
