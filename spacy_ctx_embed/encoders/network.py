"""The one interface of a loaded network: what its holder asks of it, and what the way from Docs to rows asks.

A family subclasses :class:`Network`, or :class:`ContextualNetwork` where it reads segments; defaults are those of a
family without state, without a mix of its own, and without depth.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Tuple

from spacy.tokens import Doc
from thinc.api import Model

from spacy_ctx_embed.data import LayerStack, Segment

if TYPE_CHECKING:
    import torch


class Network(ABC):
    """What every loaded encoder can do, apart from computing.

    ``kind`` names the family ("static", "elmo", "bert"), ``width`` is the size of one layer's row, ``module`` the
    ``torch.nn.Module`` with the weights (``None`` where there is none), ``path`` where it was read from.
    ``pickled_as_files`` is true where the object can't be pickled and is sent as the files that :meth:`save` writes.
    """

    kind: str
    width: int
    module: Any = None
    path: Optional[Path] = None
    pickled_as_files: bool = False

    @property
    @abstractmethod
    def checksum(self) -> str:
        """SHA-256 (hex) of the files that the network was opened from; read only when asked for."""

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Write everything that the opener needs into an existing, empty directory."""

    def to(self, device: str) -> None:
        """Move to another device.

        :param device: a torch device.
        """
        self.module.to(device)

    def depth(self, parameter: str) -> int:
        """Tell how far below the top block a parameter of ``module`` is, for learning rates by depth.

        :param parameter: its name.
        :return: 0 for the top block, most for the embeddings; 0 for all where all learn at one rate.
        """
        return 0


class ContextualNetwork(Network):
    """A network over segments. ``n_layers`` counts all layers, the context-independent layer 0 included.

    ``mix`` holds the weights (before the softmax, one per layer) and the scale at which a scalar mix of all layers
    starts, ``None`` for equal shares. ``by_sentences`` is true where sentence boundaries of a Doc matter. ``in_order``
    is true where row i of a batch depends on row i of the batch before (a stateful biLM): the segments of a call are
    then one batch, in the order of the text.
    """

    n_layers: int
    in_order: bool = False
    by_sentences: bool = False
    mix: Optional[Tuple[Tuple[float, ...], float]] = None

    @property
    def pads(self) -> bool:
        """Whether segments of a batch cost as much as its longest."""
        return True

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the network runs."""

    @abstractmethod
    def identity(self) -> List[Any]:
        """Give everything but the settings that the layers depend on, weights included, as buffers to hash."""

    @abstractmethod
    def segment(self, docs: Sequence[Doc]) -> List[Segment]:
        """Cut Docs into segments; a token that no segment names gets no vector."""

    @abstractmethod
    def run(self, segments: Sequence[Segment], layers: Sequence[int]) -> LayerStack:
        """Encode one batch.

        The result is ``(len(layers), n_tokens, width)``, float32, the tokens of all segments one after another.
        Gradients are kept unless the caller has turned them off.
        """

    def may_run_beside(self, batches: Sequence[Sequence[Segment]]) -> bool:
        """Tell whether :meth:`run` may be called by several threads at once, and gains by it.

        :param batches: the batches to run.
        :return: whether it may.
        """
        return False

    def prepare(self, model: Model, samples: Optional[Sequence[Doc]]) -> bool:
        """Set what the family keeps among the encoder's parameters; called before each use.

        :param model: the encoder.
        :param samples: sample Docs, when the encoder is initialised.
        :return: whether the layers may be others now.
        """
        return False

    def forget_state(self) -> None:
        """Forget what was carried over from the calls before, where anything is."""
