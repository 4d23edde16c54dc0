"""The extension attributes of Token, Span and Doc: stateless getters that slice or pool the Doc's arrays.

Enters: a Token, Span or Doc. Leaves: its vectors, from the records in ``doc.user_data``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Callable, Dict, Optional, Type, Union

import numpy as np
from spacy.tokens import Doc, Span, Token

from spacy_ctx_embed.attach import storage
from spacy_ctx_embed.attach.heat_map import heat_map
from spacy_ctx_embed.attach.pooled import pool_record
from spacy_ctx_embed.data import WITH_VECTOR, Status, covered
from spacy_ctx_embed.errors import Errors

Owner = Union[Doc, Span, Token]
Vector = np.ndarray

_DRAWN = 40  # tokens in the picture of a Doc


class Embeddings(Mapping):
    """Component name -> ``(len(doc), width)`` array, read-only, in the order in which the components ran."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def __getitem__(self, name: str) -> np.ndarray:
        return storage.read(doc_of(self._owner), name).rows

    def __iter__(self) -> Iterator[str]:
        return iter(storage.names(doc_of(self._owner)))

    def __len__(self) -> int:
        return len(storage.names(doc_of(self._owner)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self)})"

    def _repr_html_(self) -> Optional[str]:
        # What a notebook shows: for each component, the cosines of all tokens with all tokens.
        doc = doc_of(self._owner)
        words = [token.text for token in doc[:_DRAWN]]
        shown = "" if len(doc) <= _DRAWN else f" (the first {_DRAWN} of {len(doc)} tokens)"
        return "".join(
            f"<figure><figcaption>{escape(name)}{shown}</figcaption>"
            f"{heat_map(words, rows_with_vectors(doc, name, _DRAWN), f'Cosines of tokens by {name}')}</figure>"
            for name in self
        )


class Vectors(Embeddings):
    """Component name -> ``(width,)`` vector of one Token, Span or Doc."""

    def __getitem__(self, name: str) -> Vector:
        return vector_of(self._owner, name)

    def _repr_html_(self) -> Optional[str]:
        return None  # a vector alone has nothing to be compared with


def install() -> None:
    """Set the extension attributes, once for the process; a second call changes nothing.

    :raises ValueError: if another package has taken one of the names.
    """
    for owner, key, kind, function in _extensions():
        if owner.has_extension(key):
            if function not in owner.get_extension(key):
                raise ValueError(Errors.E003.format(owner=owner.__name__, key=key))
        else:
            owner.set_extension(key, **{kind: function})


def doc_of(owner: Owner) -> Doc:
    """Give the Doc of a Token, Span or Doc.

    :param owner: any of the three.
    :return: the Doc.
    """
    return owner if isinstance(owner, Doc) else owner.doc


def vector_of(owner: Owner, name: str) -> Vector:
    """Vector of one component: a token's row, pooled rows of a Span or Doc that are vectors, or the Doc's own.

    :param owner: a Token, Span or Doc.
    :param name: the component.
    :return: ``(width,)``, of the dtype that is stored; zeros where there is none.
    """
    if isinstance(owner, Token):
        return storage.read_token(owner, name)[0]
    record = storage.read(doc_of(owner), name)
    if isinstance(owner, Doc) and record.text is not None:
        return record.text
    return pool_record(record, slice(owner.start, owner.end) if isinstance(owner, Span) else slice(None))


def has_vector_of(owner: Owner, name: str) -> bool:
    """Whether one component covers a token, or any token of a Span or Doc.

    :param owner: a Token, Span or Doc.
    :param name: the component.
    :return: false for whitespace, unknown words and empty Docs; missing is not the same as a zero vector, and a word
        that a transformer does not know has a row and no vector.
    """
    if isinstance(owner, Token):
        return WITH_VECTOR[storage.read_token(owner, name)[1]]
    record = storage.read(doc_of(owner), name)
    part = slice(owner.start, owner.end) if isinstance(owner, Span) else slice(None)
    return bool(covered(record.status[part]).any())


def rows_with_vectors(doc: Doc, name: str, most: int) -> np.ndarray:
    """Give the rows of the first tokens of a Doc; zeros for a token without a vector, as of an unknown word.

    :param doc: a Doc.
    :param name: the component.
    :param most: tokens at most.
    :return: ``(n_tokens, width)``.
    """
    record = storage.read(doc, name)
    return np.where(covered(record.status[:most])[:, None], record.rows[:most], np.float32(0))


def similarity_of(owner: Owner, other: Any, name: str) -> float:
    """Cosine of two things under one component.

    :param owner: a Token, Span or Doc.
    :param other: another, or anything with spaCy's ``has_vector`` and ``vector`` (a Lexeme).
    :param name: the component.
    :return: -1.0 to 1.0; 0.0 where either has no vector.
    :raises ValueError: if the vectors have different widths.
    """
    ours = isinstance(other, (Doc, Span, Token))
    if not has_vector_of(owner, name) or not (has_vector_of(other, name) if ours else other.has_vector):
        return 0.0
    left = np.asarray(vector_of(owner, name), dtype=np.float32)
    right = np.asarray(vector_of(other, name) if ours else other.vector, dtype=np.float32)
    if left.shape != right.shape:
        raise ValueError(Errors.E025.format(left=left.shape[0], right=right.shape[0]))
    norm = float(np.linalg.norm(left)) * float(np.linalg.norm(right))
    return float(np.clip(float(left @ right) / norm, -1.0, 1.0)) if norm else 0.0


def norm_of(owner: Owner, name: str) -> float:
    """Length of the vector of one component.

    :param owner: a Token, Span or Doc.
    :param name: the component.
    :return: L2 norm of what :func:`vector_of` gives.
    """
    return float(np.linalg.norm(np.asarray(vector_of(owner, name), dtype=np.float32)))


def get_vector(owner: Owner) -> Vector:
    """Getter of ``._.vector``: the vector of the last embedding component that ran.

    :param owner: a Token, Span or Doc.
    :return: ``(width,)``.
    """
    return vector_of(owner, storage.last_name(doc_of(owner), "vector"))


def get_has_vector(owner: Owner) -> bool:
    """Getter of ``._.has_vector``, for ``._.vector``.

    :param owner: a Token, Span or Doc.
    :return: whether there is a vector.
    """
    return has_vector_of(owner, storage.last_name(doc_of(owner), "has_vector"))


def get_vector_norm(owner: Owner) -> float:
    """Getter of ``._.vector_norm``, for ``._.vector``.

    :param owner: a Token, Span or Doc.
    :return: L2 norm.
    """
    return norm_of(owner, storage.last_name(doc_of(owner), "vector_norm"))


def get_vector_status(token: Token) -> str:
    """Getter of ``token._.vector_status``, for ``token._.vector``.

    :param token: a Token.
    :return: "ok", "fallback", "oov", "space", "uncovered" or "unknown".
    """
    name = storage.last_name(token.doc, "vector_status")
    return Status(storage.read_token(token, name)[1]).label


def similarity(owner: Owner, other: Owner, name: Optional[str] = None) -> float:
    """Method ``._.similarity(other, name=None)``.

    :param owner: a Token, Span or Doc.
    :param other: another.
    :param name: the component; without it the last that ran on the Doc of ``owner``.
    :return: cosine; 0.0 where either has no vector.
    """
    return similarity_of(owner, other, name or storage.last_name(doc_of(owner), "similarity"))


def _extensions() -> Iterator[Any]:
    shared: Dict[str, Callable] = {
        "vectors": Vectors,
        "vector": get_vector,
        "has_vector": get_has_vector,
        "vector_norm": get_vector_norm,
    }
    owners: tuple[Type, ...] = (Doc, Span, Token)
    for owner in owners:
        for key, getter in shared.items():
            yield owner, key, "getter", storage.last_row if (owner, key) == (Token, "vector") else getter
        yield owner, "similarity", "method", similarity
    yield Doc, "embeddings", "getter", Embeddings
    yield Token, "vector_status", "getter", get_vector_status
