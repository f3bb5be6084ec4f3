"""`gated demonstrate`: lists what can be tested, runs it, prints it for people and programs."""

import json
import subprocess
import sys

from gated.inspect import demonstrations


def test_without_a_name_each_is_listed_with_its_answer(gated):
    shown = gated("demonstrate")
    said = " ".join(shown.out.split())
    assert shown.code == 0
    for name in demonstrations.names():
        assert f"\n{name} " in f"\n{shown.out}"
        assert demonstrations.text(name).answer in said


def test_listing_needs_no_pytorch():
    code = "import sys; from gated.cli import main; main(['demonstrate']); "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_one_is_printed_with_claim_tables_findings_and_verdict(gated):
    shown = gated("demonstrate", "growth")
    said = " ".join(shown.out.split())
    assert shown.code == 0
    assert "claim tanh keeps the cell in ±1." in said
    assert "With f = 1 the cell state is 50 after 50 steps" in said
    assert "after 50 steps: f c h 1 / (1 − f) 1.00 50.00 1.000 ∞" in said
    assert said.endswith(demonstrations.text("growth").answer)


def test_json_holds_the_numbers_and_the_curves(gated):
    content = json.loads(gated("demonstrate", "growth", "--json").out)
    line = content["curves"][0]["lines"]["f = 1"]
    assert content["holds"]
    assert content["numbers"]["c"] == 50
    assert (line["x"], line["y"]) == (list(range(1, 51)), list(range(1, 51)))
    assert content["tables"][0]["rows"][0] == [1, 50, 1, None]  # no number is infinite in JSON


def test_the_list_as_json(gated):
    content = json.loads(gated("demonstrate", "--json").out)
    assert [one["name"] for one in content["demonstrations"]] == demonstrations.names()


def test_all_are_run(gated, monkeypatch):
    ran, growth = [], demonstrations.demonstrate("growth", steps=3)
    monkeypatch.setattr(demonstrations, "demonstrate", lambda name: ran.append(name) or growth)
    content = json.loads(gated("demonstrate", "all", "--json").out)
    assert ran == demonstrations.names()
    assert len(content["demonstrations"]) == len(ran)


def test_a_wrong_name_leads_to_the_right_one(gated):
    shown = gated("demonstrate", "vanishng")
    assert (shown.code, shown.out) == (2, "")
    assert "did you mean 'vanishing'" in shown.line


def test_a_page_is_written(gated, tmp_path):
    shown = gated("demonstrate", "growth", "--page", tmp_path / "growth.html")
    assert shown.code == 0
    assert shown.out.endswith(f"wrote {tmp_path / 'growth.html'}\n")
    assert "tanh keeps the cell in ±1." in (tmp_path / "growth.html").read_text("utf-8")


def test_a_page_without_a_name_or_a_place_is_refused_at_once(gated, tmp_path):
    nothing = gated("demonstrate", "--page", tmp_path / "x.html")
    nowhere = gated("demonstrate", "vanishing", "--page", tmp_path / "no" / "x.html")
    assert (nothing.code, nothing.out, nowhere.code, nowhere.out) == (2, "", 2, "")
    assert "gated demonstrate NAME --page FILE" in nothing.line
    assert f"there is no directory {tmp_path / 'no'}" in nowhere.line
