"""docs/check_links.py and docs/site_hooks.py: dead links are found, links out of docs/ lead to copies; mkdocs.yml."""

from __future__ import annotations

import importlib.util
import json
import re
from types import SimpleNamespace

import pytest
import yaml

from tests.documents import ROOT


def _load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check_links, site_hooks = _load("check_links"), _load("site_hooks")


@pytest.fixture
def site(tmp_path):
    (tmp_path / "zh").mkdir()
    (tmp_path / "index.html").write_text(
        '<!doctype html><h1 id="top">x</h1><a href="zh/page.html#部分">1</a><a href="https://x.y/z">2</a>',
        encoding="utf8",
    )
    (tmp_path / "zh" / "page.html").write_text(
        '<!doctype html><h2 id="部分">x</h2><a href="../index.html#top">1</a><a href="#部分">2</a>',
        encoding="utf8",
    )
    return tmp_path


def test_a_site_without_dead_links(site):
    assert check_links.dead_links(site) == []


@pytest.mark.parametrize(
    "link", ["gone.html", "zh/", "zh/page.html#gone", "#gone", "/gone.html", "picture.png", "../index.html"]
)
def test_a_dead_link_is_found(site, link):
    with (site / "index.html").open("a", encoding="utf8") as stream:
        stream.write(f'<a href="{link}">x</a>')
    assert check_links.dead_links(site) == [f"index.html: {link}"]


def test_what_is_no_page_is_found(site):
    (site / "notebook.html").write_text('{"cells": []}')
    assert check_links.dead_links(site) == ["notebook.html: is no page, but begins otherwise"]


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("[a](../configs/bert.cfg)", '<a href="files/configs/bert.cfg.txt">a</a>'),
        ("[a](../configs)", '<a href="files/configs/index.html">a</a>'),
        ("[`a`](../CONTRIBUTING.md#how-to-add)", '<a href="files/CONTRIBUTING.md.txt">`a`</a>'),
        ("[a](elmo.md#models)", "[a](elmo.md#models)"),
        ("[a](https://x.y/../z)", "[a](https://x.y/../z)"),
        ("# T\n\n[English](gpu.md)\n\ntext", "# T\n\n\ntext"),
    ],
)
def test_links_that_leave_the_folder_lead_to_copies(markdown, expected):
    page = SimpleNamespace(file=SimpleNamespace(dest_uri="page.html"))
    assert site_hooks.on_page_markdown(markdown, page, None, None) == expected
    inside = SimpleNamespace(file=SimpleNamespace(dest_uri="zh-CN/page.html"))
    found = site_hooks.on_page_markdown(markdown, inside, None, None)
    assert found == expected.replace('"files/', '"../files/')


def test_copies_are_written_where_links_lead(tmp_path):
    site_hooks.on_post_build({"site_dir": str(tmp_path)})
    assert (tmp_path / "files" / "configs" / "ner_bert.cfg.txt").read_bytes() == (
        ROOT / "configs" / "ner_bert.cfg"
    ).read_bytes()
    listing = (tmp_path / "files" / "configs" / "index.html").read_text(encoding="utf8")
    assert 'href="ner_bert.cfg.txt"' in listing
    assert check_links.dead_links(tmp_path) == []


def test_both_languages_of_a_notebook_have_the_same_code():
    english, chinese = (
        json.loads((ROOT / "docs" / "notebooks" / f"ten_minutes{suffix}.ipynb").read_text(encoding="utf8"))["cells"]
        for suffix in ("", ".zh-CN")
    )
    assert [cell["cell_type"] for cell in english] == [cell["cell_type"] for cell in chinese]
    code = [[cell["source"] for cell in cells if cell["cell_type"] == "code"] for cells in (english, chinese)]
    assert code[0] == code[1] and len(code[0]) > 10


def test_every_page_is_in_the_navigation():
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *args: None)
    loader.add_constructor("!ENV", lambda *args: "")
    config = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf8"), loader)
    named = set(re.findall(r"[\w/]+\.(?:md|ipynb)", repr(config["nav"])))
    files = [file for file in (ROOT / "docs").rglob("*") if file.suffix in (".md", ".ipynb")]
    pages = {file.relative_to(ROOT / "docs").as_posix() for file in files}
    assert named == {page for page in pages if ".zh-CN." not in page}
    assert len([page for page in named if page.endswith(".md")]) >= 24
