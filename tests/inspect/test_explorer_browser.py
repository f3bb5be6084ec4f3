"""The explorer in a real browser: every control, exact numbers, keyboard, screens."""

from itertools import pairwise

import numpy as np
import pytest
from explorer_cases import CONTEXT, NAMES, STEPS, UNITS, small_case

import browsers
from gated.inspect import explorer

pytestmark = browsers.MARKS

PHONE = {"width": 360, "height": 740}
DESK = {"width": 1400, "height": 1800}  # every panel is within reach of the mouse
WIDE = {"width": 2560, "height": 1300}
EVIL = '</script><script>window.pwned=1</script><img src=x onerror="window.pwned=1">'


@pytest.fixture(scope="module")
def case():
    return small_case()


@pytest.fixture(scope="module")
def file(case, tmp_path_factory):
    return explorer.write(case.view, tmp_path_factory.mktemp("explorer") / "explorer.html")


class Visit(browsers.Visit):
    """The open explorer, drawn."""

    def __init__(self, browser, path, viewport=DESK, scheme="light"):
        super().__init__(browser, path, viewport, scheme)
        self.until("performance.getEntriesByName('drawn 0').length")

    def hear(self, text):
        """A complaint, unless it is about how these tests look at pixels."""
        if "willReadFrequently" not in text:
            self.complaints.append(text)

    def field(self, name, value):
        """Write a number into a field and leave it."""
        field = self.page.get_by_role("spinbutton", name=name, exact=True)
        field.fill(str(value))
        field.press("Enter")

    def text(self, selector):
        return self.page.locator(selector).first.inner_text()

    @property
    def extent(self):
        """What the line below the panels says is shown: steps, units."""
        words = self.text(".extent").replace(",", "").split()
        return int(words[0]), int(words[4])

    @property
    def chosen(self):
        """The chosen step and unit."""
        fields = self.page.locator(".scrubber input[type=number]")
        return tuple(int(fields.nth(k).input_value()) for k in range(2))

    def map(self, name):
        return self.page.locator(f"section[aria-label='Heat map of {name}'] .map")

    def equations(self):
        """What the step's card says each equation comes to."""
        self.until("document.querySelector('.filled:not([data-old])') !== null")
        return self.ask(
            "Object.fromEntries([...document.querySelectorAll('.equation')].map("
            "e => [e.dataset.name, +e.dataset.value]))"
        )


@pytest.fixture
def visit(browser, file):
    opened = []

    def go(path=file, **options):
        opened.append(Visit(browser, path, **options))
        return opened[-1]

    yield go
    for one in opened:
        one.context.close()


@pytest.fixture(scope="module")
def shared(browser, file):
    one = Visit(browser, file)
    yield one
    one.context.close()


@pytest.fixture(scope="module")
def phone(browser, file):
    one = Visit(browser, file, PHONE)
    yield one
    one.context.close()


@pytest.fixture
def seen(shared):
    """The wide, light page, shown whole and with the first layer, as it opens."""
    shared.page.select_option("label:has-text('Theme') select", "system")
    shared.page.select_option("label:has-text('Layer') select", "0")
    shared.page.select_option("label:has-text('Units by') select", "measure.0")
    shared.page.locator("button:text-is('all')").click()
    shared.page.mouse.move(2, 2)
    yield shared
    assert shared.complaints == []
    assert shared.requests == [shared.url]


@pytest.mark.parametrize(
    ("viewport", "scheme"), [(PHONE, "dark"), (WIDE, "light")], ids=["phone", "wide"]
)
def test_the_page_opens_without_complaint_request_or_sideways_scroll(visit, viewport, scheme):
    one = visit(viewport=viewport, scheme=scheme)
    one.equations()
    assert one.complaints == []
    assert one.requests == [one.url]
    assert one.ask("document.documentElement.scrollWidth") <= viewport["width"]


def test_the_marks_of_the_time_axis_do_not_cover_each_other(phone):
    boxes = phone.ask(
        "[...document.querySelectorAll('.axis span')].map(e => {"
        "const r = document.createRange(); r.selectNodeContents(e);"
        "const b = r.getBoundingClientRect(); return [b.left, b.right] })"
    )
    assert len(boxes) >= 2
    assert all(a[1] < b[0] for a, b in pairwise(boxes))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(seen, theme):
    from axe_playwright_python.sync_playwright import Axe

    seen.page.select_option("label:has-text('Theme') select", theme)
    seen.equations()
    seen.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = Axe().run(seen.page).response["violations"]
    grave = [(f["id"], f["nodes"][0]["html"]) for f in found
             if f["impact"] in ("serious", "critical")]  # fmt: skip
    assert grave == []


def test_only_its_own_scripts_run(visit):
    seen = visit()
    policy = seen.ask("document.querySelector('meta[http-equiv=Content-Security-Policy]').content")
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "script-src 'sha256-" in policy
    seen.ask(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.pwned = 1';"
        " document.body.append(s); })()"
    )
    assert seen.ask("window.pwned") is None


def test_every_gate_and_state_is_drawn_on_the_inputs_time_axis(seen):
    boxes = seen.ask(
        "[...document.querySelectorAll('[data-plot]')].map(e => e.getBoundingClientRect())"
        ".map(b => [Math.round(b.left), Math.round(b.right)])"
    )
    assert len(boxes) == 1 + 3 + 6 + 1  # input, three groups of a unit's lines, maps, gradient
    assert len({tuple(box) for box in boxes}) == 1
    colours = seen.ask(
        "[...document.querySelectorAll('.map canvas')].map(c => new Set(new Uint32Array("
        "c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size)"
    )
    assert len(colours) == 6
    assert min(colours) > 10


def test_the_colour_of_a_pixel_is_that_of_its_value(seen, case):
    """Cividis at 0 and at 1: the pixels of units whose forget gate is near an end."""
    f = case.trace[0][0]["f"]
    order = np.argsort(-case.view.places[0].measures[0].values)
    bright = seen.ask(
        "(() => { const c = document.querySelector(\"section[aria-label='Heat map of f'] canvas\");"
        "const p = c.getContext('2d').getImageData(0, 0, 1, c.height).data;"
        "return [p[0] + p[1], p[4 * (c.height - 1)] + p[4 * (c.height - 1) + 1]] })()"
    )
    assert f[0, order[0]] > 0.9
    assert bright[0] > 380
    assert bright[1] < bright[0]


@pytest.mark.parametrize(("place", "step"), [(0, 0), (0, 157), (1, STEPS - 1), (2, 1), (3, 157)])
def test_the_equations_of_a_step_come_to_what_the_layer_computed(seen, case, place, step):
    layer, direction = divmod(place, 2)
    seen.page.select_option("label:has-text('Layer') select", str(place))
    seen.field("Step", step)
    seen.field("Unit", 5)
    found = seen.equations()
    truth = {name: case.trace[layer][direction][name][step, 5] for name in NAMES}
    assert found == pytest.approx(truth, abs=2e-6)


def test_a_click_on_a_map_chooses_the_step_and_the_unit(seen, case):
    box = seen.map("c").bounding_box()
    seen.page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 2.5 / UNITS)
    order = np.argsort(-case.view.places[0].measures[0].values)
    assert seen.chosen == (STEPS // 2, order[2])
    assert seen.text("#unit-title") == f"Unit {order[2]}"
    assert seen.text("#step-title") == f"Step {STEPS // 2} · 2024-03-03 06:00"
    mark = seen.map("c").locator(".rowmark").bounding_box()
    assert mark["y"] == pytest.approx(box["y"] + box["height"] * 2 / UNITS, abs=1)
    assert mark["width"] == pytest.approx(box["width"], abs=1)


def test_a_key_moves_what_is_read_out_also_under_a_resting_pointer(seen):
    box = seen.map("c").bounding_box()
    seen.page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] / 2)
    at = seen.chosen[0]
    seen.page.keyboard.press("ArrowRight")
    for place in (".position", "#step-title"):
        assert seen.text(place).lower().startswith(f"step {at + 1} ")
    assert seen.ask("document.querySelector('.line.pointed').hidden")


def test_read_outs_of_the_chosen_step_are_as_exact_as_its_equations(seen, case):
    seen.field("Step", 157)
    seen.field("Unit", 5)
    found = seen.equations()
    for name in NAMES:
        shown = seen.text(f"section[aria-label='Heat map of {name}'] .value").replace("−", "-")
        assert shown == f"{found[name]:#.3g}"
        end = seen.ask(f"document.querySelector('[data-name={name}] output math').textContent")
        assert end.replace("−", "-") == f"={shown}"


def test_equations_break_before_an_equals_sign_and_none_is_cut_off(phone):
    phone.equations()
    cut = phone.ask(
        "[...document.querySelectorAll('.equation math')].filter("
        "e => e.getBoundingClientRect().right > e.closest('.filled').getBoundingClientRect().right)"
        ".length"
    )
    assert cut == 0


def test_the_axis_says_where_the_trained_context_ends(seen):
    mark = seen.page.locator(".axis .end").bounding_box()
    box = seen.map("f").bounding_box()
    assert seen.text(".axis .end") == "context ends"
    assert mark["x"] == pytest.approx(box["x"] + box["width"] * CONTEXT / STEPS, abs=1)


def test_a_place_of_large_activation_is_gone_to_if_it_is_in_view(seen, case):
    place = case.view.places[0]
    seen.field("Unit", 7)
    seen.page.locator(".tops button").click()
    assert seen.chosen == (place.tops.steps[7][0], 7)
    seen.field("Unit", 3)
    assert seen.page.locator(".tops button").count() == 0


def test_values_under_the_pointer_are_shown_on_every_panel(seen, case):
    box = seen.map("f").bounding_box()
    seen.page.mouse.move(box["x"] + box["width"] * 100.5 / STEPS, box["y"] + box["height"] * 0.99)
    unit = np.argsort(-case.view.places[0].measures[0].values)[-1]
    assert seen.text(".position") == f"step 100 · 2024-03-01 04:00 · unit {unit}"
    for name in NAMES:
        values = case.trace[0][0][name]
        shown = seen.text(f"section[aria-label='Heat map of {name}'] .value")
        span = float(np.ptp(values[:, unit]) / 510 + 0.01 * abs(values[100, unit]))
        assert float(shown.replace("−", "-")) == pytest.approx(float(values[100, unit]), abs=span)
    lines = seen.ask(
        "[...document.querySelectorAll('.line')].filter(e => !e.hidden).map("
        "e => e.getBoundingClientRect().left)"
    )
    assert any(abs(left - box["x"] - box["width"] * 100.5 / STEPS) < 2 for left in lines)


def test_the_unit_s_card_has_its_measures(seen, case):
    place = case.view.places[0]
    seen.field("Unit", 7)
    card = seen.text(".side .unit")
    assert f"{place.measures[0].values[7]:.3g}" in card
    assert place.tops.labels[7][0] in card
    change = place.clamped["frozen"][7]
    assert f"{abs(change):.3g}" in card
    assert ("worse" if change > 0 else "better") in card
    assert "none of i, f, o comes near an end" in card
    seen.field("Unit", 0)
    assert f"{round(100 * place.saturation['f'][0, 1])} %" in seen.text(".side .unit")


def test_a_unit_that_was_not_clamped_says_so(seen):
    seen.field("Unit", 0)
    assert "tried on 11 of the 12 units" in seen.text(".side .unit")
    seen.page.select_option("label:has-text('Units by') select", "importance")
    assert seen.text(".side .unit .rank") == "not ranked by importance: left out"
    seen.field("Unit", 1)
    assert seen.text(".side .unit .rank").endswith("of 11 by importance (1 left out)")


@pytest.mark.parametrize("key", ["measure.0", "saturation.i", "importance", "index"])
def test_units_are_sorted(seen, case, key):
    place = case.view.places[0]
    changes = np.abs(list(place.clamped.values())).max(axis=0)
    known = {
        "measure.0": place.measures[0].values,
        "saturation.i": place.saturation["i"].astype(np.float32).sum(1),
        "importance": np.where(np.isnan(changes), -np.inf, changes),
        "index": -np.arange(UNITS),
    }
    expected = np.argsort(-known[key], kind="stable")
    seen.page.select_option("label:has-text('Units by') select", key)
    box = seen.map("h").bounding_box()
    found = []
    for k in (0, 5, UNITS - 1):
        seen.page.mouse.click(box["x"] + 50, box["y"] + box["height"] * (k + 0.5) / UNITS)
        found.append(seen.chosen[1])
    assert found == expected[[0, 5, UNITS - 1]].tolist()


def test_buttons_zoom_and_move_through_time_and_units(seen):
    press = lambda name: seen.page.get_by_role("button", name=name, exact=True).click()  # noqa: E731
    assert seen.extent == (STEPS, UNITS)
    press("Zoom in on time")
    assert seen.extent == (STEPS // 2, UNITS)
    before = seen.text(".axis")
    press("Earlier")
    press("Earlier")
    assert seen.text(".axis") != before
    press("Later")
    press("Zoom out of time")
    press("Show fewer units")
    assert seen.extent == (STEPS, UNITS // 2)
    press("Units further down")
    press("Units further up")
    press("Show more units")
    assert seen.extent == (STEPS, UNITS)
    press("Show fewer units")
    press("Show everything")
    assert seen.extent == (STEPS, UNITS)


def test_dragging_zooms_into_the_box_and_a_double_click_shows_everything(seen):
    box = seen.map("g").bounding_box()
    mouse = seen.page.mouse
    mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 2)
    mouse.down()
    mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2, steps=3)
    assert seen.ask("!document.querySelector('.zoombox').hidden")
    mouse.up()
    steps, units = seen.extent
    assert abs(steps - STEPS / 4) <= 1
    assert units in (6, 7)
    mouse.dblclick(box["x"] + 60, box["y"] + 30)
    assert seen.extent == (STEPS, UNITS)


def test_the_wheel_zooms_and_moves_with_a_key_and_scrolls_the_page_without(seen):
    box = seen.map("i").bounding_box()
    seen.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    keyboard, mouse = seen.page.keyboard, seen.page.mouse
    keyboard.down("Control")
    mouse.wheel(0, -100)
    keyboard.up("Control")
    seen.until("!document.querySelector('.extent').textContent.startsWith('300 of')")
    zoomed = seen.extent
    assert zoomed[0] < STEPS
    axis = seen.text(".axis")
    keyboard.down("Shift")
    mouse.wheel(0, 200)
    keyboard.up("Shift")
    seen.page.wait_for_timeout(60)
    assert seen.extent == zoomed
    assert seen.text(".axis") != axis
    keyboard.down("Alt")
    mouse.wheel(0, -100)
    keyboard.up("Alt")
    seen.page.wait_for_timeout(60)
    assert seen.extent[1] < UNITS
    mouse.wheel(0, 150)
    seen.until("scrollY > 0")
    seen.ask("scrollTo(0, 0)")


def test_the_strip_with_everything_moves_the_window(seen):
    seen.page.get_by_role("button", name="Zoom in on time", exact=True).click()
    window = seen.page.locator(".overview .window").bounding_box()
    seen.page.mouse.move(window["x"] + window["width"] / 2, window["y"] + 5)
    seen.page.mouse.down()
    seen.page.mouse.move(window["x"] - 900, window["y"] + 5, steps=4)
    seen.page.mouse.up()
    assert seen.page.locator(".overview .window").bounding_box()["x"] < window["x"] - 100
    assert seen.extent[0] == STEPS // 2


def test_everything_can_be_done_with_the_keyboard(seen):
    seen.page.locator(".stack").focus()
    press = seen.page.keyboard.press
    press("Home")
    assert seen.chosen[0] == 0
    press("ArrowRight")
    press("Shift+ArrowRight")
    assert seen.chosen[0] == 1 + STEPS // 10
    press("ArrowLeft")
    press("End")
    assert seen.chosen[0] == STEPS - 1
    unit = seen.chosen[1]
    press("ArrowDown")
    assert seen.chosen[1] != unit
    press("ArrowUp")
    assert seen.chosen[1] == unit
    press("+")
    press("[")
    assert seen.extent == (STEPS // 2, UNITS // 2)
    axis = seen.text(".axis")
    press("PageUp")
    assert seen.text(".axis") != axis
    press("PageDown")
    press("]")
    press("-")
    press("0")
    assert seen.extent == (STEPS, UNITS)


def test_tab_reaches_every_control_in_order(seen):
    seen.ask("document.activeElement.blur(); scrollTo(0, 0)")
    seen.page.mouse.click(5, 5)
    reached = []
    for _ in range(40):
        seen.page.keyboard.press("Tab")
        reached.append(
            seen.ask(
                "(() => { const e = document.activeElement; return e.getAttribute('aria-label')"
                " ?? e.closest('label')?.innerText.split('\\n')[0] ?? e.textContent })()"
            )
        )
    wanted = ["Theme", "Layer", "Units by", "Colours", "Maps", "Zoom in on time", "Show everything",
              "Chosen step", "Step", "Unit", "Step before", "Unit above"]  # fmt: skip
    places = [reached.index(name) for name in wanted]
    assert places == sorted(places)


def test_the_slider_chooses_a_step(seen):
    slider = seen.page.get_by_role("slider", name="Chosen step")
    slider.focus()
    seen.page.keyboard.press("Home")
    seen.page.keyboard.press("ArrowRight")
    assert seen.chosen[0] == 1
    assert slider.get_attribute("aria-valuetext") == "step 1 · 2024-02-26 01:00"


def test_maps_show_changes_and_grow(seen):
    pixels = (
        "(() => { const c = document.querySelectorAll('.map canvas')[1];"
        "return [c.height, c.toDataURL()] })()"
    )
    height, before = seen.ask(pixels)
    seen.page.select_option("label:has-text('Colours') select", "changes")
    assert seen.ask(pixels)[1] != before
    changed = seen.ask(pixels)[1]
    seen.page.select_option("label:has-text('Colours') select", "stretched")
    assert seen.ask(pixels)[1] not in (before, changed)
    seen.page.select_option("label:has-text('Colours') select", "values")
    assert seen.ask(pixels)[1] == before
    seen.page.select_option("label:has-text('Maps') select", "large")
    seen.until(f"document.querySelectorAll('.map canvas')[1].height > {3 * height}")
    seen.page.select_option("label:has-text('Maps') select", "small")


def test_lines_of_a_unit_can_be_switched_off(seen):
    button = seen.page.locator("button.entry").first
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    assert button.get_attribute("aria-pressed") == "true"


def test_the_theme_can_be_chosen(seen):
    ground = "getComputedStyle(document.body).backgroundColor"
    light = seen.ask(ground)
    seen.page.select_option("label:has-text('Theme') select", "dark")
    assert seen.ask(ground) != light
    seen.page.select_option("label:has-text('Theme') select", "light")
    assert seen.ask(ground) == light
    seen.page.select_option("label:has-text('Theme') select", "system")


def test_the_size_of_the_file_and_what_measures_mean_are_said(seen, file):
    words = seen.text("footer .size")
    assert f"{file.stat().st_size / 1000:.3g} kB" in words
    meanings = seen.text(".meanings")
    for name in ("half-life", "saturation", "importance by clamping", "gradient flow"):
        assert name in meanings
    assert seen.ask("document.querySelectorAll('.equations math').length") == 6


def test_a_finger_chooses_and_moves(phone):
    one = phone
    one.page.locator(".map").first.scroll_into_view_if_needed()
    box = one.page.locator(".map").first.bounding_box()
    touch = {"pointerType": "touch", "pointerId": 7, "bubbles": True, "isPrimary": True}
    at = lambda x: {**touch, "clientX": box["x"] + x, "clientY": box["y"] + 20}  # noqa: E731
    fire = (
        "([type, at]) => document.querySelector('.map').dispatchEvent(new PointerEvent(type, at))"
    )
    one.ask("Element.prototype.setPointerCapture = () => {}")
    for _ in range(2):
        one.page.get_by_role("button", name="Zoom in on time", exact=True).click()
    axis = one.text(".axis")
    for kind, x in (("pointerdown", 200), ("pointermove", 240), ("pointerup", 240)):
        one.ask(fire, [kind, at(x)])
    assert one.text(".axis") != axis
    chosen = one.chosen
    for kind in ("pointerdown", "pointerup"):
        one.ask(fire, [kind, at(60)])
    assert one.chosen != chosen
    assert one.complaints == []


def test_hostile_names_are_shown_and_never_run(visit, tmp_path):
    path = explorer.write(small_case(EVIL).view, tmp_path / "evil.html")
    one = visit(path)
    one.page.select_option("label:has-text('Layer') select", "1")
    one.equations()
    assert one.ask("window.pwned") is None
    assert one.complaints == []
    assert one.requests == [one.url]
    assert one.ask("document.querySelectorAll('img, iframe, object, embed').length") == 0
    assert one.ask("document.querySelector('h1').textContent").endswith(EVIL)
    assert one.ask("document.title").endswith(EVIL)
