"""Static against contextual, seen: one page on the senses of words.

Enters: words, a corpus and a pipeline. Leaves: one HTML file that needs nothing beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from spacy.language import Language

from spacy_ctx_embed.checks import check_one_of, check_positive
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.rows.correction import KINDS
from spacy_ctx_embed.seeing.default import default_pipeline
from spacy_ctx_embed.seeing.senses_corrected import Corrections
from spacy_ctx_embed.seeing.senses_data import WordView, view_word
from spacy_ctx_embed.seeing.senses_page import LANGUAGES, write_page
from spacy_ctx_embed.seeing.senses_umap import check_umap
from spacy_ctx_embed.seeing.senses_uses import DEFAULT_CORPUS, collect, read_lines, words_of
from spacy_ctx_embed.sources.docs import sentencizer_of
from spacy_ctx_embed.sources.fitting import set_corrections
from spacy_ctx_embed.sources.layers import find_sources

OWNER = "embed senses"


def draw_senses(
    output: Path,
    words: Sequence[str] = (),
    *,
    corpus: Optional[Path] = None,
    nlp: Optional[Language] = None,
    limit: int = 1000,
    lang: str = "en",
    seed: int = 0,
    correction: Optional[str] = None,
    projection: str = "pca",
) -> List[WordView]:
    """Write a page that shows the uses of words as each source and layer of a pipeline sees them.

    :param output: the HTML file.
    :param words: words of one token each; if none, those that a corpus with a column of words names.
    :param corpus: a text file with a Doc a line, a ``.spacy`` file, or a ``.tsv`` file with the columns sense and
        sentence, or word, sense and sentence; sentences of this package, with two senses each of five words, if not
        given.
    :param nlp: a pipeline with embedding components; a blank English one with the default models if not given.
    :param limit: uses of each word at most.
    :param lang: language of the page, "en" or "zh".
    :param seed: of samples, clusters, bootstrap and UMAP.
    :param correction: "center", "standardize", "abtt" or "whiten": each source is shown before and after; if not given,
        those whose component has the setting are.
    :param projection: of the planes: "pca", or "umap" with the extra of that name.
    :return: what was measured, word by word; words that do not occur are not among them.
    :raises ValueError: if a setting is none, the corpus can't be read, or none of the words occurs in it.
    :raises ImportError: if a package for the projection is missing.
    :raises OSError: if the page can't be written.
    """
    source_file = corpus or DEFAULT_CORPUS
    check_one_of(OWNER, "lang", lang, LANGUAGES)
    check_one_of(OWNER, "correction", correction, (None, *KINDS))
    check_positive(OWNER, "limit", limit)
    check_one_of(OWNER, "projection", projection, ("pca", "umap"))
    if projection == "umap":
        check_umap(owner=OWNER)
    if not output.parent.is_dir():
        accepted = "a file in a folder that exists"
        raise ValueError(Errors.E001.format(owner=OWNER, key="output", value=str(output), accepted=accepted))
    wanted = list(dict.fromkeys(word.strip().lower() for word in words if word.strip())) or words_of(source_file)
    if not wanted:
        accepted = "one word or more, or none where the corpus is a .tsv file with a column of words"
        raise ValueError(Errors.E001.format(owner=OWNER, key="WORD", value=list(words), accepted=accepted))
    pipeline = default_pipeline() if nlp is None else nlp
    sources = find_sources(pipeline, owner=OWNER)
    have = set_corrections(pipeline)
    kinds = {source.name: correction or have.get(source.name) for source in sources}
    fits = Corrections({name: kind for name, kind in kinds.items() if kind})
    lines = read_lines(pipeline, source_file, owner=OWNER, words=wanted)
    see = fits.see if any(kinds.values()) else None
    found = collect(lines, wanted, sources, limit=limit, see=see, cut=sentencizer_of(pipeline))
    shown = fits.add_to(found, sources)
    views = [view_word(uses, shown, seed=seed, projection=projection) for uses in found.values() if uses.uses]
    missing = [word for word, uses in found.items() if not uses.uses]
    if not views:
        raise _never_occur(source_file, missing)
    about: Dict[str, Any] = {
        "corpus": source_file.name,
        "limit": limit,
        "corrected": fits.made,
        "projection": projection,
    }
    write_page(output, views, missing=missing, lang=lang, **about)
    return views


def _never_occur(corpus: Path, words: Sequence[str]) -> ValueError:
    reason = f"none of {', '.join(map(repr, words))} occurs in it as a token, nor as a lemma where Docs have lemmas"
    accepted = "words that the tokenizer gives as one token; capitals don't count"
    return ValueError(
        Errors.E012.format(file=corpus, reason=reason, accepted=accepted, fix="choose other words, or another corpus")
    )
