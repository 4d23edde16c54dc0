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
    if old.starts[0] != new.starts[0] or old.end != new.end:
        raise UnmatchedError("its text is not the text that the rows were computed for")
    # A token reaches to the start of the next one: the space between two tokens belongs to the first of them.
    behind = np.append(new.starts[1:], new.end)
    first = np.searchsorted(old.starts, new.starts, side="right") - 1
    last = np.searchsorted(old.starts, behind, side="left")
    whole = (old.starts[first] == new.starts) & (np.append(old.starts, old.end)[last] == behind)
    if not (whole | (last - first == 1)).all():
        i = int(np.argmin(whole | (last - first == 1)))
        raise UnmatchedError(f"token {i} takes parts of several former tokens")
    one_to_one = whole & (last - first == 1)
    if (new.orths[one_to_one] != old.orths[first[one_to_one]]).any():
        raise UnmatchedError("its text is not the text that the rows were computed for")
    return first, last


def carry_rows(rows: Floats2d, status: Statuses1d, first: Ints1d, last: Ints1d) -> Tuple[Floats2d, Statuses1d]:
    """Rows of today's tokens: the mean of the parts that have a vector; parts of a split token share its row.

    Where no part has one, the mean of the unknown parts, whose rows are kept though they are no vectors.

    :param rows: ``(n_old, width)``.
    :param status: ``(n_old,)``.
    :param first: ``(n_new,)`` from :func:`match_tokens`.
    :param last: ``(n_new,)`` from :func:`match_tokens`.
    :return: ``(n_new, width)`` of the dtype of ``rows``, and ``(n_new,)`` statuses. A merged token is ``ok`` if all
        its parts with a vector are, else ``fallback``; without any it is ``unknown`` if a part is, else it takes the
        status of its first part.
    """
    new_rows, new_status = rows[first], status[first]
    for i in np.flatnonzero(last - first > 1):
        parts = slice(first[i], last[i])
        counts, unknown = covered(status[parts]), status[parts] == Status.UNKNOWN
        if counts.any():
            new_rows[i] = rows[parts][counts].astype(np.float32).mean(axis=0)
            new_status[i] = Status.OK if (status[parts][counts] == Status.OK).all() else Status.FALLBACK
        elif unknown.any():
            new_rows[i] = rows[parts][unknown].astype(np.float32).mean(axis=0)
            new_status[i] = Status.UNKNOWN
        else:
            not_space = status[parts][status[parts] != Status.SPACE]
            new_rows[i] = 0
            new_status[i] = not_space[0] if not_space.size else Status.SPACE
    return new_rows, new_status
