"""ELMo as one module: token encoder, biLM and, in aligned multilingual models, a map into a common space.

Enters: words, and word vectors. Leaves: word vectors, and one matrix per layer. Which parts there are depends
on the model: UTF-8 bytes alone (bilm-tf, AllenNLP), characters and words (ELMoForManyLangs), words alone
(token-input models), or bytes with a table of the words that are known beforehand (a cached-token file).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, cast

import torch
from torch import nn

from spacy_ctx_embed.networks.elmo.alphabets import Alphabet
from spacy_ctx_embed.networks.elmo.bilm import Bilm, BilmConfig
from spacy_ctx_embed.networks.elmo.char_cnn import CharCnn, CharCnnConfig, make_embedding
from spacy_ctx_embed.networks.elmo.lexicon import NOT_LISTED, Lexicon
from spacy_ctx_embed.networks.packed.packable import Packable


@dataclass(frozen=True)
class ElmoConfig:
    """The parts of a model and their sizes.

    :param char_cnn: sizes of the part that reads characters, ``None`` where only words are read.
    :param bilm: sizes of the biLM.
    :param alphabet: how words are spelt for the char-CNN; it also names the two boundary words.
    :param lexicon: rows of the table of words, ``None`` where there is no table.
    :param n_words: rows of that table.
    :param aligned: whether the layers are mapped into a common space at the end.
    """

    char_cnn: Optional[CharCnnConfig]
    bilm: BilmConfig
    alphabet: Alphabet
    lexicon: Optional[Lexicon] = None
    n_words: int = 0
    aligned: bool = False

    @property
    def word_width(self) -> int:
        """Width of a row of the table of words: a part of the projection's input, or a finished word vector."""
        if self.char_cnn is not None and self.char_cnn.word_dim:
            return self.char_cnn.word_dim
        return self.bilm.projection_dim


class ElmoModule(nn.Module):
    """The network of one model.

    :param config: its parts and sizes.
    """

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__()
        width = 2 * config.bilm.projection_dim
        self.config = config
        self.char_cnn = CharCnn(config.char_cnn) if config.char_cnn is not None else None
        self.words = make_embedding(config.n_words, config.word_width) if config.lexicon is not None else None
        self.bilm = Bilm(config.bilm)
        self.alignment = nn.Linear(width, width, bias=False) if config.aligned else None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device  # of a packed module's parameter too, though it is empty

    def encode_words(self, words: Sequence[str]) -> torch.Tensor:
        """Give context-independent vectors of words.

        :param words: ``n_words`` words, the boundary words among them where they are wanted.
        :return: ``(n_words, projection_dim)`` vectors on the device and in the dtype of the weights.
        """
        if self.words is None:
            return self._spell(words, None)
        assert self.config.lexicon is not None
        rows = torch.from_numpy(self.config.lexicon.look_up(words)).to(self.device)
        if self.char_cnn is None:
            return cast(torch.Tensor, self.words(rows))
        if self.char_cnn.config.word_dim:
            return self._spell(words, self.words(rows))
        vectors = self.words(rows.clamp(min=0))
        others = (rows == NOT_LISTED).nonzero()[:, 0]
        if not len(others):
            return cast(torch.Tensor, vectors)
        return cast(torch.Tensor, vectors.index_copy(0, others, self._spell([words[i] for i in others.tolist()], None)))

    def pack(self, packing: str) -> None:
        """Make a frozen network on the CPU faster, its results equal to rounding.

        :param packing: "float32", or "int8" for products of the biLM in 8-bit integers.
        """
        for module in self.modules():
            if isinstance(module, Packable):
                module.packing = packing
                module.pack()

    def _spell(self, words: Sequence[str], vectors: Optional[torch.Tensor]) -> torch.Tensor:
        assert self.char_cnn is not None
        ids = torch.from_numpy(self.config.alphabet.ids(words, self.char_cnn.config.max_chars)).to(self.device)
        return cast(torch.Tensor, self.char_cnn(ids, vectors))
