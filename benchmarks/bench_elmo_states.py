"""How much ELMo's vectors depend on where the state starts: zeros, a warm start, or carried from sentence to sentence.

Carried is what the originals do in running text, sentence after sentence in one row. Per layer: the distance of a
token's vector to the carried one, over the length of the carried one, mean over tokens; by place in the sentence too.
Layer 0 is the same in all. Run it with a trained model (``--model``): random weights say little.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Sequence

import bench_elmo
import elmo_model
import measure
import texts

WAYS: Dict[str, Dict[str, Any]] = {"zeros": {}, "warm": {"initial_state": "warm"}, "carried": {"stateful": True}}
PLACES = ((0, 2), (2, 5), (5, 10), (10, 80))


def main() -> None:
    """Run the comparison."""
    parser = measure.arguments(__doc__.splitlines()[0], rounds=1)
    parser.add_argument("--model", help="an ELMo model; else bilm-tf's fixture where it is, else random weights")
    parser.add_argument("--sentences", type=int, default=500, help="sentences, in the order of the text")
    settings = parser.parse_args()
    measure.prepare(settings.threads, settings.clock)
    before = measure.machine()
    source, text = texts.find_text(settings.text, settings.data, ("gutenberg", "news", "wnut17"))
    sentences = texts.sentences_of(text, settings.sentences)
    with tempfile.TemporaryDirectory() as folder:
        model, name = _model(settings, Path(folder))
        _compare({**vars(settings), "text": source, "model": name}, before, sentences, model)


def _model(settings: argparse.Namespace, folder: Path) -> Any:
    fixture = settings.data / "elmo-fixture"
    if settings.model or fixture.is_dir():
        model = Path(settings.model or fixture)
        return model, model.name
    elmo_model.write_model(elmo_model.SIZES["small"], folder)
    return folder, "random, small"


def _compare(shown: Dict[str, Any], before: Any, sentences: List[List[str]], model: Path) -> None:
    import numpy as np

    vectors = {way: _vectors(model, keys, sentences) for way, keys in WAYS.items()}
    places = np.concatenate([np.arange(len(words)) for words in sentences])
    rows: List[Dict[str, Any]] = []
    for way in ("zeros", "warm"):
        for layer, (found, carried) in enumerate(zip(vectors[way], vectors["carried"])):
            distance = np.linalg.norm(found - carried, axis=1) / np.linalg.norm(carried, axis=1)
            cosine = (found * carried).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(carried, axis=1)
            row = {"start": way, "layer": layer, "distance": float(distance.mean()), "cosine": float(cosine.mean())}
            for start, end in PLACES:
                row[f"words {start + 1}-{end}"] = float(distance[(places >= start) & (places < end)].mean())
            rows.append(row)
    shown = {key: value for key, value in shown.items() if key != "rounds"}
    measure.report("elmo-states", rows, settings=shown, before=before, findings={"model": shown["model"]})


def _vectors(model: Path, keys: Dict[str, Any], sentences: Sequence[Sequence[str]]) -> Any:
    # (n_layers, n_tokens, width), one sentence at a time, so that "carried" goes from each to the next.
    import numpy as np

    nlp = bench_elmo._ours(model, {"layer_mix": "concat", **keys})
    network = nlp.get_pipe("elmo_embeddings").model.shims[0].network()
    docs = [nlp.get_pipe("elmo_embeddings")(doc) for doc in bench_elmo._docs(nlp, sentences)]
    rows = np.concatenate([doc._.embeddings["elmo_embeddings"] for doc in docs])
    return rows.reshape(len(rows), network.n_layers, -1).transpose(1, 0, 2)


if __name__ == "__main__":
    main()
