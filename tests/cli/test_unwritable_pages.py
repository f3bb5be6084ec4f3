"""A page that cannot be written is refused before anything is computed for it."""

import pytest

from gated.tasks.forecast import Forecaster


def test_explain_and_report_refuse_before_they_open_the_network(gated, run, monkeypatch):
    (run / "report.html").unlink()
    (run / "report.html").mkdir()
    monkeypatch.setattr(Forecaster, "evaluate", lambda *_: pytest.fail("evaluated"))
    monkeypatch.setattr(
        "gated.tasks.forecast.explained.explained", lambda *_, **__: pytest.fail("explained")
    )
    report = gated("report", run)
    explain = gated("explain", run, "--out", "no/x.html")
    assert (report.code, explain.code) == (2, 2)
    assert f"{run / 'report.html'}: this is a directory" in report.line
    assert "no/x.html: there is no directory no" in explain.line
