"""The series that come with the installation."""

import importlib.util
import sys

import numpy as np
import pytest

from gated.data import detect, mackey_glass, sea_surface_temperature, series_set
from gated.data.embedded import solve_mackey_glass
from gated.errors import DataError, OptionError


def test_sea_surface_temperature_is_ready_for_detection():
    frame = sea_surface_temperature()
    schema = detect(frame)
    assert (schema.time_col, schema.target, schema.freq) == ("time", "temperature", "30min")
    assert len(frame) == 19_225
    data = series_set(frame, schema)
    assert len(data.series[0]) == 19_249  # 2016-02-15 00:00 to 2017-03-22 00:00
    assert data.health.gaps == 24


def test_sea_surface_temperature_is_read_without_importing_its_package(monkeypatch):
    monkeypatch.delitem(sys.modules, "bokeh_sampledata", raising=False)
    sea_surface_temperature()
    assert "bokeh_sampledata" not in sys.modules


def test_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r'pip install "gated\[demo\]"'):
        sea_surface_temperature()


def test_mackey_glass_follows_the_closed_form_while_the_delay_lies_in_the_constant_past():
    # for 0 <= t <= tau the delayed value is constant, and the equation linear
    past, tau = 0.7, 17
    level = 0.2 * past / (1 + past**10) / 0.1
    t = np.arange(1, tau + 1)
    exact = level + (past - level) * np.exp(-0.1 * t)
    np.testing.assert_allclose(solve_mackey_glass(past, tau, tau), exact, rtol=1e-9)


def test_mackey_glass_rests_at_its_fixed_point():
    np.testing.assert_allclose(solve_mackey_glass(1.0, 50, 17), 1.0, rtol=1e-12)


def test_mackey_glass_converges_with_the_fourth_power_of_the_step():
    exact = solve_mackey_glass(0.7, 60, 17, substeps=64)
    errors = [np.abs(solve_mackey_glass(0.7, 60, 17, substeps=n) - exact).max() for n in (2, 4, 8)]
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert (orders > 3.5).all()


def test_mackey_glass_agrees_with_an_independent_solver():
    # method of steps: on each delay interval an ordinary equation, forced by the last solution
    integrate = pytest.importorskip("scipy.integrate")
    past, tau = 0.7, 17
    previous, parts = (lambda t: past), []
    for number in range(4):
        start = past if not parts else float(parts[-1].y[0, -1])
        solution = integrate.solve_ivp(
            lambda t, x, p=previous: 0.2 * p(t - tau) / (1 + p(t - tau) ** 10) - 0.1 * x,
            (number * tau, (number + 1) * tau), [start], rtol=1e-11, atol=1e-12,
            dense_output=True, t_eval=np.arange(number * tau + 1, (number + 1) * tau + 1),
        )  # fmt: skip
        parts.append(solution)
        previous = lambda t, s=solution.sol: float(s(t)[0])  # noqa: E731
    expected = np.concatenate([part.y[0] for part in parts])
    np.testing.assert_allclose(solve_mackey_glass(past, 4 * tau, tau), expected, rtol=1e-6)


def test_mackey_glass_repeats_for_a_seed_and_differs_between_seeds():
    first = mackey_glass(200, seed=1)
    assert first.equals(mackey_glass(200, seed=1))
    assert not first.equals(mackey_glass(200, seed=2))


def test_mackey_glass_is_chaotic_and_bounded():
    # the published largest Lyapunov exponent at tau = 17 is about 0.006 per unit of time
    x, y = solve_mackey_glass(0.9, 4000, 17), solve_mackey_glass(0.9 + 1e-9, 4000, 17)
    gap = np.abs(x - y)
    assert gap[:20].max() < 1e-8
    assert gap[3500:].max() > 1e-2
    assert 0.2 < x[500:].min() < x[500:].max() < 1.4


def test_mackey_glass_refuses_nonsense():
    with pytest.raises(OptionError, match="n=0"):
        mackey_glass(0)
