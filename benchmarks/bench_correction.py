"""What a correction does to the default models: how even the vectors are, and how well they part senses.

    python benchmarks/bench_correction.py WNUT17/train.conll WNUT17/dev.conll

Corrections are fitted on the first file and measured on the second: mean cosine of two tokens and IsoScore, of what is
read on a Doc. The senses are those of ``embed senses``: the mean AUC of its five words, each layer with a correction
that is fitted on their own lines.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Dict, List

import numpy as np
from spacy.tokens import Doc

sys.path.insert(0, str(Path(__file__).parent))
from bench_wnut17 import read_conll  # noqa: E402

from spacy_ctx_embed.data import covered  # noqa: E402
from spacy_ctx_embed.measures.isotropy import Moments  # noqa: E402
from spacy_ctx_embed.rows.correction import KINDS, CorrectionFit  # noqa: E402
from spacy_ctx_embed.rows.unit import unit_rows  # noqa: E402
from spacy_ctx_embed.seeing.default import default_pipeline  # noqa: E402
from spacy_ctx_embed.seeing.senses import draw_senses  # noqa: E402

SHOWN = {"elmo_embeddings": (1, 2), "bert_embeddings": (3, 6)}  # layers whose AUC is printed


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fit", type=Path)
    parser.add_argument("measure", type=Path)
    args = parser.parse_args()
    nlp = default_pipeline()
    docs = {file: [Doc(nlp.vocab, words=words) for words, _ in read_conll(file)] for file in (args.fit, args.measure)}
    print("| component | correction | tokens fitted on | mean cosine | IsoScore |\n|---|---|---|---|---|")
    for name, component in nlp.pipeline:
        if not hasattr(component, "fitted_correction"):
            continue
        seen, rows = (_rows(component, docs[file]) for file in (args.fit, args.measure))
        for kind in (None, *KINDS):
            found = rows
            if kind is not None:
                fit = CorrectionFit(kind)
                fit.add(seen)
                found = fit.find().apply(rows)
            moments = Moments(found.shape[1])
            moments.add(found, unit_rows(found))
            print(
                f"| {name} | {kind or '-'} | {len(seen):,} | {moments.mean_cosine():.3f} | {moments.iso_score():.3f} |"
            )
    print()
    names = [f"{name} {layer}" for name, layers in SHOWN.items() for layer in layers]
    print(f"| correction | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for kind in KINDS:
        found = _senses(kind)
        if kind == KINDS[0]:
            print(f"| - | {' | '.join(f'{np.mean(found[name]):.3f}' for name in names)} |")
        after = [np.mean(found[f"{name} + {kind}"]) for name in names]
        print(f"| {kind} | {' | '.join(f'{auc:.3f}' for auc in after)} |")


def _rows(component, docs: List[Doc]) -> np.ndarray:
    # (n_tokens, width) of the tokens that have a vector.
    found = [item for start in range(0, len(docs), 64) for item in component.predict(docs[start : start + 64])]
    return np.concatenate([item.rows[covered(item.status)] for item in found])


def _senses(kind: str) -> Dict[str, List[float]]:
    # AUC of each word, by "component layer" before and "component layer + kind" after.
    found: Dict[str, List[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        views = draw_senses(Path(folder) / "page.html", correction=kind)
    for view in views:
        for source in view.sources:
            name, _, after = source.name.partition(" + ")
            for layer in SHOWN.get(name, ()):
                key = f"{name} {layer}" + (f" + {after}" if after else "")
                score = source.layers[layer].score
                assert score is not None
                found.setdefault(key, []).append(score.auc)
    return found


if __name__ == "__main__":
    main()
