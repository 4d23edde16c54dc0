"""The setting ``adapter``: finds it, brings it into a loaded model, and says what does not go together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Tuple

from spacy_ctx_embed.encoders.bert.settings import BertSettings
from spacy_ctx_embed.encoders.bert.text_part import describe
from spacy_ctx_embed.errors import EncoderError, Errors

if TYPE_CHECKING:
    from spacy_ctx_embed.models.transformer.adapter import Learnt

_KINDS = "a kind that changes the weights of layers, such as LORA, IA3, LOHA, LOKR or OFT"


def find_adapter(settings: BertSettings, saved: Optional[Path]) -> Optional[Path]:
    """Find the files of the adapter.

    :param settings: the config values.
    :param saved: a folder that the network's ``save`` wrote; ``None`` for the original.
    :return: the folder; ``None`` where there is no adapter, or the weights of ``saved`` have it already.
    :raises ModelNotFoundError: if the adapter is found nowhere.
    :raises EncoderError: if it is to learn and the weights have it already.
    """
    from spacy_ctx_embed.models.places import find_adapter
    from spacy_ctx_embed.models.transformer.adapter import SAVED

    if settings.adapter is None:
        return None
    if saved is None:
        return find_adapter(settings.adapter, owner=settings.owner)
    if (saved / SAVED).is_dir():
        return saved / SAVED
    if settings.trainable:
        raise _unusable(
            settings,
            "is merged into the weights of this saved pipeline, so that it can't learn alone",
            "a pipeline saved with trainable = true; or adapter = null, with which all weights learn",
            "set adapter = null, or start again from 'name' and 'adapter'",
        )
    return None


def load_adapter(settings: BertSettings, folder: Path, model: Any) -> Tuple[Any, Optional["Learnt"]]:
    """Merge an adapter into a model; where it is to learn, put its layers beside those of the model.

    :param settings: the config values.
    :param folder: what :func:`find_adapter` gave.
    :param model: the ``transformers`` model; it is changed.
    :return: the model; and what saves it where the adapter learns, else ``None``.
    :raises ImportError: if peft is not installed.
    :raises ModelFormatError: if a file of the adapter is missing or broken.
    :raises EncoderError: if it is an adapter of another model, or of a kind that can't be used so.
    """
    from spacy_ctx_embed.models.transformer.adapter import KindError, MisfitError, adapter_config, add_adapter

    base = adapter_config(folder).get("base_model_name_or_path")
    try:
        import peft  # noqa: F401
    except ImportError as error:
        values = {"package": "peft", "reason": error, "install": "spacy-ctx-embed[peft]"}
        raise ImportError(Errors.E005.format(owner=settings.owner, key="adapter", **values)) from error
    try:
        _check_base(base, model)
        return add_adapter(model.float(), folder, learns=bool(settings.trainable))
    except MisfitError as error:
        raise EncoderError(
            Errors.E095.format(
                owner=settings.owner,
                value=settings.adapter,
                name=settings.name,
                model=describe(model),
                reason=error,
                base=base,
            )
        ) from error
    except KindError as error:
        fix = "choose another adapter, or pip install --upgrade peft if this one is of a new kind"
        raise _unusable(settings, str(error), _KINDS, fix) from error


def _check_base(base: object, model: Any) -> None:
    # An adapter often tells its model by name only; where that is on this machine, its type is compared.
    from spacy_ctx_embed.models.places import find_local
    from spacy_ctx_embed.models.transformer.adapter import MisfitError
    from spacy_ctx_embed.models.transformer.folder import read_config, transformer_folder

    found = find_local("bert", base) if isinstance(base, str) and base else None
    if found is None:
        return
    kind = read_config(transformer_folder(found.path) / "config.json").get("model_type")
    if kind is not None and kind != model.config.model_type:
        raise MisfitError(f"it was trained on {base!r}, a model of type {kind!r}")


def _unusable(settings: BertSettings, reason: str, accepted: str, fix: str) -> EncoderError:
    values = {"owner": settings.owner, "value": settings.adapter, "reason": reason}
    return EncoderError(Errors.E096.format(**values, accepted=accepted, fix=fix))
