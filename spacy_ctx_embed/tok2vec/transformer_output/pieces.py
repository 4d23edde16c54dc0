"""Word pieces of a batch as either package gives them, pooled to one row per token; and the gradient the way back.

Enters: ``TransformerData`` (spacy-transformers) or lists of ``Ragged`` (curated). Leaves: rows of tokens, and gradients
in the form in which that package's backward pass takes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
from spacy.tokens import Doc
from thinc.api import xp2torch
from thinc.types import Ragged

from spacy_ctx_embed.data import Ints1d, Status, Statuses1d
from spacy_ctx_embed.rows.pool import pool_pieces
from spacy_ctx_embed.segments.spaces import whitespace

if TYPE_CHECKING:
    import torch

CURATED_KEY = "all_layer_outputs = true"
TRANSFORMERS_KEY = 'transformer_config = {"output_hidden_states": true} in its model'

# (layer numbers, one (n_layers, n_rows, width) array for each Doc with pieces) -> nothing
Send = Callable[[List[int], List[Any]], None]


@dataclass(frozen=True)
class DocPieces:
    """Word pieces of one Doc.

    :param layers: of each layer an ``(n_rows, width)`` float array on the upstream's device: the pieces, and with
        spacy-transformers special pieces and padding too.
    :param rows: ``(n_pairs,)`` row of each pair of piece and token, token by token.
    :param lengths: ``(n_tokens,)`` pieces per token.
    :param config_key: setting that makes the upstream give all layers.
    """

    layers: List[Any]
    rows: Ints1d
    lengths: Ints1d
    config_key: str


@dataclass(frozen=True)
class PieceBatch:
    """Word pieces of a batch.

    :param pieces: one item per Doc; ``None`` for a Doc that has none.
    :param send: takes the gradient back to an upstream that learns; ``None`` where there is no way back.
    :param last_only_backward: whether it takes that of the last layer only.
    """

    pieces: List[Optional[DocPieces]]
    send: Optional[Send] = None
    last_only_backward: bool = False

    @property
    def present(self) -> List[DocPieces]:
        """The items that are there."""
        return [item for item in self.pieces if item is not None]

    @property
    def shape(self) -> Tuple[int, Optional[int]]:
        """Number of layers and their width; 0 and ``None`` if no Doc has pieces."""
        for item in self.present:
            return len(item.layers), int(item.layers[-1].shape[1])
        return 0, None

    @property
    def config_key(self) -> str:
        """Setting that makes the upstream give all layers."""
        return self.present[0].config_key

    @property
    def n_rows(self) -> List[int]:
        """Rows of each Doc that has pieces."""
        return [len(item.layers[-1]) for item in self.present]


@dataclass(frozen=True)
class PooledBatch:
    """Rows of a batch, with what their gradient needs.

    :param rows: ``(n_tokens, width)`` float32 tensor, the tokens of all Docs one after another.
    :param statuses: ``(n_tokens,)`` uint8 array.
    :param chosen: layer numbers mixed.
    :param places: ``(n_covered,)`` numbers of the rows that were mixed; the others are zero.
    :param layers: ``(n_chosen, n_covered, width)`` what they were mixed from, with its graph in training.
    :param source: ``(n_chosen, n_rows, width)`` the pieces that those were pooled from.
    """

    rows: torch.Tensor
    statuses: Statuses1d
    chosen: List[int]
    places: torch.Tensor
    layers: torch.Tensor
    source: torch.Tensor

    def gradient(self, d_layers: torch.Tensor) -> torch.Tensor:
        """Take the gradient of ``layers`` to ``source``; once, and where a token has pieces.

        :param d_layers: ``(n_chosen, n_covered, width)``.
        :return: ``(n_chosen, n_rows, width)``.
        """
        import torch

        return torch.autograd.grad(self.layers, self.source, d_layers)[0]


def read_doc(data: Any) -> Optional[DocPieces]:
    """Read what a component left on a Doc.

    :param data: ``doc._.trf_data``.
    :return: the pieces; ``None`` if it left none.
    :raises TypeError: if it is of neither package.
    """
    if hasattr(data, "model_output"):
        return _read_transformers(data)
    if hasattr(data, "all_outputs"):
        return _read_curated(data.all_outputs)
    raise TypeError(f"a {type(data).__name__}")


def read_received(outputs: Any, backprop: Callable[..., Any], clear: Callable[[], None]) -> PieceBatch:
    """Read what a component sent in training.

    :param outputs: a list of ``TransformerData``, or a ``TransformerModelOutput``.
    :param backprop: takes the gradients back.
    :param clear: called before the gradients go back.
    :return: the pieces and the way back.
    """
    if isinstance(outputs, list):
        send = partial(_send_transformers, outputs, backprop, clear)
        return PieceBatch([_read_transformers(data) for data in outputs], send, last_only_backward=True)
    send = partial(_send_curated, outputs.all_outputs, backprop, clear)
    return PieceBatch([_read_curated(layers) for layers in outputs.all_outputs], send)


def pool_batch(
    docs: Sequence[Doc],
    batch: PieceBatch,
    chosen: List[int],
    subword_pooling: str,
    mix: Callable[[torch.Tensor], torch.Tensor],
    width: int,
    device: torch.device,
    is_train: bool,
) -> PooledBatch:
    """Pool pieces to tokens and mix layers.

    :param docs: ``n_docs`` Docs.
    :param batch: their pieces.
    :param chosen: layer numbers to mix.
    :param subword_pooling: how pieces become a token's row.
    :param mix: from layers to rows, ``(n_chosen, n_tokens, …)`` to ``(n_tokens, width)``.
    :param width: of a mixed row.
    :param device: where to compute.
    :param is_train: whether to keep the graph.
    :return: the rows; zeros for whitespace and for tokens without pieces.
    """
    import torch

    blank = np.concatenate([np.zeros(0, dtype=bool), *(whitespace(doc) for doc in docs)])
    lengths, index, offset = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)], 0
    for doc, pieces in zip(docs, batch.pieces):
        if pieces is None:
            lengths.append(np.zeros(len(doc), dtype=np.int64))
        else:
            lengths.append(pieces.lengths)
            index.append(pieces.rows + offset)
            offset += len(pieces.layers[-1])
    n_pieces, rows_of_pairs = np.concatenate(lengths), np.concatenate(index)
    covered = (n_pieces > 0) & ~blank
    statuses = np.where(covered, Status.OK, np.where(blank, Status.SPACE, Status.UNCOVERED)).astype(np.uint8)
    rows = torch.zeros((len(blank), width), device=device)
    places = torch.from_numpy(np.flatnonzero(covered)).to(device)
    if not batch.present:
        nothing = rows.new_zeros((len(chosen), 0, width))
        return PooledBatch(rows, statuses, chosen, places, nothing, nothing)
    # (n_chosen, n_rows of all Docs, width); a copy, which no later step of the upstream can change
    source = torch.stack([torch.cat([_tensor(p.layers[k], device) for p in batch.present]) for k in chosen])
    layers = source[:, :0]
    if covered.any():
        kept = torch.from_numpy(rows_of_pairs[np.repeat(covered, n_pieces)]).to(device)
        groups = torch.from_numpy(np.repeat(np.arange(covered.sum()), n_pieces[covered])).to(device)
        with torch.set_grad_enabled(is_train):
            source.requires_grad_(is_train)
            layers = pool_pieces(source.index_select(1, kept), groups, len(places), subword_pooling)
        rows.index_copy_(0, places, mix(layers.detach()))
    return PooledBatch(rows, statuses, chosen, places, layers, source)


def _tensor(array: Any, device: torch.device) -> torch.Tensor:
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        array = array.copy()  # of a Doc that was read from a file; torch warns of it
    return xp2torch(array, device=device).float()


def _read_transformers(data: Any) -> Optional[DocPieces]:
    outputs = data.model_output
    if "last_hidden_state" not in outputs:
        return None  # an empty Doc
    last = outputs["last_hidden_state"]  # (n_windows, longest, width)
    states = outputs.get("hidden_states", [last])
    layers = [state.reshape(-1, state.shape[-1]) for state in [*states[:-1], last]]
    return DocPieces(layers, _indices(data.align.dataXd), _indices(data.align.lengths), TRANSFORMERS_KEY)


def _read_curated(layers: List[Ragged]) -> DocPieces:
    lengths = _indices(layers[-1].lengths)
    rows = np.arange(int(lengths.sum()), dtype=np.int64)
    return DocPieces([layer.dataXd for layer in layers], rows, lengths, CURATED_KEY)


def _indices(array: Any) -> Ints1d:
    on_cpu = array if isinstance(array, np.ndarray) else array.get()  # of CuPy
    return on_cpu.reshape(-1).astype(np.int64)


def _send_transformers(
    outputs: List[Any], backprop: Callable, clear: Callable[[], None], chosen: List[int], parts: List[Any]
) -> None:
    # One gradient for each Doc with pieces, of the last hidden state: the package has no way back for other layers.
    with_pieces = [data for data in outputs if "last_hidden_state" in data.model_output]
    gradients = []
    for data, part in zip(with_pieces, parts):
        last = data.model_output["last_hidden_state"]
        d_last = part.sum(axis=0).reshape(last.shape).astype(last.dtype)
        gradients.append(replace(data, model_output=type(data.model_output)(last_hidden_state=d_last)))
    clear()
    backprop(gradients)


def _send_curated(
    outputs: List[List[Ragged]], backprop: Callable, clear: Callable[[], None], chosen: List[int], parts: List[Any]
) -> None:
    # For each Doc a list over all layers, of which the ones named by outputs_to_backprop are read.
    gradients = []
    for layers, part in zip(outputs, parts):
        sums: Dict[int, Any] = {}  # a layer that was chosen twice has two parts
        for k, d_layer in zip(chosen, part):
            sums[k] = sums[k] + d_layer if k in sums else d_layer
        gradients.append([Ragged(sums[k], layer.lengths) if k in sums else None for k, layer in enumerate(layers)])
    clear()
    backprop(gradients, outputs_to_backprop=tuple(sorted(set(chosen))))
