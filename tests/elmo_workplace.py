"""A folder with a tiny ELMo model in each published format, under the names that the documents use, and a cache in
which aliases find theirs."""

from __future__ import annotations

import json
import shutil
import zipfile
from hashlib import sha256
from pathlib import Path

import h5py
import numpy as np
import torch

from spacy_ctx_embed.models.aliases import all_aliases
from spacy_ctx_embed.models.names import web_files
from tests.models.elmo.tensorflow.test_checkpoint import (
    hub_options,
    hub_variables,
    training_names,
    write_saved_model,
    write_training_run,
)
from tests.writers.allennlp import allennlp_config, elmo_state, write_archive
from tests.writers.elmo import elmo_datasets, elmo_options, write_random_elmo
from tests.writers.many_langs import write_many_langs

WORDS = ["<S>", "</S>", "<UNK>", "The", "cat", "sat"]
WIDTH = 6  # of elmo_options: what one direction gives


def write_models(folder: Path) -> None:
    """Write ``small``, ``words``, ``cached``, ``original-tf``, ``google-elmo``, ``tagger.tar.gz``, ``zh``, ``217.zip``
    and ``de``."""
    folder.mkdir(parents=True)
    options = elmo_options(n_characters=261)
    small = write_random_elmo(folder / "small")
    _word_model(shutil.copytree(small, folder / "words"))
    with h5py.File(shutil.copytree(small, folder / "cached") / "tokens.hdf5", "w") as stream:
        stream["embedding"] = _rows()
    (folder / "cached" / "vocab.txt").write_text("\n".join(WORDS))
    write_training_run(folder / "original-tf", options, training_names(elmo_datasets(options)))
    write_saved_model(folder / "google-elmo", hub_variables(hub_options()))
    write_archive(folder / "tagger.tar.gz", elmo_state(options, elmo_datasets(options)), allennlp_config())
    write_many_langs(folder / "zh")
    with zipfile.ZipFile(folder / "217.zip", "w") as archive:
        for source, name in (("options.json", "options.json"), ("weights.hdf5", "model.hdf5")):
            archive.write(small / source, name)
        archive.writestr("vocab.txt", "\n".join(WORDS))
    write_aligned(folder / "de", "de")


def write_aligned(folder: Path, lang: str) -> Path:
    write_random_elmo(folder)
    (folder / "options.json").rename(folder / "options262.json")
    (folder / "weights.hdf5").rename(folder / f"{lang}_weights.hdf5")
    matrix = np.random.default_rng(2).standard_normal((2 * WIDTH, 2 * WIDTH))
    torch.save(matrix, folder / f"{lang}_best_mapping.pth", _use_new_zipfile_serialization=False)
    return folder


def put_in_cache(cache: Path, alias: str, source: Path) -> None:
    """Put a model where an alias would be downloaded to: the files of a folder, or that folder as a zip archive."""
    place = all_aliases()[alias][0]
    folder, found = cache / sha256(place.encode("utf8")).hexdigest()[:16], web_files(place)
    folder.mkdir(parents=True)
    if not found.several:
        with zipfile.ZipFile(folder / next(iter(found.urls)), "w") as archive:
            for file in source.iterdir():
                archive.write(file, file.name)
        return
    for name in found.urls:  # the published names end in those of the source
        original = next(file for file in source.iterdir() if name.endswith(file.name))
        shutil.copy(original, folder / name)


def _word_model(folder: Path) -> None:
    options = json.loads((folder / "options.json").read_text())
    del options["char_cnn"]
    (folder / "options.json").write_text(json.dumps(options))
    with h5py.File(folder / "weights.hdf5", "a") as stream:
        for name in [name for name in stream if not name.startswith("RNN")]:
            del stream[name]
        stream["embedding"] = _rows()
    (folder / "vocab.txt").write_text("\n".join(WORDS))


def _rows() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((len(WORDS), WIDTH)).astype("f")
