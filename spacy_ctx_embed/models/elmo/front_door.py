"""A path to an ELMo model in whatever format: looks at what is there, not at its name, and calls the one reader.

Enters: a folder, an archive or a file. Leaves: :class:`~spacy_ctx_embed.models.elmo.files.ElmoFiles`.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import List, Optional

from spacy_ctx_embed.models.elmo.bilm_tf import assemble_bilm_tf
from spacy_ctx_embed.models.elmo.container import Container, find, open_container, read_member
from spacy_ctx_embed.models.elmo.files import ElmoFiles
from spacy_ctx_embed.models.elmo.folder import OPTIONS, WEIGHTS, read_folder
from spacy_ctx_embed.models.elmo.hdf5 import open_hdf5
from spacy_ctx_embed.models.elmo.options import AGAIN, parse_options, unreadable

_OPTIONS = [[OPTIONS], ["*options*.json"]]
_HDF5 = [["weights.hdf5"], ["model.hdf5"], ["*weights*.hdf5"], ["*.hdf5"]]
_VOCABULARY = [["vocab.txt", "vocab.txt.gz"], ["*vocab*.txt", "*vocab*.txt.gz"]]
_WANTED = "weights.safetensors, weights.hdf5, model.hdf5"
_MODEL_SUFFIXES = (".hdf5", ".safetensors", ".json", ".th", ".pkl", ".pth", ".index", ".pb")


def read_elmo(path: Path) -> ElmoFiles:
    """Read a model.

    :param path: a folder, a zip or tar archive, or the weight file in a folder.
    :return: configurations and weights, on the CPU.
    :raises ModelFormatError: if a file is missing, ambiguous, damaged or not what the other one describes.
    """
    if not path.exists():
        unreadable(path, "there is no such file or folder", "correct the path")
    if path.is_file() and path.suffix in _MODEL_SUFFIXES:
        with open_container(path.parent) as container:
            return _read(container, path.name)
    with open_container(path) as container:
        return _read(container)


def _read(container: Container, weights: Optional[str] = None) -> ElmoFiles:
    # What only one format has comes first.
    names = [name for name in container.names if "/" not in name]
    if WEIGHTS in names and weights in (None, WEIGHTS, OPTIONS):
        return read_folder(container)
    if any(name.endswith(".hdf5") for name in names):
        return _read_hdf5(container, weights if weights is not None and weights.endswith(".hdf5") else None)
    inside = ", ".join(names[:8]) or "nothing"
    reason = f"no file in it is the weights of an ELMo model ({_WANTED}); in it: {inside}"
    return unreadable(container.label, reason, "name the folder or archive that holds the model's files")


def _read_hdf5(container: Container, weights: Optional[str]) -> ElmoFiles:
    weights = weights or find(container, _HDF5)
    assert weights is not None
    named = weights.replace("weights.hdf5", "options.json")
    options = named if named != weights and named in container.names else find(container, _OPTIONS)
    assert options is not None
    sizes = parse_options(read_member(container, options), container.label / options)
    vocabulary = _read_vocabulary(container)
    with container.open(weights) as stream, open_hdf5(stream, container.label / weights) as data:
        table = _find_cached(container, weights) if vocabulary is not None else None
        if table is None:
            return assemble_bilm_tf(data, sizes, vocabulary=vocabulary)
        with container.open(table) as other, open_hdf5(other, container.label / table) as cached:
            return assemble_bilm_tf(data, sizes, vocabulary=vocabulary, cached=cached)


def _find_cached(container: Container, weights: str) -> Optional[str]:
    # The output of dump_token_embeddings has any name, but one dataset only.
    for name in container.names:
        if name.endswith(".hdf5") and name != weights and "/" not in name:
            with container.open(name) as stream, open_hdf5(stream, container.label / name) as data:
                if list(data.shapes) == ["embedding"]:
                    return name
    return None


def _read_vocabulary(container: Container) -> Optional[List[str]]:
    # One word a line; bilm-tf leaves lines "!!!MAXTERMID" out without counting them.
    name = find(container, _VOCABULARY, optional=True)
    if name is None:
        return None
    content = read_member(container, name)
    try:
        text = (gzip.decompress(content) if name.endswith(".gz") else content).decode("utf8")
    except (OSError, EOFError, ValueError) as error:
        unreadable(container.label / name, f"not readable as UTF-8 text ({error})", AGAIN, error)
    lines = (line.strip() for line in text.removesuffix("\n").split("\n"))
    return [line for line in lines if line != "!!!MAXTERMID"]
