"""Convolution over characters and maximum over its windows in one, for training.

Enters: characters of words and one filter bank. Leaves: each filter's best. Only the window that was best learns, so
that autograd's way back, which shares among all that are equal and adds up overlapping windows one by one, takes most
of the time of the token encoder. Kim et al. 2015, section 2.2 (max-over-time pooling).
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

import torch


def product_dtype(x: torch.Tensor) -> torch.dtype:
    """Tell what matrix products run in here.

    :param x: a matrix.
    :return: bfloat16 where the caller has said so by autocast, else the dtype of the matrix.
    """
    return torch.mm(x[:1], x[:1].t()).dtype


class MaxOverWindows(torch.autograd.Function):
    """``(chars, weight, bias) -> best``.

    * ``chars`` ``(n_words, n_chars, dim)`` vectors of characters.
    * ``weight`` ``(n_outputs, width * dim)`` and ``bias`` ``(n_outputs,)`` of a filter bank.
    * ``best`` ``(n_words, n_outputs)``, of equal windows the first one's, in the dtype of products.
    """

    @staticmethod
    def forward(ctx: Any, chars: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Find the best window of each word and filter.

        :param ctx: keeps what the backward pass needs.
        :param chars: vectors of characters.
        :param weight: filters.
        :param bias: their biases.
        :return: what each filter gives at its best window.
        """
        dim = chars.shape[2]
        width = weight.shape[1] // dim
        dtype = product_dtype(weight)
        low = weight.to(dtype)
        windows = chars.to(dtype).unfold(1, width, 1).transpose(2, 3)  # (n_words, n_windows, width, dim)
        n_words, n_windows = windows.shape[:2]
        inputs = windows.reshape(-1, width * dim)
        sums = torch.addmm(bias.to(dtype), inputs, low.t())
        best, places = sums.view(n_words, n_windows, -1).max(dim=1)
        ctx.save_for_backward(inputs, low, places)
        ctx.shape, ctx.dtypes = chars.shape, (chars.dtype, weight.dtype)
        return best

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Tuple[Optional[torch.Tensor], ...]:
        """Go back from the best windows.

        :param ctx: what the forward pass kept.
        :param grad: ``(n_words, n_outputs)`` gradient.
        :return: gradients of characters, filters and biases.
        """
        inputs, low, places = ctx.saved_tensors
        n_words, n_chars, dim = ctx.shape
        width = low.shape[1] // dim
        n_windows = n_chars - width + 1
        d_sums = grad.new_zeros((n_words, n_windows, grad.shape[1]), dtype=low.dtype)
        d_sums.scatter_(1, places[:, None], grad.to(low.dtype)[:, None])
        flat = d_sums.view(-1, grad.shape[1])
        d_weight = torch.mm(flat.t(), inputs).to(ctx.dtypes[1])
        d_windows = torch.mm(flat, low).view(n_words, n_windows, width, dim)
        d_chars = grad.new_zeros(ctx.shape, dtype=ctx.dtypes[0])
        for k in range(width):
            d_chars[:, k : k + n_windows] += d_windows[:, :, k]
        return d_chars, d_weight, grad.sum(dim=0).to(ctx.dtypes[1])
