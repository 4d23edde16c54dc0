"""Un-mixed layers of Docs: run by the network in batches, or taken from the cache where they are known.

Enters: Docs and a loaded network. Leaves: parts, which name rows of the batch and bring their layers. What is mixed and
learnt from them is decided elsewhere, so that the cache outlives every change of the mix. The vector of a whole text is
in the cache as an entry of its own, of one row, under a key made from that of its tokens.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Iterator, List, Optional, Sequence, Union

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc

from spacy_ctx_embed.data import Ints1d, Segment, Statuses1d
from spacy_ctx_embed.encoders.contextual.content_key import content_keys, network_digest
from spacy_ctx_embed.encoders.contextual.memory import budget_of, run_in_memory
from spacy_ctx_embed.encoders.network import ContextualNetwork
from spacy_ctx_embed.encoders.shim import ContextualShim
from spacy_ctx_embed.encoders.texts import TextPass, TextRequest
from spacy_ctx_embed.networks.batching import group_by_length, share_out
from spacy_ctx_embed.networks.device import limit_threads

if TYPE_CHECKING:
    import torch

    from spacy_ctx_embed.cache.entry import Entry

_MAX_ENTRY = 64 << 20  # bytes: a longer Doc is run batch by batch each time, so that its layers are never all in memory
_GROUP_TOKENS = 8192  # Docs that are not in the cache are run in groups of about so many tokens


@dataclass(frozen=True)
class Part:
    """Layers of some rows of a batch of Docs.

    :param rows: which rows, all tokens of all Docs counted one after another: a slice, or ``(n_rows,)`` numbers.
    :param layers: ``(n_layers, n_rows, width)`` float32 tensor on the network's device, in the order asked for.
    :param statuses: ``(n_rows,)`` uint8 array of :class:`~spacy_ctx_embed.data.Status` values.
    """

    rows: Union[slice, Ints1d]
    layers: torch.Tensor
    statuses: Statuses1d


def unmixed_layers(
    shim: ContextualShim,
    network: ContextualNetwork,
    docs: Sequence[Doc],
    layers: Sequence[int],
    texts: Optional[TextRequest] = None,
    *,
    wanted: Optional[NDArray[np.bool_]] = None,
) -> Iterator[Part]:
    """Give the layers of all tokens that have some; every such token is in one part.

    Where a graph is wanted the caller enables gradients, and there must be no cache.

    :param shim: holds the settings and, where there is one, the cache.
    :param network: its network.
    :param docs: ``n_docs`` Docs.
    :param layers: layer numbers, 0 to ``n_layers - 1``.
    :param texts: to be filled with vectors of whole texts; ``None`` where nobody wants any.
    :param wanted: ``(n_tokens,)`` which tokens of all Docs layers are wanted of, all if not given: segments without any
        are left out. Where there is a cache, or state is carried from segment to segment, all come.
    :yields: the parts.
    """
    limit_threads(shim.home_pid)
    if network.in_order and shim.is_new_process():  # starts as a fresh one would
        network.forget_state()
    starts = np.cumsum([0, *(len(doc) for doc in docs)])
    if shim.cache is None or network.in_order:
        yield from _run(shim, network, docs, layers, starts, texts, None if network.in_order else wanted)
        return
    row_bytes = len(layers) * network.width * 4
    small = [i for i, doc in enumerate(docs) if len(doc) > 0 and len(doc) * row_bytes <= _MAX_ENTRY]
    large = [i for i, doc in enumerate(docs) if len(doc) * row_bytes > _MAX_ENTRY]
    for give, numbers in ((_run, large), (_look_up, small)):
        if numbers:
            own = None if texts is None else TextRequest(texts.how)
            yield from give(shim, network, [docs[i] for i in numbers], layers, starts[numbers], own)
            if texts is not None and own is not None:
                texts.found.update({numbers[i]: vector for i, vector in own.found.items()})


def _run(
    shim: ContextualShim,
    network: ContextualNetwork,
    docs: Sequence[Doc],
    layers: Sequence[int],
    starts: np.ndarray,
    texts: Optional[TextRequest],
    only: Optional[NDArray[np.bool_]] = None,
) -> Iterator[Part]:
    import torch

    from spacy_ctx_embed.networks.threads import side_by_side

    segments: Sequence[Segment] = network.segment(docs)
    if only is not None:
        segments = [segment for segment in segments if only[segment.tokens + starts[segment.doc]].any()]
    both = None if texts is None else TextPass(texts.how, layers)
    if texts is not None:
        segments = texts.how.segments(docs, segments)
    run_layers = layers if both is None else both.layers
    budget = budget_of(shim)
    batches = _batches(network, segments, budget)

    def run(members: List[Segment]) -> torch.Tensor:
        return run_in_memory(shim, network, lambda part: network.run(part, run_layers).layers, members, budget)

    beside = not torch.is_grad_enabled() and network.may_run_beside(batches)
    for members, found in zip(batches, side_by_side(run, batches) if beside else map(run, batches)):
        rows, statuses = np.concatenate([s.tokens + starts[s.doc] for s in members]), _statuses_of(members)
        if both is not None:
            tokens, found = both.take(members, found)
            rows, statuses = rows[tokens], statuses[tokens]
        if len(rows):
            yield Part(rows, found, statuses)
    if texts is not None and both is not None:
        texts.found.update(both.vectors())


def _statuses_of(segments: Sequence[Segment]) -> Statuses1d:
    # Of the tokens of all segments, one after another; 0 is ok.
    return np.concatenate([np.zeros(len(s.tokens), np.uint8) if s.statuses is None else s.statuses for s in segments])


def _batches(network: ContextualNetwork, segments: Sequence[Segment], budget: int) -> List[List[Segment]]:
    import torch

    if network.in_order:
        return [list(segments)] if segments else []
    lengths = [segment.length for segment in segments]
    if not network.pads:
        groups = share_out(lengths, budget, torch.get_num_threads())
        return [[segments[i] for i in group] for group in groups]
    on_cpu = network.device.type == "cpu"
    groups = group_by_length(lengths, budget, save_padding=on_cpu)
    return [[segments[i] for i in group] for group in groups]


def _look_up(
    shim: ContextualShim,
    network: ContextualNetwork,
    docs: Sequence[Doc],
    layers: Sequence[int],
    starts: np.ndarray,
    texts: Optional[TextRequest],
) -> Iterator[Part]:
    import torch

    assert shim.cache is not None
    device = network.device
    keys = content_keys(shim.digest(network_digest), docs, by_sentences=network.by_sentences)
    distinct = list(dict.fromkeys(layers))  # an entry has each layer once
    order = None if len(distinct) == len(layers) else torch.tensor([distinct.index(n) for n in layers], device=device)
    found = shim.cache.get_many(keys, distinct)
    text_keys: List[bytes] = []
    of_texts: List[Optional[Entry]] = list(found)
    if texts is not None:
        text_keys = [hashlib.blake2b(key + texts.how.identity(), digest_size=16).digest() for key in keys]
        of_texts = shim.cache.get_many(text_keys, texts.how.layers(distinct))
    missing = [i for i, both in enumerate(zip(found, of_texts)) if None in both]
    for i, (entry, text) in enumerate(zip(found, of_texts)):
        if entry is not None and text is not None:
            yield _part(entry, order, device, len(docs[i]), int(starts[i]))
            _take_text(texts, i, text, order, device)
    for group in _groups([len(docs[i]) for i in missing]):
        numbers = [missing[k] for k in group]
        own = None if texts is None else TextRequest(texts.how)
        entries = _encode(shim, network, [docs[i] for i in numbers], distinct, own)
        shim.cache.put_many([(keys[i], entry) for i, entry in zip(numbers, entries)])
        for i, entry in zip(numbers, entries):
            yield _part(entry, order, device, len(docs[i]), int(starts[i]))
        if own is not None:
            of_group = _text_entries(own, len(group), own.how.layers(distinct))
            shim.cache.put_many([(text_keys[i], text) for i, text in zip(numbers, of_group)])
            for i, text in zip(numbers, of_group):
                _take_text(texts, i, text, order, device)


def _groups(lengths: Sequence[int]) -> Iterator[List[int]]:
    group: List[int] = []
    n_tokens = 0
    for i, length in enumerate(lengths):
        if group and n_tokens + length > _GROUP_TOKENS:
            yield group
            group, n_tokens = [], 0
        group.append(i)
        n_tokens += length
    if group:
        yield group


def _encode(
    shim: ContextualShim,
    network: ContextualNetwork,
    docs: Sequence[Doc],
    layers: Sequence[int],
    texts: Optional[TextRequest],
) -> List[Entry]:
    # One entry per Doc, of arrays of its own.
    from spacy_ctx_embed.cache.entry import Entry

    starts = np.cumsum([0, *(len(doc) for doc in docs)])
    parts = list(_run(shim, network, docs, layers, starts[:-1], texts))
    if not parts:
        nothing = np.zeros((len(layers), 0, network.width), np.float32)
        return [Entry(tuple(layers), np.zeros(0, np.int64), nothing, np.zeros(0, np.uint8)) for _ in docs]
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows, kind="stable")
    flat = np.concatenate([part.layers.numpy(force=True) for part in parts], axis=1)
    statuses = np.concatenate([part.statuses for part in parts])
    cuts = np.searchsorted(rows[order], starts)
    entries = []
    for start, first, last in zip(starts, cuts, cuts[1:]):
        mine = order[first:last]
        of_doc = np.ascontiguousarray(flat[:, mine])
        entries.append(Entry(tuple(layers), rows[mine] - start, of_doc, statuses[mine]))
    return entries


def _text_entries(texts: TextRequest, n_docs: int, numbers: Sequence[int]) -> List[Entry]:
    # Of one row each; of none where a text has no vector.
    from spacy_ctx_embed.cache.entry import Entry

    entries = []
    for i in range(n_docs):
        vector = texts.found.get(i)
        layers = np.zeros((len(numbers), 0, 0), np.float32) if vector is None else vector.numpy(force=True)
        n = layers.shape[1]
        entries.append(Entry(tuple(numbers), np.arange(n), np.ascontiguousarray(layers), np.zeros(n, np.uint8)))
    return entries


def _take_text(
    texts: Optional[TextRequest], i: int, entry: Entry, order: Optional[torch.Tensor], device: torch.device
) -> None:
    import torch

    if texts is not None and len(entry.tokens):
        layers = torch.from_numpy(entry.layers).to(device)
        mixed = texts.how.head is None
        texts.found[i] = layers[order] if mixed and order is not None else layers


def _part(entry: Entry, order: Optional[torch.Tensor], device: torch.device, n_tokens: int, start: int) -> Part:
    # The layers of one Doc, from its entry; in another order, or twice, where that is asked for.
    import torch

    layers = torch.from_numpy(entry.layers).to(device)
    if order is not None:
        layers = layers[order]
    if len(entry.tokens) == n_tokens:  # the usual case, and a slice is faster
        return Part(slice(start, start + n_tokens), layers, entry.statuses)
    return Part(entry.tokens + start, layers, entry.statuses)
