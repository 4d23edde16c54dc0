"""What to do when a GPU has no memory for a batch: the batch in two halves, and half the budget from then on.

Enters: a function that runs a batch of segments, and a batch. Leaves: its layers, the same as without any of this.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Callable, List

from spacy_ctx_embed.data import Segment
from spacy_ctx_embed.encoders.network import ContextualNetwork
from spacy_ctx_embed.encoders.shim import ContextualShim
from spacy_ctx_embed.errors import Warnings

if TYPE_CHECKING:
    import torch


def budget_of(shim: ContextualShim) -> int:
    """Tell for how many pieces or tokens batches are made.

    :param shim: holds the settings.
    :return: ``max_batch_tokens``, or half of it once memory ran out.
    """
    most = shim.settings.max_batch_tokens
    return max(most // 2, 1) if shim.out_of_memory else most


def run_in_memory(
    shim: ContextualShim,
    network: ContextualNetwork,
    run: Callable[[List[Segment]], torch.Tensor],
    members: List[Segment],
    budget: int,
) -> torch.Tensor:
    """Run a batch; where memory runs out for the first time, run its halves, and make smaller batches afterwards.

    :param shim: knows whether that happened before.
    :param network: the network.
    :param run: gives the layers of a batch, ``(n_layers, n_tokens, width)``.
    :param members: the batch.
    :param budget: what it was made for.
    :return: its layers.
    :raises torch.cuda.OutOfMemoryError: if that happened before, the batch is one segment, gradients are kept, or
        state is carried from batch to batch.
    """
    import torch

    def halves() -> torch.Tensor:
        middle = len(members) // 2
        return torch.cat([run(members[:middle]), run(members[middle:])], dim=1)

    if budget > budget_of(shim) and len(members) > 1:  # made before memory ran out
        return halves()
    try:
        return run(members)
    except torch.cuda.OutOfMemoryError as error:
        if shim.out_of_memory or len(members) < 2 or network.in_order or torch.is_grad_enabled():
            raise
        reason = str(error).split("\n")[0]
    # Outside of the clause above, as the exception keeps the tensors of the pass alive.
    shim.out_of_memory = True
    less = budget_of(shim)
    warnings.warn(
        Warnings.W006.format(owner=shim.settings.owner, value=budget, budget=less, reason=reason), stacklevel=2
    )
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return halves()
