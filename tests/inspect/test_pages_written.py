"""Where a page is written: refused before the work, and named as the user named it."""

import errno

import pytest

from gated.errors import OptionError
from gated.inspect.pages import check_target, write_whole


def test_a_path_that_can_be_written_is_given_back(tmp_path):
    assert check_target(str(tmp_path / "x.html")) == tmp_path / "x.html"


@pytest.mark.parametrize(("path", "said"), [("", "is a directory"), ("no/x", "no directory .*no;")])
def test_a_path_that_cannot_is_refused(tmp_path, path, said):
    with pytest.raises(OptionError, match=f"^--out {tmp_path / path}: .*{said}"):
        check_target(tmp_path / path, "--out")


def test_a_write_that_fails_names_the_path_that_was_given(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(FileNotFoundError) as nowhere:
        write_whole("text", tmp_path / "no" / "x.html")
    assert nowhere.value.filename == str(tmp_path / "no" / "x.html")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left") as short:
        write_whole("text", tmp_path / "x.html")
    assert short.value.filename == str(tmp_path / "x.html")
    assert not list(tmp_path.iterdir())
