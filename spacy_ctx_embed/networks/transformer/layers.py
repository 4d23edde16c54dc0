"""Piece ids to hidden layers: one batch of windows through a Hugging Face model, padded or one behind the other.

Enters: lists of piece ids. Leaves: the hidden states of all layers, or those wanted as one tensor.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

import numpy as np
import torch

from spacy_ctx_embed.data import Ints1d
from spacy_ctx_embed.networks.transformer.flat import FlatAttention, FlatWindows, flat_pass

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# What is asked of every model that can be asked: all layers, under their names, and no keys and values for a next word.
_ASKED: Dict[str, Any] = {"output_hidden_states": True, "return_dict": True, "use_cache": False}


class TransformerLayers(torch.nn.Module):
    """Runs windows of piece ids and gives the hidden layers that are wanted.

    :param model: a Hugging Face model that reads piece ids.
    :param pad_id: piece id that fills short windows; it is masked where the model takes a mask.
    :param type_ids: whether the tokenizer gives token type ids; they are passed to a model that takes them.
    """

    n_layers: int  # hidden states: the embedding layer 0 and what follows; set when a pass has shown how many there are

    def __init__(self, model: PreTrainedModel, pad_id: int, type_ids: bool) -> None:
        super().__init__()
        self.model = model
        self.pad_id = pad_id
        self.activations: Optional[torch.dtype] = None  # of mixed precision: in which products are computed
        # CANINE makes one of several characters, and fails on fewer: a shorter window is filled up to as many.
        self._least = int(getattr(getattr(model, "config", None), "downsampling_rate", 1))
        self.rounded = False  # whether products are of 8-bit integers
        taken = inspect.signature(model.forward).parameters
        any_name = any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values())
        self._takes_mask = "attention_mask" in taken
        self.takes_types = type_ids and "token_type_ids" in taken
        self._takes_places = "position_ids" in taken
        self.flat_attention = FlatAttention(model)
        self._asked = {key: value for key, value in _ASKED.items() if key in taken or (any_name and key != "use_cache")}

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def may_be_flat(self) -> bool:
        """Whether a pass without padding can be tried: on a processor, where the model can be told of positions."""
        return self.device.type == "cpu" and self._takes_places and self.flat_attention.works

    def states(self, windows: Sequence[Ints1d], types: Sequence[Ints1d], *, all_layers: bool = True) -> List[Any]:
        """Run one padded batch.

        :param windows: ``n_windows`` arrays of piece ids, special pieces included.
        :param types: token type ids of the same lengths.
        :param all_layers: false where the last layer is enough.
        :return: per layer what the model gives, ``(n_windows, longest, width)`` where it is a text encoder; the last
            one as it leaves the model. One layer where the model keeps the others to itself.
        """
        device = self.device
        lengths = np.array([len(window) for window in windows])
        longest = int(lengths.max())
        padded = max(longest, self._least)
        inputs = {"input_ids": torch.from_numpy(_pad(windows, self.pad_id, padded)).to(device)}
        if self._takes_mask:
            mask = np.arange(padded)[None, :] < lengths[:, None]
            inputs["attention_mask"] = torch.from_numpy(mask.astype(np.int64)).to(device)
        if self.takes_types:
            inputs["token_type_ids"] = torch.from_numpy(_pad(types, 0, padded)).to(device)
        states = self._run(inputs, None, all_layers)
        return states if padded == longest else [state[:, :longest] for state in states]

    def flat_states(
        self,
        windows: Sequence[Ints1d],
        types: Sequence[Ints1d],
        places: FlatWindows,
        first_position: int,
        *,
        all_layers: bool = True,
    ) -> List[Any]:
        """Run one batch without padding.

        :param windows: ``n_windows`` arrays of piece ids, special pieces included.
        :param types: token type ids of the same lengths.
        :param places: where they stand.
        :param first_position: the number of a window's first position.
        :param all_layers: false where the last layer is enough.
        :return: per layer what the model gives, ``(1, n_pieces, width)``.
        """
        inputs = {"input_ids": places.join(windows)}
        inputs["position_ids"] = torch.from_numpy(places.positions + first_position)[None]
        if self.takes_types:
            inputs["token_type_ids"] = places.join(types)
        return self._run(inputs, places, all_layers)

    def forward(
        self,
        windows: Sequence[Ints1d],
        types: Sequence[Ints1d],
        layers: Sequence[int],
        places: Optional[FlatWindows] = None,
        first_position: int = 0,
    ) -> torch.Tensor:
        """Run one batch and keep some layers.

        :param windows: ``n_windows`` arrays of piece ids, special pieces included.
        :param types: token type ids of the same lengths.
        :param layers: layer numbers wanted, 0 to n_layers - 1.
        :param places: where the windows stand one behind the other; ``None`` for a padded batch.
        :param first_position: the number of a window's first position, where they do.
        :return: ``(len(layers), n_windows, longest, width)`` float32, padded positions holding nothing of use; or
            ``(len(layers), 1, n_pieces, width)``.
        """
        last = list(layers) == [self.n_layers - 1]
        if places is None:
            states = self.states(windows, types, all_layers=not last)
        else:
            states = self.flat_states(windows, types, places, first_position, all_layers=not last)
        wanted = [states[-1 if last else layer].float() for layer in layers]
        return wanted[0][None] if last else torch.stack(wanted)

    def _run(self, inputs: Dict[str, torch.Tensor], places: Optional[FlatWindows], all_layers: bool) -> List[Any]:
        asked = self._asked if all_layers else {**self._asked, "output_hidden_states": False}
        kind = inputs["input_ids"].device.type
        mixed = torch.autocast(kind, dtype=self.activations, enabled=self.activations is not None)
        with mixed, flat_pass(places):
            output = self.model(**inputs, **asked)
        hidden = output.get("hidden_states") if all_layers else None
        return [*(hidden or (None,))[:-1], output.last_hidden_state]


def _pad(arrays: Sequence[Ints1d], fill: int, length: int) -> np.ndarray:
    padded = np.full((len(arrays), length), fill, dtype=np.int64)
    for row, array in zip(padded, arrays):
        row[: len(array)] = array
    return padded
