"""How wide the rows of a transformer are, where its layers have one width and a state for each piece.

Enters: the settings, and what was found out about the model. Leaves: the width, or an error that counts the layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spacy_ctx_embed.encoders.bert.settings import BertSettings
from spacy_ctx_embed.encoders.bert.text_part import describe
from spacy_ctx_embed.errors import EncoderError, Errors
from spacy_ctx_embed.rows.mix import choose_layers

if TYPE_CHECKING:
    from spacy_ctx_embed.networks.transformer.examine import Verdict


def width_of(settings: BertSettings, whole: Any, verdict: Verdict) -> int:
    """Give the width of one of the layers that are mixed.

    :param settings: the config values.
    :param whole: the model, for the message.
    :param verdict: what was found out about it.
    :return: columns.
    :raises EncoderError: if those layers have different widths, or not one state for each piece.
    """
    n_layers = len(verdict.widths)
    try:
        chosen = choose_layers(settings.layers, settings.layer_mix, n_layers)
    except IndexError:  # named by whoever sets the widths of rows
        chosen = [n_layers - 1]
    widths = {verdict.widths[layer] for layer in chosen}
    if len(widths) == 1 and None not in widths:
        return int(widths.pop() or 0)
    raise uneven(settings, whole, verdict)


def uneven(settings: BertSettings, whole: Any, verdict: Verdict) -> EncoderError:
    """Make the error of layers that give no rows.

    :param settings: the config values.
    :param whole: the model.
    :param verdict: what was found out about it.
    :return: the error.
    """
    counted = ", ".join(f"{i}: {width or 'not one state per piece'}" for i, width in enumerate(verdict.widths))
    last_fits = verdict.widths[-1] is not None
    return EncoderError(
        Errors.E091.format(
            owner=settings.owner,
            value=settings.name,
            model=describe(whole),
            layers=settings.layers,
            layer_mix=settings.layer_mix,
            widths=counted,
            fix="set layers = [-1]" if last_fits else "choose layers that do, or another class of this model",
        )
    )
