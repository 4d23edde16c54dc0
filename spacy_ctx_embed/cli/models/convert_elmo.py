"""``convert-elmo``: an ELMo model in any format that can be read -> a folder of our own, which loads fastest."""

from __future__ import annotations

import os
import shutil
import time
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, List, Tuple

import typer

from spacy_ctx_embed.cli.terminal.reporting import errors_reported
from spacy_ctx_embed.models.files import whole_folder

if TYPE_CHECKING:
    from spacy_ctx_embed.models.elmo.source.files import ElmoFiles

OWNER = "embed convert-elmo"


class Dtype(str, Enum):
    """Number formats of the weights that are written."""

    float16 = "float16"
    float32 = "float32"


def convert_elmo_cli(
    # fmt: off
    name: str = typer.Argument(..., help="Path of a model, URL, or alias such as elmo-small"),
    out: Path = typer.Argument(..., help="Folder to write, new or empty"),  # noqa: B008
    dtype: Dtype = typer.Option(Dtype.float32, "--dtype", help="Number format of the weights"),  # noqa: B008
    force: bool = typer.Option(False, "--force", "-F", help="Replace a model that this command wrote before"),
    # fmt: on
) -> None:
    """
    Convert an ELMo model to options.json and weights.safetensors.

    The model is found as by 'name' in the config of an ELMo component, and downloaded if need be. Afterwards, set
    'name' to the folder written.
    """
    with errors_reported("Can't convert the model"):
        convert_elmo(name, out, dtype=dtype.value, force=force)


def convert_elmo(name: str, out: Path, *, dtype: str = "float32", force: bool = False) -> None:
    """Find, read and write a model, and say what was done.

    :param name: path, place or alias, as in a config.
    :param out: the folder to write. It takes its place whole at the end, so a failure leaves nothing half done.
    :param dtype: "float32" or "float16", of the weights written.
    :param force: whether a model that was written there before may be replaced.
    :raises ModelNotFoundError: if the model is nowhere.
    :raises ModelFormatError: if its files can't be read.
    :raises FileExistsError: if something is there that must not be replaced.
    :raises OSError: if the folder can't be written.
    """
    _check_free(out, force)

    import torch
    from safetensors import SafetensorError
    from wasabi import msg

    from spacy_ctx_embed.models.elmo.folder import OPTIONS, write_elmo
    from spacy_ctx_embed.models.elmo.formats import read_elmo
    from spacy_ctx_embed.models.places import find_model

    start = time.perf_counter()
    found = find_model("elmo", name, owner=OWNER, key="the name")
    msg.info(f"Reading {found.path}")
    files = read_elmo(found.path)
    with whole_folder(out) as written:
        try:
            write_elmo(written, files, getattr(torch, dtype))
        except SafetensorError as error:
            raise OSError(f"{out} can't be written ({error})") from error
        for file in written.iterdir():
            shutil.copymode(written / OPTIONS, file)  # safetensors writes files that only their owner may read
        n_bytes = sum(file.stat().st_size for file in written.iterdir())
    seconds = time.perf_counter() - start
    msg.table([*_describe(files), ("Written", f"{n_bytes:,} bytes of {dtype}, in {seconds:.1f} seconds")])
    msg.good("Converted the model. Use it in a config as:")
    typer.echo(f'name = "{out.as_posix()}"')


def _check_free(out: Path, force: bool) -> None:
    from spacy_ctx_embed.models.elmo.folder import CHARACTERS, OPTIONS, WEIGHTS, WORDS

    if not os.path.lexists(out):
        return
    if not out.is_dir() or out.is_symlink():
        raise FileExistsError(f"{out} is not a folder. Fix: name a folder that is new or empty.")
    inside = {file.name for file in out.iterdir()}
    if inside and not force:
        raise FileExistsError(f"{out} is not empty. Fix: name another folder, or replace the model in it by --force.")
    foreign = sorted(inside - {OPTIONS, WEIGHTS, WORDS, CHARACTERS})
    if foreign:
        raise FileExistsError(f"{out} holds what this command does not write: {foreign[0]}. Fix: name another folder.")


def _describe(files: ElmoFiles) -> List[Tuple[str, str]]:
    bilm, chars, n_words = files.config.bilm, files.config.char_cnn, files.config.n_words
    n_parameters = sum(tensor.numel() for tensor in files.weights.values())
    layers = f"{bilm.n_layers}, each {bilm.dim} cells and {bilm.projection_dim} outputs in two directions"
    rows = [("Format", files.kind or "not known"), ("Layers", layers)]
    if chars is not None:
        rows.append(("Characters", f"{chars.n_filters} filters, {chars.n_highway} highways, {chars.max_chars} a word"))
    if n_words:
        rows.append(("Words", f"{n_words:,}"))
    return [*rows, ("Vectors", f"{2 * bilm.projection_dim} wide"), ("Parameters", f"{n_parameters:,}")]
