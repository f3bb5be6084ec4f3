"""Every Python example of the README and the guides runs as it stands."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gated

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "docs/cells.md"]


def examples(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """What a reader has at hand: a table of daily sales, and an empty directory."""
    monkeypatch.chdir(tmp_path)
    days = pd.date_range("2023-01-01", periods=300)
    sales = 100 + 10 * np.sin(np.arange(300) * 2 * np.pi / 7)
    return {"frame": pd.DataFrame({"unique_id": "shop", "ds": days, "y": sales})}


@pytest.mark.parametrize(
    ("page", "number"), [(page, k) for page in PAGES for k in range(len(examples(page)))]
)
def test_example_runs(page, number, reader):
    code = examples(page)[number].replace("horizon=28)", "horizon=28, max_epochs=1)")
    exec(compile(code, f"{page}, example {number + 1}", "exec"), reader)


# of PyTorch about itself, where it compiles and saves
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.:FutureWarning")
@pytest.mark.parametrize(
    "page",
    ["docs/index.md", "docs/drop-in.md", "docs/layers.md", "docs/compile.md", "docs/inside.md"],
)
def test_guide_runs_from_top_to_bottom(page, reader):
    for number, code in enumerate(examples(page), start=1):
        exec(compile(code, f"{page}, example {number}", "exec"), reader)


def test_relative_links_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    # `make docs` makes these; tests/docs looks at the links within the site
    made = {"catalogue/index.md", *(f"catalogue/{name}.md" for name in gated.cells())}
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            exists = (page.parent / target).exists() or target in made
            assert exists, f"{page.name} links to {target}"
