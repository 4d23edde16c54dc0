"""pipeline/saving.py and pipeline/files.py: one folder, saved to again and again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Set

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.training import Example
from thinc.api import Adam

from spacy_ctx_embed.encoders.network import Network
from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.networks.packed.matrix import can_pack_int8
from tests.writers.elmo import write_random_elmo
from tests.writers.many_langs import write_many_langs
from tests.writers.sentence import dense, write_sentence_model

TEXT = "the bank of the river"
KINDS = ["float32", "int8", "learnt", "sentence", "reference", "elmo", "many_langs", "static", "stack"]


def rows(nlp: Language) -> np.ndarray:
    found: np.ndarray = nlp(TEXT)._.embeddings["vectors"]
    return found


def files(folder: Path) -> Set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*")}


def bert(name: object, serialize: str = "weights", **settings: Any) -> Dict[str, Any]:
    model = {"@architectures": "spacy_ctx_embed.Bert.v1", "name": str(name), "overlap": 8, **settings}
    return {"model": model, "serialize": serialize}


@pytest.fixture(scope="module")
def pipelines(tiny_bert: Path, tiny_static: Path, tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Language]:
    folder = tmp_path_factory.mktemp("sources")
    sentence = write_sentence_model(folder / "sentence", tiny_bert, [{"type": "Pooling"}, dense(16, 8)])
    elmo, many_langs = write_random_elmo(folder / "elmo"), write_many_langs(folder / "many_langs")
    static = {"@architectures": "spacy_ctx_embed.StaticVectors.v1", "name": str(tiny_static)}
    layer = {"@architectures": "spacy_ctx_embed.StackedTok2Vec.v1", "width": 8}
    inside = {"static": static, "bert": bert(tiny_bert)["model"]}
    configs = {
        "float32": ("bert", bert(tiny_bert)),
        "learnt": ("bert", bert(tiny_bert, trainable=True)),
        "sentence": ("bert", {**bert(sentence), "doc_pooling": "model"}),
        "reference": ("bert", bert(tiny_bert, "reference")),
        "elmo": ("elmo", {"model": {"@architectures": "spacy_ctx_embed.Elmo.v1", "name": str(elmo)}}),
        "many_langs": ("elmo", {"model": {"@architectures": "spacy_ctx_embed.Elmo.v1", "name": str(many_langs)}}),
        "static": ("static", {"model": static}),
        "stack": ("bert", {"model": {**layer, "embeddings": inside}}),
    }
    if can_pack_int8():
        configs["int8"] = ("bert", bert(tiny_bert, precision="int8"))
    made = {}
    for kind, (family, config) in configs.items():
        made[kind] = spacy.blank("xx")
        made[kind].add_pipe(f"{family}_embeddings", name="vectors", config=config)
        made[kind].initialize()
    model = made["learnt"].get_pipe("vectors").model
    found, backprop = model.begin_update([made["learnt"].make_doc(TEXT)])
    backprop([np.random.default_rng(0).normal(size=part.shape).astype("f") for part in found])
    model.finish_update(Adam(0.1))
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_older_saves_is_left_or_read(kind, pipelines, tmp_path):
    if kind not in pipelines:
        pytest.skip("this build of torch has no products of 8-bit integers")
    for other in [*(other for other in pipelines if other != kind), kind]:
        pipelines[other].to_disk(tmp_path / "again")
    pipelines[kind].to_disk(tmp_path / "fresh")
    assert files(tmp_path / "again" / "vectors") == files(tmp_path / "fresh" / "vectors")
    np.testing.assert_allclose(rows(spacy.load(tmp_path / "again")), rows(pipelines[kind]), atol=1e-6)


@pytest.mark.parametrize("kind", ["learnt", "sentence", "elmo", "static"])
def test_a_pipeline_is_saved_to_the_folder_that_it_was_loaded_from(kind, pipelines, tmp_path):
    pipelines[kind].to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    expected = rows(nlp)
    nlp.to_disk(tmp_path)
    np.testing.assert_array_equal(rows(nlp), expected)
    np.testing.assert_array_equal(rows(spacy.load(tmp_path)), expected)


@pytest.mark.parametrize("kind", ["learnt", "elmo", "static"])
def test_a_save_that_fails_leaves_the_one_before(kind, pipelines, tmp_path, monkeypatch):
    nlp = pipelines[kind]
    nlp.to_disk(tmp_path)
    expected, before = rows(nlp), files(tmp_path)
    network = nlp.get_pipe("vectors").model.shims[0].network()
    save = type(network).save

    def full(self: Network, directory: Path) -> None:
        save(self, directory)
        raise OSError("No space left on device")

    monkeypatch.setattr(type(network), "save", full)
    with pytest.raises(OSError, match="No space left"):
        nlp.to_disk(tmp_path)
    monkeypatch.undo()
    assert files(tmp_path) == before
    np.testing.assert_array_equal(rows(spacy.load(tmp_path)), expected)


def test_folders_of_others_stay(pipelines, tmp_path):
    pipelines["stack"].to_disk(tmp_path)
    folder = tmp_path / "vectors" / "model"
    (folder / "encoder_notes").mkdir()
    pipelines["static"].to_disk(tmp_path)
    assert {item.name for item in folder.iterdir()} == {"state.msgpack", "encoder0", "encoder_notes"}


def test_a_stale_fit_is_not_read(tiny_static, tmp_path):
    def fitted(**settings: Any) -> Language:
        nlp = spacy.blank("xx")
        model = {"@architectures": "spacy_ctx_embed.StaticVectors.v1", "name": str(tiny_static)}
        nlp.add_pipe("static_embeddings", name="vectors", config={"model": model, **settings})
        examples: List[Example] = [Example.from_dict(nlp.make_doc(text), {}) for text in ("the bank", "a river")]
        nlp.initialize(lambda: examples)
        return nlp

    fitted(correction="center", doc_pooling="sif").to_disk(tmp_path)
    fitted().to_disk(tmp_path)
    assert files(tmp_path / "vectors") & {"sif", "correction"} == set()
    with pytest.raises(ValueError, match="CE029"):
        spacy.load(tmp_path, config={"components": {"vectors": {"doc_pooling": "sif"}}})(TEXT)


def test_names_of_files_that_lead_elsewhere_are_refused(pipelines, tmp_path):
    from tests.models.test_files import with_other_name

    nlp = pipelines["float32"]
    data = with_other_name(nlp.get_pipe("vectors").to_bytes(), "config.json", str(tmp_path / "here"))
    with pytest.raises(ModelFormatError, match=r"CE013.*Accepted: .*Fix: "):
        nlp.get_pipe("vectors").from_bytes(data)
    assert not (tmp_path / "here").exists()
