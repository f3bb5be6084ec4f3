"""The lesson in a real browser: every control, and the numbers that it computes there."""

import json
import re
from itertools import pairwise

import pytest
import torch

import browsers
import gated
from gated.inspect.lesson import write_lesson
from gated.inspect.lesson.grammar import FAMOUS
from gated.inspect.lesson.sentiment import trained

pytestmark = browsers.MARKS

PHONE = {"width": 360, "height": 740}
WIDE = {"width": 1280, "height": 800}
HUGE = {"width": 2560, "height": 1440}
WORDS = ["This", "movie", "is", "good"]
X = [[0.5, -0.1], [0.3, 0.8], [0.1, -0.2], [0.9, 0.7]]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return write_lesson(tmp_path_factory.mktemp("lesson") / "lesson.html").as_uri()


@pytest.fixture(scope="module")
def visit(browser, address):
    """Opens the lesson; what it says on the console and asks for is kept."""
    contexts = []

    def go(viewport=WIDE, scheme="light"):
        context = browser.new_context(
            viewport=viewport, color_scheme=scheme, is_mobile=viewport is PHONE,
            reduced_motion="reduce",
        )  # fmt: skip
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.heard, page.asked = [], []
        page.on("console", lambda message: page.heard.append(message.text))
        page.on("pageerror", lambda error: page.heard.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(address)
        return page

    yield go
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def open_page(visit):
    return visit()


@pytest.fixture
def lesson(open_page):
    """`lesson("step-2")`: the one open page, at a screen; with `anew`, loaded again."""

    def at(screen, anew=False):
        turn(open_page, screen)
        if anew:
            open_page.reload()
        return open_page

    yield at
    assert open_page.heard == []


def turn(page, screen: str) -> None:
    page.evaluate(f"location.hash = '#{screen}'")
    page.locator(f'main[data-screen="#{screen}"]').wait_for()


def number(text: str) -> float:
    """A number as the page writes it: 0.125, −3, 1.2·10⁻⁴, 10 000."""
    plain = text.replace("−", "-").replace("\u202f", "").replace("%", "").strip()
    digits, _, power = plain.partition("·10")
    raised = power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    return float(digits) * 10 ** int(raised or 0)


def shown(page, selector: str) -> float:
    return number(page.locator(selector).first.inner_text())


def slide(page, label: str, value: float) -> None:
    page.get_by_label(label, exact=True).fill(str(value))


def worked(weight=0.5, bias=0.0, xs=X):
    """The example in float64 by hand: the values of all steps, and both gradients of c4."""
    h = c = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    rows, memories = [], []
    for x in torch.tensor(xs, dtype=torch.float64):
        z = weight * (x.sum() + h.sum()) * torch.ones(2, dtype=torch.float64)
        i, f, g, o = z.sigmoid(), (z + bias).sigmoid(), z.tanh(), z.sigmoid()
        c = f * c + i * g
        c.retain_grad()
        h = o * c.tanh()
        memories.append(c)
        rows.append({"i": i, "f": f, "g": g, "o": o, "c": c, "h": h})
    memories[-1].sum().backward()
    values = [{name: float(v[0].detach()) for name, v in row.items()} for row in rows]
    f = [row["f"] for row in values]
    direct = [f[1] * f[2] * f[3], f[2] * f[3], f[3], 1.0]
    return values, direct, [float(m.grad[0]) for m in memories]


# -- the frame


def test_all_screens_load_without_a_complaint_and_a_phone_need_not_scroll_sideways(visit):
    page = visit(PHONE)
    wide = []
    while True:
        if page.evaluate("document.documentElement.scrollWidth") > PHONE["width"]:
            wide.append(page.evaluate("location.hash"))
        if not page.get_by_role("button", name="Next →").is_enabled():
            break
        page.get_by_role("button", name="Next →").click()
    assert page.evaluate("location.hash") == "#quiz-6"
    assert wide == []
    assert page.heard == []
    assert [url for url in page.asked if not url.startswith("file:")] == []


def test_on_a_projector_type_is_large_and_nothing_leaves_the_screen(visit):
    page = visit(HUGE)
    page.keyboard.press("p")
    for screen in ("forget-2", "step-2", "sentence-2"):
        turn(page, screen)
        assert page.evaluate("document.documentElement.scrollWidth") <= HUGE["width"]
    assert page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") > 30


def test_keys_turn_pages_and_the_address_keeps_the_place(lesson):
    page = lesson("start")
    for key in ("ArrowRight", "PageDown", "ArrowRight"):
        page.keyboard.press(key)
    assert page.evaluate("location.hash") == "#forget-3"
    page.keyboard.press("ArrowLeft")
    page.reload()
    assert page.locator("h1").inner_text() == "Two units: the eigenvalues decide in the long run"
    assert page.locator("[aria-current=step]").inner_text().startswith("1")


def test_keys_of_a_slider_do_not_turn_pages(lesson):
    page = lesson("forget")
    slide(page, "the weight U", 0.5)
    page.get_by_label("the weight U").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("location.hash") == "#forget"
    assert shown(page, ".slider output") == 0.55


def test_type_grows_for_a_projector_and_the_theme_turns(lesson):
    page = lesson("forget")
    size = "parseFloat(getComputedStyle(document.documentElement).fontSize)"
    ground = "getComputedStyle(document.body).backgroundColor"
    small, light = page.evaluate(size), page.evaluate(ground)
    page.keyboard.press("p")
    page.keyboard.press("t")
    assert page.evaluate(size) > 1.2 * small
    assert page.evaluate(ground) != light
    assert page.get_by_label("Large type").is_checked()
    assert page.get_by_label("Theme").input_value() == "dark"
    page.get_by_label("Large type").uncheck()
    page.get_by_label("Theme").select_option("light")
    assert (page.evaluate(size), page.evaluate(ground)) == (small, light)


def test_the_contents_lead_to_every_chapter(lesson):
    page = lesson("start")
    links = page.locator(".contents a").evaluate_all("all => all.map(a => a.hash)")
    assert len(links) == 9
    for link in links:
        page.locator(f"nav a[href='{link}']").click()
        page.locator(f"nav [aria-current=step][href='{link}']").wait_for()


# -- why an RNN forgets


def test_one_weight_to_the_power_of_the_steps(lesson):
    page = lesson("forget")
    slide(page, "the weight U", 0.5)
    assert shown(page, "[data-testid=cubed]") == 0.125
    slide(page, "the weight U", 0.9)
    assert shown(page, "[data-testid=cubed]") == pytest.approx(0.9**3, abs=5e-4)
    slide(page, "the weight U", 1.2)
    boxes = page.locator(".bars .end").evaluate_all("a => a.map(e => e.getBoundingClientRect())")
    assert all(a["bottom"] <= b["top"] for a, b in pairwise(boxes))


@pytest.mark.parametrize("matrix", [[[0.7, -0.5], [0.5, 0.7]], [[1.2, 0.4], [-0.3, 0.8]]])
def test_eigenvalues_and_gradient_of_the_rnn_are_those_of_torch(lesson, matrix):
    page = lesson("forget-2")
    for row in (1, 2):
        for column in (1, 2):
            slide(page, f"U, row {row}, column {column}", matrix[row - 1][column - 1])
    u = torch.tensor(matrix, dtype=torch.float64)
    h = start = torch.tensor([0.1, 0.05], dtype=torch.float64)

    def ahead(h):
        states = [h]
        for _ in range(60):
            states.append(torch.tanh(u @ states[-1]))
        return torch.stack(states)

    jacobians = torch.autograd.functional.jacobian(ahead, start)
    norms = torch.linalg.matrix_norm(jacobians, 2)
    expected = float(norms[-1])
    radius = float(torch.linalg.eigvals(u).abs().max())
    assert h is start
    assert shown(page, "[data-testid=radius]") == pytest.approx(radius, abs=5e-4)
    assert shown(page, "[data-testid=gradient]") == pytest.approx(expected, rel=0.06)
    assert shown(page, "[data-testid=peak]") == pytest.approx(float(norms.max()), rel=5e-3)


def test_examples_of_matrices_set_the_sliders(lesson):
    page = lesson("forget-2")
    page.get_by_role("button", name="turns and keeps").click()
    assert shown(page, "[data-testid=radius]") == 1
    page.get_by_role("button", name="fades", exact=True).click()
    assert page.get_by_label("U, row 1, column 1").input_value() == "0.5"


# -- one layer against four


def test_a_part_of_the_module_is_explained_and_lit(lesson):
    page = lesson("module-2")
    for name, word in {"i": "written", "o": "shown", "c": "thick line"}.items():
        page.get_by_role("button", name=re.compile(f"^{name} the")).click()
        assert word in page.get_by_test_id("part").inner_text()
        assert page.locator(f".chart g.vertex.lit[data-name='{name}']").count() > 0
    page.locator(".chart g.vertex.gate[data-name='f']").click()
    assert "memory stays" in page.get_by_test_id("part").inner_text()


# -- the worked example


def test_the_table_of_the_worked_example_appears(lesson):
    page = lesson("step", anew=True)
    printed = [(0.108, 0.059), (0.422, 0.258), (0.346, 0.184), (0.802, 0.483)]
    for t, (c, h) in enumerate(printed, 1):
        assert shown(page, f"[data-value=c{t}]") == pytest.approx(c, abs=1.5e-3)
        assert shown(page, f"[data-value=h{t}]") == pytest.approx(h, abs=1.5e-3)
    assert shown(page, "[data-value=f4]") == pytest.approx(0.7279, abs=6e-4)


def test_every_number_of_a_step_is_written_into_its_equation(lesson):
    page = lesson("step")
    values, _, _ = worked()
    page.get_by_role("button", name="word →").click()
    for t in (1, 2, 3):
        page.get_by_role("button", name=WORDS[t], exact=True).click()
        for name, value in values[t].items():
            line = page.locator(f"[data-equation={name}]")
            result = line.locator(".filled").first.text_content().rsplit("=", 1)[1]
            assert number(result) == pytest.approx(value, abs=6e-4)
            assert f"{value:.3f}" in line.locator(".says").inner_text()
    page.get_by_role("button", name="← word").click()
    assert page.locator("tr.now th").inner_text() == "is"


@pytest.mark.parametrize("viewport", [PHONE, WIDE], ids=["phone", "wide"])
def test_no_result_no_column_and_no_name_is_cut_off(visit, viewport):
    page = visit(viewport)
    turn(page, "step")
    page.get_by_role("button", name="good", exact=True).click()
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    frames = "a => a.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"
    assert page.locator(".scroll").count() > 20
    assert page.locator(".scroll").evaluate_all(frames) == []
    turn(page, "claims")  # curves are named where they end, on a phone by a number
    legend = page.locator("figcaption").first
    assert legend.is_visible() == (viewport is PHONE)
    assert "8 1.5^k" in legend.text_content()


def test_sliders_move_the_numbers_as_torch_computes_them(lesson):
    page = lesson("step-2")
    slide(page, "all weights", -0.8)
    slide(page, "bias of the forget gate", 1.5)
    slide(page, "input 2 at the word movie", -0.6)
    changed = [X[0], [0.3, -0.6], *X[2:]]
    values, direct, total = worked(-0.8, 1.5, changed)
    for t, row in enumerate(values, 1):
        for name, value in row.items():
            digits = 4 if name in "ch" else 3
            assert shown(page, f"[data-value={name}{t}]") == pytest.approx(
                value, abs=6 / 10 ** (digits + 1)
            )
    turn(page, "gradient-2")
    for t in (1, 2, 3):
        page.locator(f"[data-total='{t}']").wait_for()
        assert shown(page, f"[data-total='{t}']") == pytest.approx(total[t - 1], abs=6e-5)
    page.get_by_role("button", name="Set all back").click()
    assert shown(page, "[data-total='3']") == pytest.approx(0.9886, abs=1e-4)
    turn(page, "gradient")
    page.locator("[data-direct='1']").wait_for()
    assert direct[0] != pytest.approx(0.260, abs=1e-2)
    assert shown(page, "[data-direct='1']") == pytest.approx(0.260, abs=1.5e-3)


# -- the gradient


def test_both_gradients_of_the_worked_example_appear(lesson):
    page = lesson("gradient", anew=True)
    for t, expected in {3: 0.728, 2: 0.402, 1: 0.260}.items():
        assert shown(page, f"[data-direct='{t}']") == pytest.approx(expected, abs=1.5e-3)
    page = lesson("gradient-2")
    for t, expected in {3: 0.9886, 2: 0.9378, 1: 0.9515}.items():
        assert shown(page, f"[data-total='{t}']") == pytest.approx(expected, abs=1.5e-3)
    assert worked()[2][:3] == pytest.approx([0.9515, 0.9378, 0.9886], abs=1e-4)
    slide(page, "all weights", 0.8)  # as the page bids
    assert shown(page, "[data-total='1']") == pytest.approx(worked(0.8)[2][0], abs=1e-4)
    assert max(worked(0.8)[2]) > 1
    page.get_by_role("button", name="Set all back").click()
    page = lesson("gradient-3")
    assert shown(page, "[data-testid=eighth]") == 0.125
    for units, name in {1: "one", 2: "two"}.items():
        first = h = torch.tanh(
            torch.full((units,), 0.5 * sum(X[0]), dtype=torch.float64)
        ).requires_grad_()
        for x in X[1:]:
            h = torch.tanh(0.5 * (sum(x) + h.sum()) * torch.ones(units, dtype=torch.float64))
        (grad,) = torch.autograd.grad(h.sum(), first)
        assert shown(page, f"[data-testid={name}]") == pytest.approx(float(grad[0]), abs=6e-4)


# -- counts and variants


@pytest.mark.parametrize(("d", "h"), [(3, 5), (10, 20), (64, 1)])
def test_weights_are_counted_as_the_cells_count_them(lesson, d, h):
    page = lesson("matrices")
    slide(page, "D, the input size", d)
    slide(page, "H, the number of units", h)
    for name in ("rnn", "gru", "lstm"):
        assert shown(page, f"[data-weights={name}]") == gated.cell(name).parameter_count(d, h)
    assert shown(page, "[data-count=lstm]") == 4 * (h * d + h * h + h)


def test_two_cells_stand_side_by_side_and_differing_equations_are_marked(lesson):
    page = lesson("variants")
    page.get_by_label("Left").select_option("peephole")
    page.get_by_label("Right").select_option("cifg")
    marks = "[data-testid=right] li.differs math"
    assert page.locator("[data-testid=left] li.differs").count() == 1
    assert page.locator(marks).count() == 1
    assert "".join(page.locator(marks).text_content().split()).startswith("ft=1")
    assert page.locator("#flow-cifg-title").count() == page.locator("#flow-peephole-title").count()
    page.get_by_role("button", name="rnn · lstm").click()
    assert page.get_by_label("Left").input_value() == "rnn"
    assert page.locator("[data-testid=right] li").count() == 6
    options = page.get_by_label("Right").locator("option").evaluate_all("a => a.map(o => o.value)")
    assert set(options) == set(gated.cells())


# -- the sentence


def praise(text: str) -> float:
    with torch.no_grad():
        return float(trained().verdicts([text]).sigmoid())


def verdict(page) -> float:
    return shown(page, "[data-testid=verdict]") / 100


def test_the_sentence_is_read_as_the_trained_model_reads_it(lesson):
    page = lesson("sentence", anew=True)
    words = FAMOUS.split()
    assert verdict(page) == pytest.approx(praise(FAMOUS), abs=0.006)
    after = page.locator(".columns button > span:nth-child(2)").all_inner_texts()
    for k, one in enumerate(after, 1):
        assert number(one) / 100 == pytest.approx(praise(" ".join(words[:k])), abs=0.006)


def test_where_most_is_forgotten_there_was_something_to_forget(lesson):
    page = lesson("sentence", anew=True)
    model = trained()
    with torch.no_grad():
        read = model.embedding(torch.tensor([model.indices(FAMOUS)]))
        _, _, trace = model.lstm(read, trace=True)
    lost = ((1 - trace["f"][0, 1:]) * trace["c"][0, :-1].abs()).sum(-1)
    assert page.get_by_test_id("forgotten").inner_text() == FAMOUS.split()[int(lost.argmax()) + 1]
    assert shown(page, "[data-testid=lost]") == pytest.approx(float(lost.max()), abs=6e-3)


def test_a_gate_that_is_fixed_changes_the_verdict_as_torch_computes(lesson):
    page = lesson("sentence")
    model = trained().double().requires_grad_(False)
    w, u = model.lstm.weight_ih_l0, model.lstm.weight_hh_l0
    b = model.lstm.bias_ih_l0 + model.lstm.bias_hh_l0
    for label, fixed in {"f always 0": ("f", 0), "f always 1": ("f", 1), "i always 1": ("i", 1),
                         "o always 1": ("o", 1)}.items():  # fmt: skip
        page.get_by_role("button", name=label).click()
        h = c = torch.zeros(8, dtype=torch.float64)
        for x in model.embedding(torch.tensor(model.indices(FAMOUS))):
            i, f, g, o = (w @ x + u @ h + b).chunk(4)
            gate = {"i": i.sigmoid(), "f": f.sigmoid(), "o": o.sigmoid()}
            gate[fixed[0]] = torch.full((8,), float(fixed[1]), dtype=torch.float64)
            c = gate["f"] * c + gate["i"] * g.tanh()
            h = gate["o"] * c.tanh()
        assert verdict(page) == pytest.approx(float(model.readout(h).sigmoid()), abs=0.006)
    page.get_by_role("button", name="as trained").click()
    assert verdict(page) > 0.9


def test_a_sentence_of_ones_own_by_typing_and_by_pressing_words(lesson):
    page = lesson("sentence-2")
    page.get_by_label("Sentence", exact=True).fill("The film was hardly GOOD, popcorn")
    assert verdict(page) == pytest.approx(praise("the film was hardly good"), abs=0.006)
    assert "“popcorn”" in page.get_by_test_id("unknown").inner_text()
    page.get_by_role("button", name="Clear").click()
    assert page.get_by_role("status").inner_text() == "Write a word."
    page.get_by_label("Sentence", exact=True).fill("popcorn")
    assert "None of these words" in page.get_by_role("status").inner_text()
    page.get_by_role("button", name="Clear").click()
    page.locator("summary", has_text="words that it knows").click()
    for word in ("very", "dull", "but"):
        page.locator(".vocabulary button", has_text=re.compile(f"^{word}$")).click()
    page.get_by_role("button", name="Remove last").click()
    assert page.get_by_label("Sentence", exact=True).input_value() == "very dull"
    assert verdict(page) == pytest.approx(praise("very dull"), abs=0.006)
    page.get_by_role("button", name="never boring").click()
    assert verdict(page) == pytest.approx(praise("never boring"), abs=0.006)


def test_all_numbers_of_a_word_can_be_read(lesson):
    page = lesson("sentence", anew=True)
    page.locator(".columns button", has_text="boring").click()
    page.locator("summary").click()
    model = trained()
    _, _, trace = model.lstm(
        model.embedding(torch.tensor([model.indices("not at all boring")])), trace=True
    )
    cells = page.locator("details td").all_inner_texts()
    expected = torch.stack([trace[name][0, -1] for name in "fiogch"], 1).flatten()
    assert [number(cell) for cell in cells] == pytest.approx(expected.tolist(), abs=0.006)


# -- claims and questions


def test_each_claim_has_its_finding_and_its_chart(lesson):
    for screen in ("claims", "claims-2", "claims-3"):
        page = lesson(screen)
        assert page.get_by_test_id("finding").inner_text().startswith(("No: ", "Neither: "))
        assert page.locator(".curves canvas").count() >= 1
        page.locator("summary").click()
        assert page.locator("details li").count() >= 3


def test_questions_explain_each_answer_and_count_the_first_try(lesson):
    page = lesson("quiz", anew=True)
    right = 0
    for k in range(5):
        options = page.locator("fieldset input")
        said = []
        for n in range(options.count()):
            options.nth(n).check()
            said.append(page.get_by_test_id("answer").inner_text())
        assert sum(text.startswith("Yes.") for text in said) == 1
        assert sum(text.startswith("Not quite.") for text in said) == len(said) - 1
        assert all(len(text) > 40 for text in said)
        right += said[0].startswith("Yes.")
        page.get_by_role("button", name="Next →").click()
        page.locator("h1", has_text=f"Question {k + 2}" if k < 4 else "Done").wait_for()
    assert f"{right} of 5 right" in page.get_by_test_id("score").inner_text()


def test_a_question_is_answered_with_the_keyboard_alone(lesson):
    page = lesson("quiz-2")
    page.locator("fieldset input").first.focus()
    page.keyboard.press("Space")
    assert page.get_by_test_id("answer").inner_text().startswith("Yes.")
    page.keyboard.press("ArrowDown")
    assert page.get_by_test_id("answer").inner_text().startswith("Not quite.")
    assert page.evaluate("location.hash") == "#quiz-2"


# -- for everybody


# one of each kind: those left out hold the same parts with other words
KINDS = ("start", "forget-2", "module-2", "step-2", "gradient-2", "matrices", "variants",
         "sentence-2", "claims", "quiz")  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_screen_has_a_serious_fault_of_accessibility(visit, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = visit(WIDE, scheme)
    page.evaluate(Axe().axe_script)
    options = {"resultTypes": ["violations"]}
    if scheme == "dark":  # all but colours is the same
        options["runOnly"] = ["color-contrast"]
    found = []
    for screen in KINDS if scheme == "light" else KINDS[1::3]:
        turn(page, screen)
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        if screen == "quiz":
            page.locator("fieldset input").first.check()
        result = page.evaluate(f"axe.run(document, {json.dumps(options)})")
        found += [
            (screen, one["id"], one["nodes"][0]["html"][:200])
            for one in result["violations"]
            if one["impact"] in ("serious", "critical")
        ]
    assert found == []
