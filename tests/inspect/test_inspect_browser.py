"""The page in a real browser: what a reader sees, and what a hostile name cannot do."""

import pytest

import browsers
from browsers import Visit
from gated.inspect import write

pytestmark = browsers.MARKS

PHONE = {"width": 390, "height": 844}
WIDE = {"width": 1600, "height": 1000}
ALL = (
    "data verdict horizon series forecasts curves trace memory equations config environment command"
)
CHARTS = ["horizon", "forecasts", "curves", "trace", "memory"]
EVIL = (
    "</script><script>window.pwned=1</script>",
    '"><img src=x onerror="window.pwned=1">',
    '<a href="https://evil.example/">x</a>',
    "<b>%{x}</b>{{7*7}}&lt;i&gt;",
)


@pytest.fixture(scope="module")
def report_file(make_report, tmp_path_factory):
    return write(make_report(), tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def visit(browser, report_file):
    open_pages = []

    def go(path=report_file, **options):
        open_pages.append(Visit(browser, path, **{"viewport": WIDE, **options}))
        return open_pages[-1]

    yield go
    for page in open_pages:
        page.context.close()


@pytest.fixture(scope="module")
def seen(browser, report_file):
    """The wide, light page, for tests that only look."""
    page = Visit(browser, report_file, WIDE)
    yield page
    page.context.close()


@pytest.fixture(scope="module")
def opened(browser, report_file):
    """The page at a width and in a theme, opened once for the tests that only look."""
    pages = {}

    def look(viewport, scheme):
        key = (viewport["width"], scheme)
        if key not in pages:
            pages[key] = Visit(browser, report_file, viewport, scheme)
        return pages[key]

    yield look
    for page in pages.values():
        page.context.close()


@pytest.mark.parametrize("viewport", [PHONE, WIDE], ids=["phone", "wide"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_loads_without_a_complaint_or_a_request(opened, viewport, scheme):
    seen = opened(viewport, scheme)
    assert seen.complaints == []
    assert seen.requests == [seen.url]


def test_every_section_is_there_and_visible(seen):
    found = seen.ask(
        "[...document.querySelectorAll('section')].map("
        "s => [s.id, s.querySelector('.body').getBoundingClientRect().height > 40])"
    )
    assert found == [[name, True] for name in ALL.split()]


@pytest.mark.parametrize("viewport", [PHONE, WIDE], ids=["phone", "wide"])
def test_the_page_never_scrolls_sideways(opened, viewport):
    seen = opened(viewport, "light")
    assert seen.ask("document.documentElement.scrollWidth") <= viewport["width"]


def test_a_name_longer_than_the_screen_does_not_widen_it(visit, make_report, tmp_path):
    path = write(make_report(series_name="x" * 150, network="N" * 60), tmp_path / "long.html")
    seen = visit(path, viewport=PHONE)
    assert seen.ask("document.documentElement.scrollWidth") <= PHONE["width"]


def test_every_line_chart_drew_its_lines(seen):
    drawn = seen.ask(
        "Object.fromEntries([...document.querySelectorAll('[data-chart]')].map("
        "d => [d.dataset.chart, [...d.querySelectorAll('path.js-line, path.point')].filter("
        "p => (p.getAttribute('d') || '').length > 20).length]))"
    )
    assert list(drawn) == CHARTS
    assert drawn["horizon"] == 3
    assert drawn["curves"] == 3  # two lines and the circle
    assert drawn["trace"] == 1  # the input
    assert drawn["memory"] == 20  # a dot for each unit
    assert drawn["forecasts"] >= 5


def test_every_gate_and_state_drew_a_heat_map_on_the_inputs_time_axis(seen):
    seen.until("document.querySelectorAll('#chart-trace .hm image').length == 6")
    boxes = seen.ask(
        "[...document.querySelectorAll('#chart-trace .hm image')].map(i => {"
        "const b = i.getBoundingClientRect();"
        "return [i.getAttribute('href').startsWith('data:image/png'), b.left, b.right, b.height]})"
    )
    line = seen.ask(
        "(() => { const b = document.querySelector('#chart-trace path.js-line')"
        ".getBoundingClientRect(); return [b.left, b.right] })()"
    )
    assert all(png and height > 60 for png, _, _, height in boxes)
    assert len({round(left) for _, left, _, _ in boxes}) == 1
    half_a_step = (boxes[0][2] - boxes[0][1]) / 168 / 2
    assert line[0] == pytest.approx(boxes[0][1] + half_a_step, abs=2.5)
    assert line[1] == pytest.approx(boxes[0][2] - half_a_step, abs=2.5)


def test_choosing_another_window_draws_another_forecast(visit):
    seen = visit()
    path = "document.querySelectorAll('#chart-forecasts path.js-line')[4].getAttribute('d')"
    first = seen.ask(path)
    seen.page.select_option("select[data-for=forecasts]", "1")
    seen.until(f"{path} !== {first!r}")
    assert seen.complaints == []


@pytest.mark.parametrize(
    ("scheme", "colour"), [("light", "rgb(0, 114, 178)"), ("dark", "rgb(86, 180, 233)")]
)
def test_the_networks_line_has_the_themes_colour(opened, scheme, colour):
    lines = opened(WIDE, scheme).ask(
        "[...document.querySelectorAll('#chart-horizon path.js-line')].map(p => p.style.stroke)"
    )
    assert lines[-1] == colour
    assert len(set(lines)) == 3


def test_the_charts_follow_when_the_theme_changes(visit):
    seen = visit()
    seen.page.emulate_media(color_scheme="dark")
    seen.until(
        "[...document.querySelectorAll('#chart-horizon path.js-line')].some("
        "p => p.style.stroke === 'rgb(86, 180, 233)')"
    )


def test_every_chart_has_words_for_a_reader_who_cannot_see_it(seen):
    words = seen.ask(
        "[...document.querySelectorAll('[data-chart]')].map("
        "d => [d.getAttribute('role'), d.getAttribute('aria-label').length > 40])"
    )
    assert words == [["img", True]] * len(CHARTS)


def test_headings_follow_one_another_without_a_gap(seen):
    levels = seen.ask("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert levels == [1] + [2] * len(ALL.split())


def test_equations_are_laid_out_as_mathematics(seen):
    sizes = seen.ask(
        "[...document.querySelectorAll('math')].map(m => {"
        "const b = m.getBoundingClientRect(); return [b.width, b.height]})"
    )
    assert len(sizes) == 2
    assert all(100 < width < 600 and 15 < height < 60 for width, height in sizes)


def test_the_copy_button_copies_the_command(visit, make_report):
    seen = visit()
    seen.context.grant_permissions(["clipboard-read", "clipboard-write"])
    seen.page.click("#copy")
    seen.until("document.getElementById('copied').textContent === 'Copied.'")
    assert seen.ask("navigator.clipboard.readText()") == make_report().command


def test_without_a_clipboard_the_command_is_at_least_selected(visit, make_report):
    gone = "Object.defineProperty(navigator, 'clipboard', {value: undefined});"
    seen = visit(before=gone)
    seen.page.click("#copy")
    seen.until("document.getElementById('copied').textContent.length > 5")
    assert seen.ask("getSelection().toString()") == make_report().command


def test_the_policy_stops_a_script_that_was_smuggled_in(seen):
    seen.ask(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.pwned = 1';"
        " document.body.append(s); })()"
    )
    assert seen.ask("window.pwned") is None


@pytest.mark.parametrize("evil", EVIL)
def test_a_hostile_name_is_shown_and_never_runs(visit, make_report, tmp_path, evil):
    names = {name: f"{name}{evil}" for name in ("Ridge", "load", "layer 1", "f", "c")}
    report = make_report(
        network=f"net{evil}",
        series_name=f"series{evil}",
        rename=names,
        step=f"hour{evil}",
        health={f"rows{evil}": evil},
        references={evil: 24.0},
        equations=[f"\\text{{{evil}}}"],
        config={evil: {evil: evil}},
        environment={evil: evil},
        command=f"gated {evil}",
    )
    seen = visit(write(report, tmp_path / "evil.html"))
    for select in ("forecasts", "horizon", "trace"):
        seen.page.select_option(f"select[data-for={select}]", "1")
    seen.page.hover("#chart-horizon .nsewdrag", force=True)
    seen.page.wait_for_timeout(300)
    assert seen.ask("window.pwned") is None
    assert seen.complaints == []
    assert seen.requests == [seen.url]
    assert seen.ask("document.querySelectorAll('img, iframe, object, embed').length") == 0
    assert seen.ask("document.querySelectorAll('main a, main svg a').length") == 0
    assert seen.ask("document.title").startswith(f"series{evil}")
    assert f"net{evil}" in seen.ask("document.querySelector('.headline').textContent")


def test_a_hostile_name_is_drawn_literally_inside_a_chart(visit, make_report, tmp_path):
    evil = '<b>bold</b><a href="https://evil.example/">x</a>&lt;%{x}'
    report = make_report(rename={"f": evil})
    seen = visit(write(report, tmp_path / "evil.html"))
    captions = seen.ask(
        "[...document.querySelectorAll('#chart-trace .annotation-text')].map(t => t.textContent)"
    )
    assert any(caption.startswith(evil) for caption in captions)
