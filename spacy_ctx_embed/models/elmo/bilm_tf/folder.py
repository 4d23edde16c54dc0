"""A folder of bilm-tf or AllenNLP: options, HDF5 weights, and what may lie beside them.

Enters: a folder or archive. Leaves: :class:`~spacy_ctx_embed.models.elmo.source.files.ElmoFiles`.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import replace
from typing import List, Optional

from spacy_ctx_embed.models.elmo.bilm_tf.alignment import read_alignment
from spacy_ctx_embed.models.elmo.bilm_tf.hdf5 import open_hdf5
from spacy_ctx_embed.models.elmo.bilm_tf.tensors import assemble_bilm_tf
from spacy_ctx_embed.models.elmo.source.container import Container, find, read_member
from spacy_ctx_embed.models.elmo.source.files import ElmoFiles
from spacy_ctx_embed.models.elmo.source.options import AGAIN, parse_options, unreadable

_OPTIONS = [["options.json"], ["*options*.json"]]
_HDF5 = [["weights.hdf5"], ["model.hdf5"], ["*weights*.hdf5"], ["*.hdf5"]]
_VOCABULARY = [["vocab.txt", "vocab.txt.gz"], ["*vocab*.txt", "*vocab*.txt.gz"]]
_MAPPING = "_best_mapping.pth"


def read_bilm_tf(container: Container, weights: Optional[str] = None) -> ElmoFiles:
    """Read a model: of characters, of words with a vocabulary, with cached vectors of words, or with an alignment.

    :param container: a folder, or an archive of one.
    :param weights: name of the weights where they are known; the options are then those of the same name.
    :return: configurations and weights.
    :raises ModelFormatError: if a file is missing, ambiguous, damaged or not what the other one describes.
    """
    weights = weights or find(container, _HDF5)
    assert weights is not None
    named = weights.replace("weights.hdf5", "options.json")
    options = named if named != weights and named in container.names else find(container, _OPTIONS)
    assert options is not None
    sizes = parse_options(read_member(container, options), container.label / options)
    vocabulary = read_vocabulary(container)
    with container.open(weights) as stream, open_hdf5(stream, container.label / weights) as data:
        table = _find_cached(container, weights) if vocabulary is not None else None
        if table is None:
            files = assemble_bilm_tf(data, sizes, vocabulary=vocabulary)
        else:
            with container.open(table) as other, open_hdf5(other, container.label / table) as cached:
                files = assemble_bilm_tf(data, sizes, vocabulary=vocabulary, cached=cached)
    return _align(container, weights, files)


def read_vocabulary(container: Container) -> Optional[List[str]]:
    """Read the words of a model: one a line; bilm-tf leaves lines "!!!MAXTERMID" out without counting them.

    :param container: a folder, or an archive of one.
    :return: the words, in order; ``None`` where there is no such file.
    :raises ModelFormatError: if more than one file could be meant, or it is no text in UTF-8.
    """
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


def _find_cached(container: Container, weights: str) -> Optional[str]:
    # The output of dump_token_embeddings has any name, but one dataset only.
    for name in container.names:
        if name.endswith(".hdf5") and name != weights and "/" not in name:
            with container.open(name) as stream, open_hdf5(stream, container.label / name) as data:
                if list(data.shapes) == ["embedding"]:
                    return name
    return None
