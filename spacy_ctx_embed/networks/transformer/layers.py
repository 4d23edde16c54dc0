"""Piece ids to hidden layers: any Hugging Face encoder, run on padded batches of windows.

Enters: lists of piece ids. Leaves: ``(n_layers, n_windows, n_pieces, width)`` hidden states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Optional, Sequence

import numpy as np
import torch

from spacy_ctx_embed.data import Ints1d

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NO_LIMIT = 512  # pieces per window for models without absolute positions, such as T5


def encoder_of(model: Any) -> Any:
    """Take the encoder of an encoder-decoder model.

    :param model: what ``AutoModel`` gave.
    :return: the encoder, or the model itself where it is one.
    """
    return model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model


def longest_input(model: PreTrainedModel, tokenizer_limit: Optional[int]) -> int:
    """Find how many pieces, special ones included, the model can read at once.

    RoBERTa and its kin number positions from ``padding_idx + 1``, so that their table has that many rows to spare.

    :param model: the model.
    :param tokenizer_limit: ``model_max_length`` of its tokenizer; huge where it is not known.
    :return: pieces.
    """
    limits = [tokenizer_limit] if tokenizer_limit and tokenizer_limit < 1_000_000 else []
    positions = getattr(model.config, "max_position_embeddings", None)
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            offset = 0 if module.padding_idx is None else module.padding_idx + 1
            positions = module.num_embeddings - offset
            break
    if isinstance(positions, int) and positions > 0:
        limits.append(positions)
    return min(limits) if limits else _NO_LIMIT


class TransformerLayers(torch.nn.Module):
    """Runs windows of piece ids and gives the hidden layers that are wanted.

    :param model: a Hugging Face encoder.
    :param pad_id: piece id that fills short windows; it is masked.
    :param type_ids: whether the model reads token type ids.
    """

    def __init__(self, model: PreTrainedModel, pad_id: int, type_ids: bool) -> None:
        super().__init__()
        self.model = model
        self.pad_id = pad_id
        self.type_ids = type_ids
        self.activations: Optional[torch.dtype] = None  # of mixed precision: in which products are computed

    @property
    def n_layers(self) -> int:
        """Number of hidden states: the embedding layer 0 and one for each block."""
        return int(self.model.config.num_hidden_layers) + 1

    def forward(self, windows: Sequence[Ints1d], types: Sequence[Ints1d], layers: Sequence[int]) -> torch.Tensor:
        """Run one padded batch.

        :param windows: ``n_windows`` arrays of piece ids, special pieces included.
        :param types: token type ids of the same lengths.
        :param layers: layer numbers wanted, 0 to n_layers - 1.
        :return: ``(len(layers), n_windows, longest, width)`` float32; padded positions hold nothing of use.
        """
        device = next(self.model.parameters()).device
        inputs = {"input_ids": torch.from_numpy(_pad(windows, self.pad_id)).to(device)}
        lengths = [len(window) for window in windows]
        if min(lengths) < max(lengths):
            mask = np.arange(max(lengths))[None, :] < np.array(lengths)[:, None]
            inputs["attention_mask"] = torch.from_numpy(mask.astype(np.int64)).to(device)
        else:
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        if self.type_ids:
            inputs["token_type_ids"] = torch.from_numpy(_pad(types, 0)).to(device)
        only_last = list(layers) == [self.n_layers - 1]
        with torch.autocast(device.type, dtype=self.activations, enabled=self.activations is not None):
            output = self.model(**inputs, output_hidden_states=not only_last, return_dict=True)
        if only_last:
            return output.last_hidden_state.float()[None]
        hidden: List[torch.Tensor] = [*output.hidden_states[:-1], output.last_hidden_state]
        return torch.stack([hidden[layer].float() for layer in layers])


def _pad(arrays: Sequence[Ints1d], fill: int) -> np.ndarray:
    padded = np.full((len(arrays), max(len(a) for a in arrays)), fill, dtype=np.int64)
    for row, array in zip(padded, arrays):
        row[: len(array)] = array
    return padded
