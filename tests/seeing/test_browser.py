"""seeing/templates/senses.js in a browser: Chromium without a window runs the page and a script that uses it."""

from __future__ import annotations

import json
import re
import sys

import pytest

from spacy_ctx_embed.seeing.senses import draw_senses
from tests.seeing.browser import CHROMIUM, Browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not on this machine"),
    pytest.mark.skipif(sys.platform == "win32", reason="needs pipes that a process inherits"),
]
# Errors are caught from the head on; what the page did is written into its body.
CATCH = """<script>window.faults = [];
addEventListener("error", (e) => faults.push(String(e.message)));
document.addEventListener("securitypolicyviolation", (e) => faults.push(e.violatedDirective));
</script>"""
USE = """<script>(function () {
const one = (s, from) => (from || document).querySelector(s), all = (s) => [...document.querySelectorAll(s)];
const now = () => one("#depth-now").textContent, reading = () => one(".word.on .reading").textContent;
const marks = () => all(".word.on .plot[data-source='2'] .pt").map((p) => p.getAttribute("d")).join();
const lines = () => all(".word.on .list[data-source='2'] .line").map((p) => p.textContent).join();
const seen = {atFirst: now(), shown: all(".word").filter((w) => getComputedStyle(w).display !== "none").length};
seen.points = all(".word.on .plot").map((p) => p.querySelectorAll(".pt").length);
seen.byTab = all(".word.on .plot .pt").every((p) => p.tabIndex === 0 && p.getAttribute("aria-label").length > 9);
const marksBefore = marks(), linesBefore = lines(), depth = one("#depth");
depth.value = 0; depth.dispatchEvent(new Event("input", {bubbles: true}));
seen.slid = now(); seen.moved = marks() !== marksBefore && lines() !== linesBefore;
const points = all(".word.on .plot[data-source='2'] .pt");
points[2].focus(); seen.focused = reading();
points[2].dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true}));
seen.arrow = reading(); seen.active = document.activeElement.dataset.i;
const linesOfFirst = lines();
document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true}));
seen.chosen = lines() !== linesOfFirst; seen.kept = document.activeElement.dataset.i;
seen.cells = all(".word.on .heat[data-source='2'] rect").length;
all(".choose")[1].click(); seen.second = one(".word.on h2 bdi").textContent;
seen.alerts = all("img, iframe, link").length; seen.faults = faults;
const out = document.createElement("output"); out.id = "seen"; out.textContent = JSON.stringify(seen);
document.body.append(out);
})();</script>"""
LINES = [
    ("money", "The bank lent us money ."),
    ("<script>window.faults.push('x')</script>", "<img src=x onerror=faults.push('y')> the bank of the river"),
    ("money", "A bank keeps money ; the river does not"),
    ("river", "The river left its bank ."),
]


def _run(page, profile):
    with Browser(profile) as browser:
        browser.open(page)
        return json.loads(browser.do("document.querySelector('#seen').textContent")), browser.faults


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_slider_points_keys_and_words(three_sources, tmp_path, lang):
    corpus, page = tmp_path / "a.tsv", tmp_path / "a.html"
    corpus.write_text("".join("\t".join(line) + "\n" for line in LINES), encoding="utf8")
    draw_senses(page, ["bank", "river"], corpus=corpus, nlp=three_sources, lang=lang)
    text = page.read_text(encoding="utf8")
    page.write_text(text.replace("<title>", CATCH + "<title>").replace("</body>", USE + "</body>"), encoding="utf8")
    seen, console = _run(page, tmp_path / "profile")
    assert console == [] and seen["faults"] == []
    assert seen["shown"] == 1 and seen["alerts"] == 0
    assert seen["points"] == [1, 4, 4] and seen["byTab"]
    two = [re.findall(r"\d+", part) for part in (seen["atFirst"], seen["slid"])]
    assert two == [["2", "2", "2", "2"], ["0", "2", "0", "2"]]
    assert seen["moved"] and seen["chosen"]
    assert seen["focused"].startswith("A bank keeps money") and seen["arrow"].startswith("The river left its bank")
    assert (seen["active"], seen["kept"]) == ("3", "3")
    assert seen["cells"] == 16
    assert seen["second"] == "river"
