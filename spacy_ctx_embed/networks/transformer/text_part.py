"""Which part of a Hugging Face model reads text, and how much of it at once.

Enters: what ``AutoModel`` gave. Leaves: the parts to try, in order, and a number of pieces.
"""

from __future__ import annotations

import inspect
from typing import Any, Iterator, List, Optional

from torch import nn

_NO_LIMIT = 512  # pieces per window for models without absolute positions, such as T5
# Last names of position tables, as models call them; those of boxes on a page and of relative positions are no limit.
_POSITION_TABLES = ("position_embeddings", "position_embedding", "embed_positions", "wpe")


def text_parts(model: Any) -> Iterator[Any]:
    """Give the parts of a model that take piece ids, those that hold others first.

    :param model: what ``AutoModel`` gave.
    :yields: the encoder of an encoder-decoder model and nothing else of it; of any other the model itself, then models
        inside it (the text half of CLIP, the encoder that a retriever wraps).
    """
    from transformers import PreTrainedModel

    if getattr(model.config, "is_encoder_decoder", False):
        encoder = model.get_encoder()
        if encoder is not model and _takes_pieces(encoder):
            yield encoder
        return
    yield from (part for part in model.modules() if isinstance(part, PreTrainedModel) and _takes_pieces(part))


def _takes_pieces(part: Any) -> bool:
    return "input_ids" in inspect.signature(part.forward).parameters


def longest_input(model: Any, part: Any, tokenizer_limit: Optional[int]) -> int:
    """Find how many pieces, special ones included, the model can read at once: the smallest limit that is named.

    RoBERTa and its kin number positions from ``padding_idx + 1``, so that their table has that many rows to spare.

    :param model: the whole model.
    :param part: what of it reads text.
    :param tokenizer_limit: ``model_max_length`` of its tokenizer; huge where it is not known.
    :return: pieces.
    """
    config = getattr(part, "config", model.config)
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    limits: List[Any] = [getattr(config, key, None) for key in ("max_position_embeddings", "max_seq_len")]
    limits.append(tokenizer_limit)
    limits += [_n_positions(table) for table in _position_tables(part)]
    known = [limit for limit in limits if isinstance(limit, int) and 0 < limit < 1_000_000]
    return min(known) if known else _NO_LIMIT


def _position_tables(part: nn.Module, name: str = "") -> Iterator[nn.Module]:
    # Those for word pieces: what reads pictures or sound counts other things.
    from transformers import PreTrainedModel

    if isinstance(part, PreTrainedModel) and not _takes_pieces(part):
        return
    if name in _POSITION_TABLES and getattr(getattr(part, "weight", None), "ndim", 0) == 2:
        yield part
    for child_name, child in part.named_children():
        yield from _position_tables(child, child_name)


def _n_positions(table: Any) -> int:
    padding = getattr(table, "padding_idx", None)
    return len(table.weight) - (0 if padding is None else int(padding) + 1)
