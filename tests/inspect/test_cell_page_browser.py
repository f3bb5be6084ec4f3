"""The page of a cell of one's own in a real browser."""

import pytest

import browsers
import gated
from gated.equations import Cell, U, W, b, sigmoid, tanh
from gated.inspect.cell.render import write_page

pytestmark = browsers.MARKS

PHONE = {"width": 390, "height": 844}
WIDE = {"width": 1600, "height": 1000}


class Leaky(Cell):
    """A memory that leaks <img src=x onerror="window.pwned=1">.

    Nothing else to say.
    """

    def step(self, x, h):
        z = sigmoid(W.z @ x + b.z)
        g = tanh(W.g @ x + U.g @ h + b.g)
        h = z * h + (1 - z) * g
        return h


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    return {
        name: write_page(gated.cell(cell), folder / f"{name}.html")
        for name, cell in {"leaky": Leaky, "lstm": "lstm", "gru-d": "gru-d"}.items()
    }


@pytest.fixture
def visit(browser, files):
    contexts = []

    def go(name, viewport=WIDE, scheme="light"):
        context = browser.new_context(
            viewport=viewport, color_scheme=scheme, is_mobile=viewport is PHONE
        )
        contexts.append(context)
        page = context.new_page()
        page.heard, page.asked = [], []
        page.on("console", lambda message: page.heard.append(message.text))
        page.on("pageerror", lambda error: page.heard.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(files[name].as_uri())
        return page

    yield go
    for context in contexts:
        context.close()


@pytest.mark.parametrize("viewport", [PHONE, WIDE], ids=["phone", "wide"])
@pytest.mark.parametrize("name", ["leaky", "lstm", "gru-d"])
def test_the_page_loads_without_a_complaint_and_does_not_scroll_sideways(visit, name, viewport):
    page = visit(name, viewport)
    assert page.heard == []
    assert len(page.asked) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def test_the_chart_is_there_and_its_letters_can_be_read(visit):
    page = visit("gru-d", PHONE)
    box = page.locator("svg.gated-flow").bounding_box()
    letters = page.locator(".gated-flow .gate text").first.bounding_box()
    assert box["width"] > 390  # it scrolls within its frame
    assert letters["height"] > 10


def test_no_letter_of_the_chart_leaves_its_box(visit):
    for name in ("lstm", "gru-d"):
        outside = visit(name).evaluate(
            """[...document.querySelectorAll('.gated-flow .vertex rect')].filter(rect => {
                 const box = rect.getBoundingClientRect();
                 return [...rect.parentNode.querySelectorAll('text:not(.note)')].some(text => {
                   const own = text.getBoundingClientRect();
                   return own.left < box.left - 3 || own.right > box.right + 3;
                 });
               }).map(rect => rect.parentNode.dataset.id)"""
        )
        assert outside == []


@pytest.mark.parametrize(
    ("scheme", "memory"), [("light", "rgb(0, 114, 178)"), ("dark", "rgb(86, 180, 233)")]
)
def test_colours_are_those_of_the_theme(visit, scheme, memory):
    page = visit("lstm", scheme=scheme)
    line = ".gated-flow .line.memory path"
    assert page.evaluate(f"getComputedStyle(document.querySelector('{line}')).stroke") == memory


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_it_stands_on(visit, scheme):
    """Contrast of at least 4.5, as WCAG asks."""
    pairs = visit("lstm", scheme=scheme).evaluate(
        """['gate', 'candidate', 'function'].map(kind => {
             const rect = document.querySelector(`.gated-flow .${kind} rect`);
             const texts = [...rect.parentNode.querySelectorAll('text')];
             return [getComputedStyle(rect).fill, texts.map(t => getComputedStyle(t).fill)];
           })"""
    )
    for ground, inks in pairs:
        for ink in inks:
            light, dark = sorted((luminance(ground), luminance(ink)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5


def luminance(colour: str) -> float:
    """Relative luminance of "rgb(r, g, b)"."""
    parts = [int(n) / 255 for n in colour.removeprefix("rgb(").rstrip(")").split(",")]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * p for weight, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_what_a_docstring_says_is_shown_and_never_runs(visit):
    page = visit("leaky")
    assert page.evaluate("window.pwned") is None
    assert page.locator("img").count() == 0
    assert "<img src=x" in page.locator(".headline").inner_text()


def test_equations_are_laid_out_as_mathematics(visit):
    boxes = visit("lstm").evaluate(
        "[...document.querySelectorAll('#equations math')]"
        ".map(m => m.getBoundingClientRect().width)"
    )
    assert len(boxes) == 6
    assert min(boxes) > 60
