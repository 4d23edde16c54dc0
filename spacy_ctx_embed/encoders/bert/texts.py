"""Vectors of whole texts by a transformer: its first piece, or what its ``modules.json`` says.

Enters: Docs, and the segments from which the rows of their tokens come. Leaves: segments that name the pieces to pool.
Where the model reads a prompt before the text, or lower-cases it, the text is read a second time; else one pass gives
the rows and the vector.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
from spacy.tokens import Doc

from spacy_ctx_embed.data import Ints1d, PieceMap, Segment, TextHead
from spacy_ctx_embed.encoders.bert.frame import Frame
from spacy_ctx_embed.encoders.bert.settings import BertSettings
from spacy_ctx_embed.encoders.bert.windows import Windows
from spacy_ctx_embed.encoders.texts import TextSegment, TextVectors
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.models.transformer.modules import Files, SentenceModel, read_modules
from spacy_ctx_embed.rows.stitch import choose_windows
from spacy_ctx_embed.rows.text import mode_weights
from spacy_ctx_embed.segments.windows import cut_windows


@dataclass(frozen=True)
class Reader:
    """How a network reads a text.

    :param pieces: the ``tokenizers.Tokenizer``.
    :param frame: the special pieces around a window.
    :param window: word pieces per window, without special ones.
    :param overlap: word pieces of context on each side.
    :param last_layer: number of the last layer.
    :param width: of that layer.
    :param special: ids of all special pieces.
    """

    pieces: Any
    frame: Frame
    window: int
    overlap: int
    last_layer: int
    width: int
    special: Sequence[int]


class BertTexts(TextVectors):
    """Vectors of whole texts by a transformer.

    :param reader: how the network reads a text.
    :param model: how the vector of a text is made.
    :param mixed: whether the layers are mixed as those of rows are; else the last one is pooled, and finished by
        ``model.head``.
    """

    def __init__(self, reader: Reader, model: SentenceModel, *, mixed: bool) -> None:
        super().__init__(model.head.modes, None if mixed else model.head, reader.width)
        self._reader, self._frame, self._model = reader, reader.frame, model
        self._pieces = _lowercased(reader.pieces) if model.lowercase else reader.pieces
        self._again = bool(model.prompt) or self._pieces is not reader.pieces
        self._n_left_out = 0
        if model.prompt and not model.include_prompt:
            ids, _ = self._frame.around(self._ids(model.prompt))
            self._n_left_out = len(ids) - (int(ids[-1]) in reader.special)

    def layers(self, wanted: Sequence[int]) -> List[int]:
        """Give the numbers of the layers that are pooled.

        :param wanted: those of the rows.
        :return: the same, or the last one.
        """
        return list(wanted) if self.head is None else [self._reader.last_layer]

    def identity(self) -> bytes:
        """Give what the pooled layers depend on besides the network.

        :return: pooling, prompt and case; not what comes after the pooling.
        """
        model = self._model
        parts = (self.head is None, self.modes, model.prompt, model.include_prompt, model.lowercase)
        return repr(parts).encode("utf8")

    def segments(self, docs: Sequence[Doc], segments: Sequence[Segment]) -> List[TextSegment]:
        """Name the pieces of the texts.

        :param docs: ``n_docs`` Docs.
        :param segments: what the network made of them.
        :return: those segments with the pieces of their texts, or followed by segments of the texts.
        """
        by_doc: Dict[int, List[Segment]] = {}
        for segment in segments:
            by_doc.setdefault(segment.doc, []).append(segment)
        if not self._again:
            return [found for members in by_doc.values() for found in self._with_text(members)]
        found = [TextSegment(s.doc, s.tokens, s.length, s.inputs, s.statuses) for s in segments]
        for i in by_doc:
            found += self._with_text(self._of_text(i, self._model.prompt + docs[i].text))
        return found

    def _ids(self, text: str) -> Ints1d:
        return np.array(self._pieces.encode(text, add_special_tokens=False).ids, dtype=np.int64)

    def _of_text(self, i: int, text: str) -> List[Segment]:
        # Windows of a text, without tokens.
        ids, none = self._ids(text), np.zeros(0, dtype=np.int64)
        return [
            Segment(
                i,
                none,
                end - start + len(self._frame),
                Windows([ids[start:end]], np.array([start]), window=none, position=none, token=none),
            )
            for start, end in cut_windows(len(ids), self._reader.window, self._reader.overlap)
        ]

    def _with_text(self, segments: Sequence[Segment]) -> List[TextSegment]:
        # The segments of one Doc, and in each those of the pieces of the text that are best read there.
        first = int(segments[0].inputs.starts[0])  # windows without a token are not read, so it may not be 0
        windows = [
            (int(start) - first, int(start) - first + len(pieces))
            for segment in segments
            for start, pieces in zip(segment.inputs.starts, segment.inputs.pieces)
        ]
        numbers = np.arange(windows[-1][1])
        owner = choose_windows(PieceMap(numbers, numbers, len(numbers)), windows)
        before, behind = len(self._frame.prefix), len(self._frame.suffix)
        places = []
        for i, (start, end) in enumerate(windows):
            own = np.flatnonzero(owner == i) - start + before
            places.append(
                np.concatenate([np.arange(before), own, np.arange(behind) + (end - start + before)]).astype(np.int64)
            )
        weights = mode_weights(self.modes, [len(place) for place in places], self._n_left_out)
        found, first_window, first_piece = [], 0, 0
        for segment in segments:
            n_windows = len(segment.inputs.pieces)
            mine = places[first_window : first_window + n_windows]
            position = np.concatenate(mine)
            weight = weights[:, first_piece : first_piece + len(position)]
            window = np.repeat(np.arange(n_windows), [len(place) for place in mine])
            found.append(_extended(segment, window, position, weight))
            first_window, first_piece = first_window + n_windows, first_piece + len(position)
        return found


def texts_by(
    pooling: str, reader: Reader, folder: Path, files: Files, config: Any, prompt_name: Optional[str]
) -> BertTexts:
    """Make what gives vectors of whole texts.

    :param pooling: "cls" or "model".
    :param reader: how the network reads a text.
    :param folder: where the model was found, for messages.
    :param files: the files that sentence-transformers keeps beside it.
    :param config: the transformer's own config.
    :param prompt_name: which of the model's prompts is put before a text; ``None`` for its default.
    :return: it.
    :raises ValueError: with "cls", if the tokenizer puts no special piece before a text; with "model", if there is no
        prompt of that name.
    :raises ModelFormatError: with "model", if the files are damaged, or say what can't be done here.
    """
    if pooling == "model":
        return BertTexts(reader, read_modules(folder, files, config, prompt_name), mixed=False)
    if not len(reader.frame.prefix):
        accepted = "any other value for this model, as no special piece stands before its texts"
        owner = BertSettings.owner
        raise ValueError(Errors.E001.format(owner=owner, key="doc_pooling", value="cls", accepted=accepted))
    return BertTexts(reader, SentenceModel(TextHead(("cls",))), mixed=True)


def _extended(segment: Segment, window: Ints1d, position: Ints1d, weights: np.ndarray) -> TextSegment:
    # With pieces of these places as further tokens; those that weigh nothing are left out.
    used = weights.any(axis=0)
    n_tokens, n_more = len(segment.tokens), int(used.sum())
    inputs = replace(
        segment.inputs,
        window=np.concatenate([segment.inputs.window, window[used]]),
        position=np.concatenate([segment.inputs.position, position[used]]),
        token=np.concatenate([segment.inputs.token, n_tokens + np.arange(n_more)]),
    )
    tokens = np.concatenate([segment.tokens, np.full(n_more, -1)])
    statuses = segment.statuses
    if statuses is not None:
        statuses = np.concatenate([statuses, np.zeros(n_more, np.uint8)])
    return TextSegment(segment.doc, tokens, segment.length, inputs, statuses, np.ascontiguousarray(weights[:, used]))


def _lowercased(pieces: Any) -> Any:
    # A tokenizer that lower-cases a text first, as sentence-transformers makes one; the same where it does already.
    from tokenizers import Tokenizer, normalizers

    if _lowercases(json.loads(pieces.to_str())["normalizer"] or {}):
        return pieces
    copy = Tokenizer.from_str(pieces.to_str())
    copy.encode_special_tokens = pieces.encode_special_tokens
    present = [] if pieces.normalizer is None else [pieces.normalizer]
    copy.normalizer = normalizers.Sequence([normalizers.Lowercase(), *present])
    return copy


def _lowercases(normalizer: Dict[str, Any]) -> bool:
    parts = normalizer.get("normalizers", ())
    return normalizer.get("type") == "Lowercase" or bool(normalizer.get("lowercase")) or any(map(_lowercases, parts))
