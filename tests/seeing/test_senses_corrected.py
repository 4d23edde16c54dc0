"""seeing/senses_corrected.py: sources on the page of senses before and after a correction."""

from __future__ import annotations

import numpy as np
import pytest

from spacy_ctx_embed.rows.correction import KINDS
from spacy_ctx_embed.seeing.senses import draw_senses
from spacy_ctx_embed.seeing.senses_corrected import Corrections
from spacy_ctx_embed.seeing.senses_text import TEXTS
from spacy_ctx_embed.seeing.senses_uses import collect, read_lines
from spacy_ctx_embed.sources.fitting import fit_correction
from spacy_ctx_embed.sources.layers import find_sources
from tests.rows.test_correction import reference

LINES = ["We sat on the bank of the river .", "A bank gave me money .", "the Bank , the bank .", "a dog barks ."]


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(LINES), encoding="utf8")
    return tmp_path / "a.txt"


@pytest.mark.parametrize("kind", KINDS)
def test_each_layer_is_corrected_by_all_tokens_that_were_read(three_sources, corpus, kind):
    sources = find_sources(three_sources, owner="test")
    fits = Corrections({source.name: kind for source in sources})
    lines = read_lines(three_sources, corpus, owner="test")
    found = collect(lines, ["bank", "river"], sources, limit=9, see=fits.see)
    shown = fits.add_to(found, sources)
    names = [source.name for source in sources]
    assert [source.name for source in shown] == [name for n in names for name in (n, f"{n} + {kind}")]
    docs = [three_sources.make_doc(line) for line in LINES[:3]]  # the last has none of the words
    for source, made in zip(sources, fits.made):
        rows = source.layers_of(docs)
        for layer in range(source.n_layers):
            seen = np.concatenate([item.layers[layer][item.has_vector] for item in rows])
            before = np.stack([row[layer] for row in found["bank"].rows[source.name]])
            after = np.stack([row[layer] for row in found["bank"].rows[made.name]])
            if kind != "standardize":  # a column that hardly varies over few tokens differs by its rounding
                expected = reference(kind, seen, before)
                np.testing.assert_allclose(after, expected, atol=1e-4 * max(1, np.abs(expected).max()))
            assert made.n_rows == len(seen) and made.of == source.name and made.kind == kind
            same = (before == before[0]).all(axis=1)
            assert np.array_equal((after == after[0]).all(axis=1) | ~same, np.ones(len(after), dtype=bool))


def test_a_source_is_before_and_after_on_the_page(three_sources, corpus, tmp_path):
    output = tmp_path / "a.html"
    (view,) = draw_senses(output, ["bank"], corpus=corpus, nlp=three_sources, correction="whiten")
    page = output.read_text(encoding="utf8")
    for plain, corrected in zip(view.sources[::2], view.sources[1::2]):
        assert corrected.name == f"{plain.name} + whiten" and corrected.n_with == plain.n_with
        assert corrected.n_distinct == plain.n_distinct and len(corrected.layers) == len(plain.layers)
        assert not corrected.near and f"<b>{corrected.name}</b>" in page
    assert TEXTS["en"]["few"] in page and "tokens that have a vector on the lines read" in page
    draw_senses(output, ["bank"], corpus=corpus, nlp=three_sources, correction="center", lang="zh")
    page = output.read_text(encoding="utf8")
    assert "校正“center”" in page and TEXTS["zh"]["few"] not in page


def test_a_component_that_has_the_setting_is_shown_so(three_sources, corpus, tmp_path):
    name = find_sources(three_sources, owner="test")[0].name
    plain = draw_senses(tmp_path / "a.html", ["bank"], corpus=corpus, nlp=three_sources)
    before = three_sources.get_pipe(name).correction
    try:
        fit_correction(three_sources, lambda: map(three_sources.make_doc, LINES), "center", components=[name])
        (view,) = draw_senses(tmp_path / "a.html", ["bank"], corpus=corpus, nlp=three_sources)
    finally:
        three_sources.get_pipe(name).correction = before
    names = [source.name for source in plain[0].sources]
    assert [source.name for source in view.sources] == [names[0], f"{names[0]} + center", *names[1:]]


def test_without_it_nothing_is_added_and_another_value_is_refused(three_sources, corpus, tmp_path):
    (view,) = draw_senses(tmp_path / "a.html", ["bank"], corpus=corpus, nlp=three_sources)
    assert len(view.sources) == 3 and "校正" not in (tmp_path / "a.html").read_text(encoding="utf8")
    with pytest.raises(ValueError, match="CE001.*'correction' is 'pca'"):
        draw_senses(tmp_path / "a.html", ["bank"], corpus=corpus, nlp=three_sources, correction="pca")
