"""A loaded ELMo model: segments of words to one matrix per layer.

Enters: Docs, then segments. Leaves: the chosen layers of every token that is not whitespace.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model

from spacy_ctx_embed.data import LayerStack, Segment
from spacy_ctx_embed.encoders.contextual.content_key import tensor_bytes
from spacy_ctx_embed.encoders.elmo.settings import ElmoSettings
from spacy_ctx_embed.encoders.elmo.warm_start import kept_start
from spacy_ctx_embed.encoders.network import ContextualNetwork
from spacy_ctx_embed.models.checksum import checksum
from spacy_ctx_embed.models.elmo.folder import write_elmo
from spacy_ctx_embed.models.elmo.source.files import ElmoFiles
from spacy_ctx_embed.networks.elmo.bilm import BilmState
from spacy_ctx_embed.networks.elmo.layer_norm import normalize_segments
from spacy_ctx_embed.networks.elmo.module import ElmoModule
from spacy_ctx_embed.networks.elmo.word_cache import WordCache
from spacy_ctx_embed.networks.packed.matrix import fits_in_8_bits
from spacy_ctx_embed.segments.words import word_segments


class ElmoNetwork(ContextualNetwork):
    """The network of this family.

    :param module: the network with its weights.
    :param files: what was read; of it all but the weights is kept.
    :param path: where it was read from.
    :param settings: the encoder's config values.
    """

    kind = "elmo"
    by_sentences = True

    def __init__(self, module: ElmoModule, files: ElmoFiles, path: Path, settings: ElmoSettings) -> None:
        config = module.config
        self.module = module
        self.path: Path = path
        self.width = 2 * config.bilm.projection_dim
        self.n_layers = config.bilm.n_layers + 1
        self.in_order = settings.stateful
        self.mix = files.mix
        self.state: Optional[BilmState] = None  # carried over from the call before
        self.first_state: Optional[BilmState] = None  # of one segment; not zeros if set
        self._window = settings.window
        self._layer_norm = settings.layer_norm
        self._int8 = settings.precision == "int8"
        self._warm = settings.initial_state == "warm"
        self._kind = files.kind
        self._source_checksum = files.source_checksum
        # Training changes the vectors, so they are not remembered where it may.
        n_bytes = 0 if settings.trainable else settings.char_cache_mb << 20
        self.words = WordCache(n_bytes, config.bilm.projection_dim)

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, "state": None}  # what was processed here says nothing about another process

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self.module.device

    @property
    def pads(self) -> bool:
        """Whether batches are to be of segments of like length: on a GPU. Steps are of segments that still run, so that
        a processor gains by long batches of any lengths."""
        return self.device.type != "cpu"

    def may_run_beside(self, batches: Sequence[Sequence[Segment]]) -> bool:
        """Tell whether :meth:`run` may be called by several threads at once, and gains by it: each step is a few small
        products, at each of which several threads would wait for one another.

        :param batches: the batches to run.
        :return: whether it may.
        """
        return len(batches) > 1 and self.device.type == "cpu" and not self.in_order

    def identity(self) -> List[Any]:
        """Give what the layers depend on besides the settings.

        :return: buffers of configuration, weights and first state.
        """
        start = {str(i): part for i, part in enumerate(self.first_state or ())}
        config = repr(self.module.config).encode("utf8")
        if self._int8:  # rounding depends on the processor
            config += f" {fits_in_8_bits()}".encode()
        return [config, *tensor_bytes(dict(self.module.state_dict())), *tensor_bytes(start)]

    @property
    def checksum(self) -> str:
        """SHA-256 (hex) of the files that the network was opened from, or that those were saved from."""
        if self._source_checksum is None:
            self._source_checksum = checksum(self.path)
        return self._source_checksum

    def save(self, directory: Path) -> None:
        """Write ``options.json``, ``weights.safetensors`` and the lists of words and characters that it needs.

        :param directory: an existing, empty folder.
        """
        source = self.checksum if self._source_checksum or self.path.exists() else None
        weights = dict(self.module.state_dict())
        write_elmo(directory, ElmoFiles(self.module.config, weights, source, self.mix, self._kind))

    def depth(self, parameter: str) -> int:
        """Tell where a parameter is.

        :param parameter: its name in ``module``.
        :return: LSTM layers above it; the number of LSTM layers for the token encoder.
        """
        n_blocks = self.n_layers - 1
        numbers = [int(part) for part in parameter.split(".") if part.isdigit()]
        return max(n_blocks - 1 - numbers[0], 0) if parameter.startswith("bilm.") and numbers else n_blocks

    def prepare(self, model: Model, samples: Optional[Sequence[Doc]]) -> bool:
        """Take the state that every segment starts from where ``initial_state = "warm"``.

        :param model: the encoder, whose parameters keep it.
        :param samples: sample Docs, when the encoder is initialised: the state is computed from them.
        :return: whether it is another one now.
        """
        if self._warm:
            self.first_state = kept_start(model, self, samples)
        return self._warm and samples is not None

    def forget_state(self) -> None:
        """Start from zeros again."""
        self.state = None

    def segment(self, docs: Sequence[Doc]) -> List[Segment]:
        """Cut Docs into sentences and windows without the whitespace tokens.

        :param docs: ``n_docs`` Docs.
        :return: the segments, in the order of the text; ``length`` counts the two boundary symbols. Where state is
            carried over, a Doc without words gives a segment too, so that it uses up its place as in AllenNLP.
        """
        return word_segments(docs, self._window, keep_empty=self.in_order)

    def run(self, segments: Sequence[Segment], layers: Sequence[int]) -> LayerStack:
        """Encode one batch.

        :param segments: ``n_segments`` segments.
        :param layers: numbers of the layers wanted.
        :return: ``(len(layers), n_tokens, width)`` float32, the tokens of all segments one after another.
        """
        lengths = np.array([segment.length for segment in segments], dtype=np.int64)
        ends = np.cumsum(lengths)
        inner = np.ones(int(lengths.sum()), dtype=bool)  # all but the boundary symbols
        inner[ends - lengths] = inner[ends - 1] = False
        kept = np.flatnonzero(inner)
        # Layer normalisation takes the boundary symbols into account.
        found, state = self.encode(segments, self._start(len(segments)), layers, None if self._layer_norm else kept)
        if self.in_order:
            self._keep(state)
        if self._layer_norm:
            found = normalize_segments(found, lengths.tolist())[:, torch.from_numpy(kept).to(found.device)]
        if self.module.alignment is not None:
            found = self.module.alignment(found)
        return LayerStack(found.float())

    def encode(
        self,
        segments: Sequence[Segment],
        state: Optional[BilmState],
        layers: Sequence[int],
        keep: Optional[np.ndarray] = None,
    ) -> Tuple[torch.Tensor, BilmState]:
        """Run the biLM over segments between their boundary symbols.

        :param segments: ``n_segments`` segments.
        :param state: where each starts from, zeros if not given.
        :param layers: numbers of the layers wanted.
        :param keep: ``(n_kept,)`` numbers of the tokens wanted, boundary symbols counted; all if not given.
        :return: ``(len(layers), n_kept, width)``, and the state in which each segment ended.
        """
        numbers: Dict[str, int] = {}  # each distinct word is encoded once
        bos, eos = self.module.config.alphabet.bos, self.module.config.alphabet.eos
        texts = ([bos, *segment.inputs, eos] for segment in segments)
        types = np.array([numbers.setdefault(word, len(numbers)) for words in texts for word in words], dtype=np.int64)
        vectors = self._vectors(list(numbers))  # (n_types, projection_dim)
        tokens = vectors[torch.from_numpy(types).to(vectors.device)]
        lengths = [segment.length for segment in segments]
        found: Tuple[torch.Tensor, BilmState] = self.module.bilm(tokens, lengths, state, layers, keep)
        return found

    def _vectors(self, words: Sequence[str]) -> torch.Tensor:
        # (n_words, projection_dim) vectors of distinct words, from the cache where gradients are not kept.
        if torch.is_grad_enabled():
            return self.module.encode_words(words)
        return self.words.look_up(words, self.module.encode_words, self.module.device)

    def _start(self, n_segments: int) -> Optional[BilmState]:
        # Where segments start from: the first state, or where there is one the state carried over.
        if not self.in_order and self.first_state is None:
            return None
        start = self.module.bilm.zero_state(n_segments)
        for part in range(2):
            if self.first_state is not None:
                start[part][:] = self.first_state[part].to(start[part])
            if self.in_order and self.state is not None:
                n_old = min(self.state[part].shape[2], n_segments)
                start[part][:, :, :n_old] = self.state[part][:, :, :n_old].to(start[part].device)
        return start

    def _keep(self, state: BilmState) -> None:
        # Segments that this batch did not have keep theirs.
        hidden, cells = (part.detach() for part in state)
        if self.state is not None and self.state[0].shape[2] > hidden.shape[2]:
            old_hidden, old_cells = (part[:, :, hidden.shape[2] :].to(hidden.device) for part in self.state)
            hidden, cells = torch.cat([hidden, old_hidden], dim=2), torch.cat([cells, old_cells], dim=2)
        self.state = (hidden, cells)
