"""Every message that a user can get, and the exceptions that carry them."""

from spacy_ctx_embed.errors.exceptions import (
    CorpusError,
    EncoderError,
    MissingEmbeddingsError,
    ModelFormatError,
    ModelNotFoundError,
    TrainingError,
    first_line,
    reason_of,
    refused,
    unreadable,
)
from spacy_ctx_embed.errors.messages import Errors
from spacy_ctx_embed.errors.warnings import Warnings

__all__ = [
    "CorpusError",
    "EncoderError",
    "Errors",
    "MissingEmbeddingsError",
    "ModelFormatError",
    "ModelNotFoundError",
    "TrainingError",
    "Warnings",
    "first_line",
    "reason_of",
    "refused",
    "unreadable",
]
