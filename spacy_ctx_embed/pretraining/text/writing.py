"""Batches of words -> the files of a folder of prepared text."""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, Iterable, List, NoReturn, Optional

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.errors import CorpusError, Errors
from spacy_ctx_embed.pretraining.text.batches import SentenceBatch
from spacy_ctx_embed.pretraining.text.folder import (
    BOUNDARY,
    COUNTS,
    DEV,
    ID,
    MANIFEST,
    SPECIAL,
    TRAIN,
    UNKNOWN,
    VOCAB,
    Amount,
    LeftOut,
)

TRAIN_KEY, DEV_KEY = "paths.train", "paths.dev"
CHUNK = 1 << 22  # ids
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)

Report = Callable[[int, int], None]


class _Stream:
    # A file of ids under a temporary name.
    def __init__(self, target: Path) -> None:
        self.target = target
        self.temporary = target.with_name(f"{target.name}.tmp")
        self.file: BinaryIO = self.temporary.open("w+b")
        self.n_ids = 0
        self.n_texts = 0
        self.last_text = 0  # where it starts

    def append(self, ids: NDArray[np.uint32], lengths: NDArray[np.int64]) -> None:
        # ``lengths``: how many of the ids are of each text.
        if len(ids):
            self.last_text = self.n_ids + len(ids) - int(lengths[np.flatnonzero(lengths)[-1]])
        self.n_texts += int(np.count_nonzero(lengths))
        self.write(ids)

    def write(self, ids: NDArray[np.uint32]) -> None:
        self.n_ids += len(ids)
        self.file.write(ids.astype(ID, copy=False).tobytes())
        self.file.flush()

    def read(self, start: int, n_ids: int) -> NDArray[np.uint32]:
        self.file.seek(start * ID.itemsize)
        return np.frombuffer(self.file.read(n_ids * ID.itemsize), dtype=ID)

    def truncate(self, n_ids: int) -> None:
        self.n_ids = n_ids
        self.file.seek(n_ids * ID.itemsize)
        self.file.truncate()

    def count(self, n_words: int) -> NDArray[np.int64]:
        counts = np.zeros(n_words, dtype=np.int64)
        for start in range(0, self.n_ids, CHUNK):
            counts += np.bincount(self.read(start, CHUNK), minlength=n_words)
        return counts

    def renumber(self, table: NDArray[np.uint32]) -> None:
        for start in range(0, self.n_ids, CHUNK):
            ids = table[self.read(start, CHUNK)]
            self.file.seek(start * ID.itemsize)
            self.file.write(ids.tobytes())
            self.file.flush()


class Writer:
    """Writes a folder of prepared text, in the place of what was there.

    First the words get numbers in the order in which they turn up, then the numbers are put in order of frequency, a
    chunk at a time in the same file: the disk never holds the text twice, and memory only the words.

    :param directory: the folder.
    :param report: called after each batch with the texts and words read so far.
    """

    def __init__(self, directory: Path, report: Optional[Report]) -> None:
        self.directory = directory
        self.report = report
        self.words: List[str] = list(SPECIAL)
        self.number = dict.fromkeys(SPECIAL, UNKNOWN)  # a text must not end a sentence by a word of its own
        self.left_out = LeftOut()
        self.n_texts = self.n_tokens = 0
        for name in (MANIFEST, TRAIN, DEV, VOCAB, COUNTS):
            (directory / name).unlink(missing_ok=True)
        self.train, self.dev = _Stream(directory / TRAIN), _Stream(directory / DEV)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> None:
        needed = sum(stream.n_ids * ID.itemsize for stream in (self.train, self.dev))
        for stream in (self.train, self.dev):
            with suppress(OSError):  # closing writes what could not be written before
                stream.file.close()
        for name in (TRAIN, DEV, VOCAB, COUNTS, MANIFEST):
            (self.directory / f"{name}.tmp").unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            values = {"folder": self.directory, "reason": error.strerror, "needed": needed}
            free = shutil.disk_usage(self.directory).free
            raise CorpusError(Errors.E036.format(**values, free=free)) from error

    def read(self, batches: Iterable[SentenceBatch], stream: _Stream, every: Optional[int] = None) -> None:
        """Take up text.

        :param batches: the text.
        :param stream: ``train`` or ``dev``, where it goes.
        :param every: if given, of so many texts with words in them the last one goes to ``dev``.
        """
        for batch in batches:
            has_words = batch.lengths > 0
            held_out = np.zeros(len(has_words), dtype=bool)
            if every is not None:
                n_before = self.train.n_texts + self.dev.n_texts
                held_out = has_words & ((n_before + np.cumsum(has_words)) % every == 0)
            ids = self._numbers(batch.words)[batch.ids]
            of_dev = np.repeat(held_out, batch.lengths)  # (n_ids,)
            stream.append(ids[~of_dev], batch.lengths[~held_out])
            if held_out.any():
                self.dev.append(ids[of_dev], batch.lengths[held_out])
            self._count(batch)

    def _numbers(self, words: List[str]) -> NDArray[np.uint32]:
        numbers = [BOUNDARY]
        for word in words:
            number = self.number.get(word)
            if number is None:
                number = self.number[word] = len(self.words)
                self.words.append(word)
            numbers.append(number)
        return np.array(numbers, dtype=np.uint32)

    def _count(self, batch: SentenceBatch) -> None:
        n_empty_texts = int(np.count_nonzero(batch.lengths == 0))
        before = self.left_out
        self.left_out = LeftOut(
            n_texts=before.n_texts + n_empty_texts,
            n_sentences=before.n_sentences + batch.n_empty,
            n_spaces=before.n_spaces + batch.n_spaces,
            n_line_breaks=before.n_line_breaks + batch.n_line_breaks,
        )
        self.n_texts += len(batch.lengths)
        self.n_tokens += int(np.count_nonzero(batch.ids))
        if self.report is not None:
            self.report(self.n_texts, self.n_tokens)

    def hold_out_end(self, share: float) -> None:
        """Move the end of ``train`` to ``dev`` if there is nothing yet: the last text, or of one text sentences.

        :param share: of the sentences of one text; at least one is moved.
        :raises CorpusError: if ``train`` is one sentence.
        """
        if self.dev.n_texts or not self.train.n_texts:
            return
        start = self.train.last_text
        if self.train.n_texts > 1:
            self.train.n_texts -= 1
        else:
            sentences = np.flatnonzero(self.train.read(0, self.train.n_ids) == BOUNDARY)
            if len(sentences) == 1:
                _too_little(TRAIN_KEY, "there is but one sentence, so none can be held out to evaluate on")
            n_held_out = min(max(1, round(share * len(sentences))), len(sentences) - 1)
            start = int(sentences[-n_held_out])
        ids = self.train.read(start, self.train.n_ids - start)
        self.train.truncate(start)
        self.dev.append(ids, np.array([len(ids)]))

    def finish(self, sources: Dict[str, Any]) -> None:
        """Put the words in order, and everything under its name.

        :param sources: what the text was made from, for the manifest.
        :raises CorpusError: if there is no text.
        """
        for stream, key in ((self.train, TRAIN_KEY), (self.dev, DEV_KEY)):
            if not stream.n_ids:
                _too_little(key, "there is no word in its files")
            stream.write(np.array([BOUNDARY], dtype=np.uint32))
        train, dev = (stream.count(len(self.words)) for stream in (self.train, self.dev))
        ranks = [*zip((-train).tolist(), self.words)]
        order = [*range(len(SPECIAL)), *sorted(range(len(SPECIAL), len(ranks)), key=ranks.__getitem__)]
        table = np.empty(len(order), dtype=ID)
        table[order] = np.arange(len(order), dtype=ID)
        self._put(VOCAB, "".join(f"{self.words[number]}\n" for number in order).encode("utf-8"))
        content = BytesIO()
        np.save(content, train[order])
        self._put(COUNTS, content.getvalue())
        for stream in (self.train, self.dev):
            stream.renumber(table)
            os.fsync(stream.file.fileno())
            stream.file.close()
            stream.temporary.replace(stream.target)
        amounts = {
            "train": asdict(_amount(self.train, train)),
            "dev": asdict(_amount(self.dev, dev)),
            "types": len(order) - len(SPECIAL),
            "left_out": asdict(self.left_out),
        }
        self._put(MANIFEST, json.dumps({**sources, **amounts}, indent=2).encode("utf-8"))

    def _put(self, name: str, content: bytes) -> None:
        temporary = self.directory / f"{name}.tmp"
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self.directory / name)


def _amount(stream: _Stream, counts: NDArray[np.int64]) -> Amount:
    n_sentences = int(counts[BOUNDARY]) - 1
    return Amount(stream.n_texts, n_sentences, stream.n_ids - n_sentences - 1)


def _too_little(key: str, reason: str) -> NoReturn:
    raise CorpusError(Errors.E035.format(key=key, reason=reason, fix=f"name files with text in '{key}'"))
