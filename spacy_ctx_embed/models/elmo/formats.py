"""A path to an ELMo model in whatever format: looks at what is there, not at its name, and calls the one reader.

Enters: a folder, an archive or a file. Leaves: :class:`~spacy_ctx_embed.models.elmo.files.ElmoFiles`.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import replace
from pathlib import Path
from typing import List, Optional

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.elmo import many_langs
from spacy_ctx_embed.models.elmo.alignment import read_alignment
from spacy_ctx_embed.models.elmo.allennlp import archive as allennlp_archive
from spacy_ctx_embed.models.elmo.bilm_tf import assemble_bilm_tf
from spacy_ctx_embed.models.elmo.container import Container, find, open_container, read_member
from spacy_ctx_embed.models.elmo.files import ElmoFiles
from spacy_ctx_embed.models.elmo.folder import OPTIONS, WEIGHTS, read_folder
from spacy_ctx_embed.models.elmo.hdf5 import open_hdf5
from spacy_ctx_embed.models.elmo.options import AGAIN, parse_options, unreadable
from spacy_ctx_embed.models.elmo.tensorflow.checkpoint import read_tf_checkpoint

_OPTIONS = [[OPTIONS], ["*options*.json"]]
_HDF5 = [["weights.hdf5"], ["model.hdf5"], ["*weights*.hdf5"], ["*.hdf5"]]
_VOCABULARY = [["vocab.txt", "vocab.txt.gz"], ["*vocab*.txt", "*vocab*.txt.gz"]]
_MAPPING = "_best_mapping.pth"
_ARCHIVES = [name for group in allennlp_archive.WEIGHTS for name in group]
_TRANSFORMERS = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json")
_WANTED = "weights.safetensors, weights.hdf5, model.hdf5, weights.th, encoder.pkl, saved_model.pb, *.index"
_MODEL_SUFFIXES = (".hdf5", ".safetensors", ".json", ".th", ".pkl", ".pth", ".index", ".pb", ".dic", ".bin")
_SAY_NOTHING = (".json", ".pth", ".safetensors")  # suffixes of files that do not tell the format alone


def read_elmo(path: Path) -> ElmoFiles:
    """Read a model.

    :param path: a folder, a zip or tar archive, the weight file in a folder, or a TensorFlow checkpoint.
    :return: configurations and weights, on the CPU.
    :raises ModelFormatError: if a file is missing, ambiguous, damaged or not what the other one describes.
    """
    if not path.exists() and path.with_name(f"{path.name}.index").is_file():  # how TensorFlow names a checkpoint
        path = path.with_name(f"{path.name}.index")
    if not path.exists():
        unreadable(path, "there is no such file or folder", "correct the path")
    if path.is_file() and path.suffix in _MODEL_SUFFIXES:
        with open_container(path.parent) as container:
            return _read(container, path.name)
    with open_container(path) as container:
        return _read(container)


def _read(container: Container, chosen: Optional[str] = None) -> ElmoFiles:
    # What only one format has comes first. A file that was chosen decides, where its name can.
    names = [name for name in container.names if "/" not in name]
    decides = chosen is not None and not chosen.endswith(_SAY_NOTHING)
    clues = [chosen] if chosen is not None and decides else names
    if WEIGHTS in clues and chosen in (None, WEIGHTS, OPTIONS):
        return read_folder(container)
    if any(name.endswith(".hdf5") for name in clues):
        return _read_hdf5(container, chosen if decides else None)
    if any(name in clues for name in _ARCHIVES):
        return allennlp_archive.read_allennlp_archive(container)
    if any(name in clues for name in many_langs.CLUES):
        return many_langs.read_many_langs(container)
    if "saved_model.pb" in clues or any(name.endswith(".index") for name in clues):
        return _read_tensorflow(container, chosen if decides else None)
    if "config.json" in names and any(name in names for name in _TRANSFORMERS):
        reason = "it is a transformer model, which the component 'elmo_embeddings' does not run"
        unreadable(container.label, reason, "use the component 'bert_embeddings' for it")
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
            files = assemble_bilm_tf(data, sizes, vocabulary=vocabulary)
        else:
            with container.open(table) as other, open_hdf5(other, container.label / table) as cached:
                files = assemble_bilm_tf(data, sizes, vocabulary=vocabulary, cached=cached)
    return _align(container, weights, files)


def _align(container: Container, weights: str, files: ElmoFiles) -> ElmoFiles:
    # A map belongs to the weights of the same language, or to any if no weights are named after it.
    maps = [name for name in container.names if name.endswith(_MAPPING) and "/" not in name]
    others = [_mapping_of(name) for name in container.names if name.endswith(".hdf5") and name != weights]
    own = [name for name in maps if name == _mapping_of(weights)] or [name for name in maps if name not in others]
    if not own:
        return files
    if len(own) > 1:
        reason = f"more than one map could be meant for {weights}: {', '.join(own)}"
        unreadable(container.label, reason, "keep each model in a folder of its own")
    with container.open(own[0]) as stream:
        matrix = read_alignment(stream, container.label / own[0], 2 * files.config.bilm.projection_dim)
    weights_of = {**files.weights, "alignment.weight": matrix}
    return replace(files, config=replace(files.config, aligned=True), weights=weights_of)


def _mapping_of(weights: str) -> str:
    return weights.removesuffix("_weights.hdf5") + _MAPPING


def _read_tensorflow(container: Container, chosen: Optional[str]) -> ElmoFiles:
    vocabulary = _read_vocabulary(container)
    with container.unpacked() as folder:
        try:
            return read_tf_checkpoint(folder / chosen if chosen else folder, vocabulary)
        except ModelFormatError as error:  # name the archive, not the temporary folder
            raise ModelFormatError(str(error).replace(str(folder), str(container.label))) from error


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
    except (OSError, EOFError, ValueError, zlib.error) as error:
        unreadable(container.label / name, f"not readable as UTF-8 text ({error})", AGAIN, error)
    lines = (line.strip() for line in text.removesuffix("\n").split("\n"))
    return [line for line in lines if line != "!!!MAXTERMID"]
