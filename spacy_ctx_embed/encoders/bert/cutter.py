"""Docs to windows of word pieces.

Enters: a Doc. Leaves: segments, each with the pieces of one window, or of several where one token needs them, and the
places in them from which the rows of its tokens come.
"""

from __future__ import annotations

from dataclasses import replace
from typing import List, Tuple

import numpy as np
from spacy.attrs import SENT_START
from spacy.tokens import Doc

from spacy_ctx_embed.data import Ints1d, PieceMap, Segment
from spacy_ctx_embed.encoders.bert.frame import Frame
from spacy_ctx_embed.encoders.bert.text_pieces import TextPieces
from spacy_ctx_embed.encoders.bert.windows import Windows, window_groups
from spacy_ctx_embed.rows.align import align_pieces, keep_tokens
from spacy_ctx_embed.rows.stitch import choose_windows
from spacy_ctx_embed.segments.layout import character_ranges
from spacy_ctx_embed.segments.spaces import whitespace
from spacy_ctx_embed.segments.windows import cut_at, cut_windows


class DocCutter:
    """Cuts Docs into windows that the model can read.

    :param text: the tokenizer.
    :param frame: the special pieces around a window.
    :param window: word pieces per window, without special ones.
    :param overlap: word pieces of context on each side.
    :param by_sentences: whether windows begin and end with sentences, where the Doc has them.
    """

    def __init__(self, text: TextPieces, frame: Frame, window: int, overlap: int, *, by_sentences: bool) -> None:
        self._text, self._frame = text, frame
        self.window, self.overlap = window, overlap
        self._by_sentences = by_sentences

    def segments(self, i: int, doc: Doc) -> List[Segment]:
        """Cut one Doc.

        :param i: its number in the batch.
        :param doc: any Doc.
        :return: its segments, in order; none where no token has a piece.
        """
        if len(doc) == 0:
            return []
        ids, offsets = self._text.cut(doc.text)
        pairs = align_pieces(offsets[:, 0], offsets[:, 1], *character_ranges(doc))
        pairs = keep_tokens(pairs, ~whitespace(doc))
        if len(pairs.pieces) == 0:
            return []
        windows = self._windows(len(ids), doc, pairs)
        chosen = choose_windows(pairs, windows)
        segments = [self._segment(i, ids, pairs, windows, chosen, members) for members in window_groups(pairs, chosen)]
        statuses = self._text.statuses(ids, pairs)
        return segments if statuses is None else [replace(s, statuses=statuses[s.tokens]) for s in segments]

    def _windows(self, n_pieces: int, doc: Doc, pairs: PieceMap) -> List[Tuple[int, int]]:
        if n_pieces <= self.window or not self._by_sentences or not doc.has_annotation("SENT_START"):
            return cut_windows(n_pieces, self.window, self.overlap)
        starts = np.flatnonzero(doc.to_array([SENT_START]).reshape(-1) == 1)
        first = np.searchsorted(pairs.tokens, starts)  # pair of the first token of a sentence that has a piece
        places = pairs.pieces[first[first < len(pairs.pieces)]]
        return cut_at(n_pieces, places.tolist(), self.window, self.overlap)

    def _segment(
        self,
        i: int,
        ids: Ints1d,
        pairs: PieceMap,
        windows: List[Tuple[int, int]],
        chosen: Ints1d,
        members: Tuple[int, int],
    ) -> Segment:
        first, last = members  # half-open range of window numbers
        mine = np.flatnonzero((chosen >= first) & (chosen < last)) if len(windows) > 1 else slice(None)
        tokens, token = np.unique(pairs.tokens[mine], return_inverse=True)
        window = chosen[mine] - first
        starts = np.array([start for start, _ in windows[first:last]])
        inputs = Windows(
            pieces=[ids[start:end] for start, end in windows[first:last]],
            starts=starts,
            window=window,
            position=pairs.pieces[mine] - starts[window] + len(self._frame.prefix),
            token=token,
        )
        length = sum(len(p) + len(self._frame) for p in inputs.pieces)
        return Segment(i, tokens, length, inputs)
