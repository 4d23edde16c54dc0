"""One text, all its tokens against all its tokens, source by source: where a word's neighbours come from.

Enters: a pipeline and a text. Leaves: pictures, and a page that holds them all and asks the network for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
from spacy.language import Language

from spacy_ctx_embed.attach.attributes import rows_with_vectors
from spacy_ctx_embed.attach.heat_map import NEGATIVE, POSITIVE, cosines, heat_map
from spacy_ctx_embed.checks import check_one_of
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.seeing.page import write_template
from spacy_ctx_embed.seeing.pictures import Panel
from spacy_ctx_embed.sources.layers import find_sources

OWNER = "embed compare"
MOST = 60  # tokens in a picture
WORDS: Dict[str, Dict[str, str]] = {
    "en": {
        "title": "All tokens against all tokens",
        "legend": "A square is the cosine of two tokens: dark blue is 1, white 0, brown negative. A token without a "
        "vector has no squares. Each square says its two words and their cosine when it is pointed at.",
        "static": "One vector for each word, whatever stands around it: two places with the same word are equal.",
        "elmo": "A vector for each place, read with its sentence from both sides.",
        "bert": "A vector for each place, read with the whole text at once.",
        "other": "Rows of another package's encoder.",
        "colon": ": ",
        "semicolon": "; ",
        "model": "model",
        "mean": "mean cosine of two different tokens",
        "left_out": "the first {} tokens, {} are left out",
    },
    "zh": {
        "title": "所有词两两比较",
        "legend": "每个方格是两个 token 的余弦：深蓝为 1，白为 0，棕色为负。没有向量的 token 没有方格。"
        "指向方格时显示两个词和它们的余弦。",
        "static": "每个词一个向量，与上下文无关：同一个词在两处完全相同。",
        "elmo": "每个位置一个向量，从两侧读整个句子。",
        "bert": "每个位置一个向量，同时读整段文本。",
        "other": "另一个包的编码器给出的行。",
        "colon": "：",
        "semicolon": "；",
        "model": "模型",
        "mean": "两个不同 token 的平均余弦",
        "left_out": "前 {} 个 token，省略 {} 个",
    },
}


@dataclass(frozen=True)
class Picture:
    """The heat map of one source.

    :param name: the component.
    :param kind: a key of the texts: "static", "elmo", "bert" or "other".
    :param model: name of its model.
    :param svg: the picture.
    :param mean: of the cosines of two different tokens that have vectors; 0 where there are no two.
    :param shown: tokens in it.
    :param left_out: tokens that are not.
    :param tokens: the texts of those in it.
    :param cosines: ``(shown, shown)``, NaN where a token has no vector.
    """

    name: str
    kind: str
    model: str
    svg: str
    mean: float
    shown: int
    left_out: int
    tokens: List[str]
    cosines: np.ndarray = field(repr=False, compare=False)


def compare(nlp: Language, text: str) -> List[Picture]:
    """Draw the cosines of all tokens of a text with all tokens, a picture per embedding component.

    :param nlp: a pipeline with embedding components; a ``sentencizer`` gives ELMo its sentences.
    :param text: the text; the first 60 tokens are drawn.
    :return: the pictures, in the order of the pipeline; rows are those that the components give.
    :raises ValueError: if the text has no tokens, or the pipeline no embedding component.
    """
    sources = find_sources(nlp, owner=OWNER)
    doc = nlp(text)
    if len(doc) == 0:
        raise ValueError(Errors.E001.format(owner=OWNER, key="text", value=text, accepted="a text with a word in it"))
    words = [token.text for token in doc[:MOST]]
    pictures = []
    for source in sources:
        rows = rows_with_vectors(doc, source.name, MOST)
        kind = source.kind if source.kind in WORDS["en"] else "other"
        svg = heat_map(words, rows, f"Cosines of tokens by {source.name}")
        left_out = len(doc) - len(words)
        known = np.asarray(rows.any(axis=1))
        found = np.where(np.outer(known, known), cosines(rows.astype(np.float32)), np.nan)
        values = (_mean(rows), len(words), left_out, words, found)
        pictures.append(Picture(source.name, kind, source.model_name, svg, *values))
    return pictures


def panels_of(pictures: List[Picture]) -> List[Panel]:
    """Make panels, for PNG and SVG.

    :param pictures: what :func:`compare` gave.
    :return: one for each.
    """
    return [Panel(picture.name, partial(_draw, picture=picture)) for picture in pictures]


def write_page(pictures: List[Picture], text: str, output: Path, lang: str = "en") -> None:
    """Write the pictures as one HTML file.

    :param pictures: what :func:`compare` gave.
    :param text: the text.
    :param output: the file.
    :param lang: language of what is said on it, "en" or "zh".
    :raises ValueError: if that is another one.
    """
    check_one_of(OWNER, "lang", lang, tuple(WORDS))
    write_template(output, "compare.html", lang=lang, words=WORDS[lang], text=text, pictures=pictures)


def _draw(axes: Any, *, picture: Picture) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("cosine", [NEGATIVE, "#ffffff", POSITIVE])
    axes.imshow(picture.cosines, cmap=colours, vmin=-1, vmax=1)
    labels = ["".join(c if c.isprintable() else " " for c in token[:14]) for token in picture.tokens]
    size = max(3, min(8, 130 / len(labels)))
    axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=size)
    axes.set_yticks(range(len(labels)), labels, fontsize=size)
    axes.tick_params(length=0)
    axes.set_title(f"{picture.name} ({picture.model})", fontsize=8)


def _mean(rows: np.ndarray) -> float:
    known = rows[rows.any(axis=1)].astype(np.float32)
    n = len(known)
    return float((cosines(known).sum() - n) / (n * (n - 1))) if n > 1 else 0.0
