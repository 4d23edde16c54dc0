"""The table of model families: how its small models are made, and how results become lines of Markdown."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks"
if not (PATH / "families.py").exists():
    pytest.skip("benchmarks/ is not in this tree", allow_module_level=True)
sys.path.insert(0, str(PATH))
try:
    import families
    import small_configs
finally:
    sys.path.remove(str(PATH))

VERSIONS = {"spacy-ctx-embed": "1", "transformers": "2", "torch": "3"}
GOOD = {"kind": "bert", "class": "BertModel", "run": "padded", "width": 64}
GOOD.update({"alone": 0.0, "batch": 1e-7, "layers": 0.0, "long": True, "saved": 0.0})


def test_sizes_are_turned_down_and_never_up():
    small = small_configs._turned_down({"hidden_size": 4096, "num_hidden_layers": 1, "vocab_size": 30000, "eps": 0.1})
    assert small == {"hidden_size": 64, "num_hidden_layers": 1, "vocab_size": small_configs.VOCABULARY, "eps": 0.1}


def test_limits_are_long_enough_for_the_texts():
    assert small_configs._turned_down({"max_position_embeddings": 16}) == {"max_position_embeddings": 96}


def test_heads_of_keys_stay_as_many_as_those_of_queries():
    heads = {"num_attention_heads": 128, "num_key_value_heads": 128}
    assert small_configs._turned_down(heads) == {"num_attention_heads": 4, "num_key_value_heads": 4}
    assert small_configs._turned_down({**heads, "num_key_value_heads": 8})["num_key_value_heads"] == 2


def test_two_layers_are_of_different_kinds():
    assert small_configs._turned_down({"layer_types": ["full"] * 3 + ["sliding"]}) == {
        "layer_types": ["full", "sliding"]
    }


def test_inner_settings_are_merged():
    merged = small_configs._merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 4}, "d": {"e": 5}})
    assert merged == {"a": {"b": 4, "c": 2}, "d": {"e": 5}}


def test_a_line_of_what_works_and_of_what_does_not():
    results = [
        {**GOOD, "batch": 0.25, "layers": "EncoderError: [CE091] widths", "saved": "OSError: in /tmp/some/model"},
        {
            "kind": "bros",
            "class": "BrosModel",
            "error": "EncoderError: [CE090] no",
            "bare": "ValueError: a | box",
        },
        {"kind": "new", "class": "NewModel", "error": "KeyError: 'x'"},
        {"kind": "vit", "no text": True},
        {"kind": "timm", "not made": "ImportError: timm"},
    ]
    page = families._page(results, VERSIONS)
    assert "| bert | BertModel | padded | 64 | yes | **2e-01** | CE091 | yes | **OSError: in model** |" in page
    assert "| bros | BrosModel | CE090 | a \\| box |" in page
    assert "| new | NewModel | **KeyError: 'x'** | **runs** |" in page
    assert "| timm | ImportError: timm |" in page
    assert "| vit" not in page
    assert "with spacy-ctx-embed 1, transformers 2, torch 3" in page


def test_results_of_other_versions_are_not_known(tmp_path):
    file = tmp_path / "families.jsonl"
    lines = [{**GOOD, "versions": VERSIONS}, {"kind": "old", "versions": {**VERSIONS, "torch": "2"}}]
    lines.append({**GOOD, "width": 3, "versions": VERSIONS})
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf8")
    assert families._known(file, VERSIONS) == {"bert": {**GOOD, "width": 3}}
    assert families._known(tmp_path / "none", VERSIONS) == {}


def test_words_have_a_piece_each_in_the_tokenizer_that_is_opened(tmp_path):
    transformers = pytest.importorskip("transformers")
    assert small_configs.make("bert", tmp_path) == "BertModel"
    pieces = transformers.AutoTokenizer.from_pretrained(tmp_path)(" ".join(small_configs.WORDS))["input_ids"]
    assert pieces == [2, *range(4, 4 + len(small_configs.WORDS)), 3]


def test_a_model_of_sound_reads_no_text(tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises(small_configs.NoTextError):
        small_configs.make("wav2vec2", tmp_path)


# Positions of pictures beside those of pieces; a limit with a name of its own; a part whose states are not of pieces;
# pieces that are bytes.
@pytest.mark.parametrize("kind", ["idefics3", "mpt", "diffusion_gemma", "byt5"])
def test_models_whose_text_part_is_not_plain_to_see(kind):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    if small_configs._KNOWN_AS.get(kind, kind) not in transformers.CONFIG_MAPPING:
        pytest.skip(f"this transformers has no {kind}")
    n_threads = torch.get_num_threads()
    try:
        result = families._try(kind)
    finally:
        torch.set_num_threads(n_threads)
    assert result["long"] is True
    assert max(result[column] for column in ("alone", "batch", "layers", "saved")) < 1e-4
