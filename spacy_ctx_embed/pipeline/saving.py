"""How a component is saved: the Thinc model without weights in one small file, each encoder's files beside it.

With ``serialize = "reference"`` the encoder's files stay where they are, and only the model's name and checksum
are saved; the checksum is compared when the pipeline next opens them.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any, Dict, Iterator

from thinc.api import Model

from spacy_ctx_embed.encoders.shim import encoder_shims
from spacy_ctx_embed.errors import Errors, ModelFormatError

_STATE = "state.msgpack"
_FOLDER = "encoder"  # and a number


def check(owner: str, model: Model, serialize: str) -> None:
    """Refuse to save only the name of a model that training changes.

    :param owner: the component, for the message.
    :param model: the encoder.
    :param serialize: "weights" or "reference".
    :raises ValueError: with "reference", if an encoder has ``trainable = true``.
    """
    if serialize == "reference" and any(shim.settings.trainable for shim in encoder_shims(model)):
        accepted = "'weights' where trainable = true, or what was learnt would not be saved"
        raise ValueError(Errors.E001.format(owner=owner, key="serialize", value=serialize, accepted=accepted))


def describe(model: Model, serialize: str) -> Dict[str, Any]:
    """Say what is saved.

    :param model: the encoder.
    :param serialize: "weights" or "reference".
    :return: plain data: ``serialize``, and for a reference name and checksum of each encoder.
    """
    if serialize == "weights":
        return {"serialize": serialize}
    encoders = [{"name": shim.settings.name, "checksum": shim.network().checksum} for shim in encoder_shims(model)]
    return {"serialize": serialize, "encoders": encoders}


def expect(model: Model, description: Dict[str, Any]) -> None:
    """Keep the checksums of a saved reference for when the files are opened.

    :param model: the encoder, freshly built from the config.
    :param description: what :func:`describe` gave.
    :raises ModelFormatError: if the config has other encoders than the saved pipeline.
    """
    if description.get("serialize") != "reference":
        return
    saved, shims = description["encoders"], encoder_shims(model)
    names = [shim.settings.name for shim in shims]
    if [item["name"] for item in saved] != names:
        expected = ", ".join(map(repr, names))
        found = ", ".join(repr(item["name"]) for item in saved)
        raise ModelFormatError(Errors.E016.format(owner=model.name, file="cfg", found=found, expected=expected))
    for shim, item in zip(shims, saved):
        shim.expect(item["checksum"])


def write(model: Model, path: Path, serialize: str) -> None:
    """Save to a folder: ``state.msgpack``, and for "weights" one folder ``encoder0``, ``encoder1``, … each.

    What an older save left there is replaced or removed.

    :param model: the encoder.
    :param path: the folder.
    :param serialize: "weights" or "reference".
    """
    path.mkdir(parents=True, exist_ok=True)
    with _without_weights(model):
        (path / _STATE).write_bytes(model.to_bytes())
    shims = encoder_shims(model) if serialize == "weights" else []
    folders = [_folder(path, i) for i in range(len(shims))]
    for shim, folder in zip(shims, folders):
        shim.save(folder)
    for folder in path.glob(f"{_FOLDER}*"):
        if folder.is_dir() and folder not in folders and folder.name.removeprefix(_FOLDER).isdigit():
            shutil.rmtree(folder)


def read(model: Model, path: Path) -> None:
    """Load what :func:`write` saved.

    :param model: the encoder, freshly built from the config.
    :param path: the folder.
    """
    model.from_bytes((path / _STATE).read_bytes())
    for i, shim in enumerate(encoder_shims(model)):
        folder = _folder(path, i)
        if folder.is_dir():
            shim.read(folder)


def to_bytes(model: Model, serialize: str) -> bytes:
    """Serialise to bytes.

    :param model: the encoder.
    :param serialize: "weights" or "reference".
    :return: the bytes, for ``model.from_bytes``.
    """
    if serialize == "weights":
        for shim in encoder_shims(model):
            shim.network()
        return model.to_bytes()
    with _without_weights(model):
        return model.to_bytes()


def _folder(path: Path, i: int) -> Path:
    return path / f"{_FOLDER}{i}"


@contextlib.contextmanager
def _without_weights(model: Model) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for shim in encoder_shims(model):
            stack.enter_context(shim.without_weights())
        yield
