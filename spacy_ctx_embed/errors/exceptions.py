"""The exception types that carry messages to users: each is a ``ValueError``, as spaCy's own are."""

from __future__ import annotations

from pathlib import Path
from typing import Union

from spacy_ctx_embed.errors.messages import Errors


class ModelNotFoundError(FileNotFoundError, ValueError):
    """A model name that leads to no files: carries one line for each place that was tried."""


class ModelFormatError(ValueError):
    """A file that is there but is not what it should be: truncated, of another shape, not numbers, not a model."""


class EncoderError(ValueError):
    """A model that was read but can't serve as an encoder, or fails on a text."""


class CorpusError(ValueError):
    """Text to train on that can't be used: not there, damaged, of another format, too little, or its prepared form."""


class TrainingError(ValueError):
    """A training that can't begin or go on: its folder or checkpoint is not as it should be, or numbers overflowed."""


class MissingEmbeddingsError(ValueError, KeyError):
    """An attribute of a component that did not run on this Doc.

    A ``ValueError`` to the reader of ``token._.vector``, and a ``KeyError`` so that ``name in doc._.embeddings``
    and ``.get(name)`` behave as they do on every mapping.
    """

    def __str__(self) -> str:
        return ValueError.__str__(self)


def unreadable(file: Path, reason: Union[str, BaseException], *, accepted: str, fix: str) -> ModelFormatError:
    """Make the error for a file or folder that can't be read.

    :param file: which.
    :param reason: why; of an exception, its type and text.
    :param accepted: what can be read.
    :param fix: what to do.
    :return: the error, to be raised.
    """
    told = f"{type(reason).__name__}: {reason}" if isinstance(reason, BaseException) else reason
    return ModelFormatError(Errors.E012.format(file=file, reason=told, accepted=accepted, fix=fix))


def refused(owner: str, key: str, value: object, reason: str, accepted: str, fix: str) -> ValueError:
    """Make the error for an argument of a command that can't be used.

    :param owner: the command.
    :param key: the argument.
    :param value: what it is.
    :param reason: what is wrong with that, behind the value.
    :param accepted: what can be used.
    :param fix: what to do.
    :return: the error, to be raised.
    """
    return ValueError(Errors.E086.format(owner=owner, key=key, value=value, reason=reason, accepted=accepted, fix=fix))


def first_line(error: BaseException) -> str:
    """Give what another library's exception says first.

    :param error: the exception.
    :return: the first line of its text; its type where there is none.
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def reason_of(error: BaseException) -> str:
    """Tell in one line what another library's exception says, as a reason inside a message of ours.

    :param error: the exception.
    :return: its type and the first line of its text, at most 300 characters of it.
    """
    text = first_line(error)[:300] if str(error).strip() else "no message"
    return f"{type(error).__name__}: {text}"
