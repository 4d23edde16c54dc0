"""AllenNLP's ELMo as a network over segments: cut, run, drop the boundary symbols, save.

Enters: Docs, then segments. Leaves: the chosen layers of every token that is not whitespace.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, List, Sequence

import numpy as np
import torch
from spacy.tokens import Doc

from spacy_ctx_embed.data import LayerStack, Segment
from spacy_ctx_embed.encoders.allennlp.module import AllenNLPModule
from spacy_ctx_embed.encoders.contextual.content_key import tensor_bytes
from spacy_ctx_embed.encoders.elmo.settings import BilmSettings
from spacy_ctx_embed.encoders.network import ContextualNetwork
from spacy_ctx_embed.models.checksum import checksum
from spacy_ctx_embed.models.elmo.allennlp.modules import read_state
from spacy_ctx_embed.models.elmo.bilm_tf.writer import read_source, write_bilm_tf
from spacy_ctx_embed.models.elmo.source.options import Sizes
from spacy_ctx_embed.models.elmo.source.torch_state import named_tensors
from spacy_ctx_embed.networks.elmo.alphabets import Utf8Bytes
from spacy_ctx_embed.networks.elmo.layer_norm import normalize_segments
from spacy_ctx_embed.networks.elmo.module import ElmoConfig
from spacy_ctx_embed.segments.words import word_segments

OPTIONS, WEIGHTS = "options.json", "weights.hdf5"
_RUNNING = threading.Lock()  # AllenNLP keeps the state in the module: two threads would start from each other's


class AllenNLPElmoNetwork(ContextualNetwork):
    """The network of this encoder.

    :param module: AllenNLP's network with its weights.
    :param path: the file or folder that it was found in.
    :param options: its ``options.json``.
    :param weights: its HDF5 file.
    :param sizes: what the options say.
    :param settings: the encoder's config values.
    """

    kind = "elmo"
    by_sentences = True

    def __init__(
        self, module: AllenNLPModule, path: Path, options: Path, weights: Path, sizes: Sizes, settings: BilmSettings
    ) -> None:
        self.module = module
        self.path: Path = path
        self.width = module.bilm.get_output_dim()
        self.n_layers = module.bilm.num_layers
        self.in_order = settings.stateful
        self._window = settings.window
        self._layer_norm = settings.layer_norm
        self._sizes = sizes
        self._options = options.read_bytes()  # the file may be a temporary one
        self._source = read_source(weights)

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return next(self.module.parameters()).device

    def identity(self) -> List[Any]:
        """Give what the layers depend on besides the settings.

        :return: buffers of configuration and weights.
        """
        return [b"allennlp", self._options, *tensor_bytes(self.module.bilm.state_dict())]

    @property
    def checksum(self) -> str:
        """SHA-256 (hex) of the files that the network was opened from, or that those were saved from."""
        if self._source is None:
            self._source = checksum(self.path)
        return self._source

    def save(self, directory: Path) -> None:
        """Write ``options.json`` and ``weights.hdf5``, trained or not, as AllenNLP and ``Elmo.v1`` read them.

        :param directory: an existing, empty folder.
        """
        source = self.checksum if self._source or self.path.exists() else None
        (directory / OPTIONS).write_bytes(self._options)
        char_cnn, bilm = self._sizes.char_cnn, self._sizes.bilm
        assert char_cnn is not None
        state = {name: tensor.cpu() for name, tensor in self.module.bilm.state_dict().items()}
        weights = read_state(named_tensors(state, directory / WEIGHTS), char_cnn, bilm)
        config = ElmoConfig(char_cnn, bilm, Utf8Bytes())
        write_bilm_tf(directory / WEIGHTS, config, weights, source_checksum=source, bias=np.float64)

    def forget_state(self) -> None:
        """Start from zeros again."""
        self.module.state = None

    def segment(self, docs: Sequence[Doc]) -> List[Segment]:
        """Cut Docs into sentences and windows without the whitespace tokens.

        :param docs: ``n_docs`` Docs.
        :return: the segments, in the order of the text, as :class:`ElmoNetwork` makes them.
        """
        return word_segments(docs, self._window, keep_empty=self.in_order)

    def run(self, segments: Sequence[Segment], layers: Sequence[int]) -> LayerStack:
        """Encode one batch.

        :param segments: ``n_segments`` segments.
        :param layers: numbers of the layers wanted.
        :return: ``(len(layers), n_tokens, width)`` float32, the tokens of all segments one after another.
        """
        with _RUNNING:
            self._prepare_state()
            activations = self.module([segment.inputs for segment in segments])
        lengths = torch.tensor([segment.length for segment in segments])
        real = torch.arange(activations[0].shape[1]) < lengths[:, None]  # (n_segments, longest + 2)
        real = real.to(activations[0].device)
        found = torch.stack([activations[layer][real] for layer in layers])  # (n_chosen, n_tokens, width)
        if self._layer_norm:
            found = normalize_segments(found, lengths.tolist())
        ends = lengths.cumsum(0)
        inner = torch.ones(found.shape[1], dtype=torch.bool)  # all but the boundary symbols
        inner[ends - lengths] = inner[ends - 1] = False
        return LayerStack(found[:, inner.to(found.device)])

    def _prepare_state(self) -> None:
        state = self.module.state
        if not self.in_order:
            self.module.state = None
        elif state is not None:  # may have moved, or be a tensor of inference mode, which can't be changed outside
            device = next(self.module.parameters()).device
            self.module.state = tuple(part.to(device, copy=True) for part in state)
