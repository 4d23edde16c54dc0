"""Linear layer, softmax and cross-entropy in one, a block of rows at a time, so that no memory holds all logits.

Enters: vectors, weights, ids. Leaves: the sum of the losses. The gradients are found in the forward pass, while a
block's probabilities are at hand.
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

import torch

from spacy_ctx_embed.pretraining.network.workspace import Workspace

_LOGITS = 1 << 20  # logits of one block; 4 MB of float32 stay within a core's caches


class LinearCrossEntropy(torch.autograd.Function):
    """``(x, weight, bias, targets, dtype, workspace) -> sum of losses``.

    * ``x`` ``(n, width)`` float32, ``weight`` ``(n_words, width)``, ``bias`` ``(n_words,)`` or ``None``.
    * ``targets`` ``(n,)`` ids below ``n_words``.
    * ``dtype``: of the matrix products; all else is float32.
    * ``workspace``: memory of this layer and direction. The gradients stay there until the next batch.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: Optional[torch.Tensor],
        targets: torch.Tensor,
        dtype: torch.dtype,
        workspace: Workspace,
    ) -> torch.Tensor:
        """Compute loss and gradients.

        :param ctx: keeps the gradients.
        :param x: vectors.
        :param weight: weights.
        :param bias: biases.
        :param targets: ids.
        :param dtype: of the products.
        :param workspace: memory to work in.
        :return: sum of the negative log-likelihoods in nats.
        """
        low, inputs = weight.to(dtype), x.to(dtype)
        n_words, device = len(weight), x.device
        n_rows = max(_LOGITS // n_words, 1)
        total = x.new_zeros(())
        d_x = workspace.take("d_x", tuple(x.shape), x.dtype, device)
        d_weight = workspace.take("d_weight", tuple(weight.shape), x.dtype, device).zero_()
        d_bias = x.new_zeros(n_words) if bias is not None else None
        probs = workspace.take("probs", (n_rows, n_words), x.dtype, device)
        gradients = workspace.take("gradients", (n_rows, n_words), dtype, device)
        logits = workspace.take("logits", (n_rows, n_words), dtype, device)
        for start in range(0, len(x), n_rows):
            rows, ids = inputs[start : start + n_rows], targets[start : start + n_rows, None]
            n = len(rows)
            p = probs[:n].copy_(torch.mm(rows, low.t(), out=logits[:n]))
            if bias is not None:
                p.add_(bias)
            best = p.amax(dim=1, keepdim=True)
            right = p.gather(1, ids) - best
            sums = p.sub_(best).exp_().sum(dim=1, keepdim=True)
            total += (sums.log() - right).sum()
            p.div_(sums).scatter_add_(1, ids, p.new_full((n, 1), -1.0))
            if d_bias is not None:
                d_bias += p.sum(dim=0)
            gradient = gradients[:n].copy_(p)
            d_x[start : start + n] = torch.mm(gradient, low)
            d_weight += torch.mm(gradient.t(), rows)
        ctx.save_for_backward(d_x, d_weight, *([] if d_bias is None else [d_bias]))
        return total

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Tuple[Optional[torch.Tensor], ...]:
        """Scale the gradients.

        :param ctx: keeps them.
        :param grad: gradient of the sum, a scalar.
        :return: gradients of vectors, weights and biases.
        """
        d_x, d_weight, *d_bias = (part.mul_(grad) for part in ctx.saved_tensors)
        return d_x, d_weight, (d_bias[0] if d_bias else None), None, None, None
