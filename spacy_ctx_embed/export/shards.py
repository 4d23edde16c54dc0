"""A corpus cut into shards: the same ones whenever it is read, so that what is done need not be done again.

Enters: documents and failures in their order. Leaves: shards with a fingerprint of all that is in them.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Iterable, Iterator, List, Tuple

from spacy_ctx_embed.errors import refused
from spacy_ctx_embed.export.corpus.items import Failure, Found, Item

CHARACTERS = 1_000_000  # of a shard: some minutes of a BERT on two cores, and tens of MB of token rows
_MOST_ITEMS = 20_000


@dataclass(frozen=True)
class Shard:
    """Neighbouring documents of a corpus, which are embedded and written together.

    :param number: from 0 on.
    :param items: the documents.
    :param failures: what could not be read among them.
    """

    number: int
    items: List[Item]
    failures: List[Failure]

    @property
    def name(self) -> str:
        """Name of its file, without the suffix."""
        return f"part-{self.number:05d}"

    @property
    def fingerprint(self) -> str:
        """BLAKE2b (hex) of names and contents."""
        digest = hashlib.blake2b(digest_size=16)
        for item in self.items:
            content = (item.doc or b"") if item.text is None else item.text.encode("utf8", "replace")
            for part in (b"text" if item.doc is None else b"Doc", item.name.encode("utf8", "replace"), content):
                digest.update(len(part).to_bytes(8, "little") + part)
        for failure in self.failures:
            digest.update(f"{failure.name}\0{failure.reason}\0".encode("utf8", "replace"))
        return digest.hexdigest()


def cut_shards(found: Iterable[Found], size: int = CHARACTERS) -> Iterator[Shard]:
    """Cut a corpus.

    :param found: its documents and failures.
    :param size: characters of a shard: the document that reaches them is its last.
    :yields: the shards, in order; none where the corpus is empty.
    """
    number, n_characters = 0, 0
    items: List[Item] = []
    failures: List[Failure] = []
    for thing in found:
        if isinstance(thing, Failure):
            failures.append(thing)
            continue
        items.append(thing)
        n_characters += thing.size
        if n_characters >= size or len(items) == _MOST_ITEMS:
            yield Shard(number, items, failures)
            number, n_characters, items, failures = number + 1, 0, [], []
    if items or failures:
        yield Shard(number, items, failures)


def read_share(text: str, *, owner: str) -> Tuple[int, int]:
    """Read which shards a job of several does.

    :param text: ``i/n``: of n jobs the i-th, from 1 on.
    :param owner: the command, for messages.
    :return: i - 1 and n; the job does the shards whose number, divided by n, leaves i - 1.
    :raises ValueError: if it is not of that form.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match and 1 <= int(match[1]) <= int(match[2]):
        return int(match[1]) - 1, int(match[2])
    raise refused(
        owner, "--shard", text, "is not one of several jobs", "1/8, 2/8, … 8/8", "give job and number of jobs"
    )
