"""How well ELMo tells the senses of a word apart: is it nearer to itself in the same sense than in another one?

Each context of ``data/word_senses.tsv`` is read as one sentence; compared is the vector of the word in it, by cosine.

- triples: over all contexts a, b in one sense of a word and c in another, the share with cos(a, b) > cos(a, c);
- pairs: the chance that a pair in one sense has a larger cosine than a pair of the same word in two senses (the area
  under the ROC curve), which also asks whether cosines of different contexts can be compared.

Equal cosines count half: a vector that is the same wherever the word stands, GloVe's or that of layer 0, has 50 %. The
mean of the GloVe vectors of all words of the sentence tells what its words say without order. Means are over words; the
interval is what 95 % of 2,000 draws of as many words give, with replacement.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import bench_elmo
import measure

DATA = measure.HERE / "data" / "word_senses.tsv"
DRAWS = 2000
STARTS = ("zeros", "warm")
GLOVE, GLOVE_MEAN, BERT = "GloVe", "GloVe, sentence mean", "MiniLM (BERT)"


@dataclass(frozen=True)
class Context:
    """A word in a sentence.

    :param sense: short label.
    :param start: character offset of the word in the sentence.
    :param sentence: the text.
    """

    sense: str
    start: int
    sentence: str


def main() -> None:
    """Run the comparison."""
    kind = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=kind)
    parser.add_argument("--model", default="elmo-mini", help="an ELMo model: a folder or an alias")
    parser.add_argument("--initial-state", nargs="+", choices=STARTS, default=["zeros"], help="see Elmo.v1; both too")
    parser.add_argument("--bert", action="store_true", help="MiniLM beside it, all-minilm-l6-v2")
    parser.add_argument("--bert-precision", default="float32", help="of MiniLM, as in a config")
    parser.add_argument("--senses", type=Path, default=DATA, help="the table of contexts")
    parser.add_argument("--seed", type=int, default=0, help="of the draws of words for the interval")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--markdown", action="store_true", help="print the table by word once more, as Markdown")
    settings = parser.parse_args()
    measure.prepare(settings.threads)
    before = measure.machine()
    contexts = read_contexts(settings.senses)
    vectors: Dict[str, Dict[str, Any]] = _static(contexts)
    for start in settings.initial_state:
        label = "" if start == "zeros" else f", {start}"
        vectors |= {f"{name}{label}": found for name, found in _elmo(settings.model, start, contexts).items()}
    if settings.bert:
        vectors[BERT] = _bert(contexts, settings.bert_precision)
    scores = {
        name: {word: score(found[word], [c.sense for c in contexts[word]]) for word in contexts}
        for name, found in vectors.items()
    }
    _report(settings, before, contexts, scores)


def read_contexts(file: Path) -> Dict[str, List[Context]]:
    """Read the contexts.

    :param file: a table like ``data/word_senses.tsv``.
    :return: the contexts of each word, in the order of the file.
    """
    found: Dict[str, List[Context]] = {}
    with file.open(encoding="utf8", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE):
            context = Context(row["sense"], int(row["start"]), row["sentence"])
            found.setdefault(row["word"], []).append(context)
    return found


def score(vectors: Any, senses: Sequence[str]) -> Tuple[float, float]:
    """Compare the contexts of one word.

    :param vectors: ``(n_contexts, width)``, the vector of the word in each.
    :param senses: the sense in each.
    :return: shares from 0 to 1: of triples, and of pairs.
    """
    import numpy as np

    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = np.round(unit @ unit.T, 6)  # equal vectors have equal cosines, whatever the order of the sums
    labels = np.array(senses)
    same = labels[:, None] == labels
    right = total = 0.0
    for a in range(len(labels)):
        near, far = same[a].copy(), ~same[a]
        near[a] = False
        right += near.sum() * far.sum() * _larger(cosines[a][near], cosines[a][far])
        total += near.sum() * far.sum()
    upper = np.triu(np.ones_like(same), k=1)
    return float(right / total), _larger(cosines[same & upper], cosines[~same & upper])


def _larger(near: Any, far: Any) -> float:
    # Share of all pairs of one of each in which the first is larger; equal ones by half.
    import numpy as np

    if not len(near) or not len(far):
        return 0.0
    ordered = np.sort(far)
    below, up_to = np.searchsorted(ordered, near, "left"), np.searchsorted(ordered, near, "right")
    return float((below + up_to).mean() / 2 / len(far))


def _elmo(model: str, start: str, contexts: Dict[str, List[Context]]) -> Dict[str, Dict[str, Any]]:
    nlp = bench_elmo._ours(model, {"layers": "all", "layer_mix": "concat", "initial_state": start})
    n_layers = nlp.get_pipe("elmo_embeddings").model.shims[0].network().n_layers
    found: Dict[str, Dict[str, Any]] = {}
    for word, rows in _rows(nlp, "elmo_embeddings", contexts).items():
        layers = rows.reshape(len(rows), n_layers, -1)
        for k in range(n_layers):
            found.setdefault(f"layer {k}", {})[word] = layers[:, k]
        found.setdefault("mean of layers", {})[word] = layers.mean(axis=1)
    return found


def _static(contexts: Dict[str, List[Context]]) -> Dict[str, Dict[str, Any]]:
    import numpy as np
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("static_embeddings")
    whole = {
        word: np.stack([doc._.vector for doc in nlp.pipe(context.sentence for context in found)])
        for word, found in contexts.items()
    }
    return {GLOVE: _rows(nlp, "static_embeddings", contexts), GLOVE_MEAN: whole}


def _bert(contexts: Dict[str, List[Context]], precision: str) -> Dict[str, Any]:
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("bert_embeddings", config={"model": {"precision": precision}})
    return _rows(nlp, "bert_embeddings", contexts)


def _rows(nlp: Any, component: str, contexts: Dict[str, List[Context]]) -> Dict[str, Any]:
    # Per word ``(n_contexts, width)``. No component sets sentences: a context is one, also where it has two full stops.
    import numpy as np

    found: Dict[str, Any] = {}
    for word, of_word in contexts.items():
        rows = []
        for context, doc in zip(of_word, nlp.pipe(context.sentence for context in of_word)):
            token = next((token for token in doc if token.idx == context.start), None)
            if token is None or token.text != word:
                raise SystemExit(f"{word!r} is no token at character {context.start} of {context.sentence!r}")
            rows.append(doc._.embeddings[component][token.i])
        found[word] = np.stack(rows)
    return found


def _report(
    settings: argparse.Namespace,
    before: Any,
    contexts: Dict[str, List[Context]],
    scores: Dict[str, Dict[str, Tuple[float, float]]],
) -> None:
    import numpy as np

    shown = {**vars(settings), "model": Path(settings.model).name, "senses": settings.senses.name}
    shown["initial_state"] = " ".join(settings.initial_state)
    summary: List[Dict[str, Any]] = []
    for name, found in scores.items():
        triples, pairs = np.array(list(found.values())).T
        low, high = _interval(triples, settings.seed)
        row = {"vectors": name, "triples, %": _percent(triples.mean()), "95 % interval": f"{low:.1f}–{high:.1f}"}
        summary.append({**row, "pairs, %": _percent(pairs.mean()), "words over 50 %": int((triples > 0.5).sum())})
    n_senses = sum(len({context.sense for context in of_word}) for of_word in contexts.values())
    findings = {
        "model": shown["model"],
        "words, senses, contexts": [len(contexts), n_senses, sum(map(len, contexts.values()))],
        "seed": settings.seed,
    }
    measure.report("word-senses", summary, settings=shown, before=before, findings=findings)
    columns = [name for name, found in scores.items() if any(triples != 0.5 for triples, _ in found.values())]
    by_word: List[Dict[str, Any]] = []
    for word, of_word in contexts.items():
        n_senses = len({context.sense for context in of_word})
        shares = {name: _percent(scores[name][word][0]) for name in columns}
        by_word.append({"word": word, "senses": n_senses, "contexts": len(of_word), **shares})
    means = {row["vectors"]: row["triples, %"] for row in summary if row["vectors"] in columns}
    by_word.append({"word": "mean", "senses": "", "contexts": "", **means})
    notes = ["Shares of triples in %. Not shown: vectors that have 50 % for every word."]
    measure.report("word-senses-by-word", by_word, settings=shown, before=before, findings={}, notes=notes)
    if settings.markdown:
        for rows in (summary, by_word):
            print(_markdown(rows), end="\n\n")


def _interval(values: Any, seed: int) -> Tuple[float, float]:
    import numpy as np

    drawn = np.random.default_rng(seed).choice(values, size=(DRAWS, len(values))).mean(axis=1)
    low, high = np.percentile(100 * drawn, [2.5, 97.5])
    return float(low), float(high)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _markdown(rows: Sequence[Dict[str, Any]]) -> str:
    columns = list(rows[0])
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *([str(row[key]) for key in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
