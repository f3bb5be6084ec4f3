"""The site: it builds without a warning, holds today's cells, and loads nothing from elsewhere."""

import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import browsers
import gated
from gated.equations.render import latex

ROOT = Path(__file__).parents[2]
NAMES = gated.cells()


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site as `make docs` builds it, from a copy of the sources."""
    folder = tmp_path_factory.mktemp("site")
    made = shutil.ignore_patterns("_build", "catalogue")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=made)
    shutil.copy(ROOT / "CHANGELOG.md", folder)
    out = folder / "html"
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, str(folder / "docs"), str(out)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return out


def test_there_is_a_page_for_each_cell_with_todays_equations_and_chart(site):
    for name in NAMES:
        page = (site / "catalogue" / f"{name}.html").read_text("utf-8")
        assert latex(gated.cell(name).graph) in html.unescape(page)
        assert f'id="flow-{name}-title"' in page


def test_the_catalogue_links_them_all(site):
    index = (site / "catalogue" / "index.html").read_text("utf-8")
    assert all(f'href="{name}.html"' in index for name in NAMES)


def test_every_public_name_is_in_the_reference(site):
    page = (site / "api.html").read_text("utf-8")
    assert [name for name in gated.__all__ if f'id="gated.{name}"' not in page] == []


def test_no_page_loads_anything_from_elsewhere(site):
    loads = re.compile(
        r'<(?:script|img|iframe|source)[^>]*\bsrc="([^"]+)"|<link[^>]*\bhref="([^"]+)"'
    )
    for page in site.rglob("*.html"):
        for found in loads.findall(page.read_text("utf-8")):
            assert not re.match(r"(https?:)?//", "".join(found)), f"{page.name}: {found}"
    for sheet in (site / "_static").glob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", sheet.read_text("utf-8"))


def test_links_between_pages_lead_somewhere(site):
    for page in site.rglob("*.html"):
        text = re.sub(r"<svg.*?</svg>", "", page.read_text("utf-8"), flags=re.DOTALL)
        for target in re.findall(r'<a[^>]*\bhref="([^"#:]+)(?:#[^"]*)?"', text):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@browsers.marked
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_cells_page_reads_well_in_a_browser(site, browser, scheme):
    path = site / "catalogue" / "gru-d.html"
    asked, complaints = [], []
    page = browser.new_context(color_scheme=scheme).new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("mjx-container")
    chart = page.locator("svg.gated-flow").bounding_box()
    ink = page.evaluate("getComputedStyle(document.querySelector('.gated-flow .gate text')).fill")
    page.context.close()
    assert complaints == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    assert chart["width"] > 400
    assert chart["height"] > 100
    assert ink == {"light": "rgb(18, 24, 31)", "dark": "rgb(238, 242, 246)"}[scheme]
