"""What a config says about static vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Sequence

from spacy_ctx_embed.checks import check_one_of, check_positive, check_some_of
from spacy_ctx_embed.encoders.settings import EncoderSettings
from spacy_ctx_embed.encoders.static.fallbacks import FALLBACKS

LOWERCASE = ("fallback", "always", "never")
OOV = ("zero", "mean", "subword")


@dataclass(frozen=True, kw_only=True)
class StaticSettings(EncoderSettings):
    """Settings of ``StaticVectors.v1``.

    :param lowercase: one of :data:`LOWERCASE`.
    :param fallbacks: some of :data:`~spacy_ctx_embed.encoders.static.fallbacks.FALLBACKS`.
    :param oov: one of :data:`OOV`.
    :param normalize: whether rows get unit length.
    :param limit: words to read, from the first on; ``None`` for all.
    :param allow_pickle: whether files that are pickles may be opened.
    :param cache: whether a table that is slow to read is kept as a folder that opens at once.
    """

    owner: ClassVar[str] = "spacy_ctx_embed.StaticVectors.v1"

    lowercase: str
    fallbacks: Sequence[str]
    oov: str
    normalize: bool
    limit: Optional[int]
    allow_pickle: bool
    cache: bool

    def __post_init__(self) -> None:
        """Check the values.

        :raises ValueError: if one is not accepted.
        """
        check_one_of(self.owner, "lowercase", self.lowercase, LOWERCASE)
        check_some_of(self.owner, "fallbacks", self.fallbacks, FALLBACKS)
        check_one_of(self.owner, "oov", self.oov, OOV)
        check_one_of(self.owner, "normalize", self.normalize, (True, False))
        check_one_of(self.owner, "allow_pickle", self.allow_pickle, (True, False))
        check_one_of(self.owner, "cache", self.cache, (True, False))
        check_positive(self.owner, "limit", self.limit, optional=True)
