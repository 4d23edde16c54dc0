"""What training leaves: one folder that this package and AllenNLP read, with vocabulary, softmax and model card.

``options.json`` with ``weights.safetensors`` is our format, with ``weights.hdf5`` bilm-tf's and AllenNLP's.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Sequence

from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.models.elmo.bilm_tf.writer import write_bilm_tf
from spacy_ctx_embed.models.elmo.folder import write_elmo
from spacy_ctx_embed.models.elmo.source.files import ElmoFiles
from spacy_ctx_embed.networks.elmo.alphabets import Utf8Bytes
from spacy_ctx_embed.pretraining.network.language_model import LanguageModel
from spacy_ctx_embed.pretraining.settings import SoftmaxSettings

HDF5, VOCAB, SOFTMAX, CARD = "weights.hdf5", "vocab.txt", "softmax.safetensors", "README.md"
KIND = "pretrain-elmo"


def write_model(
    directory: Path, model: LanguageModel, words: Sequence[str], softmax: SoftmaxSettings, card: str
) -> None:
    """Write a model, each file in one go over the one of before.

    :param directory: the folder, made if need be.
    :param model: what was trained.
    :param words: the vocabulary, ``<S>``, ``</S>`` and ``<UNK>`` first.
    :param softmax: kind of the softmax.
    :param card: the model card.
    :raises OSError: if a file can't be written; the files of before are still there then.
    """
    from safetensors import SafetensorError

    beside = directory / ".new"
    try:
        beside.mkdir(parents=True, exist_ok=True)
        _write_files(beside, model, words, softmax, card)
        for file in sorted(beside.iterdir()):
            file.replace(directory / file.name)
        beside.rmdir()
    except (OSError, RuntimeError, SafetensorError) as error:  # each library that writes has errors of its own
        shutil.rmtree(beside, ignore_errors=True)
        raise OSError(Errors.E041.format(file=directory, reason=error)) from error


def _write_files(
    directory: Path, model: LanguageModel, words: Sequence[str], softmax: SoftmaxSettings, card: str
) -> None:
    from safetensors.torch import save_file

    weights = {name: tensor.detach().cpu() for name, tensor in model.elmo.state_dict().items()}
    write_elmo(directory, ElmoFiles(model.elmo.config, weights, kind=KIND))
    if isinstance(model.elmo.config.alphabet, Utf8Bytes):
        write_bilm_tf(directory / HDF5, model.elmo.config, weights)
    (directory / VOCAB).write_text("".join(f"{word}\n" for word in words), encoding="utf8")
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.softmax.state_dict().items()}
    kind = json.dumps({"kind": softmax.kind, "cutoffs": softmax.cutoffs, "div_value": softmax.div_value})
    save_file(state, directory / SOFTMAX, metadata={"softmax": kind})
    shutil.copymode(directory / VOCAB, directory / SOFTMAX)  # safetensors writes for the owner only
    (directory / CARD).write_text(card, encoding="utf8")
