"""The page of demonstrations in a real browser: drawn, quiet, accessible, narrow and wide."""

import pytest

import browsers
from gated.inspect.demonstrations import demonstrate
from gated.inspect.demonstrations.page import write_page

pytestmark = browsers.MARKS


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    found = [demonstrate("growth"), demonstrate("explosion", scales=(1.0, 20.0))]
    return write_page(found, tmp_path_factory.mktemp("page") / "all.html").as_uri()


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (2560, "light")])
def test_it_draws_every_chart_without_a_complaint(browser, address, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    page.wait_for_function("document.querySelectorAll('.chart .main-svg').length >= 2")
    assert page.locator(".chart .scatterlayer .trace").count() == 12  # 4 + 2 and 5 + 1 lines
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert said == []
    page.close()


def test_it_passes_the_accessibility_check(browser, address):
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(address)
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    page.close()
