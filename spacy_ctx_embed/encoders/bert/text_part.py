"""The part of a loaded model that reads text, run once to see that it does and how it has to be run.

Enters: model, tokenizer and frame. Leaves: the part as :class:`TransformerLayers`, and what was found about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Hashable, List, Optional, Tuple

import numpy as np

from spacy_ctx_embed.data import Ints1d
from spacy_ctx_embed.encoders.bert.frame import Frame
from spacy_ctx_embed.errors import EncoderError, Errors, first_line

if TYPE_CHECKING:
    from spacy_ctx_embed.networks.transformer.examine import Verdict
    from spacy_ctx_embed.networks.transformer.layers import TransformerLayers


# How the parts of models opened before in this process have to be run, by what the model was made from and the part.
_VERDICTS: Dict[Tuple[Hashable, int], "Verdict"] = {}


def find_encoder(
    owner: str, name: str, model: Any, tokenizer: Any, frame: Frame, files: Optional[Hashable]
) -> Tuple["TransformerLayers", "Verdict"]:
    """Take the first part of a model that gives a state for each word piece; if none does, the first that runs.

    :param owner: registered name, for messages.
    :param name: the model's name in the config, for messages.
    :param model: what ``AutoModel`` gave, in eval mode.
    :param tokenizer: its tokenizer.
    :param frame: the special pieces around a text.
    :param files: stands for all that the model was made from: one opened from the same is not run again; ``None`` for
        what is not opened twice.
    :return: that part, and how it has to be run.
    :raises EncoderError: if there is none, or its states are others each time.
    """
    from spacy_ctx_embed.networks.transformer.examine import RandomStatesError, examine
    from spacy_ctx_embed.networks.transformer.layers import TransformerLayers
    from spacy_ctx_embed.networks.transformer.text_part import text_parts

    called = describe(model)
    failures: List[str] = []
    uneven: List[Tuple[TransformerLayers, Verdict]] = []
    for i, part in enumerate(text_parts(model)):
        layers = TransformerLayers(part, pad_id_of(tokenizer), "token_type_ids" in tokenizer.model_input_names)
        pieces = _Pieces(tokenizer, frame, n_rows_of(part))
        try:
            verdict = _VERDICTS.get((files, i)) or examine(layers, pieces.window)
        except RandomStatesError as error:
            raise EncoderError(Errors.E092.format(owner=owner, value=name, model=called)) from error
        except Exception as error:  # what a model's own code runs into where it wants pictures, sound or a prompt
            failures.append(f"{type(part).__name__}: {first_line(error)[:200]}")
        else:
            if files is not None:
                _VERDICTS[files, i] = verdict
            layers.n_layers = len(verdict.widths)
            if any(width is not None for width in verdict.widths):
                return layers, verdict
            uneven.append((layers, verdict))
    if uneven:
        return uneven[0]
    reason = f"on word pieces alone it fails ({'; '.join(failures)})" if failures else "no part of it takes word pieces"
    raise EncoderError(Errors.E090.format(owner=owner, value=name, model=called, reason=reason))


def describe(model: Any) -> str:
    """Name a model for a message.

    :param model: a ``transformers`` model.
    :return: its class and its ``model_type``.
    """
    return f"{type(model).__name__} (model_type {getattr(model.config, 'model_type', None)!r})"


def pad_id_of(tokenizer: Any) -> int:
    """Give the piece that fills short windows.

    :param tokenizer: a ``transformers`` tokenizer.
    :return: its padding piece, 0 where it has none.
    """
    return int(tokenizer.pad_token_id) if tokenizer.pad_token_id is not None else 0


def n_rows_of(part: Any) -> int:
    """Count the pieces that a model has rows for.

    :param part: a ``transformers`` model that reads piece ids.
    :return: rows of its embedding table; 0 where it names none.
    """
    try:
        return int(part.get_input_embeddings().num_embeddings)
    except (AttributeError, NotImplementedError):
        return 0


class _Pieces:
    # Windows of ordinary pieces, spread over the vocabulary.
    def __init__(self, tokenizer: Any, frame: Frame, n_rows: int) -> None:
        special = {*tokenizer.all_special_ids, *frame.prefix.tolist(), *frame.suffix.tolist(), pad_id_of(tokenizer)}
        n_pieces = min(len(tokenizer), n_rows) if n_rows else len(tokenizer)
        step = max(n_pieces // 101, 1)  # enough to choose from, and no list of a whole vocabulary
        ordinary = [i for i in range(0, n_pieces, step) if i not in special]
        self._ordinary = np.array(ordinary or [0], dtype=np.int64)
        self._frame = frame

    def window(self, n_pieces: int, number: int) -> Tuple[Ints1d, Ints1d]:
        """Make a window: the pieces of different numbers differ.

        :param n_pieces: pieces without the special ones.
        :param number: which of many such windows.
        :return: ids and token type ids.
        """
        return self._frame.around(np.resize(np.roll(self._ordinary, -17 * number), n_pieces))
