"""Right and wrong answers of each document, from which a corpus score can be computed again for any exchange of them.

spaCy's scorers give shares only. Here are the counts behind those that are F scores (an ``…_acc`` of spaCy's is one);
the same rules as in ``spacy.scorer``. :func:`count` checks that they give back the score.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Iterable, List, Optional, Sequence, Set, Tuple, cast

import numpy as np
from spacy.pipeline.textcat_multilabel import MultiLabel_TextCategorizer
from spacy.tokens import Doc, Span, Token
from spacy.training import Example

from spacy_ctx_embed.probing.significance import f_score

Count = Tuple[int, int, int]  # true positives, false positives, false negatives
_MISSING = {None, 0, ""}
_NO_ARCS = {"p", "punct"}  # labels that spaCy's parser does not score


def count(score: str, component: Any, examples: Sequence[Example], value: float) -> Optional[np.ndarray]:
    """Count per document.

    :param score: key of a score.
    :param component: the component that it is of.
    :param examples: ``n_docs`` Examples with predictions.
    :param value: the score of all of them together.
    :return: ``(n_docs, n_classes, 3)`` true positives, false positives and false negatives, whose F scores averaged
        over classes are ``value``; ``None`` where this score is not of that kind.
    """
    counter = _counter(score, component)
    if counter is None:
        return None
    counts = np.array([counter(example) for example in examples], dtype=np.int64)  # (n_docs, n_classes, 3)
    if counts.ndim != 3 or abs(float(f_score(counts.sum(axis=0))) - value) > 1e-6:
        return None  # a scorer with rules of its own
    return counts


def _counter(score: str, component: Any) -> Optional[Callable[[Example], List[Count]]]:
    if score == "ents_f":
        return lambda example: [_entities(example)]
    if score == "sents_f":
        return lambda example: [_spans(example, lambda doc: doc.sents, lambda doc: doc.has_annotation("SENT_START"))]
    if score in ("dep_las", "dep_uas"):
        return lambda example: [_arcs(example, labelled=score == "dep_las")]
    spans = re.fullmatch(r"spans_(.+)_f", score)
    if spans:
        key = spans[1]
        return lambda example: [_spans(example, lambda doc: doc.spans.get(key, []), lambda doc: key in doc.spans, True)]
    tokens = re.fullmatch(r"(tag|pos|morph|lemma)_acc", score)
    if tokens:
        attribute = tokens[1]
        return lambda example: [_tokens(example, attribute)]
    if score in ("cats_macro_f", "cats_micro_f", "cats_score"):
        labels = list(component.labels)
        exclusive = not isinstance(component, MultiLabel_TextCategorizer)
        threshold = getattr(component, "cfg", {}).get("threshold") or 0.5
        together = score == "cats_micro_f"
        return lambda example: _categories(example, labels, exclusive, threshold, together)
    return None


def _compare(predicted: Set[Any], gold: Set[Any]) -> Count:
    return len(predicted & gold), len(predicted - gold), len(gold - predicted)


def _entities(example: Example) -> Count:
    if not example.y.has_annotation("ENT_IOB"):
        return 0, 0, 0
    gold = {(ent.label_, ent.start, ent.end) for ent in example.y.ents}
    predicted: List[Tuple[str, int, int]] = []
    for ent in example.x.ents:
        indices = example.alignment.x2y[ent.start : ent.end]
        if len(indices):
            start, end = int(indices[0]), int(indices[-1]) + 1
            if all(token.ent_iob != 0 for token in example.y[start:end]):  # 0: not annotated
                predicted.append((ent.label_, start, end))
    right = len(set(predicted) & gold)
    return right, len(predicted) - right, len(gold) - right


def _spans(
    example: Example,
    getter: Callable[[Doc], Iterable[Span]],
    has_annotation: Callable[[Doc], bool],
    allow_overlap: bool = False,
) -> Count:
    if not has_annotation(example.y):
        return 0, 0, 0
    found = list(getter(example.x)) if has_annotation(example.x) else []
    aligned = example.get_aligned_spans_x2y(found, allow_overlap)
    return _compare(*({(span.label_, span.start, span.end) for span in part} for part in (aligned, getter(example.y))))


def _tokens(example: Example, attribute: str) -> Count:
    gold, missing = set(), set()
    for i, token in enumerate(example.y):
        value = _value(token, attribute)
        if value in _MISSING:
            missing.add(i)
        else:
            gold.add((i, value))
    predicted = {(i, _value(token, attribute)) for token, i in _aligned(example) if i is not None and i not in missing}
    return _compare(predicted, gold)


def _value(token: Token, attribute: str) -> Any:
    return cast(Any, token.morph).key if attribute == "morph" else getattr(token, attribute)


def _aligned(example: Example) -> List[Tuple[Token, Optional[int]]]:
    # Each predicted token that is no whitespace, with the gold token that it is one to one with.
    x2y = example.alignment.x2y
    return [
        (token, int(x2y[token.i][0]) if x2y.lengths[token.i] == 1 else None)
        for token in example.x
        if not token.orth_.isspace()
    ]


def _arcs(example: Example, *, labelled: bool) -> Count:
    x2y = example.alignment.x2y
    gold, missing, unaligned = set(), set(), 0
    for i, token in enumerate(example.y):
        if token.dep in _MISSING:
            missing.add(i)
        elif token.dep_.lower() not in _NO_ARCS:
            gold.add((i, token.head.i, token.dep_.lower()))
    predicted = set()
    for token, aligned in _aligned(example):
        label, head = token.dep_.lower(), token.head.i
        if aligned in missing or label in _NO_ARCS:
            continue
        if aligned is None or x2y.lengths[head] != 1:
            unaligned += 1
        else:
            predicted.add((aligned, int(x2y[head][0]), label))
    right, wrong, missed = _compare(*(arcs if labelled else {arc[:2] for arc in arcs} for arcs in (predicted, gold)))
    return right, wrong + unaligned, missed


def _categories(
    example: Example, labels: Sequence[str], exclusive: bool, threshold: float, together: bool
) -> List[Count]:
    # One count per label, or for the micro average one in all.
    predicted = {key: value for key, value in example.x.cats.items() if key in labels}
    gold = {key: value for key, value in example.y.cats.items() if key in labels}
    counts = np.zeros((len(labels), 3), dtype=np.int64)
    if not exclusive:
        for k, label in enumerate(labels):
            if label in gold:
                said, true = predicted.get(label, 0.0) >= threshold, gold[label] > 0
                counts[k] += (said and true, said and not true, true and not said)
    elif predicted and gold:
        best, true_best = (max(cats, key=cats.__getitem__) for cats in (predicted, gold))
        if best == true_best:
            counts[labels.index(best), 0] += 1
        else:
            counts[labels.index(best), 1] += 1
            counts[labels.index(true_best), 2] += 1
    rows = [counts.sum(axis=0)] if together else list(counts)
    return [(int(tp), int(fp), int(fn)) for tp, fp, fn in rows]
