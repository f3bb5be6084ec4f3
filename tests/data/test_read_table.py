"""Reading files: FAULTS.md rows 15 to 19, and the forms of CSV and Parquet that people have."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gated.data import detect, read_table
from gated.errors import DataError


@pytest.fixture
def write(tmp_path):
    def to_file(content: str | bytes, name: str = "t.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return to_file


def fault(path) -> str:
    with pytest.raises(DataError) as caught:
        read_table(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


# Row 15: ragged rows.


def test_short_row_names_its_line_and_the_first_missing_column(write):
    message = fault(write("ds,a,y\n1,2,3\n4,5\n"))
    assert "line 3, column 'y'" in message
    assert "2 cells, the header 3" in message


def test_long_row_names_its_line_and_the_first_surplus_cell(write):
    assert "line 2, column 3" in fault(write("ds,y\n1,2,3\n"))


def test_line_numbers_are_physical_ones_behind_blank_lines_and_quoted_line_breaks(write):
    path = write('\n"d\ns",y\r\n1,2\r\n\r\n"a\nb",3\n4\n')
    assert "line 8, column 'y'" in fault(path)


def test_quoted_cell_that_swallows_lines_is_told_from_a_ragged_row(write):
    message = fault(write('a,b\n1,"2\n3,4\n5",6\n"7",8\n'))
    assert "line 2" in message
    assert "runs on to line 4" in message


# Row 16: text in a numeric column.


def test_text_in_a_numeric_column_names_line_column_and_value(write):
    rows = "".join(f"2024-01-{day:02d},{day}\n" for day in range(1, 21))
    frame = read_table(write(f"ds,load\n{rows}2024-01-21,12 kW\n"))
    with pytest.raises(DataError, match=r"t\.csv, line 22, column 'load': '12 kW' is not a number"):
        detect(frame)


def test_line_of_a_text_cell_is_right_after_rows_were_left_out(write):
    frame = read_table(write("ds,y\n2024-01-01,1\n2024-01-02,2\n2024-01-03,x\n"))
    with pytest.raises(DataError, match="line 4, column 'y'"):
        detect(frame.iloc[1:], target="y")


# Row 17: bytes that are no UTF-8 text.


def test_nul_names_line_and_column(write):
    assert "line 3, column 'y': a NUL byte" in fault(write(b"ds,y\n1,2\n3,4\x005\n"))


def test_bad_utf8_names_line_and_column(write):
    message = fault(write("ds,ort,y\n1,Berlin,2\n2,Köln,3\n".encode("latin-1")))
    assert "line 3, column 'ort': byte 0xF6 is not UTF-8" in message


def test_bad_utf8_in_the_header_names_the_cell_by_number(write):
    assert "line 1, column 2" in fault(write("ds,größe\n1,2\n".encode("latin-1")))


def test_utf8_byte_order_mark_is_taken_off(write):
    assert list(read_table(write(b"\xef\xbb\xbfds,y\n1,2\n")).columns) == ["ds", "y"]


def test_quoted_header_behind_a_byte_order_mark_is_unquoted(write):
    assert list(read_table(write(b'\xef\xbb\xbf"ds","y"\n1,2\n')).columns) == ["ds", "y"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_byte_order_mark_of_another_encoding_is_named(write, encoding):
    message = fault(write("\ufeffds,y\n1,2\n".encode(encoding)))
    assert "line 1, column 1" in message
    assert encoding[:6].upper() in message


def test_utf16_without_byte_order_mark_is_refused(write):
    assert "NUL" in fault(write("ds,y\n1,2\n".encode("utf-16-le")))


def test_byte_order_mark_inside_the_file_names_line_and_column(write):
    assert "line 2, column 'ds'" in fault(write("ds,y\n\ufeff1,2\n"))


@given(st.binary(max_size=200))
def test_any_bytes_give_a_table_or_a_data_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_bytes(content)
    try:
        frame = read_table(path)
    except DataError:
        return
    assert len(frame) >= 1
    assert frame.columns.is_unique


# Row 18: quotes.


def test_unclosed_quote_names_the_line_where_it_opens(write):
    lines = "".join(f"{i},x\n" for i in range(3, 9))
    assert "line 2, column 'name': a quote is opened" in fault(write(f'ds,name\n1,"two\n{lines}'))


def test_unclosed_quote_behind_a_quoted_line_break_is_found(write):
    assert "line 3, column 'b'" in fault(write('a,b\n"1\n2","3\n4,5\n'))


def test_quote_in_the_header_is_named_by_number(write):
    assert "line 1, column 2" in fault(write('a,"b\n1,2\n'))


def test_text_behind_a_closing_quote_is_refused(write):
    assert "line 2, column 'a'" in fault(write('a,b\n"1"x,2\n'))


def test_unclosed_quote_in_a_large_file_is_found(write):
    body = "".join(f"{i},{i}\n" for i in range(40_000))
    assert "line 2, column 'a'" in fault(write(f'a,b\n"1,2\n{body}'))


def test_doubled_quotes_and_quoted_delimiters_are_text(write):
    frame = read_table(write('a,b\n"say ""hi"", twice",2\n'))
    assert frame["a"].tolist() == ['say "hi", twice']


# Row 19: nothing there.


@pytest.mark.parametrize("content", ["", "\n\n", "ds,y\n", "ds,y", "ds,y\n,\n,\n"])
def test_a_file_without_rows_says_so(write, content):
    assert "no rows" in fault(write(content))


def test_a_parquet_file_without_rows_says_so(tmp_path):
    pd.DataFrame({"y": np.empty(0)}).to_parquet(tmp_path / "t.parquet")
    assert "no rows" in fault(tmp_path / "t.parquet")


# Names and files.


def test_duplicate_names_are_refused_with_both_places(write):
    message = fault(write("ds,y,y\n1,2,3\n"))
    assert "line 1, column 'y': cells 2 and 3" in message


def test_missing_file_suggests_the_nearest_name(write):
    write("ds,y\n1,2\n", "sales.csv")
    assert "sales.csv?" in fault(write("", "x").parent / "sale.csv")


def test_folder_is_refused(tmp_path):
    assert "is a folder" in fault(tmp_path)


def test_unreadable_file_gives_the_reason(write, monkeypatch):
    def denied(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    path = write("ds,y\n1,2\n")
    monkeypatch.setattr(Path, "read_bytes", denied)
    assert "Permission denied" in fault(path)


def test_truncated_gzip_is_refused(write):
    packed = gzip.compress(b"ds,y\n" + b"1,2\n" * 1000)
    assert "damaged gzip" in fault(write(packed[:-10], "t.csv.gz"))


def test_truncated_parquet_is_refused(write, tmp_path):
    pd.DataFrame({"y": np.arange(1000.0)}).to_parquet(tmp_path / "whole.parquet")
    packed = (tmp_path / "whole.parquet").read_bytes()
    assert "damaged Parquet" in fault(write(packed[:-20], "t.parquet"))


def test_text_named_parquet_is_refused(write):
    assert "named like a Parquet" in fault(write("ds,y\n1,2\n", "t.parquet"))


def test_excel_file_is_recognised(write):
    assert "Excel" in fault(write(b"PK\x03\x04" + bytes(50), "t.csv"))


# Forms of CSV.


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_seen_from_the_file(write, delimiter):
    text = "ds,the name,y\n2024-01-01,a b,1.5\n2024-01-02,c,2.5\n".replace(",", delimiter)
    frame = read_table(write(text))
    assert list(frame.columns) == ["ds", "the name", "y"]
    assert frame["y"].tolist() == [1.5, 2.5]


def test_delimiter_of_the_cells_wins_over_one_inside_them(write):
    frame = read_table(write("ds;text;y\n1;a,b;2\n2;c,d,e;3\n3;;4\n"))
    assert list(frame.columns) == ["ds", "text", "y"]


def test_decimal_comma_is_read_behind_another_delimiter(write):
    frame = read_table(write("ds;y\n2024-01-01;1,5\n2024-01-02;-2,25e1\n2024-01-03;3\n"))
    assert frame["y"].tolist() == [1.5, -22.5, 3.0]


def test_comma_is_no_decimal_sign_where_points_are(write):
    frame = read_table(write("ds;a;b\n1;1,5;1.5\n2;2,5;2.5\n"))
    assert frame["a"].tolist() == ["1,5", "2,5"]
    assert frame["b"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize("cell", ["", " ", "NA", "n/a", "#N/A", "nan", "NaN", "NULL", "None", "?"])
def test_missing_spellings_in_a_numeric_column(write, cell):
    column = read_table(write(f"ds,y\n1,2.5\n2,{cell}\n"))["y"]
    assert column.dtype == np.float64
    assert np.isnan(column.iloc[1])


def test_sentinel_numbers_stay_numbers(write):
    assert read_table(write("ds,y\n1,-999\n"))["y"].tolist() == [-999]


def test_a_text_column_keeps_na_as_text(write):
    frame = read_table(write("country,y\nNA,1\nDE,2\n,3\n"))
    assert frame["country"].iloc[:2].tolist() == ["NA", "DE"]
    assert pd.isna(frame["country"].iloc[2])


def test_leading_zeros_and_long_digits_are_names(write):
    long = ("12345678901234567890", "12345678901234567891")
    frame = read_table(write(f"id,card,y\n007,{long[0]},1\n010,{long[1]},2\n,,3\n"))
    assert frame["id"].tolist()[:2] == ["007", "010"]
    assert frame["card"].nunique() == 2


def test_gzip_is_known_by_its_bytes(write):
    assert read_table(write(gzip.compress(b"ds,y\n1,2\n"), "t.csv"))["y"].tolist() == [2]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_line_ends_count_as_lines(write, end):
    assert read_table(write(end.join(["ds,y", "1,2", "3,4"]))).index.tolist() == [2, 3]


def test_empty_cells_at_the_end_of_the_file_are_left_out(write):
    assert len(read_table(write("ds,y\n1,2\n,\n,\n"))) == 1


def test_empty_line_in_a_table_of_one_column_is_a_missing_value(write):
    column = read_table(write("y\n1\n\n3\n\n"))["y"]
    np.testing.assert_array_equal(column, [1.0, np.nan, 3.0])


def test_unnamed_column_gets_its_number(write):
    assert list(read_table(write(",y\n0,5\n1,6\n")).columns) == ["column 1", "y"]


def test_first_line_of_numbers_is_data(write):
    frame = read_table(write("1.5,2\n3.5,4\n"))
    assert frame["column 1"].tolist() == [1.5, 3.5]
    assert frame.index.tolist() == [1, 2]
    assert "line 1 holds numbers" in frame.attrs["notes"][0]


def test_consecutive_numbers_in_the_first_line_are_names(write):
    assert list(read_table(write("2001,2002,2003\n5,6,7\n")).columns) == ["2001", "2002", "2003"]


def test_parquet_gives_the_frame_that_was_written(tmp_path):
    frame = pd.DataFrame({"ds": pd.date_range("2024", periods=3), "y": [1.0, np.nan, 3.0]})
    frame.to_parquet(tmp_path / "t.parquet")
    read = read_table(tmp_path / "t.parquet")
    assert read["y"].isna().tolist() == [False, True, False]
    assert read["ds"].tolist() == frame["ds"].tolist()


def test_parquet_keeps_a_time_index_as_a_column(tmp_path):
    index = pd.date_range("2024", periods=3, name="when")
    pd.DataFrame({"y": [1.0, 2.0, 3.0]}, index=index).to_parquet(tmp_path / "t.parquet")
    assert detect(read_table(tmp_path / "t.parquet")).time_col == "when"


def test_fault_in_a_parquet_column_names_the_row(tmp_path):
    days = [f"2024-01-{day:02d}" for day in range(1, 21)]
    values = [str(day) for day in range(19)] + ["x"]
    pd.DataFrame({"ds": days, "y": values}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet, row 20, column 'y': 'x'"):
        detect(read_table(tmp_path / "t.parquet"))
