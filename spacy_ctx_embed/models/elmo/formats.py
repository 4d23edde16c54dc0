"""A path to an ELMo model in whatever format: looks at what is there, not at its name, and calls the one reader.

Enters: a folder, an archive or a file. Leaves: :class:`~spacy_ctx_embed.models.elmo.source.files.ElmoFiles`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Callable, Optional, Sequence, Tuple

from spacy_ctx_embed.models.elmo import many_langs
from spacy_ctx_embed.models.elmo.allennlp import archive
from spacy_ctx_embed.models.elmo.bilm_tf.folder import read_bilm_tf
from spacy_ctx_embed.models.elmo.folder import OPTIONS, WEIGHTS, read_folder
from spacy_ctx_embed.models.elmo.source.container import Container, open_container
from spacy_ctx_embed.models.elmo.source.files import ElmoFiles
from spacy_ctx_embed.models.elmo.source.options import unreadable
from spacy_ctx_embed.models.elmo.tensorflow.checkpoint import read_tensorflow


@dataclass(frozen=True)
class ElmoFormat:
    """One way in which models are published.

    :param clues: patterns of names of files that only this format has.
    :param read: reads a container; its second argument is the file that the user named, if its name tells the format.
    :param named: names that the user may give, if any is given; others are of another format.
    """

    clues: Tuple[str, ...]
    read: Callable[[Container, Optional[str]], ElmoFiles]
    named: Tuple[str, ...] = ("*",)

    def fits(self, names: Sequence[str], chosen: Optional[str]) -> bool:
        """Tell whether files are in this format.

        :param names: what is there, or the one file that was named.
        :param chosen: the file that the user named.
        :return: whether one of them is a clue, and the user named none of another format.
        """
        if chosen is not None and not any(fnmatchcase(chosen, pattern) for pattern in self.named):
            return False
        return any(fnmatchcase(name, clue) for name in names for clue in self.clues)


# What only one format has comes first.
FORMATS = (
    ElmoFormat((WEIGHTS,), lambda container, _: read_folder(container), named=(WEIGHTS, OPTIONS)),
    ElmoFormat(("*.hdf5",), read_bilm_tf),
    ElmoFormat(
        tuple(name for group in archive.WEIGHTS for name in group),
        lambda container, _: archive.read_allennlp_archive(container),
    ),
    ElmoFormat(tuple(many_langs.CLUES), lambda container, _: many_langs.read_many_langs(container)),
    ElmoFormat(("saved_model.pb", "*.index"), read_tensorflow),
)
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
    # A file that was chosen decides, where its name can.
    names = [name for name in container.names if "/" not in name]
    decides = chosen is not None and not chosen.endswith(_SAY_NOTHING)
    clues = [chosen] if chosen is not None and decides else names
    for one in FORMATS:
        if one.fits(clues, chosen):
            return one.read(container, chosen if decides else None)
    if "config.json" in names and any(name in names for name in _TRANSFORMERS):
        reason = "it is a transformer model, which the component 'elmo_embeddings' does not run"
        unreadable(container.label, reason, "use the component 'bert_embeddings' for it")
    inside = ", ".join(names[:8]) or "nothing"
    reason = f"no file in it is the weights of an ELMo model ({_WANTED}); in it: {inside}"
    return unreadable(container.label, reason, "name the folder or archive that holds the model's files")
