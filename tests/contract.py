"""What every encoder owes its users: functions that take a :class:`Case` and a folder, and raise where it is not kept.

``tests/test_contract.py`` runs them on ours; a package that brings an encoder of its own can run them on that.
"""

from __future__ import annotations

import copy
import pickle
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from spacy_ctx_embed import restore_hooks
from spacy_ctx_embed.attach import storage
from spacy_ctx_embed.data import Status
from tests.strategies import AWKWARD

NAME = "under_contract"
TEXTS = [
    "The river bank.",
    "",
    "We sat on the bank 😀 👩‍👩‍👧‍👦 e\u0301",
    "\n",
    " \n\t ",
    "I gave money \n\n to the dog",
    "你好世界 the bank",
    "x" * 1000 + " a",
    " ".join(AWKWARD),
    "the " * 90,
]
STATUSES = {status.label for status in Status}


@dataclass(frozen=True)
class Case:
    """One encoder to hold to the contract.

    :param factory: of the component.
    :param config: the component's config, without what a check sets itself.
    :param before: called with the pipeline before the component is added: sources, vectors of the vocab.
    :param contextual: whether rows depend on the text around a token; its layers can then be cached.
    :param missing: a config whose model does not exist; ``None`` where no model is named.
    """

    factory: str
    config: Dict[str, Any] = field(default_factory=dict)
    before: Optional[Callable[[Language], None]] = None
    contextual: bool = False
    missing: Optional[Dict[str, Any]] = None

    def pipeline(self, **settings: Any) -> Language:
        """Build a pipeline with the component under :data:`NAME`."""
        nlp = spacy.blank("xx")
        if self.before is not None:
            self.before(nlp)
        nlp.add_pipe(self.factory, name=NAME, config={**copy.deepcopy(self.config), **settings})
        return nlp


def rows(doc: Doc) -> np.ndarray:
    found: np.ndarray = doc._.embeddings[NAME]
    return found


def all_rows(docs: Any) -> List[np.ndarray]:
    # What is read of each Doc: its rows, its own vector, and that of a Span.
    return [np.concatenate([rows(doc).ravel(), doc._.vectors[NAME], doc[:3]._.vectors[NAME]]) for doc in docs]


def all_statuses(docs: Any) -> List[List[str]]:
    return [[token._.vector_status for token in doc] for doc in docs]


def assert_same(found: List[np.ndarray], expected: List[np.ndarray], atol: float = 1e-5) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, atol=atol, rtol=0)


def one_row_per_token(case: Case, folder: Path) -> None:
    nlp = case.pipeline()
    docs = [*nlp.pipe(TEXTS), nlp(Doc(nlp.vocab, words=AWKWARD, spaces=[False] * len(AWKWARD)))]
    width = nlp.get_pipe(NAME).find_width()
    for doc in docs:
        found = rows(doc)
        assert found.shape == (len(doc), width) and found.dtype == np.float32 and np.isfinite(found).all()
        for token, row in zip(doc, found):
            assert token._.vector_status in STATUSES
            assert (token._.vector_status == "space") == token.is_space
            assert np.array_equal(token._.vector, row) and np.array_equal(token._.vectors[NAME], row)
            if not token._.has_vector:
                assert token._.vector_status == "unknown" or not row.any()


def batches_do_not_matter(case: Case, folder: Path) -> None:
    nlp = case.pipeline()
    alone = all_rows(map(nlp, TEXTS))
    for size in (1, 3, 100):
        assert_same(all_rows(nlp.pipe(TEXTS, batch_size=size)), alone)
    assert_same(all_rows(nlp.pipe(TEXTS[::-1]))[::-1], alone)
    assert_same(all_rows(map(nlp, TEXTS)), alone, atol=0)  # nor what ran before


def empty_and_blank_docs(case: Case, folder: Path) -> None:
    nlp = case.pipeline()
    first = nlp("")  # before anything else has run
    assert rows(first).shape[0] == 0
    doc = nlp("\n \n")
    assert not rows(doc).any() and not doc._.has_vector and not doc._.vector.any()
    assert {token._.vector_status for token in doc} <= {"space"}
    assert rows(nlp("")).shape == (0, rows(nlp("bank")).shape[1])


def long_docs(case: Case, folder: Path) -> None:
    nlp = case.pipeline()
    words = ("the river bank and the dog " * 500).split()
    doc = nlp(Doc(nlp.vocab, words=words))
    assert rows(doc).shape[0] == len(words)
    assert all(token._.has_vector for token in doc)


def copies_give_the_same_rows(case: Case, folder: Path) -> None:
    nlp = case.pipeline()
    expected = all_rows(map(nlp, TEXTS))
    nlp.to_disk(folder / "nlp")
    copies = [
        spacy.load(folder / "nlp"),
        case.pipeline().from_bytes(nlp.to_bytes()),
        pickle.loads(pickle.dumps(nlp)),
        copy.deepcopy(nlp),
    ]
    for again in copies:
        assert_same(all_rows(map(again, TEXTS)), expected)
        assert again.config.to_str() == nlp.config.to_str()


def workers_give_the_same_rows(case: Case, folder: Path) -> None:
    nlp = case.pipeline()
    expected = list(nlp.pipe(TEXTS))
    docs = list(nlp.pipe(TEXTS, n_process=2, batch_size=3))
    assert_same(all_rows(docs), all_rows(expected))
    assert all_statuses(docs) == all_statuses(expected)
    again = [Doc(nlp.vocab).from_bytes(doc.to_bytes()) for doc in docs]
    assert_same(all_rows(again), all_rows(expected))
    assert all_statuses(again) == all_statuses(expected)
    assert np.array_equal(restore_hooks(docs[0])[1].vector, docs[0][1]._.vector)


def two_pipelines_run_in_threads(case: Case, folder: Path) -> None:
    pipelines = [case.pipeline(), case.pipeline()]
    expected = all_rows(map(pipelines[0], TEXTS))
    found: Dict[int, List[np.ndarray]] = {}

    def run(i: int) -> None:
        found[i] = all_rows(pipelines[i % 2].pipe(TEXTS * 2, batch_size=4))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 1, 2, 3]
    for part in found.values():
        assert_same(part, expected * 2)


def retokenised_docs(case: Case, folder: Path) -> None:
    doc = case.pipeline()("we sat on the river bank")
    before = np.array(rows(doc))
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[4:6])
    assert rows(doc).shape[0] == len(doc) == 5
    np.testing.assert_allclose(rows(doc)[4], before[4:6].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(rows(doc)[:4], before[:4], atol=0)


def half_precision_rows(case: Case, folder: Path) -> None:
    text = TEXTS[0]
    full, half = rows(case.pipeline()(text)), rows(case.pipeline(dtype="float16")(text))
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, full, atol=1e-2, rtol=1e-2)


def hooks_serve_spacys_attributes(case: Case, folder: Path) -> None:
    doc = case.pipeline()("we sat on the river bank")
    assert np.array_equal(doc[5].vector, doc[5]._.vector) and doc[5].has_vector
    assert np.array_equal(doc[3:6].vector, doc[3:6]._.vector) and np.array_equal(doc.vector, doc._.vector)
    assert doc[4].similarity(doc[4]) == pytest.approx(1, abs=1e-5)
    nlp = case.pipeline(set_hooks=False)
    assert len(nlp.pipe_names) > 1 or not nlp("the bank").user_hooks


def a_cache_moves_no_row(case: Case, folder: Path) -> None:
    if not case.contextual:
        with pytest.raises(ValueError, match="cache_mb"):
            case.pipeline(cache_mb=8)
        return
    expected = list(map(case.pipeline(), TEXTS))
    nlp = case.pipeline(cache_mb=8, cache_dir=str(folder / "cache"))
    on_disk = case.pipeline(cache_dir=str(folder / "cache"))
    for cached in (nlp, nlp, on_disk):
        docs = list(cached.pipe(TEXTS))
        assert_same(all_rows(docs), all_rows(expected))
        assert all_statuses(docs) == all_statuses(expected)


def a_correction_changes_what_is_read_alone(case: Case, folder: Path) -> None:
    plain, nlp = case.pipeline(), case.pipeline(correction="standardize")
    with pytest.raises(ValueError, match=rf"CE026.*{NAME}: correction = 'standardize' has not been fitted.*Fix: "):
        nlp("the bank")
    nlp.initialize(lambda: [Example.from_dict(nlp.make_doc(text), {}) for text in TEXTS])
    before, after = list(plain.pipe(TEXTS)), list(nlp.pipe(TEXTS))
    assert_same([storage.read(doc, NAME).uncorrected for doc in after], [rows(doc) for doc in before])
    assert all_statuses(after) == all_statuses(before)
    has = [[token._.has_vector for token in doc] for doc in after]
    seen = np.concatenate([rows(doc)[mine] for doc, mine in zip(before, has)]).astype(np.float64)
    spread = np.where(seen.std(axis=0) > 1e-6, seen.std(axis=0), 1)
    for one, other, mine in zip(before, after, has):
        expected = (rows(one)[mine] - seen.mean(axis=0)) / spread
        np.testing.assert_allclose(rows(other)[mine], expected, atol=1e-3)
    nlp.to_disk(folder / "nlp")
    assert_same(all_rows(spacy.load(folder / "nlp").pipe(TEXTS)), all_rows(after))


def bad_settings_name_the_key(case: Case, folder: Path) -> None:
    for key, value in {
        "doc_pooling": "median",
        "dtype": "int4",
        "serialize": "zip",
        "gpu": "maybe",
        "correction": "pca",
    }.items():
        with pytest.raises(ValueError, match=rf"{NAME}.*'?{key}'?.*{value!r}.*Accepted: .*Fix: "):
            case.pipeline(**{key: value})
    if case.missing is not None:
        with pytest.raises(FileNotFoundError, match=r"(?s)CE010.*Fix: "):
            case.pipeline(**case.missing)("the bank")


CONTRACT: List[Callable[[Case, Path], None]] = [
    one_row_per_token,
    batches_do_not_matter,
    empty_and_blank_docs,
    long_docs,
    copies_give_the_same_rows,
    workers_give_the_same_rows,
    two_pipelines_run_in_threads,
    retokenised_docs,
    half_precision_rows,
    hooks_serve_spacys_attributes,
    a_cache_moves_no_row,
    a_correction_changes_what_is_read_alone,
    bad_settings_name_the_key,
]
