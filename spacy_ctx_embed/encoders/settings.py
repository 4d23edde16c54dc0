"""What a config says about an encoder: checked once, when it is made, and then only read.

A family subclasses :class:`EncoderSettings`, or :class:`ContextualSettings` where it has layers. Each field says itself
whether the un-mixed layers depend on it, which is what the cache asks; what a family does not offer keeps its default.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Dict, List, Sequence, Union

from spacy_ctx_embed.checks import check_layers, check_number, check_one_of, check_positive, check_share
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.rows.mix import MIXES

_FREE = "layers_free"


def layers_free(default: Any = MISSING) -> Any:
    """Declare a setting that does not change un-mixed layers, or only by how floating-point sums differ by batch.

    :param default: its value where a family does not offer it.
    :return: the dataclass field.
    """
    return field(default=default, metadata={_FREE: True})


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """Settings of any encoder.

    ``owner`` is the registered name, for messages; ``has_layers`` whether there are layers to choose, mix and cache;
    ``text_poolings`` the values of ``doc_pooling`` by which it gives a vector of the whole text.

    :param name: the model's name, as in :mod:`spacy_ctx_embed.models.names`.
    :param trainable: whether gradients reach the network.
    :param stateful: whether rows depend on the calls before.
    """

    owner: ClassVar[str]
    has_layers: ClassVar[bool] = False
    text_poolings: ClassVar[Sequence[str]] = ()

    name: str = layers_free()
    trainable: bool = layers_free(False)
    stateful: bool = layers_free(False)  # with state carried on, nothing is cached


@dataclass(frozen=True, kw_only=True)
class ContextualSettings(EncoderSettings):
    """Settings that the networks over segments share. ``precisions`` are those that the family offers.

    :param layers: "all" or layer numbers.
    :param layer_mix: one of :data:`~spacy_ctx_embed.rows.mix.MIXES`.
    :param precision: one of ``precisions``; with ``trainable``, of ``trainable_precisions``.
    :param max_batch_tokens: padded tokens or pieces per forward pass.
    :param dropout: share of a row's values that training sets to 0.
    :param learn_rate_factor: times the optimizer's learning rate.
    :param layer_decay: a block's learning rate is that of the block above times this.
    :param unfreeze_steps: the top block learns from the beginning, and after each so many steps one more; 0 for all.
    """

    has_layers: ClassVar[bool] = True
    precisions: ClassVar[Sequence[str]] = ("float32",)
    trainable_precisions: ClassVar[Sequence[str]] = ("float32",)

    layers: Union[str, List[int]] = layers_free()
    layer_mix: str = layers_free()
    precision: str = "float32"
    max_batch_tokens: int = layers_free()
    dropout: float = layers_free(0.0)
    learn_rate_factor: float = layers_free(1.0)
    layer_decay: float = layers_free(1.0)
    unfreeze_steps: int = layers_free(0)

    @property
    def learns(self) -> bool:
        """Whether the network or the scalar mix is learnt."""
        return bool(self.trainable) or self.layer_mix == "scalar_mix"

    def __post_init__(self) -> None:
        """Check the values.

        :raises ValueError: if one is not accepted.
        """
        owner = self.owner
        check_share(owner, "dropout", self.dropout)
        check_layers(owner, self.layers)
        check_one_of(owner, "layer_mix", self.layer_mix, MIXES)
        check_one_of(owner, "precision", self.precision, self.precisions)
        check_one_of(owner, "trainable", self.trainable, (True, False))
        check_one_of(owner, "stateful", self.stateful, (True, False))
        check_number(owner, "learn_rate_factor", self.learn_rate_factor, most=1000)
        check_number(owner, "layer_decay", self.layer_decay, most=1)
        check_positive(owner, "unfreeze_steps", self.unfreeze_steps, minimum=0)
        if self.trainable and self.precision not in self.trainable_precisions:
            accepted = " or ".join(map(repr, self.trainable_precisions)) + " where trainable = true"
            raise ValueError(Errors.E001.format(owner=owner, key="precision", value=self.precision, accepted=accepted))
        check_positive(owner, "max_batch_tokens", self.max_batch_tokens)

    def of_layers(self) -> Dict[str, Any]:
        """Give the settings that un-mixed layers depend on.

        :return: values by key.
        """
        return {item.name: getattr(self, item.name) for item in fields(self) if _FREE not in item.metadata}
