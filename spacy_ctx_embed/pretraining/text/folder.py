"""Prepared text on disk: one folder of word ids, read by memory map.

``train.tokens`` and ``dev.tokens`` are little-endian uint32 without a header, ``0 w1 … wn 0 w1 … wn 0``: 0 stands
before each sentence and at the end. ``vocab.txt`` has the word of id *n* in line *n*, counted from 0; ``counts.npy``
says how often each id stands in ``train.tokens``. ``manifest.json`` is written last: a folder without it is not whole.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, NoReturn, Optional

import numpy as np
from numpy.typing import NDArray

from spacy_ctx_embed.errors import CorpusError, Errors

VERSION = 1
BOUNDARY, UNKNOWN = 0, 2
SPECIAL = ("<S>", "</S>", "<UNK>")
TRAIN, DEV, VOCAB, COUNTS, MANIFEST = "train.tokens", "dev.tokens", "vocab.txt", "counts.npy", "manifest.json"
ID = np.dtype("<u4")


@dataclass(frozen=True)
class Amount:
    """How much text there is.

    :param n_texts: texts with words in them.
    :param n_sentences: sentences.
    :param n_tokens: words, boundaries not counted.
    """

    n_texts: int = 0
    n_sentences: int = 0
    n_tokens: int = 0

    @property
    def n_ids(self) -> int:
        """Length of the stream: one boundary before each sentence, and one at the end."""
        return self.n_tokens + self.n_sentences + 1


@dataclass(frozen=True)
class LeftOut:
    """What of the text is in neither stream.

    :param n_texts: texts without words.
    :param n_sentences: sentences without words.
    :param n_spaces: whitespace tokens.
    :param n_line_breaks: other tokens with a line break in them, which ``vocab.txt`` can't hold.
    """

    n_texts: int = 0
    n_sentences: int = 0
    n_spaces: int = 0
    n_line_breaks: int = 0


@dataclass(frozen=True)
class PreparedText:
    """Text as word ids.

    :param directory: the folder that it is in.
    :param train: ``(n_ids,)`` uint32, read-only memory map of the text to train on, ``0 w1 … wn 0 w1 … wn 0``.
    :param dev: ``(n_ids,)`` the same of the text to evaluate on.
    :param words: ``n_words`` words, each at its id: ``<S>``, ``</S>``, ``<UNK>``, those of ``train`` by falling
        frequency, then those of ``dev`` alone.
    :param counts: ``(n_words,)`` int64, how often each id stands in ``train``; the boundary too.
    :param train_amount: how much ``train`` is.
    :param dev_amount: how much ``dev`` is.
    :param left_out: what of the text is in neither.
    """

    directory: Path
    train: NDArray[np.uint32]
    dev: NDArray[np.uint32]
    words: List[str]
    counts: NDArray[np.int64]
    train_amount: Amount
    dev_amount: Amount
    left_out: LeftOut

    @property
    def n_train_tokens(self) -> int:
        """Words to train on."""
        return self.train_amount.n_tokens

    @property
    def n_dev_tokens(self) -> int:
        """Words to evaluate on."""
        return self.dev_amount.n_tokens

    @property
    def n_train_sentences(self) -> int:
        """Sentences to train on."""
        return self.train_amount.n_sentences

    @property
    def n_dev_sentences(self) -> int:
        """Sentences to evaluate on."""
        return self.dev_amount.n_sentences

    @property
    def n_types(self) -> int:
        """Different words in ``train`` and ``dev``, without the three special ones."""
        return len(self.words) - len(SPECIAL)


def load_prepared(directory: Path) -> PreparedText:
    """Open prepared text.

    :param directory: the folder that ``prepare_text`` wrote.
    :return: the text.
    :raises CorpusError: if it is not there, not written to its end, or its files are not as they were written.
    """
    manifest = read_manifest(directory)
    try:
        train_amount, dev_amount = Amount(**manifest["train"]), Amount(**manifest["dev"])
        left_out, n_words = LeftOut(**manifest["left_out"]), int(manifest["types"]) + len(SPECIAL)
    except (KeyError, TypeError, ValueError) as error:
        _damaged(directory, f"{MANIFEST} is not one of this version", error)
    train, dev = _map(directory / TRAIN, train_amount.n_ids), _map(directory / DEV, dev_amount.n_ids)
    try:
        words = (directory / VOCAB).read_bytes().decode("utf-8").split("\n")[:-1]
        counts = np.load(directory / COUNTS)
    except Exception as error:  # what a damaged head makes NumPy raise has no type in common
        _damaged(directory, f"{VOCAB} or {COUNTS} can't be read ({error})", error)
    if len(words) != n_words or counts.shape != (n_words,) or int(counts.sum()) != train_amount.n_ids:
        _damaged(directory, f"{VOCAB} and {COUNTS} don't fit {MANIFEST}")
    return PreparedText(directory, train, dev, words, counts, train_amount, dev_amount, left_out)


def _map(file: Path, n_ids: int) -> NDArray[np.uint32]:
    size = file.stat().st_size if file.is_file() else 0
    if size != n_ids * ID.itemsize:
        _damaged(file.parent, f"{file.name} has {size:,} bytes instead of {n_ids * ID.itemsize:,}")
    return np.memmap(file, dtype=ID, mode="r")


def read_manifest(directory: Path) -> Dict[str, Any]:
    """Read what a folder says about itself.

    :param directory: the folder.
    :return: the manifest, of this version.
    :raises CorpusError: if there is none.
    """
    file = directory / MANIFEST
    try:
        manifest = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        _damaged(directory, f"{MANIFEST} is missing", error)
    except (OSError, ValueError) as error:
        _damaged(directory, f"{MANIFEST} can't be read ({error})", error)
    if not isinstance(manifest, dict) or manifest.get("version") != VERSION:
        _damaged(directory, f"{MANIFEST} is not one of this version")
    return manifest


def _damaged(directory: Path, reason: str, cause: Optional[BaseException] = None) -> NoReturn:
    raise CorpusError(Errors.E037.format(folder=directory, reason=reason)) from cause
