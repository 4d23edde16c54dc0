"""Un-mixed layers from the cache, and from the network where the cache has none.

The vector of a whole text is an entry of its own, of one row, under a key made from that of its tokens.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from spacy.tokens import Doc

from spacy_ctx_embed.encoders.contextual.content_key import content_keys, network_digest
from spacy_ctx_embed.encoders.contextual.passes import Part, run_docs
from spacy_ctx_embed.encoders.network import ContextualNetwork
from spacy_ctx_embed.encoders.shim import ContextualShim
from spacy_ctx_embed.encoders.texts import TextRequest

if TYPE_CHECKING:
    import torch

    from spacy_ctx_embed.cache.entry import Entry

_GROUP_TOKENS = 8192  # Docs that are not in the cache are run in groups of about so many tokens


def look_up(
    shim: ContextualShim,
    network: ContextualNetwork,
    docs: Sequence[Doc],
    layers: Sequence[int],
    starts: np.ndarray,
    texts: Optional[TextRequest],
) -> Iterator[Part]:
    """Give the layers of Docs, each from its entry.

    :param shim: holds the settings and the cache.
    :param network: its network.
    :param docs: ``n_docs`` Docs, none empty.
    :param layers: layer numbers.
    :param starts: ``(n_docs,)`` number of the first row of each Doc.
    :param texts: to be filled with vectors of whole texts; ``None`` where nobody wants any.
    :yields: the parts, one per Doc.
    """
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
        entries, more = _encode(shim, network, [docs[i] for i in numbers], distinct, texts)
        shim.cache.put_many([(keys[i], entry) for i, entry in zip(numbers, entries)])
        shim.cache.put_many([(text_keys[i], entry) for i, entry in zip(numbers, more)])
        for i, entry in zip(numbers, entries):
            yield _part(entry, order, device, len(docs[i]), int(starts[i]))
        for i, text in zip(numbers, more):
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
) -> Tuple[List[Entry], List[Entry]]:
    # One entry per Doc, of arrays of its own, and where texts are wanted one of its text.
    from spacy_ctx_embed.cache.entry import Entry

    own = None if texts is None else TextRequest(texts.how)
    starts = np.cumsum([0, *(len(doc) for doc in docs)])
    parts = list(run_docs(shim, network, docs, layers, starts[:-1], own))
    if not parts:
        nothing = np.zeros((len(layers), 0, network.width), np.float32)
        entries = [Entry(tuple(layers), np.zeros(0, np.int64), nothing) for _ in docs]
    else:
        rows = np.concatenate([part.rows for part in parts])
        order = np.argsort(rows, kind="stable")
        flat = np.concatenate([part.layers.numpy(force=True) for part in parts], axis=1)
        rows = rows[order]
        cuts = np.searchsorted(rows, starts)
        entries = [
            Entry(tuple(layers), rows[first:last] - start, np.ascontiguousarray(flat[:, order[first:last]]))
            for start, first, last in zip(starts, cuts, cuts[1:])
        ]
    return entries, [] if own is None else _text_entries(own, len(docs), own.how.layers(layers))


def _text_entries(texts: TextRequest, n_docs: int, numbers: Sequence[int]) -> List[Entry]:
    # Of one row each; of none where a text has no vector.
    from spacy_ctx_embed.cache.entry import Entry

    found = []
    for i in range(n_docs):
        vector = texts.found.get(i)
        layers = np.zeros((len(numbers), 0, 0), np.float32) if vector is None else vector.numpy(force=True)
        tokens = np.arange(layers.shape[1])
        found.append(Entry(tuple(numbers), tokens, np.array(layers, order="C")))
    return found


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
        return Part(slice(start, start + n_tokens), layers)
    return Part(entry.tokens + start, layers)
