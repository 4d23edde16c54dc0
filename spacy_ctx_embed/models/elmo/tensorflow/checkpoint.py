"""ELMo models as TensorFlow keeps them: training runs and inference graphs of bilm-tf, and google/elmo of TF-Hub.

Enters: a path. Leaves: :class:`ElmoFiles`. Only variables with a name of bilm-tf's are read; what optimizers, softmax
and recurrent states left behind is not. Source of the names: bilm-tf ``bilm/training.py``, ``bilm/model.py``; a load
log in tensorflow/hub issue 88 for those of google/elmo.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Dict, Optional, Sequence, Tuple

import numpy as np

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.elmo.bilm_tf.folder import read_vocabulary
from spacy_ctx_embed.models.elmo.bilm_tf.tensors import assemble_bilm_tf
from spacy_ctx_embed.models.elmo.source.container import Container, Folder, find, read_member
from spacy_ctx_embed.models.elmo.source.files import ElmoFiles
from spacy_ctx_embed.models.elmo.source.named_arrays import NamedArrays, Shape, shape_text
from spacy_ctx_embed.models.elmo.source.options import Sizes, parse_options, unreadable, wrong
from spacy_ctx_embed.models.elmo.tensorflow.bundle import TensorBundle, find_prefix
from spacy_ctx_embed.networks.elmo.bilm import BilmConfig
from spacy_ctx_embed.networks.elmo.char_cnn import CharCnnConfig

_SCOPE = re.compile(r"(?:.*/)?(lm|bilm)/(.+)")
_PLAIN = re.compile(r"char_embed|embedding|CNN/[Wb]_cnn_\d\d?|CNN_high_\d\d?/[Wb]_(carry|transform)|CNN_proj/[Wb]_proj")
_CELL = re.compile(
    r"RNN_(?P<direction>[01])/(?:(?:rnn/multi_rnn_cell|RNN/MultiRNNCell)/[Cc]ell_?(?P<layer>\d\d?)/)?"
    r"(?:rnn/)?(?:lstm_cell|LSTMCell)/(?P<part>kernel|bias|projection/kernel|W_0|B|W_P_0)"
)
_PARTS = {"kernel": "W_0", "bias": "B", "projection/kernel": "W_P_0"}
_MIX = re.compile(r"(?:.*/)?(aggregation/(?:weights|scaling))")
_MIX_WEIGHTS, _MIX_SCALE = "aggregation/weights", "aggregation/scaling"
_OPTIONS = [["options.json"], ["*options*.json"]]
# What the shapes of google/elmo do not tell, after the model "original" of whose kind it is.
_MAX_CHARS, _CLIP, _ACTIVATION = 50, 3.0, "relu"


def read_tensorflow(container: Container, chosen: Optional[str] = None) -> ElmoFiles:
    """Read the checkpoint in a folder or archive.

    :param container: the folder or archive.
    :param chosen: name of its index or ``saved_model.pb``, where it was named.
    :return: configurations and weights.
    :raises ModelFormatError: see :func:`read_tf_checkpoint`.
    """
    vocabulary = read_vocabulary(container)
    with container.unpacked() as folder:
        try:
            return read_tf_checkpoint(folder / chosen if chosen else folder, vocabulary)
        except ModelFormatError as error:  # name the archive, not the temporary folder
            raise ModelFormatError(str(error).replace(str(folder), str(container.label))) from error


def read_tf_checkpoint(path: Path, vocabulary: Optional[Sequence[str]] = None) -> ElmoFiles:
    """Read a model from a checkpoint of version 2. A SavedModel needs no options, its shapes give the sizes.

    :param path: the folder of a training run or a SavedModel, its ``saved_model.pb``, or the prefix of a checkpoint,
        with or without ``.index``.
    :param vocabulary: the words of the vocabulary file, in order; a model that reads words needs it.
    :return: configurations and weights; of google/elmo also its scalar mix.
    :raises ModelFormatError: if a file or variable is missing, damaged, not finite, or not what the options describe.
    """
    prefix = find_prefix(path.parent if path.name == "saved_model.pb" else path)
    folder = prefix.parent
    if folder.name == "variables" and (folder.parent / "saved_model.pb").is_file():
        folder = folder.parent
    bundle = TensorBundle(prefix)
    data = _rename(bundle, vocabulary)
    container = Folder(folder)
    options = find(container, _OPTIONS, optional=True)
    saved_model = (folder / "saved_model.pb").is_file() or _MIX_WEIGHTS in data
    if options is not None:
        sizes = parse_options(read_member(container, options), container.label / options)
    elif saved_model:
        sizes = _sizes_of_shapes(data)
    else:
        reason = "there is no options.json beside the checkpoint, and only a SavedModel of TF-Hub can do without"
        unreadable(folder, reason, "put the options.json of the training run there")
    kind = "TF-Hub SavedModel" if saved_model else "bilm-tf checkpoint"
    files = assemble_bilm_tf(data, sizes, vocabulary=vocabulary, kind=kind)
    if _MIX_WEIGHTS in data or _MIX_SCALE in data:
        weights = data.read(_MIX_WEIGHTS, (sizes.bilm.n_layers + 1,))
        files = replace(files, mix=(tuple(weights.tolist()), data.read(_MIX_SCALE, (), (1,)).item()))
    return files


def _rename(bundle: TensorBundle, vocabulary: Optional[Sequence[str]]) -> NamedArrays:
    # The variables of the model, under the names of the HDF5 files.
    names: Dict[str, str] = {}
    for name in bundle.shapes:
        target = _hdf5_name(name)
        if target in names:
            found, fix = f"there as '{names[target]}' and as '{name}'", "take a checkpoint of ELMo alone"
            wrong(bundle.file, f"the variable '{target}'", found, "one model", fix)
        if target is not None:
            names[target] = name
    shapes = {target: bundle.shapes[name] for target, name in names.items()}
    skip = dict.fromkeys(names, 0)
    if vocabulary is not None and shapes.get("embedding", ())[:1] == (len(vocabulary) + 1,):
        skip["embedding"] = 1  # an inference graph has a row for "no token" before those of the words
        shapes["embedding"] = (len(vocabulary), *shapes["embedding"][1:])

    def load(target: str) -> np.ndarray:
        array = bundle.read(names[target])
        return array[skip[target] :] if skip[target] else array

    return NamedArrays(bundle.file, shapes, load, "variable that bilm-tf's HDF5 files call")


def _hdf5_name(name: str) -> Optional[str]:
    mix = _MIX.fullmatch(name)
    if mix:
        return mix[1]
    scoped = _SCOPE.fullmatch(name)
    if scoped is None or _PLAIN.fullmatch(scoped[2]):
        return scoped and scoped[2]
    cell = _CELL.fullmatch(scoped[2])
    if cell is None:
        return None
    layer, part = int(cell["layer"] or 0), _PARTS.get(cell["part"], cell["part"])  # a model of one layer has no number
    return f"RNN_{cell['direction']}/RNN/MultiRNNCell/Cell{layer}/LSTMCell/{part}"


def _sizes_of_shapes(data: NamedArrays) -> Sizes:
    # What does not fit together is refused when the arrays are read.
    kernels = [_shape(data, f"CNN/W_cnn_{i}", 4) for i in range(_count(data, r"CNN/W_cnn_(\d+)"))]
    filters = tuple((shape[1], shape[3]) for shape in kernels)
    if max(width for width, _ in filters) > _MAX_CHARS:
        name = "the widths of the variables 'CNN/W_cnn_…'"
        wrong(data.file, name, repr(filters), f"at most {_MAX_CHARS} characters", "take the module google/elmo")
    cell = _shape(data, "RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell/W_0", 2)
    width = cell[0] // 2  # of the input, and the same of the previous output
    char_cnn = CharCnnConfig(
        embedding_dim=_shape(data, "char_embed", 2)[1],
        filters=filters,
        activation=_ACTIVATION,
        n_highway=_count(data, r"CNN_high_(\d+)/.*", least=0),
        max_chars=_MAX_CHARS,
        projection_dim=width,
    )
    bilm = BilmConfig(
        dim=cell[1] // 4,
        projection_dim=width,
        n_layers=_count(data, r"RNN_[01]/RNN/MultiRNNCell/Cell(\d+)/.*"),
        cell_clip=_CLIP,
        proj_clip=_CLIP,
        use_skip_connections=True,
    )
    return Sizes(char_cnn, bilm, data.file)


def _count(data: NamedArrays, pattern: str, least: int = 1) -> int:
    # Up to the highest number, so that a gap shows as a missing variable.
    found = (re.fullmatch(pattern, name) for name in data.shapes)
    return max((int(match[1]) + 1 for match in found if match), default=least)


def _shape(data: NamedArrays, name: str, n_axes: int) -> Shape:
    shape: Tuple[int, ...] = data.shapes.get(name, ())
    if len(shape) != n_axes or 0 in shape:
        expected, fix = f"of {n_axes} axes, none of them empty", "take a SavedModel of ELMo, such as google/elmo"
        wrong(data.file, f"the variable '{name}'", shape_text(data.shapes.get(name)), expected, fix)
    return shape
