"""How the demonstrations write their numbers: one way in all of them, alike in a column."""

import re

import numpy as np

from gated.inspect.demonstrations import demonstrate, names, text
from gated.inspect.demonstrations.numbers import column, number
from gated.inspect.report.charts import memory


def test_powers_of_ten_are_written_as_in_the_lesson():
    assert number(7.89e-31) == "7.89·10⁻³¹"
    assert number(-4.07e17) == "−4.07·10¹⁷"
    found = demonstrate("forgetting", rows=100)
    words = " ".join([*found.found, *(cell for t in found.tables for r in t.texts() for cell in r)])
    assert "7.89·10⁻³¹" in words
    assert not re.search(r"\de[+−-]\d", words)


def test_counts_are_whole_and_a_column_has_its_decimals_alike():
    assert column([66.0, 80.0]) == ["66", "80"]
    assert column([66.5, 80.0]) == ["66.5", "80.0"]
    assert column([1.0, 0.9999, 0.964]) == ["1.000", "1.000", "0.964"]
    assert column([1.0, np.inf]) == ["1", "∞"]


def test_tanh_has_a_slope_however_large_c_is():
    found = demonstrate("growth")
    assert "the slope of h in c is below 10⁻¹⁶, at c = 1 it is 0.420" in " ".join(found.found)
    assert found.tables[1].texts()[-1] == ["50", "1.000", "below 10⁻¹⁶"]


def test_a_minus_is_a_minus():
    assert not [name for name in names() if re.search(r"-\d", text(name).question)]


def test_references_of_one_length_share_a_label():
    drawn = memory({"layer 1": np.array([2.0, 9.0])}, {"horizon": 7, "season": 7, "context": 14},
                   "day")  # fmt: skip
    labels = [label["text"] for label in drawn.figures[0]["layout"]["annotations"]]
    assert labels == ["horizon, season", "context"]
