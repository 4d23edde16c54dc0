"""Several layers to one: last, mean, sum, concat, or ELMo's learnt scalar mix, with its gradient.

Enters: ``(n_layers, n_tokens, width)`` tensors. Leaves: ``(n_tokens, width)``, or ``(n_tokens, n_layers * width)``
for concat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Optional, Sequence, Tuple, Union

if TYPE_CHECKING:
    import torch

MIXES = ("last", "mean", "sum", "concat", "scalar_mix")


def choose_layers(layers: Union[str, Sequence[int]], layer_mix: str, n_layers: int) -> List[int]:
    """Turn the setting ``layers`` into the layers that must be computed, counted from 0.

    :param layers: ``"all"`` or layer numbers, negative ones counted from the end.
    :param layer_mix: with ``"last"`` only the last of the chosen layers is needed.
    :param n_layers: how many layers the model has, the context-independent layer 0 included.
    :return: layer numbers in the order in which they are mixed or concatenated.
    :raises IndexError: if a number is outside ``-n_layers .. n_layers - 1``.
    """
    chosen = list(range(n_layers)) if isinstance(layers, str) else list(layers)
    for layer in chosen:
        if not -n_layers <= layer < n_layers:
            raise IndexError(f"layer {layer} of a model whose layers are 0 to {n_layers - 1}")
    chosen = [layer % n_layers for layer in chosen]
    return chosen[-1:] if layer_mix == "last" else chosen


def mixed_width(layer_mix: str, n_chosen: int, width: int) -> int:
    """Width of a mixed row.

    :param layer_mix: one of ``MIXES``.
    :param n_chosen: number of layers mixed.
    :param width: width of one layer.
    :return: ``n_chosen * width`` for concat, else ``width``.
    """
    return n_chosen * width if layer_mix == "concat" else width


def mix_layers(
    layers: torch.Tensor,
    layer_mix: str,
    weights: Optional[torch.Tensor] = None,
    gamma: Optional[torch.Tensor] = None,
) -> torch.Tensor:
    """Mix layers; for ``scalar_mix``, gamma * sum_k softmax(weights)_k * layer_k (Peters et al. 2018, equation 1).

    :param layers: ``(n_layers, n_tokens, width)``.
    :param layer_mix: one of ``MIXES``.
    :param weights: ``(n_layers,)`` before the softmax; for scalar_mix only.
    :param gamma: ``(1,)`` scale; for scalar_mix only.
    :return: ``(n_tokens, width)``, or ``(n_tokens, n_layers * width)`` for concat, on the device of ``layers``.
    """
    n_layers, n_tokens, width = layers.shape
    if layer_mix == "last" or (n_layers == 1 and layer_mix != "scalar_mix"):
        return layers[-1]
    if layer_mix == "mean":
        return layers.mean(dim=0)
    if layer_mix == "sum":
        return layers.sum(dim=0)
    if layer_mix == "concat":
        return layers.permute(1, 0, 2).reshape(n_tokens, n_layers * width)
    assert weights is not None and gamma is not None
    return weigh_layers(layers, scalar_factors(weights, gamma))


def scalar_factors(weights: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    """Factor of each layer in a scalar mix: gamma * softmax(weights) (Peters et al. 2018, equation 1).

    :param weights: ``(n_layers,)`` before the softmax.
    :param gamma: ``(1,)`` scale.
    :return: ``(n_layers,)``.
    """
    return gamma * weights.softmax(dim=0)


def weigh_layers(layers: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Add up layers with a factor each.

    :param layers: ``(n_layers, n_tokens, width)``.
    :param factors: ``(n_layers,)``.
    :return: ``(n_tokens, width)``.
    """
    n_layers, n_tokens, width = layers.shape
    return (factors.to(layers.dtype) @ layers.reshape(n_layers, -1)).reshape(n_tokens, width)


def backprop_layers(
    d_rows: torch.Tensor,
    n_layers: int,
    layer_mix: str,
    weights: Optional[torch.Tensor] = None,
    gamma: Optional[torch.Tensor] = None,
) -> torch.Tensor:
    """Gradient of :func:`mix_layers` with respect to the layers.

    :param d_rows: gradient of its result, of the result's shape.
    :param n_layers: how many layers there are.
    :param layer_mix: as given to it.
    :param weights: as given to it.
    :param gamma: as given to it.
    :return: ``(n_layers, n_tokens, width)``.
    """
    if layer_mix == "last":
        d_layers = d_rows.new_zeros((n_layers, *d_rows.shape))
        d_layers[-1] = d_rows
        return d_layers
    if layer_mix in ("mean", "sum"):
        share = 1.0 / n_layers if layer_mix == "mean" else 1.0
        return (d_rows * share).expand(n_layers, *d_rows.shape)
    if layer_mix == "concat":
        return d_rows.reshape(len(d_rows), n_layers, d_rows.shape[1] // n_layers).permute(1, 0, 2)
    assert weights is not None and gamma is not None
    return scalar_factors(weights, gamma)[:, None, None] * d_rows


def layer_products(d_rows: torch.Tensor, layers: torch.Tensor) -> torch.Tensor:
    """Scalar product of each layer with the gradient of the rows: what the gradient of a scalar mix is made from.

    Those of several parts of a batch add up.

    :param d_rows: ``(n_tokens, width)``.
    :param layers: ``(n_layers, n_tokens, width)``.
    :return: ``(n_layers,)``.
    """
    return layers.reshape(len(layers), -1) @ d_rows.reshape(-1)


def backprop_factors(
    products: torch.Tensor, weights: torch.Tensor, gamma: torch.Tensor
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Gradient of :func:`scalar_factors`.

    :param products: ``(n_layers,)`` gradient of its result, see :func:`layer_products`.
    :param weights: as given to it.
    :param gamma: as given to it.
    :return: gradients of ``weights`` and ``gamma``.
    """
    shares = weights.softmax(dim=0)
    d_shares = gamma * products
    return shares * (d_shares - (shares * d_shares).sum()), (shares * products).sum().reshape(1)
