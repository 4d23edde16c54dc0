"""Texts -> word numbers, a batch at a time, here or in worker processes.

A batch comes back as its own small vocabulary and numbers into it: that is little to send between processes, and
neither tokens nor Docs leave the process that made them.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Callable, Deque, Iterable, Iterator, List, Optional, Sequence, Union

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.pretraining.text.folder import BOUNDARY

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

BATCH = 1_000_000  # characters
# In a memory zone spaCy's tokenizer caches nothing, and takes twice as long: so many strings may stay for good first.
N_STRINGS = 300_000


@dataclass(frozen=True)
class Words:
    """A text whose tokens are given.

    :param words: its tokens.
    :param spaces: whether a space follows each token.
    :param starts: whether a sentence starts with each token; not known if ``None``.
    """

    words: List[str]
    spaces: List[bool]
    starts: Optional[List[bool]]

    def __len__(self) -> int:
        return sum(map(len, self.words))


@dataclass(frozen=True)
class SentenceBatch:
    """The sentences of some texts.

    :param words: the ``n_words`` different words in them.
    :param ids: ``(n_tokens + n_sentences,)`` uint32: per sentence ``BOUNDARY``, then 1 + the index in ``words`` of each
        of its tokens.
    :param lengths: ``(n_texts,)`` how many of the ``ids`` are of each text; 0 for a text without words.
    :param n_spaces: whitespace tokens left out.
    :param n_line_breaks: tokens with a line break in them, left out too.
    :param n_empty: sentences without other tokens than these.
    """

    words: List[str]
    ids: NDArray[np.uint32]
    lengths: NDArray[np.int64]
    n_spaces: int
    n_line_breaks: int
    n_empty: int


Text = Union[str, Words]
ReadBatches = Callable[[Iterable[Text]], Iterator[SentenceBatch]]


def words_of(doc: Doc) -> Words:
    """Take from a Doc what is read of it.

    :param doc: any Doc.
    :return: its tokens, and its sentence bounds if it has them.
    """
    tokens = list(doc)
    starts = [bool(token.is_sent_start) for token in tokens] if doc.has_annotation("SENT_START") else None
    return Words([token.text for token in tokens], [bool(token.whitespace_) for token in tokens], starts)


def cut_text(text: str, limit: int) -> Iterator[str]:
    """Cut a text that is longer than a pipeline takes.

    :param text: any text.
    :param limit: the longest piece, in characters.
    :yield: its pieces, which joined are the text: cut behind the last line break that allows it, else behind the last
        space, else at the limit.
    """
    start = 0
    while len(text) - start > limit:
        end = start + limit
        cut = text.rfind("\n", start, end) + 1 or text.rfind(" ", start, end) + 1 or end
        yield text[start:cut]
        start = cut
    yield text[start:]


def batches_of(texts: Iterable[Text]) -> Iterator[List[Text]]:
    """Group texts.

    :param texts: any number of them, read as they are needed.
    :yield: lists of texts with about ``BATCH`` characters, in order, none empty.
    """
    batch: List[Text] = []
    n_chars = 0
    for text in texts:
        batch.append(text)
        n_chars += len(text) + 1
        if n_chars >= BATCH:
            yield batch
            batch, n_chars = [], 0
    if batch:
        yield batch


@contextmanager
def batch_reader(nlp: Language, n_process: int) -> Iterator[ReadBatches]:
    """Provide what tokenises texts and splits them into sentences.

    :param nlp: the pipeline that does it. Its components don't run on tokens whose sentence bounds are given. Where
        nothing tells sentences apart, a text is one.
    :param n_process: worker processes; with 1, this process does it.
    :yield: a function of texts, which are read as they are needed. It gives their batches, in the order of the texts
        and the same for any ``n_process``.
    """
    if n_process <= 1:
        reader = BatchReader(nlp)
        yield lambda texts: map(reader.read, batches_of(texts))
        return
    from multiprocessing import get_context

    # Not fork: a process that has run PyTorch or holds a GPU can't be forked safely.
    with ProcessPoolExecutor(n_process, get_context("spawn"), _start_worker, (nlp,)) as pool:
        yield partial(_read_by, pool, 2 * n_process)


def _read_by(pool: ProcessPoolExecutor, n_ahead: int, texts: Iterable[Text]) -> Iterator[SentenceBatch]:
    waiting: Deque[Future[SentenceBatch]] = deque()
    try:
        for batch in batches_of(texts):
            waiting.append(pool.submit(_work, batch))
            if len(waiting) > n_ahead:  # no more text in memory than keeps the workers busy
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


_readers: List[BatchReader] = []  # in a worker, its one


def _start_worker(nlp: Language) -> None:
    _readers[:] = [BatchReader(nlp)]


def _work(batch: Sequence[Text]) -> SentenceBatch:
    return _readers[0].read(batch)


class BatchReader:
    """A pipeline whose vocabulary grows, but not with every word of a large text.

    :param nlp: the pipeline.
    """

    def __init__(self, nlp: Language) -> None:
        self.nlp = nlp
        self.max_strings = len(nlp.vocab.strings) + N_STRINGS

    def read(self, batch: Sequence[Text]) -> SentenceBatch:
        """Tokenise texts and split them into sentences.

        :param batch: the texts; at least one.
        :return: their sentences.
        """
        from spacy.attrs import ORTH, SENT_START

        strings = self.nlp.vocab.strings
        # spaCy < 3.8 has no zones.
        forgets = len(strings) > self.max_strings and hasattr(self.nlp, "memory_zone")
        with self.nlp.memory_zone() if forgets else nullcontext():
            columns = [doc.to_array([ORTH, SENT_START]).reshape(-1, 2) for doc in _docs(self.nlp, batch)]
            tokens = np.concatenate(columns)  # (n_tokens, 2) uint64
            orths, numbers = np.unique(tokens[:, 0], return_inverse=True)
            words = [strings[orth] for orth in orths.tolist()]
        n_tokens = np.array([len(column) for column in columns])  # (n_texts,)
        starts = tokens[:, 1] == 1
        starts[(np.cumsum(n_tokens) - n_tokens)[n_tokens > 0]] = True
        return _select(words, numbers.reshape(-1), starts, np.repeat(np.arange(len(columns)), n_tokens), len(columns))


def _docs(nlp: Language, batch: Sequence[Text]) -> Iterator[Doc]:
    from spacy.tokens import Doc

    docs = [text if isinstance(text, str) else _doc(nlp, text) for text in batch]
    done = [isinstance(text, Words) and text.starts is not None for text in batch]
    piped = nlp.pipe(doc for doc, is_done in zip(docs, done) if not is_done)
    return (doc if is_done and isinstance(doc, Doc) else next(piped) for doc, is_done in zip(docs, done))


def _doc(nlp: Language, text: Words) -> Doc:
    from spacy.tokens import Doc

    starts: Optional[List[Union[bool, int, None]]] = None if text.starts is None else [*text.starts]
    return Doc(nlp.vocab, words=text.words, spaces=text.spaces, sent_starts=starts)


def _select(
    words: List[str],
    numbers: NDArray[np.int64],
    starts: NDArray[np.bool_],
    texts: NDArray[np.int64],
    n_texts: int,
) -> SentenceBatch:
    # Per token: the index of its word, whether a sentence starts with it, and the index of its text.
    spaces = np.array([not word or word.isspace() for word in words], dtype=bool)  # (n_words,)
    breaks = ~spaces & np.array([word.splitlines() != [word] for word in words], dtype=bool)
    keep = ~spaces & ~breaks
    kept = np.flatnonzero(keep[numbers])  # (n_kept,) tokens
    first = np.flatnonzero(np.diff(np.cumsum(starts)[kept], prepend=0))  # (n_sentences,) of those
    ids = np.insert(np.cumsum(keep, dtype=np.uint32)[numbers[kept]], first, BOUNDARY)
    lengths = np.bincount(texts[kept], minlength=n_texts) + np.bincount(texts[kept[first]], minlength=n_texts)
    return SentenceBatch(
        words=[word for word, is_kept in zip(words, keep.tolist()) if is_kept],
        ids=ids,
        lengths=lengths.astype(np.int64),
        n_spaces=int(spaces[numbers].sum()),
        n_line_breaks=int(breaks[numbers].sum()),
        n_empty=int(starts.sum()) - len(first),
    )
