"""What a network over segments can do: ELMo's and BERT's own ones, and any that another family brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Optional, Protocol, Sequence, Tuple

from spacy.tokens import Doc

from spacy_ctx_embed.data import LayerStack, Segment
from spacy_ctx_embed.encoders.shim import Network

if TYPE_CHECKING:
    import torch


class ContextualNetwork(Network, Protocol):
    """A network over segments. ``n_layers`` counts all layers, the context-independent layer 0 included.

    ``mix`` holds the weights (before the softmax, one per layer) and the scale at which a scalar mix of all layers
    starts, ``None`` for equal shares. ``by_sentences`` is true where sentence boundaries of a Doc matter. ``in_order``
    is true where row i of a batch depends on row i of the batch before (a stateful biLM): the segments of a call are
    then one batch, in the order of the text.
    """

    n_layers: int
    in_order: bool
    by_sentences: bool
    mix: Optional[Tuple[Tuple[float, ...], float]]

    @property
    def device(self) -> torch.device:
        """Where the network runs."""

    def identity(self) -> List[Any]:
        """Give everything but the settings that the layers depend on, weights included, as buffers to hash."""

    def segment(self, docs: Sequence[Doc]) -> List[Segment]:
        """Cut Docs into segments; a token that no segment names gets no vector."""

    def run(self, segments: Sequence[Segment], layers: Sequence[int]) -> LayerStack:
        """Encode one batch.

        The result is ``(len(layers), n_tokens, width)``, float32, the tokens of all segments one after another.
        Gradients are kept unless the caller has turned them off.
        """
