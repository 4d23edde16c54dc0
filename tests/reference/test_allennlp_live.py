"""ELMo against AllenNLP itself, side by side on random models. Needs an environment: see ``allennlp_environment.py``.

Run with ``make test-allennlp``, or ``pytest -m allennlp`` and ``$SPACY_CTX_EMBED_ALLENNLP_PYTHON``.

Here too: encoders/allennlp/network.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc
from thinc.api import Model

from spacy_ctx_embed.encoders.elmo.model import make_elmo_v1
from spacy_ctx_embed.models.elmo.allennlp.modules import TokenEncoderNames, read_bilm, read_char_cnn
from spacy_ctx_embed.models.elmo.formats import read_elmo
from spacy_ctx_embed.models.elmo.source.torch_state import named_tensors
from tests.reference.allennlp_environment import AllenNLP, find_interpreter, per_batch
from tests.writers.elmo import elmo_datasets, elmo_options, write_elmo_model, write_random_elmo

pytestmark = pytest.mark.allennlp

Sentences = List[List[str]]
VOCAB = spacy.blank("en").vocab
TOLERANCE = 1e-5
PUBLISHED_FILTERS = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024))
MODELS: Dict[str, Dict[str, Any]] = {
    "one layer": {"n_layers": 1},
    "two layers": {"n_layers": 2},
    "three layers, tanh": {"n_layers": 3, "activation": "tanh"},
    "two highways, no clips": {"n_highway": 2, "cell_clip": None, "proj_clip": None},
    "sizes of the published small model": {
        "dim": 1024,
        "projection_dim": 128,
        "filters": PUBLISHED_FILTERS,
        "cell_clip": 3.0,
        "proj_clip": 3.0,
    },
}
AWKWARD = [
    ["The", "cat", "sat", "."],
    ["A", "naïve", "🙂", "x" * 1000, "👩‍👩‍👧", "e\u0301\u0301"],
    [],
    ["One"],
    ["<S>", "the", "</S>", "é" * 300, "\x00", "\ufeff"],
    ["the", "cat", "the", "cat", "the", "cat", "the", "cat", "the"],
]
CHANGING = [AWKWARD[:2], [AWKWARD[4]], AWKWARD, [[], AWKWARD[0]], [AWKWARD[1], AWKWARD[3], AWKWARD[5]], AWKWARD[::-1]]
WEIGHTS, GAMMA = [0.7, -1.1, 0.4, 0.2], 1.7


@pytest.fixture(scope="session")
def allennlp(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AllenNLP]:
    if "allennlp" not in request.config.getoption("markexpr"):
        pytest.skip("builds or needs an environment with AllenNLP: run with -m allennlp")
    python = find_interpreter(request.config.cache.mkdir("allennlp"))
    process = AllenNLP(python, tmp_path_factory.mktemp("allennlp"))
    yield process
    process.close()


@pytest.fixture(scope="module", params=MODELS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), **MODELS[request.param])


@pytest.fixture(scope="module")
def two_layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_elmo(tmp_path_factory.mktemp("two_layers"))


def write_model(folder: Path, **options: Any) -> Path:
    """A random model whose large matrices are scaled so that values are of the size that trained ones have."""
    sizes = elmo_options(**options)
    if options.get("filters") == PUBLISHED_FILTERS:
        sizes["char_cnn"]["embedding"]["dim"] = 16
    datasets = elmo_datasets(sizes)
    for name, array in datasets.items():
        fan_in = np.prod(array.shape[:-1])
        if array.ndim > 1 and name != "char_embed" and fan_in > 100:
            array *= 2 / np.sqrt(fan_in)
    return write_elmo_model(folder, sizes, datasets)


def make_opened(folder: Path, **settings: Any) -> Model[List[Doc], Any]:
    model = make_elmo_v1(name=str(folder), **settings)
    model.initialize()
    return model


def set_mix(model: Model[List[Doc], Any], weights: List[float]) -> None:
    model.set_param("mix_weights", model.ops.asarray1f(weights))
    model.set_param("mix_gamma", model.ops.asarray1f([GAMMA]))


def make_docs(sentences: Sentences) -> List[Doc]:
    return [Doc(VOCAB, words=words) for words in sentences]


def make_texts(texts: List[Sentences]) -> List[Doc]:
    docs = []
    for text in texts:
        words = [word for words in text for word in words]
        docs.append(Doc(VOCAB, words=words, sent_starts=[i == 0 for words in text for i in range(len(words))]))
    return docs


def compare(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    """Hold arrays against AllenNLP's; the largest difference is printed (``-rP`` shows it)."""
    assert [part.shape for part in found] == [part.shape for part in expected]
    largest = max(float(np.abs(f - e).max(initial=0)) for f, e in zip(found, expected))
    scale = max(float(np.abs(part).max(initial=0)) for part in expected)
    sys.stdout.write(f"largest difference: {largest:.1e}, of values up to {scale:.1e}\n")
    assert scale > 0.1 and largest <= TOLERANCE


def stacked(rows: np.ndarray, n: int) -> np.ndarray:
    """Rows of concatenated layers, (n_tokens, n * width), as AllenNLP has them, (n, n_tokens, width)."""
    return rows.reshape(len(rows), n, rows.shape[1] // n).transpose(1, 0, 2)


# The biLM


def test_all_layers_of_awkward_sentences(allennlp: AllenNLP, folder: Path) -> None:
    found = allennlp.ask("layers", folder=folder, batches=[AWKWARD], stateful=False)
    model = make_opened(folder, layer_mix="concat")
    rows = model.predict(make_docs(AWKWARD))
    n = model.shims[0].network().n_layers
    compare([stacked(part, n) for part in rows], per_batch(found, [AWKWARD])[0])


def test_state_over_batches_of_changing_sizes(allennlp: AllenNLP, folder: Path) -> None:
    found = allennlp.ask("layers", folder=folder, batches=CHANGING, stateful=True)
    model = make_opened(folder, layer_mix="concat", stateful=True)
    n = model.shims[0].network().n_layers
    rows = [stacked(part, n) for batch in CHANGING for part in model.predict(make_docs(batch))]
    compare(rows, [part for batch in per_batch(found, CHANGING) for part in batch])


# The mix


def test_scalar_mix_of_given_weights(allennlp: AllenNLP, folder: Path) -> None:
    model = make_opened(folder)
    weights = WEIGHTS[: model.shims[0].network().n_layers]
    set_mix(model, weights)
    arrays = {"weights": np.array(weights), "gamma": np.array(GAMMA)}
    found = allennlp.ask("mixed", folder=folder, batches=[AWKWARD], layer_norm=False, arrays=arrays)
    compare(list(model.predict(make_docs(AWKWARD))), per_batch(found, [AWKWARD])[0])


def test_layer_norm_is_that_of_one_sentence_at_a_time(allennlp: AllenNLP, folder: Path) -> None:
    model = make_opened(folder, layer_norm=True)
    weights = WEIGHTS[: model.shims[0].network().n_layers]
    set_mix(model, weights)
    sentences = [words for words in AWKWARD if words]
    batches = [[words] for words in sentences]
    arrays = {"weights": np.array(weights), "gamma": np.array(GAMMA)}
    found = allennlp.ask("mixed", folder=folder, batches=batches, layer_norm=True, arrays=arrays)
    compare(list(model.predict(make_docs(sentences))), [batch[0] for batch in per_batch(found, batches)])


# Gradients


def as_ours(gradients: Dict[str, np.ndarray], model: Model[List[Doc], Any]) -> Dict[str, torch.Tensor]:
    """Gradients by AllenNLP's names to those of our parameters: the same renaming, reordering and change of signs."""
    config = model.shims[0].network().module.config
    data = named_tensors({name: torch.from_numpy(array) for name, array in gradients.items()}, Path("gradients"))
    part = "_elmo_lstm._token_embedder."
    names = TokenEncoderNames(
        chars=f"{part}_char_embedding_weights",
        conv=f"{part}char_conv_",
        highway=f"{part}_highways._layers.",
        projection=f"{part}_projection",
    )
    return {
        **read_char_cnn(data, names, config.char_cnn),
        **read_bilm(data, "_elmo_lstm._elmo_lstm.", config.bilm),
    }


def test_gradients_of_all_parameters(allennlp: AllenNLP, folder: Path) -> None:
    model = make_opened(folder, trainable=True)
    n = model.shims[0].network().n_layers
    set_mix(model, WEIGHTS[:n])
    random = np.random.default_rng(0)
    rows, backprop = model.begin_update(make_docs(AWKWARD))
    d_rows = [random.standard_normal(part.shape).astype("f") for part in rows]
    backprop(d_rows)
    arrays = {"weights": np.array(WEIGHTS[:n]), "gamma": np.array(GAMMA), **{str(i): d for i, d in enumerate(d_rows)}}
    gradients = allennlp.ask("gradients", folder=folder, batch=AWKWARD, arrays=arrays)

    expected = as_ours(gradients, model)
    found = {name: parameter.grad for name, parameter in model.shims[0].network().module.named_parameters()}
    expected["mix_gamma"] = torch.from_numpy(gradients["scalar_mix_0.gamma"])
    mix = [gradients[f"scalar_mix_0.scalar_parameters.{k}"] for k in range(n)]
    expected["mix_weights"] = torch.from_numpy(np.concatenate(mix))
    found.update({name: torch.from_numpy(model.get_grad(name)) for name in ("mix_weights", "mix_gamma")})
    assert found.keys() == expected.keys()
    errors = {}
    for name, gradient in expected.items():
        assert gradient.abs().max() > 0
        errors[name] = float((found[name] - gradient).abs().max() / gradient.abs().max())
    sys.stdout.write(f"largest relative difference: {max(errors.values()):.1e}\n")
    assert {name: error for name, error in errors.items() if error > 1e-4} == {}


# Archives


@pytest.mark.parametrize("with_options", [False, True])
def test_archive_of_a_trained_model(allennlp: AllenNLP, with_options: bool, tmp_path: Path) -> None:
    clips = {} if with_options else {"cell_clip": 3.0, "proj_clip": 3.0}  # an archive without options says nothing
    folder = write_model(tmp_path / "model", **clips)
    arrays = {"weights": np.array(WEIGHTS[:3]), "gamma": np.array(GAMMA)}
    target = tmp_path / "trained"
    allennlp.ask("archive", folder=folder, target=target, with_options=with_options, arrays=arrays)
    archive = target / "model.tar.gz"
    plain, found = read_elmo(folder), read_elmo(archive)
    assert found.config == plain.config and found.weights.keys() == plain.weights.keys()
    assert all(torch.equal(tensor, found.weights[name]) for name, tensor in plain.weights.items())
    answer = allennlp.ask("mixed", folder=folder, batches=[AWKWARD], layer_norm=False, arrays=arrays)
    compare(list(make_opened(archive).predict(make_docs(AWKWARD))), per_batch(answer, [AWKWARD])[0])
    compare(list(make_opened(target).predict(make_docs(AWKWARD))), per_batch(answer, [AWKWARD])[0])


# The encoder AllenNLPElmo.v1

TEXTS = [[AWKWARD[0], AWKWARD[1]], [], [[" ", "one", "\n"], ["two", "  ", "three"]], [AWKWARD[4]], [["  "]]]
SETTINGS: List[Dict[str, Any]] = [
    {},
    {"layers": [-1, 0], "layer_mix": "concat", "max_batch_tokens": 1},
    {"layer_norm": True, "layer_mix": "mean", "window": 3},
    {"layers": [1], "layer_mix": "last"},
]


def rows_named(found: Dict[str, np.ndarray], name: str) -> List[np.ndarray]:
    return [found[f"{name}.{i}"] for i in range(len(TEXTS))]


@pytest.mark.parametrize("settings", SETTINGS)
def test_component_gives_the_rows_of_ours(allennlp: AllenNLP, two_layers: Path, settings: Dict[str, Any]) -> None:
    found = allennlp.ask("component", folder=two_layers, texts=TEXTS, model=settings)
    compare(rows_named(found, "rows"), make_opened(two_layers, **settings).predict(make_texts(TEXTS)))


@pytest.mark.parametrize("steps", [0, 3])
def test_component_saves_its_weights(allennlp: AllenNLP, two_layers: Path, steps: int, tmp_path: Path) -> None:
    model = {"trainable": steps > 0, "layer_mix": "concat"}
    asked: Dict[str, Any] = {"folder": two_layers, "texts": TEXTS, "model": model, "disk": tmp_path, "steps": steps}
    found = allennlp.ask("component", **asked)
    rows = rows_named(found, "rows")
    for way in ("disk", "pickle"):
        for one, other in zip(rows, rows_named(found, way)):
            np.testing.assert_array_equal(one, other)
    plain = make_opened(two_layers, layer_mix="concat").predict(make_texts(TEXTS))
    for one, other in ((plain[0], rows[0]), (rows[0], rows_named(found, "learnt")[0])):
        assert (np.abs(one - other).max() > 1e-3) == (steps > 0)
    saved = make_opened(tmp_path / "elmo_embeddings" / "model" / "encoder0", layer_mix="concat")
    compare(saved.predict(make_texts(TEXTS)), rows)


@pytest.mark.parametrize("trainable", [False, True])
def test_component_carries_state_as_allennlp_does(allennlp: AllenNLP, two_layers: Path, trainable: bool) -> None:
    model = {"stateful": True, "trainable": trainable, "layer_mix": "concat"}
    found = allennlp.ask("batches_of_docs", folder=two_layers, batches=CHANGING, reset=False, model=model)
    expected = allennlp.ask("layers", folder=two_layers, batches=CHANGING, stateful=True)
    for one, other in zip(per_batch(found, CHANGING), per_batch(expected, CHANGING)):
        compare([stacked(rows, 3) for rows in one], other)


@pytest.mark.parametrize("stateful", [False, True])
def test_component_starts_from_zeros_after_a_reset(allennlp: AllenNLP, two_layers: Path, stateful: bool) -> None:
    batches = [*CHANGING, [[], []]]  # AllenNLP alone fails on the last
    model = {"stateful": stateful, "layer_mix": "concat"}
    found = allennlp.ask("batches_of_docs", folder=two_layers, batches=batches, reset=stateful, model=model)
    expected = allennlp.ask("layers", folder=two_layers, batches=CHANGING, stateful=False)
    rows = per_batch(found, batches)
    for one, other in zip(rows, per_batch(expected, CHANGING)):
        compare([stacked(part, 3) for part in one], other)
    assert [part.shape for part in rows[-1]] == [(0, 36), (0, 36)]


def test_threads_do_not_see_one_anothers_state(allennlp: AllenNLP, two_layers: Path) -> None:
    batches = CHANGING * 5
    rows = per_batch(allennlp.ask("threads", folder=two_layers, batches=batches), batches)
    expected = per_batch(allennlp.ask("layers", folder=two_layers, batches=batches, stateful=False), batches)
    compare([stacked(part, 3) for batch in rows for part in batch], [part for batch in expected for part in batch])


@pytest.mark.parametrize(
    ("options", "single", "reason"),
    [
        ({"skip": False}, False, "residual connections"),
        ({"n_layers": 1}, True, "MultiRNNCell"),
        ({"dim": 6}, False, "W_P_0"),
        ({"max_chars": 40}, False, "50 characters"),
    ],
)
def test_what_allennlp_cannot_read_is_refused(
    allennlp: AllenNLP, options: Dict[str, Any], single: bool, reason: str, tmp_path: Path
) -> None:
    folder = write_random_elmo(tmp_path, single=single, **options)
    message = str(allennlp.ask("refusal", name=str(folder))["message"])
    assert "ModelFormatError" in message and reason in message and "Elmo.v1" in message
