"""The page of senses as one HTML file: styles, drawings and data inside, nothing fetched.

Enters: what was measured. Leaves: a file. Text of the corpus stands in the HTML, where the template engine escapes it;
labels and numbers that the script reads are JSON without the characters that could end its element.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Sequence

from spacy_ctx_embed.seeing.page import write_template
from spacy_ctx_embed.seeing.senses_corrected import Corrected
from spacy_ctx_embed.seeing.senses_data import SHADES, SIDE, WordView
from spacy_ctx_embed.seeing.senses_text import TEXTS

LANGUAGES = tuple(TEXTS)
_FOR_SCRIPT = (
    "use",
    "layer",
    "of",
    "sense",
    "cluster",
    "unlabelled",
    "alike",
    "only_one",
    "layer_one",
    "range",
    "range_to",
)


def write_page(
    output: Path,
    views: Sequence[WordView],
    *,
    missing: Sequence[str],
    corpus: str,
    limit: int,
    lang: str,
    corrected: Sequence[Corrected] = (),
    projection: str = "pca",
) -> None:
    """Write the page.

    :param output: the file.
    :param views: the words, at least one.
    :param missing: words that do not occur, for a line that says so.
    :param corpus: what to call the corpus.
    :param limit: uses of a word at most, for the same.
    :param lang: "en" or "zh".
    :param corrected: the sources that are corrected, for a line each.
    :param projection: of the planes, "pca" or "umap".
    """
    text = TEXTS[lang]
    data = {"words": [view.payload for view in views], "side": SIDE, "shades": SHADES}
    data["text"] = {key: text[key] for key in _FOR_SCRIPT}
    values = {"views": views, "missing": missing, "corpus": corpus, "limit": limit, "corrected": corrected}
    values["projection"] = projection
    write_template(output, "senses.html", t=text, data=_Json(data), **values)


class _Json:
    # What jinja2 takes as safe HTML, which it is: none of the characters that mean something there is left.
    def __init__(self, data: Any) -> None:
        text = json.dumps(data, separators=(",", ":"))
        for character in "<>&":
            text = text.replace(character, f"\\u{ord(character):04x}")
        self._text = text

    def __html__(self) -> str:
        return self._text
