"""What a config says about an ELMo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Sequence

from spacy_ctx_embed.checks import check_one_of, check_positive
from spacy_ctx_embed.encoders.settings import ContextualSettings, layers_free


@dataclass(frozen=True, kw_only=True)
class BilmSettings(ContextualSettings):
    """Settings of every biLM, whoever runs it.

    :param window: longest segment in tokens.
    :param layer_norm: whether each layer of each segment is brought to mean 0 and variance 1 before the mix.
    """

    window: int
    layer_norm: bool

    def __post_init__(self) -> None:
        """Check the values.

        :raises ValueError: if one is not accepted.
        """
        check_positive(self.owner, "window", self.window)
        check_one_of(self.owner, "layer_norm", self.layer_norm, (True, False))
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class ElmoSettings(BilmSettings):
    """Settings of ``Elmo.v1``.

    :param initial_state: "zeros" or "warm".
    :param char_cache_mb: memory for the token vectors of words seen before, in MiB.
    """

    owner: ClassVar[str] = "spacy_ctx_embed.Elmo.v1"
    precisions: ClassVar[Sequence[str]] = ("float32", "bfloat16", "float16", "int8")

    initial_state: str
    char_cache_mb: int = layers_free()

    def __post_init__(self) -> None:
        """Check the values.

        :raises ValueError: if one is not accepted.
        """
        check_one_of(self.owner, "initial_state", self.initial_state, ("zeros", "warm"))
        check_positive(self.owner, "char_cache_mb", self.char_cache_mb, minimum=0)
        super().__post_init__()
