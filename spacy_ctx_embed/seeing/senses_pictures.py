"""The planes and matrices of the page of senses as panels, in the layer that tells the senses apart best.

Enters: what was measured of words. Leaves: two rows of panels for each word, a column for each source.
"""

from __future__ import annotations

from functools import partial
from typing import Any, List, Sequence

import numpy as np

from spacy_ctx_embed.seeing.pictures import Panel
from spacy_ctx_embed.seeing.senses_data import SHADES, SIDE, SourceView, WordView
from spacy_ctx_embed.seeing.senses_text import TEXTS

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6f4e9c", "#7a7a00")
_MARKS, _GREY = "os^Dv", "#8c959f"
_LABEL = 24  # characters of a word or sense


def panels_of(views: Sequence[WordView], lang: str) -> List[Panel]:
    """Make the panels.

    :param views: the words.
    :param lang: "en" or "zh".
    :return: for each word its planes, then its matrices.
    """
    panels = []
    for view in views:
        for kind, draw in (("plane", _draw_plane), ("matrix", _draw_matrix)):
            for number, source in enumerate(view.sources):
                name = f"{_short(view.word)}-{source.name}-{kind}"
                panels.append(Panel(name, partial(draw, view=view, number=number, lang=lang)))
    return panels


def best_layer(source: SourceView) -> int:
    """Choose a layer.

    :param source: a source.
    :return: number of the layer whose AUC is highest, the first of equals; the last layer where there is no AUC.
    """
    scores = [layer.score.auc if layer.score else -1.0 for layer in source.layers]
    return scores.index(max(scores)) if max(scores, default=-1.0) >= 0 else max(0, len(scores) - 1)


def _draw_plane(axes: Any, *, view: WordView, number: int, lang: str) -> None:
    source, part, layer = view.sources[number], view.payload["sources"][number], best_layer(view.sources[number])
    _frame(axes, view, source, layer, lang)
    axes.set(xlim=(-40, SIDE + 40), ylim=(-40, SIDE + 40), aspect="equal")
    if not part["layers"]:
        return
    drawn = part["layers"][layer]
    points = np.reshape(drawn["xy"], (-1, 2))
    ids = part["ids"] or list(range(len(points)))
    if drawn["one"]:
        axes.scatter(*points[:1].T, c=_GREY, s=36, label=TEXTS[lang]["n_uses"] % {"n": len(points)})
    else:
        owners = np.array([view.numbers[i] for i in ids] if view.senses else list(map(int, drawn["cl"])))
        for group in sorted(set(owners.tolist()), key=lambda g: (g < 0, g)):
            colour = _COLOURS[group % len(_COLOURS)] if group >= 0 else _GREY
            mark = _MARKS[max(0, group) % len(_MARKS)]
            label = _group(view, group, lang)
            axes.scatter(*points[owners == group].T, c=colour, marker=mark, s=24, label=label)
    axes.legend(fontsize=7, framealpha=0.6)


def _draw_matrix(axes: Any, *, view: WordView, number: int, lang: str) -> None:
    source, part, layer = view.sources[number], view.payload["sources"][number], best_layer(view.sources[number])
    _frame(axes, view, source, layer, lang)
    n = len(part["heat"])
    if not part["layers"] or n < 2:
        return
    drawn = part["layers"][layer]
    matrix = np.ones((n, n))
    below = np.array([SHADES.index(shade) for shade in drawn["m"]]) / (len(SHADES) - 1)
    rows, cells = np.tril_indices(n, -1)
    matrix[rows, cells] = matrix[cells, rows] = 1.0 if drawn["one"] else below
    axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
    senses = [view.numbers[i] for i in part["heat"]]
    for place in (i for i in range(1, n) if senses[i] != senses[i - 1]):
        axes.axhline(place - 0.5, color="#d55e00", linewidth=1)
        axes.axvline(place - 0.5, color="#d55e00", linewidth=1)
    axes.set_xlabel(f"{TEXTS[lang]['range']} {drawn['lo']:.2f} – {TEXTS[lang]['range_to']} {drawn['hi']:.2f}")


def _frame(axes: Any, view: WordView, source: SourceView, layer: int, lang: str) -> None:
    text = TEXTS[lang]
    title = f"{_short(view.word)} · {source.name}"
    if len(source.layers) > 1:
        title += f", {text['layer']} {layer}"
    score = source.layers[layer].score if source.layers else None
    if score:
        title += f"\n{text['auc']} {score.auc:.3f} [{score.low:.3f}, {score.high:.3f}]"
    axes.set_title(title, fontsize=8)
    axes.set(xticks=[], yticks=[])


def _group(view: WordView, group: int, lang: str) -> str:
    if not view.senses:
        return f"{TEXTS[lang]['cluster']} {group + 1}"
    return _short(view.senses[group]) if group >= 0 else TEXTS[lang]["unlabelled"]


def _short(text: str) -> str:
    shown = "".join(c if c.isprintable() else " " for c in text).lstrip("_")  # matplotlib leaves out labels of "_"
    return shown if len(shown) <= _LABEL else shown[: _LABEL - 1] + "…"
