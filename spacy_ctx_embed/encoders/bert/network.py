"""A loaded transformer with its tokenizer: cuts Docs into windows of word pieces, runs them, pools pieces to tokens.

Enters: Docs. Leaves: layers of their tokens. The whole text of a Doc is cut by the model's own tokenizer; each
token gets the pieces that share a character with it.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Sequence

import numpy as np
from spacy.tokens import Doc

from spacy_ctx_embed.data import LayerStack, Segment
from spacy_ctx_embed.encoders.bert.cutter import DocCutter
from spacy_ctx_embed.encoders.bert.frame import Frame
from spacy_ctx_embed.encoders.bert.frozen import check_int8, integers_of
from spacy_ctx_embed.encoders.bert.settings import BertSettings
from spacy_ctx_embed.encoders.bert.source import checksum_of, write_source
from spacy_ctx_embed.encoders.bert.text_part import describe
from spacy_ctx_embed.encoders.bert.text_pieces import TextPieces
from spacy_ctx_embed.encoders.bert.widths import uneven, width_of
from spacy_ctx_embed.encoders.network import ContextualNetwork
from spacy_ctx_embed.errors import EncoderError, Errors, reason_of
from spacy_ctx_embed.models.transformer.pieces import pieces_of
from spacy_ctx_embed.rows.pool import PooledPieces

if TYPE_CHECKING:
    import torch

    from spacy_ctx_embed.encoders.bert.texts import BertTexts
    from spacy_ctx_embed.models.transformer.adapter import Learnt
    from spacy_ctx_embed.networks.transformer.examine import Verdict
    from spacy_ctx_embed.networks.transformer.layers import TransformerLayers

OWNER = BertSettings.owner


class BertNetwork(ContextualNetwork):
    """A loaded transformer with its tokenizer: cuts Docs into windows, runs them, pools pieces to tokens."""

    kind = "bert"
    learnt: Optional["Learnt"] = None  # where an adapter learns
    adapter: Optional[Path] = None  # the files of one that was found by its name
    source_checksum: Optional[str] = None  # of the first files, where these were saved from others
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
        from spacy_ctx_embed.models.transformer.modules import keep_modules
        from spacy_ctx_embed.networks.transformer.runs import Runs

        self.module = module
        self._whole = whole  # what is saved: of an encoder-decoder model both halves
        self.tokenizer = tokenizer
        self._settings = settings
        self.n_layers = module.n_layers
        self.width = width_of(settings, whole, verdict)
        self.path: Path = source
        self._modules = keep_modules(source)
        self._texts: Dict[str, BertTexts] = {}
        self._frame = frame
        self._verdict = verdict
        self._runs = Runs(module, verdict, limit)
        self.by_sentences = settings.sentence_windows
        window = settings.window or limit
        if not len(frame) < window <= limit:
            accepted = f"{len(frame) + 1} to {limit} word pieces, or null, for this model"
            raise ValueError(Errors.E001.format(owner=OWNER, key="window", value=window, accepted=accepted))
        pieces, overlap = window - len(frame), window // 8 if settings.overlap is None else settings.overlap
        if pieces <= 2 * overlap:
            most = (pieces - 1) // 2
            accepted = f"0 to {most} word pieces for a window of {window}"
            raise ValueError(Errors.E001.format(owner=OWNER, key="overlap", value=overlap, accepted=accepted))
        text = TextPieces(tokenizer, split_special=settings.split_special_tokens)
        self._cutter = DocCutter(text, frame, pieces, overlap, by_sentences=self.by_sentences)

    @property
    def checksum(self) -> str:
        """SHA-256 of the model's files, and of those of its adapter; of those that they were saved from."""
        if self.source_checksum is None:
            self.source_checksum = checksum_of(self._files, self._settings)
        return self.source_checksum

    @property
    def _files(self) -> List[Path]:
        return [self.path] if self.adapter is None else [self.path, self.adapter]

    @property
    def pads(self) -> bool:
        """Whether segments of a batch cost as much as its longest."""
        return self._runs.pads

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
        # The window may come from the tokenizer's limit, and what the tokenizer gives besides ids from its settings.
        cut = {"window": self._cutter.window, "overlap": self._cutter.overlap, "types": self.module.takes_types}
        texts = (
            pieces_of(self.tokenizer).to_str(),
            *(json.dumps(part, sort_keys=True, default=str) for part in (config, asdict(self._verdict), cut)),
        )
        state = integers_of(self.module.model, self._settings.precision) or self.module.model.state_dict()
        return [*(text.encode("utf8") for text in texts), *tensor_bytes(state)]

    def save(self, directory: Path) -> None:
        """Write model and tokenizer in the layout of the Hugging Face Hub; an adapter that learns in a folder inside.

        :param directory: an existing, empty folder.
        """
        from spacy_ctx_embed.models.transformer.files import write_transformer
        from spacy_ctx_embed.models.transformer.modules import write_modules

        if self.learnt is not None:
            self.learnt.write(directory, self.tokenizer)
        else:
            integers = integers_of(self._whole, self._settings.precision)
            write_transformer(directory, self._whole, self.tokenizer, integers)
        write_modules(directory, self._modules)
        known = self.source_checksum is not None or all(path.exists() for path in self._files)
        if known and not self._settings.trainable:
            write_source(directory, self.checksum)

    def to(self, device: str) -> None:
        """Move to another device.

        :param device: a torch device.
        :raises ValueError: if there are no products of 8-bit integers there, and ``precision`` says so.
        """
        if self._settings.precision == "int8":
            check_int8(device.partition(":")[0])
        super().to(device)

    def texts(self, pooling: str) -> "BertTexts":
        """Tell how the vector of a whole text is made.

        :param pooling: "cls", the first piece, which is a special one, or "model", what ``modules.json`` says.
        :return: how.
        :raises ValueError: with "cls", if the tokenizer puts no special piece before a text; with "model", if there is
            no prompt of the name ``prompt_name``.
        :raises ModelFormatError: with "model", if its files are damaged, or say what can't be done here.
        :raises EncoderError: with "model", if the last layer gives no state for each piece.
        """
        if pooling not in self._texts:
            from spacy_ctx_embed.encoders.bert.texts import Reader, texts_by

            last, special = self.n_layers - 1, self.tokenizer.all_special_ids
            width = self._verdict.widths[last]
            if pooling == "model" and width is None:
                raise uneven(self._settings, self._whole, self._verdict)
            pieces = pieces_of(self.tokenizer)
            window, overlap = self._cutter.window, self._cutter.overlap
            reader = Reader(pieces, self._frame, window, overlap, last, width or 0, special)
            self._texts[pooling] = texts_by(
                pooling, reader, self.path, self._modules, self._whole.config, self._settings.prompt_name
            )
        return self._texts[pooling]

    def depth(self, parameter: str) -> int:
        """Tell where a parameter is.

        :param parameter: its name in ``module``.
        :return: blocks above it; the number of blocks for the embeddings, 0 for what stands above all blocks.
        """
        number = _block(parameter)
        if number is not None:
            return self._n_blocks - 1 - number
        return self._n_blocks if "embedding" in parameter else 0

    @cached_property
    def _n_blocks(self) -> int:
        # Those that have weights: models that use one of them again (ALBERT) have more layers.
        numbers = [_block(name) for name, _ in self.module.named_parameters()]
        return max((number + 1 for number in numbers if number is not None), default=1)

    def segment(self, docs: Sequence[Doc]) -> List[Segment]:
        """Cut Docs into windows of word pieces.

        :param docs: ``n_docs`` Docs.
        :return: segments; usually one window each.
        """
        with self._explained("the word pieces of a text"):
            return [segment for i, doc in enumerate(docs) for segment in self._cutter.segments(i, doc)]

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
                states = self._runs.run(
                    [windows[i] for i in group], [types[i] for i in group], layers, again=len(groups) > 1
                )
            first_row = np.full(len(windows), -1)
            first_row[group] = states.starts
            mine = pooled.wanted[first_row[window[pooled.wanted]] >= 0]  # pairs whose piece is in this group
            index = torch.from_numpy(first_row[window[mine]] + position[mine]).to(states.rows.device)
            pooled.add(states.rows.index_select(1, index), mine)
        return LayerStack(pooled.rows())

    def may_run_beside(self, batches: Sequence[Sequence[Segment]]) -> bool:
        """Tell whether :meth:`run` may be called by several threads at once, and gains by it.

        :param batches: the batches to run.
        :return: whether it may.
        """
        lengths = [len(w) + len(self._frame) for batch in batches for segment in batch for w in segment.inputs.pieces]
        return len(batches) > 1 and self.device.type == "cpu" and self._runs.settled(lengths)

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        # tokenizers raises bare Exceptions, a model whatever its code runs into.
        import torch

        try:
            yield
        except torch.cuda.OutOfMemoryError:  # the caller may try a smaller batch
            raise
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


def _block(parameter: str) -> Optional[int]:
    # The number of the block that a parameter is in, from the bottom.
    return next((int(part) for part in parameter.split(".") if part.isdigit()), None)
