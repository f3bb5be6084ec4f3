"""The explorer at 10 000 steps x 512 units: how fast it opens and scrubs in a browser, its size.

    python bench/explorer.py [--steps 10000] [--units 512] [--inputs 8] [--out FILE]

An LSTM with random weights reads a noisy daily wave; its forget gates are spread from half-lives
below a step to some hundred steps. The page is made from it as from any model, opened five times in
headless chromium (1440 x 1000) from the disk, and each time looked at like this: the pointer runs
over the maps, the slider and the arrow keys run through the steps, clicks choose units and steps
(whose equations are computed anew each time), time and units are zoomed, maps are sorted and
coloured otherwise.

Printed are the medians of five: the time from the start of the navigation until every map is
drawn, and the CPU time of the page's main thread in it; the longest time between two frames while
scrubbing (pointer, slider, keys, clicks), and while zooming and changing the view; the longest
task. A sixth visit under Chromium's tracing gives the CPU time of the longest task, which says the
same on a machine that has other work too. It needs Debian's chromium and the extra `dev`. Exits
with 1 beyond 3 seconds to open or 100 ms between frames while scrubbing.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import gated
from gated.inspect import explorer
from gated.inspect.words import file_size

OPEN, STALL = 3000, 100  # ms
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--no-first-run")  # fmt: skip
# frames and long tasks from now on; read with `watched`
WATCH = """
(() => {
  window.frames_ = [performance.now()]; window.tasks_ = [];
  if (!window.watching_) {
    window.watching_ = true;
    const frame = () => { window.frames_.push(performance.now()); requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
    new PerformanceObserver(list => window.tasks_.push(...list.getEntries().map(e => e.duration)))
      .observe({ type: "longtask" });
  }
})()
"""
WATCHED = """
(() => {
  const gaps = window.frames_.slice(1).map((t, k) => t - window.frames_[k]);
  return [Math.max(0, ...gaps), Math.max(0, ...window.tasks_), gaps.length];
})()
"""


def model(steps: int, units: int, inputs: int) -> tuple[gated.LSTM, torch.Tensor]:
    """The layer and the sequence (1, T, D)."""
    torch.manual_seed(0)
    layer = gated.LSTM(inputs, units, batch_first=True)
    t = torch.arange(steps)
    x = 0.3 * torch.randn(1, steps, inputs)
    x[0, :, 0] += torch.sin(2 * torch.pi * t / 24) + 0.6 * torch.sin(t / 97)
    with torch.no_grad():
        for name, weight in layer.named_parameters():
            weight.mul_(1.0 if "hh" in name else 2.0)
        layer.bias_ih_l0[units : 2 * units] = torch.linspace(-2, 5, units)
    return layer, x


def page(steps: int, units: int, inputs: int, path: Path) -> None:
    """The page as `explorer.view` makes it, with gradient and activations."""
    layer, x = model(steps, units, inputs)
    shown = x[..., 0].numpy()
    view = explorer.view(
        layer,
        x,
        title=f"{units} random units over {steps:,} steps",
        time=np.datetime64("2024-01-01T00", "ns") + np.arange(steps).astype("timedelta64[h]"),
        step="hour",
        loss=lambda m: m(x)[0][:, -1].square().mean(),
        loss_name="the mean square of the last output",
        search=explorer.Search([x], lambda row, step: f"step {step}", shown, "this sequence"),
    )
    explorer.write(view, path)


class Visit:
    """The page in a browser, and the longest times between frames."""

    def __init__(self, browser: Any, path: Path):
        self.page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
        self.browser = self.page.context.new_cdp_session(self.page)
        self.browser.send("Performance.enable", {"timeDomain": "threadTicks"})
        self.page.goto(path.as_uri())
        while not (found := self.page.evaluate(_mark("drawn 0"))):
            self.page.wait_for_timeout(20)
        self.opened = found[0]
        metrics = self.browser.send("Performance.getMetrics")["metrics"]
        self.cpu = 1000 * next(m["value"] for m in metrics if m["name"] == "ThreadTime")
        self.page.wait_for_timeout(300)

    def watch(self, *actions: Any) -> tuple[float, float, int]:
        """Do these; the longest time between frames, the longest task, the number of frames."""
        self.page.evaluate(WATCH)
        for action in actions:
            action()
        self.page.wait_for_timeout(200)
        gap, task, count = self.page.evaluate(WATCHED)
        return gap, task, count

    def longest(self, *actions: Any) -> float:
        """Do these; the CPU time of the main thread's longest task, in ms."""
        events: list[dict[str, Any]] = []
        done: list[object] = []
        self.browser.on("Tracing.dataCollected", lambda found: events.extend(found["value"]))
        self.browser.on("Tracing.tracingComplete", lambda found: done.append(found))
        wanted = {"includedCategories": ["toplevel"]}
        self.browser.send("Tracing.start", {"transferMode": "ReportEvents", "traceConfig": wanted})
        for action in actions:
            action()
        self.browser.send("Tracing.end")
        while not done:
            self.page.wait_for_timeout(50)
        threads = {e["tid"] for e in events if e.get("name") == "thread_name"
                   and e["args"]["name"] == "CrRendererMain"}  # fmt: skip
        return max(e.get("tdur", 0) / 1000 for e in events if e["tid"] in threads)

    def map(self, k: int) -> dict[str, float]:
        """Where a map is, scrolled to."""
        place = self.page.locator(".map").nth(k)
        place.scroll_into_view_if_needed()
        box: dict[str, float] = place.bounding_box()
        return box

    def run_over(self) -> None:
        """The pointer over three maps."""
        for k in (0, 2, 4):
            box = self.map(k)
            for share in np.linspace(0.01, 0.99, 60):
                y = box["y"] + box["height"] * (0.5 + 0.4 * np.sin(9 * share))
                self.page.mouse.move(box["x"] + box["width"] * share, y)

    def slide(self) -> None:
        """The slider, as a finger would drag it."""
        self.page.evaluate("scrollTo(0, 0)")
        box = self.page.locator(".overview").bounding_box()
        y = box["y"] + box["height"] - 4
        self.page.mouse.move(box["x"] + box["width"] - 2, y)
        self.page.mouse.down()
        for share in np.linspace(0.99, 0.05, 80):
            self.page.mouse.move(box["x"] + box["width"] * share, y)
        self.page.mouse.up()

    def press(self) -> None:
        """Keys that run through steps and units."""
        self.page.locator(".stack").focus()
        for key in ("ArrowRight", "Shift+ArrowLeft", "ArrowDown"):
            for _ in range(25):
                self.page.keyboard.press(key)

    def click(self) -> None:
        """Clicks on units and steps, each followed by its equations."""
        for k, share in enumerate((0.11, 0.37, 0.52, 0.83)):
            box = self.map(k)
            self.page.mouse.click(box["x"] + box["width"] * share, box["y"] + box["height"] * share)
            self.page.wait_for_timeout(200)

    def zoom(self) -> None:
        """Into time and units, and back."""
        self.page.locator(".stack").focus()
        for key in ("+", "+", "+", "[", "PageUp", "PageDown", "+", "]", "-", "-", "0"):
            self.page.keyboard.press(key)
            self.page.wait_for_timeout(60)

    def change(self) -> None:
        """Another order, other colours, larger maps."""
        for label, value in (("Units by", "index"), ("Colours", "changes"), ("Maps", "medium")):
            self.page.select_option(f"label:has-text('{label}') select", value)
            self.page.wait_for_timeout(150)


def _mark(name: str) -> str:
    return f"performance.getEntriesByName('{name}').map(e => e.startTime)"


def measure(path: Path) -> dict[str, list[float]]:
    """Five visits, in one browser but each in a context of its own."""
    from playwright.sync_api import sync_playwright

    found: dict[str, list[float]] = {}
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(FLAGS)
        )
        for _ in range(5):
            visit = Visit(chromium, path)
            scrub = visit.watch(visit.run_over, visit.slide, visit.press, visit.click)
            other = visit.watch(visit.zoom, visit.change)
            for name, value in (
                ("open", visit.opened),
                ("open: CPU of the main thread", visit.cpu),
                ("scrub: longest between frames", scrub[0]),
                ("scrub: longest task", scrub[1]), ("scrub: frames", scrub[2]),
                ("zoom and change: longest between frames", other[0]),
            ):  # fmt: skip
                found.setdefault(name, []).append(value)
            visit.page.context.close()
        visit = Visit(chromium, path)
        actions = (visit.run_over, visit.slide, visit.press, visit.click)
        found["scrub: longest task, CPU"] = [visit.longest(*actions)]
        found["zoom and change: longest task, CPU"] = [visit.longest(visit.zoom, visit.change)]
        chromium.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, value in (("steps", 10_000), ("units", 512), ("inputs", 8)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.out or Path(folder) / "explorer.html"
        start = time.perf_counter()
        page(options.steps, options.units, options.inputs, path)
        print(f"{options.steps:,} steps x {options.units} units: {file_size(path.stat().st_size)}, "
              f"made in {time.perf_counter() - start:.1f} s")  # fmt: skip
        found = measure(path.resolve())
    for name, values in found.items():
        unit = "" if name.endswith("frames") and "longest" not in name else " ms"
        print(f"{name:42} {statistics.median(values):6.0f}{unit}"
              f"   ({', '.join(f'{v:.0f}' for v in values)})")  # fmt: skip
    opened = statistics.median(found["open"])
    stall = statistics.median(found["scrub: longest between frames"])
    return int(opened > OPEN or stall > STALL)


if __name__ == "__main__":
    sys.exit(main())
