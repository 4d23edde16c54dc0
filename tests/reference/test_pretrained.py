"""What ``pretrain-elmo`` writes, in AllenNLP itself and here. Needs an environment: see ``allennlp_environment.py``.

Run with ``make test-allennlp``, or ``pytest -m allennlp`` and ``$SPACY_CTX_EMBED_ALLENNLP_PYTHON``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest

from spacy_ctx_embed.pretraining import run
from tests.pretraining.tiny import make_sentences, tiny_config, train, write_text
from tests.reference import test_allennlp_live as live
from tests.reference.allennlp_environment import AllenNLP, per_batch

pytestmark = pytest.mark.allennlp

allennlp = live.allennlp
SETTINGS: Dict[str, Dict[str, Any]] = {
    "two layers": {},
    "tight clips, two highways": {
        "char_cnn": {"embedding_dim": 4, "filters": [[1, 4], [3, 8]], "n_highway": 2},
        "lstm": {"dim": 16, "projection_dim": 8, "cell_clip": 0.2, "proj_clip": 0.1},
    },
    "one layer of as many cells as outputs": {"lstm": {"dim": 8, "projection_dim": 8, "n_layers": 1}},
    "three layers, tanh, as many filters as outputs": {
        "char_cnn": {"embedding_dim": 4, "filters": [[1, 4], [2, 8]], "activation": "tanh", "n_highway": 1},
        "lstm": {"dim": 16, "projection_dim": 12, "n_layers": 3, "cell_clip": None, "proj_clip": 0},
    },
    "adagrad, sampled softmax": {
        "optimizer": {"kind": "adagrad", "learn_rate": 0.5},
        "softmax": {"kind": "sampled", "n_samples": 10},
    },
}


@pytest.fixture(scope="module", params=SETTINGS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "draw_losses", lambda folder: False)
        config = tiny_config(write_text(out / "train.txt"), **SETTINGS[request.param])
        return train(config, out / "out").directory


@pytest.fixture(scope="module")
def batches() -> List[List[List[str]]]:
    return [[sentence.split() for sentence in make_sentences(5, seed=3)], live.AWKWARD]


def test_all_layers(allennlp: AllenNLP, folder: Path, batches: List[List[List[str]]]) -> None:
    found = allennlp.ask("layers", folder=folder, batches=batches, stateful=False)
    model = live.make_opened(folder, layer_mix="concat")
    n = model.shims[0].network().n_layers
    for batch, expected in zip(batches, per_batch(found, batches)):
        live.compare([live.stacked(rows, n) for rows in model.predict(live.make_docs(batch))], expected)


def test_state_carried_on_as_in_training(allennlp: AllenNLP, folder: Path, batches: List[List[List[str]]]) -> None:
    found = allennlp.ask("layers", folder=folder, batches=batches, stateful=True)
    model = live.make_opened(folder, layer_mix="concat", stateful=True)
    n = model.shims[0].network().n_layers
    for batch, expected in zip(batches, per_batch(found, batches)):
        live.compare([live.stacked(rows, n) for rows in model.predict(live.make_docs(batch))], expected)


def test_the_mix_of_layers(allennlp: AllenNLP, folder: Path, batches: List[List[List[str]]]) -> None:
    model = live.make_opened(folder)
    weights = live.WEIGHTS[: model.shims[0].network().n_layers]
    live.set_mix(model, weights)
    arrays = {"weights": np.array(weights), "gamma": np.array(live.GAMMA)}
    found = allennlp.ask("mixed", folder=folder, batches=batches, layer_norm=False, arrays=arrays)
    for batch, expected in zip(batches, per_batch(found, batches)):
        live.compare(list(model.predict(live.make_docs(batch))), expected)
