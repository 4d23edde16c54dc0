"""A picture of the cosines of all tokens with all tokens, as SVG: what a notebook shows for ``doc._.embeddings``.

Enters: words and their rows. Leaves: SVG text that stands for itself, each cell with its two words and their cosine.
"""

from __future__ import annotations

from html import escape
from typing import List, Sequence
from unicodedata import east_asian_width

import numpy as np

from spacy_ctx_embed.rows.unit import unit_rows

_CELL, _LABEL = 16, 14  # pixels; characters of a word
_NARROW, _WIDE = 7, 12  # pixels of a character at most, on the average of a word
POSITIVE, NEGATIVE = "#1f4e8c", "#b3541e"


def cosines(rows: np.ndarray) -> np.ndarray:
    """Compare all rows with all rows.

    :param rows: ``(n, width)``.
    :return: ``(n, n)`` cosines, 0 where a row is zero.
    """
    unit = unit_rows(rows)
    return np.asarray(np.clip(unit @ unit.T, -1, 1))


def heat_map(words: Sequence[str], rows: np.ndarray, title: str) -> str:
    """Draw the cosines of tokens.

    :param words: ``n_tokens`` words, of any length and script.
    :param rows: ``(n_tokens, width)``; a token without a vector has zeros, and no cells.
    :param title: what the picture is of, for those who can't see it too.
    :return: an ``svg`` element.
    """
    found, known = cosines(rows), np.flatnonzero(rows.any(axis=1)).tolist()
    title = _printable(title)
    texts = [_label(word) for word in words]
    margin = 8 + max(map(_width, texts), default=0)
    labels = list(map(escape, texts))
    size = margin + _CELL * len(words)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" width="{size}" role="img" '
        f'aria-label="{escape(title)}" font-family="sans-serif" font-size="11"><title>{escape(title)}</title>'
    ]
    for i, label in enumerate(labels):
        middle = margin + _CELL * i + 12
        parts.append(f'<text x="{margin - 4}" y="{middle}" text-anchor="end">{label}</text>')
        parts.append(f'<text transform="translate({middle},{margin - 4}) rotate(-90)">{label}</text>')
    parts += _cells(labels, found, known, margin)
    return "".join([*parts, "</svg>"])


def _cells(labels: List[str], found: np.ndarray, known: List[int], margin: int) -> List[str]:
    cells = []
    for i in known:
        for j in known:
            value = float(found[i, j])
            colour = POSITIVE if value >= 0 else NEGATIVE
            x, y = margin + _CELL * j, margin + _CELL * i
            cells.append(
                f'<rect x="{x}" y="{y}" width="{_CELL - 1}" height="{_CELL - 1}" fill="{colour}" '
                f'fill-opacity="{abs(value):.2f}"><title>{labels[i]} – {labels[j]}: {value:.2f}</title></rect>'
            )
    return cells


def _label(word: str) -> str:
    # No line break, nothing that turns the direction of what follows, and not longer than its place.
    shown = _printable(word[: _LABEL + 1]).strip() or "␣"
    return shown if len(shown) <= _LABEL else shown[: _LABEL - 1] + "…"


def _width(label: str) -> int:
    return sum(_WIDE if east_asian_width(character) in "WF" else _NARROW for character in label)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
