"""encoders/bert/adapter.py: merged rows are peft's own, only the adapter learns, what is saved needs no other files.

Here too: models/transformer/adapter.py, whose files' faults are in tests/models/transformer/test_adapter.py.
"""

from __future__ import annotations

import copy
import json
import pickle
import shutil
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable, Dict, Set

import numpy as np
import pytest
import spacy
from spacy.language import Language
from thinc.api import Adam, Model

from spacy_ctx_embed.encoder import encoder_of
from spacy_ctx_embed.encoders.bert.model import make_bert_v1
from spacy_ctx_embed.errors import EncoderError, ModelFormatError, ModelNotFoundError
from spacy_ctx_embed.networks.packed.matrix import can_pack_int8
from tests.adapters import ATTENTION, REASON, states, write_adapter
from tests.small_transformers import write_model
from tests.writers.sentence import write_sentence_model

pytestmark = pytest.mark.skipif(find_spec("peft") is None, reason=REASON)


def config_of(kind: str, **settings: Any) -> Any:
    import peft  # takes seconds: not where tests are only collected

    return getattr(peft, kind)(**settings)


TEXT = "rain fell on the tin roof while a kettle whistled"
DOC = spacy.blank("xx")(TEXT)
KINDS: Dict[str, Callable[[], Any]] = {
    "lora": partial(config_of, "LoraConfig", target_modules=ATTENTION, r=4),
    "all layers and biases": partial(config_of, "LoraConfig", target_modules="all-linear", use_rslora=True, bias="all"),
    "dora": partial(config_of, "LoraConfig", target_modules=ATTENTION, use_dora=True),
    "embeddings": partial(config_of, "LoraConfig", target_modules=["word_embeddings", "query"]),
    "modules in full": partial(config_of, "LoraConfig", target_modules=ATTENTION, modules_to_save=["LayerNorm"]),
    "one layer": partial(config_of, "LoraConfig", target_modules=r".*layer\.1.*query"),
    "ia3": partial(
        config_of, "IA3Config", target_modules=["key", "output.dense"], feedforward_modules=["output.dense"]
    ),
    "loha": partial(config_of, "LoHaConfig", target_modules=ATTENTION),
    "lokr": partial(config_of, "LoKrConfig", target_modules=ATTENTION),
    "vera": partial(config_of, "VeraConfig", target_modules=ATTENTION),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("adapter") / "base", "bert")


@pytest.fixture(scope="module")
def lora(base: Path) -> Path:
    return write_adapter(base.parent / "lora", base)[0]


def build(base: object, adapter: object, **settings: Any) -> Model:
    return make_bert_v1(name=str(base), adapter=None if adapter is None else str(adapter), overlap=8, **settings)


def rows(model: Model) -> np.ndarray:
    found: np.ndarray = encoder_of(model).encode(model, [DOC])[0].rows
    return found


def pipeline(base: object, adapter: object, *, name: str = "bert", **settings: Any) -> Language:
    of_model = {key: settings.pop(key) for key in ("trainable", "layer_mix") if key in settings}
    model = {"name": str(base), "adapter": None if adapter is None else str(adapter), "overlap": 8, **of_model}
    nlp = spacy.blank("xx")
    nlp.add_pipe("bert_embeddings", name=name, config={"model": model, **settings})
    return nlp


def moved(model: Model, optimizer: Adam) -> Dict[str, float]:
    # One step up a random slope: how far each parameter went.
    module = model.shims[0].network().module
    before = {name: tensor.detach().clone() for name, tensor in module.named_parameters()}
    found, backprop = model.begin_update([DOC])
    backprop([np.random.default_rng(0).normal(size=part.shape).astype("f") for part in found])
    frozen = {name: p.grad for name, p in module.named_parameters() if not p.requires_grad}
    assert set(frozen.values()) <= {None}
    model.finish_update(optimizer)
    return {name: float((tensor.detach() - before[name]).abs().max()) for name, tensor in module.named_parameters()}


@pytest.mark.parametrize("kind", KINDS)
def test_merged_rows_are_those_of_peft_itself(kind, base, tmp_path):
    folder, adapted = write_adapter(tmp_path, base, KINDS[kind]())
    found = rows(build(base, folder))
    np.testing.assert_allclose(found, states(adapted, base, TEXT), atol=1e-5)
    assert np.abs(found - rows(build(base, None))).max() > 1e-4
    kept = build(base, folder, trainable=True)
    np.testing.assert_allclose(rows(kept), found, atol=1e-5)
    np.testing.assert_array_equal(rows(build("gone", "gone", trainable=True).from_bytes(kept.to_bytes())), rows(kept))


@pytest.mark.parametrize("trainable", [False, True])
def test_an_adapter_that_was_trained_below_a_head_goes_into_the_model_without_it(trainable, base, tmp_path):
    # Its weights, its target_modules and its alpha_pattern all name layers as they are below the head.
    config = config_of(
        "LoraConfig",
        task_type="TOKEN_CLS",
        target_modules=r"bert\.encoder\.layer\.[01]\.attention\.self\.query",
        alpha_pattern={"^bert.encoder.layer.0.attention.self.query": 32},
    )
    folder, adapted = write_adapter(tmp_path, base, config, head="AutoModelForTokenClassification")
    model = build(base, folder, trainable=trainable)
    np.testing.assert_allclose(rows(model), states(adapted, base, TEXT, "bert"), atol=1e-5)
    again = build("gone", "gone", trainable=trainable).from_bytes(model.to_bytes())
    np.testing.assert_array_equal(rows(again), rows(model))


def test_the_real_minilm_with_a_lora(minilm, tmp_path):
    folder, adapted = write_adapter(tmp_path / "lora", minilm, config_of("LoraConfig", target_modules=ATTENTION))
    nlp = pipeline("all-minilm-l6-v2", folder)
    found = nlp("the bank of the river")._.embeddings["bert"]
    np.testing.assert_allclose(found, states(adapted, minilm, "the bank of the river"), atol=1e-5)


def test_a_merged_model_has_no_trace_of_the_adapter_and_is_saved_whole(base, lora, tmp_path):
    nlp = pipeline(base, lora)
    expected = nlp(TEXT)._.embeddings["bert"]
    assert not [
        name for name, _ in nlp.get_pipe("bert").model.shims[0].network().module.named_parameters() if "lora" in name
    ]
    nlp.to_disk(tmp_path / "nlp")
    assert not list((tmp_path / "nlp").rglob("adapter*"))
    for copied in (spacy.load(tmp_path / "nlp"), pickle.loads(pickle.dumps(nlp)), copy.deepcopy(nlp)):
        np.testing.assert_array_equal(copied(TEXT)._.embeddings["bert"], expected)
    docs = list(nlp.pipe([TEXT, TEXT], n_process=2, batch_size=1))
    np.testing.assert_allclose(docs[1]._.embeddings["bert"], expected, atol=1e-6)


def test_only_the_adapter_learns(base, lora):
    model = build(base, lora, trainable=True)
    model.initialize(X=[DOC])
    by_name = moved(model, Adam(0.01))
    assert {name for name, distance in by_name.items() if distance} == {name for name in by_name if "lora_" in name}


def test_rates_by_depth_and_thawing_hold_for_the_adapter(base, tmp_path):
    folder, _ = write_adapter(tmp_path, base, config_of("LoraConfig", target_modules=["word_embeddings", "query"]))
    optimizer = Adam(0.01, grad_clip=0.0, L2=0.0)

    def by_depth(model: Model) -> list:
        found = moved(model, optimizer)
        return [max(v for k, v in found.items() if part in k) for part in ("layer.1.", "layer.0.", "embeddings.")]

    model = build(base, folder, trainable=True, layer_decay=0.1)
    model.initialize(X=[DOC])
    assert by_depth(model) == pytest.approx([0.01, 0.001, 0.0001], rel=0.05)
    model = build(base, folder, trainable=True, unfreeze_steps=1)
    model.initialize(X=[DOC])
    thawed = [[distance > 0 for distance in by_depth(model)] for _ in range(3)]
    assert thawed == [[True, False, False], [True, True, False], [True, True, True]]


def _files(folder: Path) -> Set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def test_what_was_learnt_is_saved_as_model_and_adapter_and_needs_nothing_else(base, lora, tmp_path):
    original = [tmp_path / "base", tmp_path / "lora"]
    for source, target in zip((base, lora), original):
        shutil.copytree(source, target)
    nlp = pipeline(*original, trainable=True)
    nlp.initialize()
    moved(nlp.get_pipe("bert").model, Adam(0.1))
    expected = nlp(TEXT)._.embeddings["bert"]
    nlp.to_disk(tmp_path / "nlp")
    for folder in original:
        shutil.rmtree(folder)
    saved = tmp_path / "nlp" / "bert" / "model" / "encoder0"
    assert {
        "config.json",
        "model.safetensors",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
    } <= _files(saved)
    for copied in (spacy.load(tmp_path / "nlp"), pickle.loads(pickle.dumps(nlp)), copy.deepcopy(nlp)):
        np.testing.assert_array_equal(copied(TEXT)._.embeddings["bert"], expected)
        by_name = moved(copied.get_pipe("bert").model, Adam(0.01))  # and it learns on, the adapter alone
        assert {name for name, distance in by_name.items() if distance} == {name for name in by_name if "lora_" in name}
    off = spacy.load(tmp_path / "nlp", config={"components": {"bert": {"model": {"trainable": False}}}})
    np.testing.assert_allclose(off(TEXT)._.embeddings["bert"], expected, atol=1e-5)
    # The folder inside is an adapter for peft as any other, and the one around it the model as it was.
    _, by_peft = write_adapter(tmp_path / "other", saved)
    by_peft.load_adapter(str(saved / "adapter"), "saved")
    by_peft.set_adapter("saved")
    np.testing.assert_allclose(states(by_peft, saved, TEXT), expected, atol=1e-5)
    np.testing.assert_array_equal(rows(build(saved, None)), rows(build(base, None)))


def test_a_merged_adapter_can_not_learn_alone(base, lora, tmp_path):
    pipeline(base, lora).to_disk(tmp_path)
    with pytest.raises(EncoderError, match=r"CE096.*adapter = '.*lora' is merged.*Accepted: .*adapter = null.*Fix: "):
        spacy.load(tmp_path, config={"components": {"bert": {"model": {"trainable": True}}}})


def test_a_reference_names_model_and_adapter_and_compares_both(base, lora, tmp_path):
    mine = shutil.copytree(lora, tmp_path / "lora")
    nlp = pipeline(base, mine, serialize="reference")
    expected = nlp(TEXT)._.embeddings["bert"]
    pickle.loads(pickle.dumps(nlp)).to_disk(tmp_path / "nlp")
    assert not list((tmp_path / "nlp").rglob("*.safetensors"))
    np.testing.assert_array_equal(spacy.load(tmp_path / "nlp")(TEXT)._.embeddings["bert"], expected)
    write_adapter(mine, base, seed=1)
    with pytest.raises(ModelFormatError, match=r"CE015.* \+ adapter .*Fix: "):
        spacy.load(tmp_path / "nlp")(TEXT)


def test_one_cache_keeps_a_model_and_its_adapters_apart(base, lora, tmp_path):
    other, _ = write_adapter(tmp_path / "other", base, seed=1)
    adapters = [None, lora, other, shutil.copytree(lora, tmp_path / "moved")]
    expected = [rows(build(base, adapter)) for adapter in adapters]
    for _ in range(2):
        for adapter, row in zip(adapters, expected):
            nlp = pipeline(base, adapter, layer_mix="last", cache_mb=8, cache_dir=str(tmp_path / "cache"))
            np.testing.assert_allclose(nlp(TEXT)._.embeddings["bert"], row, atol=1e-6)
    digests = [build(base, adapter).shims[0].network().identity() for adapter in adapters]
    assert b"".join(map(bytes, digests[1])) == b"".join(map(bytes, digests[3]))  # the weights count, not where they are


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "int8"])
def test_reduced_precision_merges_first(precision, base, lora):
    if precision == "int8" and not can_pack_int8():
        pytest.skip("this build of torch has no 8-bit products")
    full, reduced = build(base, lora), build(base, lora, precision=precision)
    assert 0 < np.abs(rows(full) - rows(reduced)).max() < 0.2
    again = build("gone", "gone", precision=precision).from_bytes(reduced.to_bytes())
    np.testing.assert_array_equal(rows(again), rows(reduced))


def test_integers_have_no_adapter_that_learns(base, lora):
    with pytest.raises(ValueError, match=r"'precision' is 'int8'.*where trainable = true.*Fix: "):
        build(base, lora, precision="int8", trainable=True)


def test_the_models_own_vector_of_a_text_is_that_of_the_adapted_model(tiny_bert, tmp_path):
    modules = [{"type": "Pooling", "pooling_mode": "mean"}, {"type": "Normalize"}]
    sentence = write_sentence_model(tmp_path / "sentence", tiny_bert, modules)
    folder, _ = write_adapter(tmp_path / "lora", tiny_bert)
    text = "the bank of the river"
    merged, kept = (pipeline(sentence, folder, doc_pooling="model", trainable=learns) for learns in (False, True))
    expected = merged(text)._.vector
    assert np.abs(expected - pipeline(sentence, None, doc_pooling="model")(text)._.vector).max() > 1e-3
    np.testing.assert_allclose(kept(text)._.vector, expected, atol=1e-5)
    kept.to_disk(tmp_path / "nlp")
    np.testing.assert_allclose(spacy.load(tmp_path / "nlp")(text)._.vector, expected, atol=1e-5)


def _edit(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, **values}))


# What is wrong with an adapter -> what its config says, and what the message says.
MISFITS = {
    "no such layer": ({"target_modules": ["c_attn"]}, "c_attn"),
    "of another class": ({"auto_mapping": {"base_model_class": "RobertaModel"}}, "trained on a RobertaModel"),
    "other sizes": ({"r": 8}, "of another size"),
    "more layers": ({"target_modules": ["query", "value", "key"]}, "it lacks 4 weights"),
    "fewer layers": ({"target_modules": ["query"]}, "no place for 4 of its weights"),
}


@pytest.mark.parametrize("what", MISFITS)
def test_an_adapter_of_another_model_is_one_error(what, base, lora, tmp_path):
    changed, reason = MISFITS[what]
    folder = shutil.copytree(lora, tmp_path / "lora")
    _edit(folder, **changed)
    nlp = pipeline(base, folder, name="mine")
    with pytest.raises(
        EncoderError,
        match=rf"(?s)CE095.*adapter = '.*lora' does not go with name = '.*base', a BertModel.*{reason}.*Fix: ",
    ):
        nlp(TEXT)


def test_a_model_of_another_kind_or_size_is_told_by_its_name_where_it_is_here(base, lora, tmp_path):
    roberta = write_model(tmp_path / "roberta", "roberta", pad_token_id=0)
    folder, _ = write_adapter(tmp_path / "of_roberta", roberta)
    _edit(folder, auto_mapping=None)  # else its class would tell
    with pytest.raises(EncoderError, match="it was trained on '.*roberta', a model of type 'roberta'"):
        rows(build(base, folder))
    wide = write_model(tmp_path / "wide", "bert", hidden_size=48)
    with pytest.raises(EncoderError, match=r"CE095.*4 of its weights are of another size|CE095.*of another size"):
        rows(build(wide, lora))


@pytest.mark.parametrize(
    ("config", "kind"),
    [("PromptTuningConfig", "PROMPT_TUNING"), ("PrefixTuningConfig", "PREFIX_TUNING")],
)
def test_a_kind_that_changes_no_weights_is_refused(config, kind, base, tmp_path):
    folder, _ = write_adapter(tmp_path, base, config_of(config, task_type="FEATURE_EXTRACTION", num_virtual_tokens=3))
    with pytest.raises(
        EncoderError,
        match=rf"CE096.*adapter = .* is of the kind '{kind}', which adds to the input.*Accepted: .*LORA.*Fix: ",
    ):
        rows(build(base, folder))


def test_a_kind_that_is_not_known_is_refused(base, lora, tmp_path):
    folder = shutil.copytree(lora, tmp_path / "lora")
    _edit(folder, peft_type="TIMEMACHINE")
    with pytest.raises(EncoderError, match="CE096.*'TIMEMACHINE'.*pip install --upgrade peft"):
        rows(build(base, folder))


def test_a_missing_peft_is_a_pip_line(base, lora, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(
        ImportError, match=r"CE005.*'adapter' needs the package 'peft'.*pip install 'spacy-ctx-embed\[peft\]'"
    ):
        rows(build(base, lora))


def test_an_adapter_that_is_nowhere_is_one_error_with_each_place(base, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        ModelNotFoundError,
        match=r"(?s)CE019.*adapter = 'me/mine'.*me/mine: no such file.*hub:me/mine.*Fix: .*set 'adapter'",
    ):
        rows(build(base, "me/mine"))


@pytest.mark.parametrize("value", ["", 7, ["a"]])
def test_what_is_no_name_is_refused_when_built(value):
    with pytest.raises(ValueError, match=r"CE001.*'adapter' is .*Accepted: .*null.*Fix: "):
        make_bert_v1(name="anything", adapter=value)
