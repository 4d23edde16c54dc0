"""docs/generate.py: the reference is what the code says, and nothing of the code is missing in it."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
from importlib.metadata import entry_points

import pytest
import typer.main
from spacy.language import Language

from spacy_ctx_embed.cli.app import embed_cli
from spacy_ctx_embed.errors import Errors, Warnings
from tests.documents import ROOT

SUFFIXES = ("", ".zh-CN")
_SPEC = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
generate = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(generate)
PAGES = generate.pages()


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_are_up_to_date(name):
    assert (ROOT / "docs" / name).read_text(encoding="utf8") == PAGES[name], "run: python docs/generate.py"


def _section(page, title):
    return page.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_architecture_and_every_key_of_it_is_there(suffix):
    page = PAGES[f"configuration{suffix}.md"]
    for entry in entry_points(group="spacy_architectures"):
        if entry.name.startswith("spacy_ctx_embed."):
            section = _section(page, entry.name.removeprefix("spacy_ctx_embed."))
            for key, item in inspect.signature(entry.load()).parameters.items():
                default = f"`{json.dumps(item.default)}`" if item.default is not inspect.Parameter.empty else ""
                assert re.search(rf"^\\| `{key}` \\| {re.escape(default)}", section, flags=re.MULTILINE), key


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_key_of_every_factory_is_there(suffix):
    page = PAGES[f"configuration{suffix}.md"]
    for entry in entry_points(group="spacy_factories"):
        if entry.value.startswith("spacy_ctx_embed."):
            assert f"`{entry.name}`" in page
            for key in Language.get_factory_meta(entry.name).default_config:
                assert f"`{key}`" in page


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_code_is_there_once(suffix):
    found = re.findall(r"^\| <a id='\w+'></a>(C[EW]\d+) \|", PAGES[f"errors{suffix}.md"], flags=re.MULTILINE)
    codes = [f"C{key}" for owner in (Errors, Warnings) for key in dir(owner) if re.fullmatch(r"[EW]\d+", key)]
    assert sorted(found) == sorted(codes)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_command_and_option_is_there(suffix):
    page = PAGES[f"commands{suffix}.md"]
    for name, command in typer.main.get_command(embed_cli).commands.items():
        section = _section(page, name)
        for item in command.params:
            is_argument = item.param_type_name == "argument"
            shown = str(item.metavar or item.name.upper()) if is_argument else item.opts[0]
            assert f"`{shown}" in section


def test_templates_are_cut_where_their_parts_begin():
    for owner in (Errors, Warnings):
        for key, template in ((key, getattr(owner, key)) for key in dir(owner)):
            if re.fullmatch(r"[EW]\d+", key):
                wrong, accepted, fix = generate.split_message(template)
                assert all((wrong, accepted, fix))
