"""models/transformer/modules.py and models/transformer/dense.py: files of sentence-transformers, whole and damaged.

Here too: models/transformer/dense.py.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_ctx_embed.data import Dense
from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.transformer.modules import SentenceModel, keep_modules, read_modules, write_modules
from spacy_ctx_embed.rows.head import text_width
from tests.writers.sentence import dense, write_json, write_sentence_model

POOL = {"type": "Pooling", "pooling_mode": "mean"}
TEXT = {"method": "forward", "method_output_name": "last_hidden_state"}


@pytest.fixture
def write(tmp_path):
    """Write a model whose transformer is an empty folder."""
    (tmp_path / "transformer").mkdir()

    def write_model(modules=(POOL,), **files):
        return write_sentence_model(tmp_path / "model", tmp_path / "transformer", modules, **files)

    return write_model


def _read(folder, prompt_name=None):
    return read_modules(folder, keep_modules(folder), SimpleNamespace(), prompt_name)


def test_all_of_it_is_read(write):
    folder = write(
        [
            {"type": "Pooling", "pooling_mode": ["cls", "max"], "include_prompt": False},
            dense(32, 5),
            {"type": "Normalize"},
        ],
        prompts={"prompts": {"q": "find: "}, "default_prompt_name": "q", "truncate_dim": 3},
        inputs={"do_lower_case": True, "max_seq_length": 12, "modality_config": {"text": TEXT}},
        inside="0_Transformer",
    )
    found = _read(folder)
    assert (found.prompt, found.include_prompt, found.lowercase) == ("find: ", False, True)
    layer, *others = found.head.steps
    assert found.head.modes == ("cls", "max") and others == ["normalize", 3]
    assert isinstance(layer, Dense) and layer.weight.shape == (5, 32) and layer.activation == "Tanh"


def test_what_was_kept_is_written_and_read_again_with_the_transformer_in_the_folder_itself(write, tmp_path):
    folder = write([POOL, dense(16, 5)], prompts={}, inputs={"do_lower_case": True}, inside="0_Transformer")
    files = keep_modules(folder)
    assert sorted(files) == [
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
        "config_sentence_transformers.json",
        "modules.json",
        "sentence_bert_config.json",
    ]
    write_modules(tmp_path / "copy", files)
    assert keep_modules(tmp_path / "copy") == files and b"0_Transformer" not in files["modules.json"]
    assert _read(tmp_path / "copy").lowercase


@pytest.mark.parametrize(
    ("config", "mode"),
    [
        ({}, "mean"),
        ({"architectures": ["BertModel"]}, "mean"),
        ({"architectures": ["QwenForCausalLM"]}, "lasttoken"),
        ({"architectures": ["QwenForCausalLM"], "is_causal": False}, "mean"),
    ],
)
def test_without_modules_the_last_piece_of_a_causal_model_and_the_mean_of_others(config, mode, tmp_path):
    assert keep_modules(tmp_path) == {}
    found = read_modules(tmp_path, {}, SimpleNamespace(**config))
    assert found.head.modes == (mode,) and found == SentenceModel(found.head)


def test_pickled_weights_are_read_as_data(write):
    layer = dense(16, 5)
    layer["weights"] = {"pickled": layer["weights"]}
    found = _read(write([POOL, layer])).head.steps[0]
    np.testing.assert_array_equal(found.weight, layer["weights"]["pickled"]["linear.weight"])


@pytest.mark.parametrize("kind", ["LSTM", "CNN", "WordWeights", "my_code.Pooler"])
@pytest.mark.parametrize("place", [1, 2])
def test_an_unknown_module_is_named_with_its_file(kind, place, write):
    modules = [POOL, POOL]
    modules[place - 1] = {"type": kind, "size": 3}
    with pytest.raises(ModelFormatError, match=rf"\[CE012\].*modules.json.*module {place}.*{kind}'.*Fix: set doc_pool"):
        _read(write(modules))


@pytest.mark.parametrize(
    ("modules", "inputs", "name"),
    [
        ([{"type": "Pooling", "pooling_mode": "median"}], {}, "pooling_mode is 'median'"),
        ([POOL, {**dense(16, 5), "module_input_name": "token_embeddings"}], {}, "module_input_name"),
        ([POOL, {**dense(16, 5), "activation_function": "os.system"}], {}, "activation_function is 'os.system'"),
        ([POOL, {**dense(16, 5), "activation_function": "torch.nn.Linear"}], {}, "activation_function"),
        ([POOL, {**dense(16, 5), "activation_function": "torch.nn.PReLU"}], {}, "activation_function"),
        ([POOL, {**dense(16, 5), "activation_function": "torch.nn.functional.relu"}], {}, "activation_function"),
        ([POOL], {"transformer_task": "fill-mask"}, "transformer_task"),
        ([POOL], {"module_output_name": "logits"}, "module_output_name"),
        ([POOL], {"modality_config": {"message": TEXT}}, "modality_config"),
        ([POOL], {"modality_config": {"text": {**TEXT, "method": "get_text_features"}}}, "modality_config"),
    ],
)
def test_what_can_not_be_done_is_named(modules, inputs, name, write):
    with pytest.raises(ModelFormatError, match=rf"\[CE012\].*{name}.*Accepted: .*Fix: "):
        _read(write(modules, inputs=inputs))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("modules.json", "{"),
        ("modules.json", "[]"),
        ("modules.json", "[1, 2]"),
        ("modules.json", '{"0": "Transformer"}'),
        ("1_Pooling/config.json", "[1]"),
        ("1_Pooling/config.json", None),
        ("2_Dense/config.json", "tanh"),
        ("2_Dense/config.json", None),
        ("2_Dense/model.safetensors", "no tensors"),
        ("2_Dense/model.safetensors", None),
        ("config_sentence_transformers.json", "prompts"),
        ("config_sentence_transformers.json", '{"prompts": ["a"]}'),
        ("sentence_bert_config.json", "-"),
    ],
)
def test_a_damaged_file_is_named(file, content, write):
    folder = write([POOL, dense(16, 5)], prompts={}, inputs={})
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    with pytest.raises(ModelFormatError, match=rf"{file.split('/')[0]}.*Accepted: .*Fix: .*doc_pooling = 'mean'"):
        _read(folder)


@pytest.mark.parametrize("change", [{"out_features": 6}, {"in_features": 3}, {"use_residual": True}])
def test_weights_of_another_shape_are_named(change, write):
    with pytest.raises(ModelFormatError, match=r"\[CE013\].*2_Dense.*weight.*Accepted: numbers of shape"):
        _read(write([POOL, {**dense(16, 5), **change}]))


def test_weights_that_are_no_numbers_are_named(write):
    layer = dense(16, 5)
    layer["weights"]["linear.bias"][2] = np.nan
    with pytest.raises(ModelFormatError, match=r"\[CE013\].*linear.bias is not all numbers"):
        _read(write([POOL, layer]))


def test_a_prompt_name_that_is_not_there_is_named(write):
    folder = write(prompts={"prompts": {"find": "find: "}, "default_prompt_name": "serach"})
    with pytest.raises(ModelFormatError, match=r"\[CE013\].*'serach'.*'query', 'document', 'find'.*Fix: "):
        _read(folder)


def test_a_prompt_is_chosen_by_name(write):
    folder = write(prompts={"prompts": {"find": "find: ", "query": "q: "}, "default_prompt_name": "find"})
    names = [None, "find", "query", "document"]
    assert [_read(folder, name).prompt for name in names] == ["find: ", "find: ", "q: ", ""]


@pytest.mark.parametrize("prompts", [{"prompts": {"find": "find: "}}, {}, None])
def test_a_prompt_that_the_model_does_not_have_is_an_error_that_names_the_setting(write, prompts):
    folder = write() if prompts is None else write(prompts=prompts)
    names = "'find'" if prompts else "there is none"
    with pytest.raises(ValueError, match=rf"\[CE001\].*'prompt_name' is 'serach'.*{names}.*Fix: "):
        _read(folder, "serach")


def test_a_model_without_modules_has_no_prompt():
    with pytest.raises(ValueError, match=r"\[CE001\].*'prompt_name' is 'query'.*there is none"):
        read_modules(Path("model"), {}, SimpleNamespace(), "query")


WORDS = ["", "Dense", "mean", "..", "1_Pooling", "torch.nn.Tanh"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 20) | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "path", "text"]), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = {
    "modules.json": ["path", "type", "idx"],
    "1_Pooling/config.json": ["pooling_mode", "include_prompt", "pooling_mode_cls_token"],
    "2_Dense/config.json": [
        "in_features",
        "out_features",
        "bias",
        "activation_function",
        "use_residual",
        "module_input_name",
    ],
    "config_sentence_transformers.json": ["prompts", "default_prompt_name", "truncate_dim"],
    "sentence_bert_config.json": ["do_lower_case", "modality_config", "transformer_task"],
}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_a_file_says_it_is_read_or_refused(data, tmp_path):
    folder = tmp_path / "any"
    shutil.rmtree(folder, ignore_errors=True)
    (tmp_path / "transformer").mkdir(exist_ok=True)
    write_sentence_model(folder, tmp_path / "transformer", [POOL, dense(16, 5)], prompts={}, inputs={})
    file = data.draw(st.sampled_from(sorted(KEYS)))
    changes = st.dictionaries(st.sampled_from(KEYS[file]), JSON, min_size=1)
    content = json.loads((folder / file).read_text())
    if file == "modules.json":
        content[data.draw(st.integers(0, 2))].update(data.draw(changes))
    else:
        content.update(data.draw(changes))
    write_json(folder / file, data.draw(JSON | st.just(content)))
    refused = ""
    try:
        assert text_width(_read(folder).head, 16) > 0
    except ModelFormatError as error:
        refused = str(error)
    assert not refused or ("Accepted: " in refused and "Fix: " in refused)


@pytest.mark.parametrize("path", ["..", "..\\", "Q:/x", "a\\..\\..", "/x"])
def test_paths_outside_of_the_folder_are_not_followed_on_any_system(path, write, tmp_path):
    write_json(tmp_path / "config.json", {"pooling_mode": "cls"})
    folder = write()
    modules = json.loads((folder / "modules.json").read_text())
    write_json(folder / "modules.json", [{**module, "path": path} if i else module for i, module in enumerate(modules)])
    with pytest.raises(ModelFormatError, match="it is not there") as caught:
        _read(folder)
    assert "Q:" not in str(caught.value)
