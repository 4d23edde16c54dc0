"""What makes two sets of layers the same: the model's weights and settings, and the words of the Doc.

Enters: a network and Docs. Leaves: digests, which are equal where the layers are, in every process and every run.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Dict, List, Sequence

from spacy.attrs import ORTH, SENT_START, SPACY
from spacy.tokens import Doc

from spacy_ctx_embed.encoders.network import ContextualNetwork
from spacy_ctx_embed.encoders.settings import ContextualSettings

FORMAT = 2  # of what is hashed, and of what stands under it in a cache


def network_digest(network: ContextualNetwork, settings: ContextualSettings) -> bytes:
    """Digest everything but the text that the layers depend on.

    :param network: a loaded network.
    :param settings: the encoder's settings.
    :return: 16 bytes.
    """
    digest = hashlib.blake2b(digest_size=16)
    of_layers = settings.of_layers()
    head = {"format": FORMAT, "kind": network.kind, "settings": of_layers, "device": network.device.type}
    digest.update(json.dumps(head, sort_keys=True, default=str).encode("utf8"))
    for part in network.identity():
        digest.update(part)
    return digest.digest()


def tensor_bytes(tensors: Dict[str, Any]) -> List[Any]:
    """Give tensors in a form that can be hashed.

    :param tensors: tensors by name.
    :return: buffers: of each name, shape and type, and of the values.
    """
    import torch

    found: List[Any] = []
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        found.append(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        found.append(tensor.reshape(-1).view(torch.uint8).numpy())
    return found


def content_keys(digest: bytes, docs: Sequence[Doc], *, by_sentences: bool) -> List[bytes]:
    """Name the layers of Docs.

    :param digest: what :func:`network_digest` gave.
    :param docs: ``n_docs`` Docs, none empty.
    :param by_sentences: whether the network reads sentence by sentence where a Doc has them.
    :return: 16 bytes per Doc.
    """
    keys = []
    for doc in docs:
        content = hashlib.blake2b(digest, digest_size=16)
        content.update(doc.to_array([ORTH, SPACY]).tobytes())
        if by_sentences and doc.has_annotation("SENT_START"):
            content.update(b"sentences")
            content.update((doc.to_array([SENT_START]).reshape(-1) == 1).tobytes())
        keys.append(content.digest())
    return keys
