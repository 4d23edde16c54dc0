"""Few row counts for products that keep something for each: oneDNN builds a kernel per shape, and keeps up to 1,024.

Enters: rows to multiply, as many as a batch happens to have. Leaves: their products, computed in parts of few sizes.
Text of changing lengths would otherwise cost new kernels, time and some hundred KiB each, at nearly every batch.
"""

from __future__ import annotations

from typing import Callable, List

import torch

_STEP = 8  # rows that a kernel takes at once, more or less
_ONE_PART = 128  # up to so many rows, reading the weights twice costs more than one more kernel
_UNUSED = 16  # at most one row in so many is computed for nothing, where there are more
_FULL = 2048  # rows of a full batch or more: those that nearly fill it stay one part, for most work is done in them


def part_sizes(n_rows: int) -> List[int]:
    """Share rows out among products.

    :param n_rows: rows there are.
    :return: rows of each product: one power of two up to 8, one multiple of 8 up to 128, one of few sizes where a full
        batch is more than seven eighths full, else powers of two, largest first. Their sum is ``n_rows`` or a little
        more.
    """
    if n_rows <= _STEP:
        return [_power(n_rows)] if n_rows else []
    if n_rows <= _ONE_PART:
        return [-(-n_rows // _STEP) * _STEP]
    whole = _power(n_rows)
    if whole >= _FULL and 8 * n_rows > 7 * whole:
        step = whole // _UNUSED
        return [-(-n_rows // step) * step]
    sizes, rest = [], n_rows
    while rest > 0:
        size = _power(rest)
        if size - rest > max(n_rows // _UNUSED, _STEP):
            size //= 2
        sizes.append(size)
        rest -= size
    return sizes


def multiply_in_parts(product: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> torch.Tensor:
    """Call a product whose rows do not depend on one another.

    :param product: takes as many tensors as there are ``inputs``, gives ``(n, n_out)``.
    :param *inputs: each ``(n_rows, width)`` with a width of its own, ``n_rows`` at least 1.
    :return: ``(n_rows, n_out)``.
    """
    n_rows = len(inputs[0])
    found, start = [], 0
    for size in part_sizes(n_rows):
        end = min(start + size, n_rows)
        rows = (_with_room(x[start:end], size) for x in inputs)
        found.append(product(*rows)[: end - start])
        start = end
    return found[0] if len(found) == 1 else torch.cat(found)


def _with_room(x: torch.Tensor, n_rows: int) -> torch.Tensor:
    # (n, width) -> (n_rows, width), not to be written to. Where memory goes on behind x it is that, whatever stands
    # there; else a copy with zeros.
    n, width = x.shape
    if n == n_rows:
        return x
    end = (x.storage_offset() + n_rows * width) * x.element_size()
    if x.is_contiguous() and end <= x.untyped_storage().nbytes():
        return x.as_strided((n_rows, width), (width, 1))
    roomy = x.new_empty(n_rows, width)
    roomy[:n] = x
    roomy[n:].zero_()
    return roomy


def _power(n: int) -> int:
    return 1 << (n - 1).bit_length()
