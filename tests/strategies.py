"""Hypothesis generators: awkward texts, tokenisations that no tokenizer would make, windows."""

from __future__ import annotations

from typing import List, Tuple

from hypothesis import strategies as st

AWKWARD = [
    *["😀", "👩‍👩‍👧‍👦", "🇩🇪", "e\u0301", "a\u0308\u0323", "שלום", "مرحبا", "你好世界", "日本語テキスト"],
    *["\x00", "\x07", "\u00a0", "\t", "\n\n", "\u200b", "\ufeff", "\u2028"],
    *[
        "https://example.org/a?b=c&d=%20#e",
        "x" * 1000,
        "ﬁ",
        "ǅ",
        "İstanbul",
        "ß",
        "I've",
        "don't",
        "$1,234.56",
        "½",
        "①",
    ],
    *["the", "bank", "of", "river"],
]

words = st.one_of(
    st.sampled_from(AWKWARD),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
)


@st.composite
def tokenised(draw: st.DrawFn) -> Tuple[List[str], List[bool]]:
    """Words and spaces for ``Doc(vocab, words=…, spaces=…)``; words may be anything but empty."""
    chosen = draw(st.lists(words, max_size=12))
    spaces = draw(st.lists(st.booleans(), min_size=len(chosen), max_size=len(chosen)))
    return chosen, spaces


@st.composite
def ranges(draw: st.DrawFn, max_size: int = 12) -> Tuple[List[int], List[int], int]:
    """Starts and ends of non-overlapping, non-empty half-open ranges in order, and the length of the text."""
    starts, ends, position = [], [], 0
    for gap, length in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5)), max_size=max_size)):
        starts.append(position + gap)
        position += gap + length
        ends.append(position)
    return starts, ends, position + draw(st.integers(0, 2))
