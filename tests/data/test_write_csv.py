"""Writing tables: FAULTS.md row 20, and whole or not at all."""

import csv
import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gated.data import read_table, write_csv
from gated.data.write import atomic_text
from gated.errors import DataError

STARTS = ("=", "+", "-", "@", "\t", "\r")


def cells_of(path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize(
    "cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("x")']
)
def test_text_that_looks_like_a_formula_is_escaped(tmp_path, cell):
    write_csv(pd.DataFrame({"unique_id": [cell, "north"], "y": [1, 2]}), tmp_path / "t.csv")
    assert [row[0] for row in cells_of(tmp_path / "t.csv")] == ["unique_id", "'" + cell, "north"]


def test_names_that_look_like_formulas_are_escaped(tmp_path):
    write_csv(pd.DataFrame({"=y": [1.5]}), tmp_path / "t.csv")
    assert cells_of(tmp_path / "t.csv")[0] == ["'=y"]


def test_negative_numbers_are_no_formulas(tmp_path):
    write_csv(pd.DataFrame({"id": ["-7", "+2"], "y": [-1.5, -np.inf]}), tmp_path / "t.csv")
    assert cells_of(tmp_path / "t.csv")[1:] == [["-7", "-1.5"], ["+2", "-inf"]]


def test_formulas_in_categories_are_escaped(tmp_path):
    write_csv(pd.DataFrame({"id": pd.Categorical(["=1"])}), tmp_path / "t.csv")
    assert cells_of(tmp_path / "t.csv")[1] == ["'=1"]


TEXT = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\ufeff"), max_size=8
)


@given(st.lists(TEXT, min_size=1, max_size=8))
def test_no_text_cell_starts_as_a_formula_would(tmp_path_factory, texts):
    path = tmp_path_factory.getbasetemp() / "formulas.csv"
    write_csv(pd.DataFrame({"t": texts, "y": 1}), path)
    for row in cells_of(path):
        if row[0].startswith(STARTS):
            float(row[0])  # a plain number may start with its sign


@given(
    st.lists(
        st.tuples(TEXT, st.floats(allow_infinity=False), st.integers(-(2**62), 2**62)),
        min_size=1,
        max_size=10,
    )
)
def test_what_is_written_is_what_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "round_trip.csv"
    texts = ["x" + text for text, _, _ in rows]
    floats = [number for _, number, _ in rows]
    integers = [integer for _, _, integer in rows]
    write_csv(pd.DataFrame({"text": texts, "float": floats, "integer": integers}), path)
    read = read_table(path)
    assert read["text"].tolist() == texts
    assert read["integer"].tolist() == integers
    np.testing.assert_array_equal(read["float"].to_numpy(float), floats)


def test_times_are_written_as_iso(tmp_path):
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=2, freq="h"), "y": [1, 2]})
    write_csv(frame, tmp_path / "t.csv")
    assert cells_of(tmp_path / "t.csv")[2] == ["2024-01-01 01:00:00", "2"]


def test_a_failure_leaves_the_former_file_and_no_stray(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("former")

    def fail_half_way() -> None:
        with atomic_text(path) as file:
            file.write("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "former"
    assert os.listdir(tmp_path) == ["t.csv"]


def test_full_disk_leaves_the_former_file_and_no_stray(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text("former")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left"):
        write_csv(pd.DataFrame({"y": [1]}), path)
    assert path.read_text() == "former"
    assert os.listdir(tmp_path) == ["t.csv"]


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="No such file or directory"):
        write_csv(pd.DataFrame({"y": [1]}), tmp_path / "no" / "t.csv")


def test_folder_in_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        write_csv(pd.DataFrame({"y": [1]}), tmp_path)


def test_the_frame_is_left_as_it_was(tmp_path):
    frame = pd.DataFrame({"t": ["=1"], "y": [1]})
    write_csv(frame, tmp_path / "t.csv")
    assert frame["t"].tolist() == ["=1"]


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_csv(pd.DataFrame({"y": [1]}), pipe)
        assert os.read(reader, 100) == b"y\n1\n"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
