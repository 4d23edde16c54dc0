"""Groups segments by length, so that little of a padded batch is padding, or that batches without any are alike.

Enters: the length of each segment. Leaves: lists of segment indices, each to be run as one batch.
"""

from __future__ import annotations

from typing import List, Sequence

_ENOUGH = 512  # padded pieces or tokens of which a processor computes each as fast as of more
_SHORTER = 0.8  # of the longest: such a segment would be padded by a quarter


def group_by_length(lengths: Sequence[int], max_batch: int, *, save_padding: bool = False) -> List[List[int]]:
    """Sort by length and cut into batches whose padded size stays within the budget.

    A batch of n segments costs ``n * longest``. A single segment above the budget makes a batch of its own:
    nothing is cut here. Where padding is to be saved, a batch that is large enough also ends where much shorter
    segments begin: the batches of a training step are few and of mixed lengths.

    :param lengths: length of each segment, in the encoder's own unit (word pieces or tokens).
    :param max_batch: padded pieces or tokens per batch.
    :param save_padding: prefer more batches to more padding, which pays on a CPU.
    :return: indices into ``lengths``; each index stands in exactly one batch, longest batches first.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    batches: List[List[int]] = []
    longest = 0
    for i in order:
        fits = bool(batches) and (len(batches[-1]) + 1) * longest <= max_batch
        if fits and save_padding and lengths[i] < _SHORTER * longest:
            fits = len(batches[-1]) * longest < _ENOUGH
        if fits:
            batches[-1].append(i)
        else:
            batches.append([i])
            longest = max(lengths[i], 1)
    return batches


def share_out(lengths: Sequence[int], budget: int, n_least: int = 1) -> List[List[int]]:
    """Share segments out among batches of like size, where nothing is padded.

    Segments of equal length come to stand together. A segment above the budget makes a batch of its own, or nearly.

    :param lengths: length of each segment.
    :param budget: length of a batch at most, a segment more or less.
    :param n_least: batches wanted, where each still has enough to do.
    :return: indices into ``lengths``; each stands in exactly one batch, longest segments first.
    """
    total = sum(lengths)
    n_batches = max(-(-total // budget), min(n_least, total // _ENOUGH))
    if n_batches <= 1:
        return [list(range(len(lengths)))] if len(lengths) else []
    batches: List[List[int]] = []
    size, share = 0, total / n_batches
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not batches or size >= share * len(batches):
            batches.append([])
        batches[-1].append(i)
        size += lengths[i]
    return batches


def block_end(sizes: Sequence[int], start: int, n_rows: int) -> int:
    """Tell where a block of whole steps ends that has enough rows to be worth one product.

    :param sizes: rows of the next steps.
    :param start: number of their first row.
    :param n_rows: rows wanted.
    :return: the end of the first step at which there are so many, or of the last.
    """
    end = start
    for size in sizes:
        end += size
        if end - start >= n_rows:
            break
    return end
