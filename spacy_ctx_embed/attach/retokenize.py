"""Rows after ``doc.retokenize()``: matched by character offset to the tokens that they were computed for, or an error.

Enters: where the tokens stood when the rows were computed, and where they stand now. Leaves: for each token of
today the tokens of then that it is made of. Pure functions of integers and arrays.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np

from spacy_ctx_embed.data import Floats2d, Ints1d, Layout, Status, Statuses1d, covered


class UnmatchedError(ValueError):
    """Tokens whose characters are not those of whole former tokens, or parts of one."""


def match_tokens(old: Layout, new: Layout) -> Tuple[Ints1d, Ints1d]:
    """Find the former tokens that each token of today covers or lies in.

    :param old: layout for which the rows were computed.
    :param new: layout of today.
    :return: two ``(n_new,)`` arrays: today's token i has the former tokens ``first[i]`` to ``last[i]``, half-open.
    :raises UnmatchedError: if the two are not one text, or a token of today takes part of one former token and part
        of another.
    """
    if len(old) == 0 or len(new) == 0:
        if len(old) != len(new):
            raise UnmatchedError(f"it has {len(new)} tokens, the rows are for {len(old)}")
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    first = np.searchsorted(old.ends, new.starts, side="right")
    last = np.searchsorted(old.starts, new.ends, side="left")
    if (last <= first).any():
        raise UnmatchedError(f"token {int(np.argmax(last <= first))} stands where none stood")
    seamless = first[0] == 0 and last[-1] == len(old) and bool((first[1:] <= last[:-1]).all())
    same_ends = old.starts[0] == new.starts[0] and old.ends[-1] == new.ends[-1]
    if not (seamless and same_ends):
        raise UnmatchedError("its text is not the text that the rows were computed for")
    whole = (new.starts == old.starts[first]) & (new.ends == old.ends[last - 1])
    inside = (last - first == 1) & (new.starts >= old.starts[first]) & (new.ends <= old.ends[last - 1])
    if not (whole | inside).all():
        i = int(np.argmin(whole | inside))
        raise UnmatchedError(f"token {i} takes parts of several former tokens")
    one_to_one = whole & (last - first == 1)
    if (new.orths[one_to_one] != old.orths[first[one_to_one]]).any():
        raise UnmatchedError("its text is not the text that the rows were computed for")
    return first, last


def carry_rows(rows: Floats2d, status: Statuses1d, first: Ints1d, last: Ints1d) -> Tuple[Floats2d, Statuses1d]:
    """Rows of today's tokens: the mean of the parts that have a vector; parts of a split token share its row.

    :param rows: ``(n_old, width)``.
    :param status: ``(n_old,)``.
    :param first: ``(n_new,)`` from :func:`match_tokens`.
    :param last: ``(n_new,)`` from :func:`match_tokens`.
    :return: ``(n_new, width)`` of the dtype of ``rows``, and ``(n_new,)`` statuses. A merged token is ``ok`` if all
        its parts with a vector are, else ``fallback``; without any it takes the status of its first part.
    """
    new_rows, new_status = rows[first], status[first]
    for i in np.flatnonzero(last - first > 1):
        parts = slice(first[i], last[i])
        counts = covered(status[parts])
        if counts.any():
            new_rows[i] = rows[parts][counts].astype(np.float32).mean(axis=0)
            new_status[i] = Status.OK if (status[parts][counts] == Status.OK).all() else Status.FALLBACK
        else:
            not_space = status[parts][status[parts] != Status.SPACE]
            new_rows[i] = 0
            new_status[i] = not_space[0] if not_space.size else Status.SPACE
    return new_rows, new_status
