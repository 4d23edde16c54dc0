"""Score a trained pipeline as ``spacy evaluate`` does, and count right and wrong answers sentence by sentence."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

from wasabi import msg

SCORES = ("ents_f", "ents_p", "ents_r")


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Score one pipeline.

    :param arguments: of the command line.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pipeline", type=Path, help="folder of a trained pipeline")
    parser.add_argument("data", type=Path, help="a .spacy file to score it on")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    settings = parser.parse_args(arguments)
    found = score(settings.pipeline, settings.data)
    settings.output.write_text(json.dumps(found), encoding="utf8")
    msg.info(", ".join(f"{key} {100 * found[key]:.2f}" for key in SCORES))


def score(pipeline: Path, data: Path) -> Dict[str, Any]:
    """Score one pipeline.

    :param pipeline: its folder.
    :param data: a .spacy file.
    :return: spaCy's ``ents_f``, ``ents_p`` and ``ents_r``, from 0 to 1, and as ``counts`` the true positives, false
        positives and false negatives of each sentence, or ``None``.
    """
    import spacy
    from spacy.scorer import Scorer
    from spacy.training import Corpus, Example

    from spacy_ctx_embed.probing.counts import count

    nlp = spacy.load(pipeline)
    examples = list(Corpus(data)(nlp))
    docs = nlp.pipe([example.predicted for example in examples])
    examples = [Example(doc, example.reference) for doc, example in zip(docs, examples)]
    found = Scorer(nlp).score(examples)
    scores = {key: found[key] or 0.0 for key in SCORES}
    counts = count("ents_f", nlp.get_pipe("ner"), examples, scores["ents_f"])
    return {**scores, "counts": None if counts is None else counts[:, 0].tolist()}  # (n_docs, 1, 3) -> (n_docs, 3)


if __name__ == "__main__":
    main()
