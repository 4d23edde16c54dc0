"""The pages of ``senses`` and ``compare`` by keyboard, in print, and with text that means to break them: Chromium."""

from __future__ import annotations

import base64
import re
import sys

import pytest

from spacy_ctx_embed.seeing.compare import compare, write_page
from spacy_ctx_embed.seeing.senses import draw_senses
from tests.seeing.browser import CHROMIUM, Browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not on this machine"),
    pytest.mark.filterwarnings("ignore:.*CW005"),  # Hebrew is unknown to the tiny model
    pytest.mark.skipif(sys.platform == "win32", reason="needs pipes that a process inherits"),
]
HOSTILE = [
    ("<script>alert(1)</script>", "<script>alert('bank')</script> the bank of <img src=x onerror=alert(2)>"),
    ("\"'&<!--", "\"quotes\" 'too' bank &lt; &amp; --> ]]> </script> </style> {{ 7 * 7 }}"),
    (
        "\u05e0\u05d4\u05e8",
        "\u05d9\u05e9\u05d1\u05e0\u05d5 \u202e bank \u202d \u05e2\u05dc \u05d2\u05d3\u05ea \u05d4\u05e0\u05d4\u05e8",
    ),
    ("x" * 1000, "x" * 1000 + " bank " + "y" * 1000 + " river"),
    ("money", "The bank lent us money ; the river did not"),
]
LANGUAGES = pytest.mark.parametrize("lang", ["en", "zh"])
TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
ACTIVE = (
    "(() => { const a = document.activeElement; return a.id || a.className.baseVal || a.className || a.tagName })()"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One for all tests."""
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def senses(browser, three_sources, tmp_path):
    """Opens a page of two words with hostile sentences and senses."""

    def draw(lang):
        corpus, page = tmp_path / "<i>.tsv", tmp_path / "a.html"
        corpus.write_text("".join("\t".join(line) + "\n" for line in HOSTILE), encoding="utf8")
        draw_senses(page, ["bank", "river"], corpus=corpus, nlp=three_sources, lang=lang)
        browser.faults.clear()
        browser.open(page)

    return draw


def _depth(browser):
    return browser.do("document.querySelector('#depth').value")


def _marks(browser):
    return browser.do("[...document.querySelectorAll('.word.on .pt')].map((p) => p.getAttribute('d')).join()")


def _focused_use(browser):
    return browser.do("document.activeElement.getAttribute('aria-label')")


@LANGUAGES
def test_slider_points_and_words_work_by_keyboard_alone(senses, browser, lang):
    senses(lang)
    browser.press("Tab")
    assert browser.do(ACTIVE) == "choose"
    browser.press("Tab", "Tab")
    assert browser.do(ACTIVE) == "depth"
    before = _marks(browser)
    browser.press("Home")
    assert _depth(browser) == "0" and _marks(browser) != before
    browser.press("ArrowRight", "ArrowRight")
    assert _depth(browser) == "2" and _marks(browser) == before
    browser.press("Tab", "Tab")  # past the one point of the static source
    first = _focused_use(browser)
    assert browser.do(ACTIVE).startswith("pt")
    browser.press("ArrowRight")
    second = _focused_use(browser)
    assert second != first and len(second) > 10
    outlined = "getComputedStyle(document.activeElement).strokeWidth"
    assert browser.do(outlined) == "8px"
    lists = "[...document.querySelectorAll('.word.on .lines')].map((p) => p.textContent).join()"
    nearest = browser.do(lists)
    for key in (" ", "Enter"):
        browser.press(key)
        assert browser.do(lists) != nearest and _focused_use(browser) == second
        browser.press("ArrowRight")
        nearest, second = browser.do(lists), _focused_use(browser)
    browser.do("document.querySelectorAll('.choose')[1].focus()")
    browser.press("Enter")
    assert browser.do("document.querySelector('.word.on h2 bdi').textContent") == "river"
    hidden = "document.querySelectorAll('section.word')[0].querySelectorAll('.pt')[5]"  # the fifth use; river has two
    browser.do(
        f"{hidden}.dispatchEvent(new FocusEvent('focusin', {{bubbles: true}}))"
    )  # as a window does that comes up
    assert browser.faults == []


@LANGUAGES
def test_the_page_of_senses_is_whole_in_print(senses, browser, lang):
    senses(lang)
    browser.call("Emulation.setEmulatedMedia", media="print")
    browser.call("Emulation.setDeviceMetricsOverride", width=718, height=1047, deviceScaleFactor=1, mobile=False)
    hidden = "[...document.querySelectorAll('nav, .control')].every((e) => getComputedStyle(e).display === 'none')"
    pictures = (
        "[...document.querySelectorAll('.word.on svg')].filter((s) => s.getBoundingClientRect().width > 100).length"
    )
    try:
        assert browser.do(hidden) and not browser.do(TOO_WIDE)
        assert browser.do(pictures) == 5  # three planes, two matrices
        assert not browser.do("getComputedStyle(document.querySelector('.word.on .uses')).display === 'none'")
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")
        browser.call("Emulation.clearDeviceMetricsOverride")
    printed = base64.b64decode(browser.call("Page.printToPDF", printBackground=True)["data"])
    assert printed.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", printed)) > 1
    assert browser.faults == []


@LANGUAGES
@pytest.mark.parametrize("width", [1280, 360])
def test_hostile_text_is_text_on_the_page_of_senses(senses, browser, lang, width):
    senses(lang)
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
    try:
        assert not browser.do(TOO_WIDE)
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")
    shown = browser.do("document.body.textContent")
    assert HOSTILE[0][1] in shown and "{{ 7 * 7 }}" in shown
    legend = browser.do("[...document.querySelectorAll('.word.on .legend bdi')].map((b) => b.textContent)")
    assert legend == [sense for sense, _ in HOSTILE]
    assert browser.do("document.querySelectorAll('img, iframe, link').length") == 0
    assert browser.do("getComputedStyle(document.querySelectorAll('.uses li')[2]).direction") == "rtl"
    assert browser.faults == []


@LANGUAGES
@pytest.mark.parametrize("text", [sentence for _, sentence in HOSTILE])
def test_the_page_of_compare_shows_any_text_and_prints(browser, three_sources, tmp_path, lang, text):
    page = tmp_path / "a.html"
    pictures = compare(three_sources, text)
    write_page(pictures, text, page, lang)
    browser.faults.clear()
    browser.open(page)
    assert browser.do("document.querySelector('blockquote').textContent") == text
    assert browser.do("document.querySelectorAll('script, img, iframe, link').length") == 0
    assert browser.do("document.querySelectorAll('svg').length") == 3
    for width in (1280, 360):
        browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
        wide = browser.do(TOO_WIDE)
        browser.call("Emulation.clearDeviceMetricsOverride")
        assert not wide
    browser.call("Emulation.setEmulatedMedia", media="print")
    fits = browser.do(
        "[...document.querySelectorAll('svg')].every((s) => s.getBoundingClientRect().right <= innerWidth)"
    )
    browser.call("Emulation.setEmulatedMedia", media="")
    assert fits
    assert base64.b64decode(browser.call("Page.printToPDF")["data"]).startswith(b"%PDF")
    assert browser.faults == []
