"""seeing/pictures.py, seeing/senses_pictures.py, seeing/senses_umap.py and cli/pages/senses.py: files and figures."""

from __future__ import annotations

import json
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from spacy_ctx_embed.seeing.pictures import Panel, check_place, save_pictures
from spacy_ctx_embed.seeing.senses import draw_senses
from spacy_ctx_embed.seeing.senses_data import figures_of
from spacy_ctx_embed.seeing.senses_pictures import best_layer, panels_of
from spacy_ctx_embed.seeing.senses_umap import check_umap, has_neighbours, umap_plane

LINES = [
    ("money $x$", "The bank lent us money ."),
    ("river", "the bank of the river"),
    ("river", "Grass on the bank ."),
]


@pytest.fixture
def corpus(tmp_path):
    """Three uses of a word."""
    file = tmp_path / "a.tsv"
    file.write_text("".join("\t".join(line) + "\n" for line in LINES), encoding="utf8")
    return file


def test_the_command_gives_figures_alone_and_writes_pictures(three_sources, corpus, tmp_path):
    pytest.importorskip("matplotlib")
    three_sources.to_disk(tmp_path / "pipeline")
    args = ["senses", "bank", "zebra", "-o", str(tmp_path / "a.html"), "-f", str(corpus)]
    args += ["-p", str(tmp_path / "pipeline"), "--json", "--png", str(tmp_path / "a.png"), "--svg", str(tmp_path / "s")]
    done = CliRunner().invoke(embed_cli, args)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["missing"] == ["zebra"]
    (view,) = draw_senses(tmp_path / "b.html", ["bank"], corpus=corpus, nlp=three_sources)
    assert found["words"] == [json.loads(json.dumps(figures_of(view)))]
    assert found["words"][0]["senses"] == {"money $x$": 1, "river": 2}
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    names = sorted(file.name for file in (tmp_path / "s").iterdir())
    assert names == sorted(f"{panel.name}.svg" for panel in panels_of([view], "en")) and len(names) == 6
    text = (tmp_path / "s" / "bank-bert_embeddings-plane.svg").read_text(encoding="utf8")
    assert "money $x$" in text and f"layer {best_layer(view.sources[2])}" in text
    ElementTree.fromstring(text)


def test_the_same_panels_give_the_same_svg_and_names_are_for_any_file_system(tmp_path):
    pytest.importorskip("matplotlib")
    panels = [Panel(name, lambda axes: axes.plot([1, 2])) for name in ("a/b", "a:b", "x" * 1000)]
    for folder in ("one", "two"):
        files = save_pictures(panels, tmp_path / folder, "svg", columns=3, owner="test")
    assert [file.stem for file in files] == ["a_b", "a_b~2", "x" * 60]
    for file in files:
        assert file.read_bytes() == (tmp_path / "one" / file.name).read_bytes()


@pytest.mark.parametrize("place", ["a.svg", "none/a.png"])
def test_a_place_that_is_none_is_a_coded_error(tmp_path, place):
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match=r"\[CE001\] test: the setting '--png'"):
        check_place(tmp_path / place, "png", owner="test")


def test_a_package_that_is_missing_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"(?s)\[CE005\] test.*'--svg'.*pip install 'spacy-ctx-embed\[plot\]'"):
        check_place(tmp_path / "a.svg", "svg", owner="test")
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match=r"(?s)\[CE005\] test.*'--projection'.*'spacy-ctx-embed\[umap\]'"):
        check_umap(owner="test")


def test_umap_parts_two_heaps_and_repeats_itself():
    pytest.importorskip("umap", reason="needs umap-learn: pip install 'spacy-ctx-embed[umap]'")
    random = np.random.default_rng(0)
    rows = np.concatenate([random.normal(size=(10, 6)) + 9 * side * np.eye(6)[0] for side in (1, -1)])
    start = rows[:, :2] - rows[:, :2].mean(axis=0)
    assert has_neighbours(rows) and not has_neighbours(rows[:1].repeat(20, axis=0))
    points = umap_plane(rows, start)
    assert points.shape == (20, 2)
    np.testing.assert_array_equal(points, umap_plane(rows, start))
    one, other = points[:10], points[10:]
    between = np.linalg.norm(one.mean(axis=0) - other.mean(axis=0))
    assert between > 2 * max(one.std(), other.std())
