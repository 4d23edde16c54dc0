"""The exception types that carry messages to users: each is a ``ValueError``, as spaCy's own are."""


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


def reason_of(error: BaseException) -> str:
    """Tell in one line what another library's exception says, as a reason inside a message of ours.

    :param error: the exception.
    :return: its type and the first line of its text, at most 300 characters of it.
    """
    first = (str(error).strip().splitlines() or ["no message"])[0]
    return f"{type(error).__name__}: {first[:300]}"
