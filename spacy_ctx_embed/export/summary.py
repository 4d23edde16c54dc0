"""What an export wrote, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterable, List, Optional, Tuple

from spacy_ctx_embed.export.manifest import Done


@dataclass(frozen=True)
class Summary:
    """An export, as far as it is done.

    :param out: its folder.
    :param shards: files of the dataset.
    :param shards_now: those that this call wrote.
    :param complete: whether the dataset holds all of the input.
    :param documents: of the dataset.
    :param tokens: of its documents.
    :param rows: of the dataset.
    :param statuses: of each component, how many tokens have which status.
    :param skipped: name and reason of each document that is left out.
    :param seconds: of this call.
    :param tokens_per_second: of this call; ``None`` where it wrote nothing.
    :param n_bytes: of the dataset's files.
    """

    out: str
    shards: int
    shards_now: int
    complete: bool
    documents: int
    tokens: int
    rows: int
    statuses: Dict[str, Dict[str, int]]
    skipped: List[Tuple[str, str]]
    seconds: float
    tokens_per_second: Optional[float]
    n_bytes: int


def summarize(out: str, done: Iterable[Done], now: List[Done], n_shards: int, seconds: float) -> Summary:
    """Add shards up.

    :param out: the folder.
    :param done: all shards of the dataset.
    :param now: those that were written by this call.
    :param n_shards: shards of the input.
    :param seconds: that the call took.
    :return: the numbers.
    """
    shards = list(done)
    statuses: Dict[str, Dict[str, int]] = {}
    for shard in shards:
        for name, counts in shard.statuses.items():
            mine = statuses.setdefault(name, {})
            for status, n in counts.items():
                mine[status] = mine.get(status, 0) + n
    n_tokens = sum(shard.tokens for shard in now)
    return Summary(
        out=out,
        shards=len(shards),
        shards_now=len(now),
        complete=len(shards) == n_shards,
        documents=sum(shard.documents for shard in shards),
        tokens=sum(shard.tokens for shard in shards),
        rows=sum(shard.rows for shard in shards),
        statuses=statuses,
        skipped=[(name, reason) for shard in shards for name, reason in shard.skipped],
        seconds=round(seconds, 2),
        tokens_per_second=round(n_tokens / seconds, 1) if now else None,
        n_bytes=sum(shard.n_bytes for shard in shards),
    )
