"""The settings of ``TransformerOutput.v1``, and which layers of an upstream they choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, List, Optional, Union

from spacy_ctx_embed.checks import check_layers, check_not_negative, check_one_of, check_positive
from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.rows.mix import MIXES, choose_layers
from spacy_ctx_embed.rows.pool import SUBWORD_POOLINGS

if TYPE_CHECKING:
    from spacy_ctx_embed.tok2vec.transformer_output.pieces import PieceBatch

NAME = "spacy_ctx_embed.TransformerOutput.v1"


@dataclass(frozen=True)
class OutputSettings:
    """Config values of the encoder. A plain object among a model's attributes: never saved, so the config decides.

    :param upstream: name of the transformer component, or ``"*"`` for any.
    :param subword_pooling: how pieces become a token's row.
    :param layers: ``"all"`` or layer numbers.
    :param layer_mix: how several layers become one.
    :param grad_factor: scales the gradient that goes back.
    :param width: columns of one layer of the upstream's rows; ``None`` where the upstream tells it.
    """

    upstream: str
    subword_pooling: str
    layers: Union[str, List[int]]
    layer_mix: str
    grad_factor: float
    width: Optional[int]

    def __post_init__(self) -> None:
        """Check the values.

        :raises ValueError: if one is not accepted.
        """
        if not isinstance(self.upstream, str) or not self.upstream:
            accepted = "the name of a transformer component earlier in the pipeline"
            raise ValueError(Errors.E001.format(owner=NAME, key="upstream", value=self.upstream, accepted=accepted))
        check_one_of(NAME, "subword_pooling", self.subword_pooling, SUBWORD_POOLINGS)
        check_layers(NAME, self.layers)
        check_one_of(NAME, "layer_mix", self.layer_mix, MIXES)
        check_not_negative(NAME, "grad_factor", self.grad_factor)
        check_positive(NAME, "width", self.width, optional=True)

    @property
    def n_chosen(self) -> Optional[int]:
        """How many layers are mixed; ``None`` where that depends on the upstream."""
        if self.layer_mix == "last":
            return 1
        return None if isinstance(self.layers, str) else len(self.layers)

    @property
    def last_is_enough(self) -> bool:
        """Whether the upstream's last layer is the only one needed, however many it has."""
        if isinstance(self.layers, str):
            return self.layer_mix == "last"
        return set(self.layers[-1:] if self.layer_mix == "last" else self.layers) == {-1}

    def choose(self, n_layers: int, config_key: str) -> List[int]:
        """Choose among the layers that the upstream gives.

        :param n_layers: how many it gives; 1 if only its last.
        :param config_key: setting of the upstream that makes it give all, for the message.
        :return: layer numbers from 0, in the order in which they are mixed.
        :raises ValueError: if a layer is not there.
        """
        if n_layers == 1:
            if not self.last_is_enough:
                raise ValueError(
                    Errors.E073.format(
                        owner=NAME,
                        layers=self.layers,
                        layer_mix=self.layer_mix,
                        upstream=self.upstream,
                        config_key=config_key,
                    )
                )
            return [0] * (self.n_chosen or 1)
        try:
            return choose_layers(self.layers, self.layer_mix, n_layers)
        except IndexError:
            accepted = f"'all', or numbers from {-n_layers} to {n_layers - 1} for this upstream"
            message = Errors.E001.format(owner=NAME, key="layers", value=self.layers, accepted=accepted)
            raise ValueError(message) from None

    def check_gradient(self, batch: PieceBatch) -> None:
        """Refuse to train layers whose gradient the upstream can't take back.

        :param batch: what the upstream sent, or what is on the Docs, which needs no gradient.
        :raises ValueError: if it takes that of its last layer only, and others are mixed.
        """
        n_layers, width = batch.shape
        if not batch.last_only_backward or width is None or not self.grad_factor:
            return
        if set(self.choose(n_layers, batch.config_key)) != {n_layers - 1}:
            raise ValueError(
                Errors.E074.format(owner=NAME, layers=self.layers, layer_mix=self.layer_mix, upstream=self.upstream)
            )
