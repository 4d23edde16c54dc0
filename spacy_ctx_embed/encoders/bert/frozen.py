"""What is done once to a transformer that will not be trained: its precision, and weights laid out for the processor.

Enters: a loaded model in eval mode. Leaves: the same one, on its device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

from spacy_ctx_embed.data import Ints1d
from spacy_ctx_embed.encoders.bert.settings import BertSettings
from spacy_ctx_embed.errors import Errors

if TYPE_CHECKING:
    import torch

    from spacy_ctx_embed.networks.transformer.layers import TransformerLayers

OWNER = BertSettings.owner


def check_int8(device_type: str) -> None:
    """Refuse 8-bit integers where there are no products of them.

    :param device_type: "cpu", "cuda" or "mps".
    :raises ValueError: on anything but a processor for which this build of torch has the operators.
    """
    from spacy_ctx_embed.networks.packed.matrix import can_pack_int8

    if device_type != "cpu" or not can_pack_int8():
        _refuse("on this device, with this build of torch")


def freeze(module: TransformerLayers, precision: str, device: torch.device, sample: Tuple[Ints1d, Ints1d]) -> None:
    """Bring a model to its precision and device, and lay out its weights there.

    On a processor without instructions for 16 bits, weights are rounded to these and products are float32: they would
    be many times slower otherwise, and are not less exact.

    :param module: the model, its weights float32 for "float32" and "int8".
    :param precision: "float32", "bfloat16", "float16" or "int8".
    :param device: where it goes.
    :param sample: ids and token type ids of a window that the model can read.
    :raises ValueError: with "int8", if code of the model reads weights itself, which are integers then.
    """
    import torch

    from spacy_ctx_embed.networks.packed.int8 import make_int8
    from spacy_ctx_embed.networks.packed.linear import computes_in, pack_linears

    if precision == "int8":
        module.to(device=device, dtype=torch.float32)
        make_int8(module.model)
        module.rounded = True
        with torch.inference_mode():
            states = [state for state in module.states([sample[0]], [sample[1]]) if isinstance(state, torch.Tensor)]
        if not all(bool(state.isfinite().all()) for state in states):
            _refuse("for this architecture, whose code reads weights past its layers")
        return
    dtype: torch.dtype = getattr(torch, precision)
    module.to(device=device, dtype=dtype)
    if device.type == "cpu":
        if dtype != torch.float32 and not computes_in(dtype):
            module.to(dtype=torch.float32)
        pack_linears(module)


def _refuse(where: str) -> None:
    accepted = f"'float32', 'bfloat16' or 'float16' {where}"
    raise ValueError(Errors.E001.format(owner=OWNER, key="precision", value="int8", accepted=accepted))


def integers_of(model: Any, precision: str) -> Optional[Dict[str, torch.Tensor]]:
    """Give the tensors of a model of 8-bit integers.

    :param model: a model, whole or a part.
    :param precision: of its config.
    :return: tensors by name, see :func:`~spacy_ctx_embed.networks.packed.int8.state_to_save`; ``None`` with another
        precision.
    """
    if precision != "int8":
        return None
    from spacy_ctx_embed.networks.packed.int8 import state_to_save

    return state_to_save(model)
