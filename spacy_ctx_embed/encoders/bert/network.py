"""A loaded transformer with its tokenizer: cuts Docs into windows of word pieces, runs them, pools pieces to tokens.

Enters: Docs. Leaves: layers of their tokens. The whole text of a Doc is cut by the model's own fast tokenizer; each
token gets the pieces that share a character with it.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from spacy.tokens import Doc

from spacy_ctx_embed.data import Ints1d, LayerStack, PieceMap, Segment
from spacy_ctx_embed.encoders.bert.adapter import find_adapter
from spacy_ctx_embed.encoders.bert.frame import Frame
from spacy_ctx_embed.encoders.bert.settings import BertSettings
from spacy_ctx_embed.encoders.bert.text_part import describe
from spacy_ctx_embed.encoders.network import ContextualNetwork
from spacy_ctx_embed.errors import EncoderError, Errors, reason_of
from spacy_ctx_embed.rows.align import align_pieces, keep_tokens
from spacy_ctx_embed.rows.mix import choose_layers
from spacy_ctx_embed.rows.pool import PooledPieces
from spacy_ctx_embed.rows.stitch import choose_windows
from spacy_ctx_embed.segments.layout import character_ranges
from spacy_ctx_embed.segments.spaces import whitespace
from spacy_ctx_embed.segments.windows import cut_windows

if TYPE_CHECKING:
    import torch

    from spacy_ctx_embed.models.transformer.adapter import Learnt
    from spacy_ctx_embed.networks.transformer.examine import Verdict
    from spacy_ctx_embed.networks.transformer.layers import TransformerLayers

OWNER = BertSettings.owner


@dataclass(frozen=True)
class _Windows:
    # Inputs of a Segment: its windows, and for each pair of piece and token where the piece stands in them.
    pieces: List[Ints1d]  # piece ids of each window, special pieces not included
    window: Ints1d  # (n_pairs,)
    position: Ints1d  # (n_pairs,) special pieces included
    token: Ints1d  # (n_pairs,) index into Segment.tokens


class BertNetwork(ContextualNetwork):
    """A loaded transformer with its tokenizer: cuts Docs into windows, runs them, pools pieces to tokens."""

    kind = "bert"
    learnt: Optional["Learnt"] = None  # where an adapter learns
    pickled_as_files = True  # transformers 5 puts hooks on a model that has been run, which can't be pickled

    def __init__(
        self,
        module: "TransformerLayers",
        whole: Any,
        tokenizer: Any,
        settings: BertSettings,
        source: Path,
        frame: Frame,
        verdict: "Verdict",
        limit: int,
    ) -> None:
        from spacy_ctx_embed.networks.transformer.runs import Runs

        self.module = module
        self._whole = whole  # what is saved: of an encoder-decoder model both halves
        self.tokenizer = tokenizer
        self._settings = settings
        self.n_layers = module.n_layers
        self.width = _width_of(settings, whole, verdict)
        self.path: Path = source
        self._frame = frame
        self._verdict = verdict
        self._runs = Runs(module, verdict)
        self._pieces = tokenizer.backend_tokenizer
        window = settings.window or limit
        if not len(frame) < window <= limit:
            accepted = f"{len(frame) + 1} to {limit} word pieces, or null, for this model"
            raise ValueError(Errors.E001.format(owner=OWNER, key="window", value=window, accepted=accepted))
        self._window = window - len(frame)
        self._overlap = window // 8 if settings.overlap is None else settings.overlap
        if self._window <= 2 * self._overlap:
            most = (self._window - 1) // 2
            accepted = f"0 to {most} word pieces for a window of {window}"
            raise ValueError(Errors.E001.format(owner=OWNER, key="overlap", value=self._overlap, accepted=accepted))

    @property
    def checksum(self) -> str:
        """SHA-256 of the model's files, and of those of its adapter."""
        from spacy_ctx_embed.models.checksum import checksum

        adapter = find_adapter(self._settings, None)
        return checksum(self.path) + (f" + adapter {checksum(adapter)}" if adapter is not None else "")

    @property
    def device(self) -> "torch.device":
        """Where the network runs."""
        return self.module.device

    def identity(self) -> List[Any]:
        """Give what the layers depend on besides the settings.

        :return: buffers of tokenizer, architecture, how it has to be run, and weights.
        """
        from spacy_ctx_embed.encoders.contextual.content_key import tensor_bytes

        config = self.module.model.config.to_diff_dict()
        config.pop("_name_or_path", None)
        how_run = asdict(self._verdict)
        texts = (self._pieces.to_str(), *(json.dumps(part, sort_keys=True, default=str) for part in (config, how_run)))
        return [*(text.encode("utf8") for text in texts), *tensor_bytes(self.module.model.state_dict())]

    def save(self, directory: Path) -> None:
        """Write model and tokenizer in the layout of the Hugging Face Hub; an adapter that learns in a folder inside.

        :param directory: an existing folder.
        """
        from spacy_ctx_embed.models.transformer.files import write_transformer

        if self.learnt is not None:
            self.learnt.write(directory, self.tokenizer)
            return
        write_transformer(directory, self._whole, self.tokenizer)

    def depth(self, parameter: str) -> int:
        """Tell where a parameter is.

        :param parameter: its name in ``module``.
        :return: blocks above it; the number of blocks for the embeddings, 0 for what stands above all blocks.
        """
        n_blocks = self.n_layers - 1
        numbers = [int(part) for part in parameter.split(".") if part.isdigit()]
        if numbers:
            return max(n_blocks - 1 - numbers[0], 0)
        return n_blocks if "embedding" in parameter else 0

    def segment(self, docs: Sequence[Doc]) -> List[Segment]:
        """Cut Docs into windows of word pieces.

        :param docs: ``n_docs`` Docs.
        :return: segments; usually one window each.
        """
        return [segment for i, doc in enumerate(docs) for segment in self._segments_of(i, doc)]

    def run(self, segments: Sequence[Segment], layers: Sequence[int]) -> LayerStack:
        """Run windows and pool their pieces.

        :param segments: what :meth:`segment` made.
        :param layers: layer numbers wanted.
        :return: ``(len(layers), n_tokens, width)``, the tokens of the segments one after another.
        """
        import torch

        framed = [self._frame.around(pieces) for segment in segments for pieces in segment.inputs.pieces]
        windows, types = [ids for ids, _ in framed], [kinds for _, kinds in framed]
        pairs = [segment.inputs for segment in segments]
        first_window = np.cumsum([0, *(len(inputs.pieces) for inputs in pairs)])
        first_token = np.cumsum([0, *(len(segment.tokens) for segment in segments)])
        window = np.concatenate([inputs.window + first for inputs, first in zip(pairs, first_window)])
        position = np.concatenate([inputs.position for inputs in pairs])
        token = np.concatenate([inputs.token + first for inputs, first in zip(pairs, first_token)])
        pooled = PooledPieces(token, int(first_token[-1]), self._settings.subword_pooling)
        groups = self._runs.groups([len(ids) for ids in windows], self._settings.max_batch_tokens)
        for group in groups:
            with self._explained(f"{len(group)} windows, the longest of {max(len(windows[i]) for i in group)} pieces"):
                hidden = self._runs.run(
                    [windows[i] for i in group], [types[i] for i in group], layers, again=len(groups) > 1
                )
            n_layers, n_windows, longest, width = hidden.shape
            row = np.full(len(windows), -1)
            row[group] = np.arange(n_windows)
            mine = pooled.wanted[row[window[pooled.wanted]] >= 0]  # pairs whose piece is in this group
            index = torch.from_numpy(row[window[mine]] * longest + position[mine]).to(hidden.device)
            pooled.add(hidden.reshape(n_layers, n_windows * longest, width).index_select(1, index), mine)
        return LayerStack(pooled.rows())

    def _segments_of(self, i: int, doc: Doc) -> List[Segment]:
        if len(doc) == 0:
            return []
        with self._explained("the word pieces of a text"):
            encoding = self._pieces.encode(doc.text, add_special_tokens=False)
        ids = np.array(encoding.ids, dtype=np.int64)
        offsets = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        pairs = align_pieces(offsets[:, 0], offsets[:, 1], *character_ranges(doc))
        pairs = keep_tokens(pairs, ~whitespace(doc))
        if len(pairs.pieces) == 0:
            return []
        windows = cut_windows(len(ids), self._window, self._overlap)
        chosen = choose_windows(pairs, windows)
        return [self._segment(i, ids, pairs, windows, chosen, members) for members in _groups(pairs, chosen)]

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
        inputs = _Windows(
            pieces=[ids[start:end] for start, end in windows[first:last]],
            window=window,
            position=pairs.pieces[mine] - starts[window] + len(self._frame.prefix),
            token=token,
        )
        length = sum(len(p) + len(self._frame) for p in inputs.pieces)
        return Segment(i, tokens, length, inputs)

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        # tokenizers raises bare Exceptions, a model whatever its code runs into.
        try:
            yield
        except Exception as error:
            raise EncoderError(
                Errors.E093.format(
                    owner=OWNER,
                    value=self._settings.name,
                    model=describe(self._whole),
                    what=what,
                    reason=reason_of(error),
                )
            ) from error


def _width_of(settings: BertSettings, whole: Any, verdict: "Verdict") -> int:
    # Of one layer, where those that are mixed have one width and a state for each piece.
    n_layers = len(verdict.widths)
    try:
        chosen = choose_layers(settings.layers, settings.layer_mix, n_layers)
    except IndexError:  # named by whoever sets the widths of rows
        chosen = [n_layers - 1]
    widths = {verdict.widths[layer] for layer in chosen}
    if len(widths) == 1 and None not in widths:
        return int(widths.pop() or 0)
    counted = ", ".join(f"{i}: {width or 'not one state per piece'}" for i, width in enumerate(verdict.widths))
    last_fits = verdict.widths[-1] is not None
    raise EncoderError(
        Errors.E091.format(
            owner=OWNER,
            value=settings.name,
            model=describe(whole),
            layers=settings.layers,
            layer_mix=settings.layer_mix,
            widths=counted,
            fix="set layers = [-1]" if last_fits else "choose layers that do, or another class of this model",
        )
    )


def _groups(pairs: PieceMap, chosen: Ints1d) -> List[Tuple[int, int]]:
    # Ranges of windows that must be run together: one window, or more where one token has pieces in several.
    used = np.unique(chosen)
    splits = np.flatnonzero((pairs.tokens[1:] == pairs.tokens[:-1]) & (chosen[1:] != chosen[:-1]))
    ranges = [(int(w), int(w) + 1) for w in used]
    for pair in splits:
        low, high = sorted((int(chosen[pair]), int(chosen[pair + 1])))
        touched = [r for r in ranges if r[0] <= high and r[1] > low]
        ranges = [r for r in ranges if r not in touched]
        ranges.append((min(low, *(r[0] for r in touched)), max(high + 1, *(r[1] for r in touched))))
    return sorted(ranges)
