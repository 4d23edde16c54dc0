"""A component to a folder or to bytes and back: settings, vocabulary, encoder, and what was fitted on Docs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Optional, Union

import srsly
from spacy import util
from spacy.vocab import Vocab
from thinc.api import Model

from spacy_ctx_embed.pipeline import saving
from spacy_ctx_embed.rows.correction import Correction
from spacy_ctx_embed.rows.sif import Sif


class SavedAsFiles:
    """Base of a component that is saved; spaCy calls these methods by name."""

    vocab: Vocab
    model: Model
    serialize: str
    sif: Optional[Sif]
    sif_to_bytes: Callable[[], bytes]
    sif_to_disk: Callable[[Path], None]
    sif_from_bytes: Callable[[bytes], None]
    fitted_correction: Optional[Correction]
    correction_to_bytes: Callable[[], bytes]
    correction_to_disk: Callable[[Path], None]
    correction_from_bytes: Callable[[bytes], None]

    def to_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> None:
        """Save the component: small state in ``model``, each encoder as data files in a folder of its own.

        :param path: folder, made where missing.
        :param exclude: names of fields to leave out: "cfg", "vocab", "model", "sif", "correction".
        """
        writers: Dict[str, Callable[[Path], None]] = {
            "cfg": lambda p: srsly.write_json(p, saving.describe(self.model, self.serialize)),
            "vocab": lambda p: self.vocab.to_disk(p, exclude=exclude),
            "model": lambda p: saving.write(self.model, p, self.serialize),
            "sif": _absent if self.sif is None else self.sif_to_disk,
            "correction": _absent if self.fitted_correction is None else self.correction_to_disk,
        }
        util.to_disk(path, writers, exclude)

    def from_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> "SavedAsFiles":
        """Load what :meth:`to_disk` saved.

        :param path: the folder.
        :param exclude: names of fields to leave out.
        :return: this component.
        :raises ModelFormatError: if a file of the encoder is broken.
        """
        readers: Dict[str, Callable[[Path], Any]] = {
            "cfg": lambda p: saving.expect(self.model, srsly.read_json(p)),
            "vocab": lambda p: self.vocab.from_disk(p, exclude=exclude),
            "model": lambda p: saving.read(self.model, p),
            "sif": lambda p: self.sif_from_bytes(p.read_bytes()) if p.is_file() else None,
            "correction": lambda p: self.correction_from_bytes(p.read_bytes()) if p.is_file() else None,
        }
        util.from_disk(path, readers, exclude)
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Serialise the component.

        :param exclude: names of fields to leave out: "cfg", "vocab", "model", "sif", "correction".
        :return: the bytes.
        """
        writers: Dict[str, Callable[[], bytes]] = {
            "cfg": lambda: srsly.json_dumps(saving.describe(self.model, self.serialize)).encode("utf8"),
            "vocab": lambda: self.vocab.to_bytes(exclude=exclude),
            "model": lambda: saving.to_bytes(self.model, self.serialize),
            **({} if self.sif is None else {"sif": self.sif_to_bytes}),
            **({} if self.fitted_correction is None else {"correction": self.correction_to_bytes}),
        }
        return util.to_bytes(writers, exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "SavedAsFiles":
        """Load what :meth:`to_bytes` made.

        :param bytes_data: the bytes.
        :param exclude: names of fields to leave out.
        :return: this component.
        """
        readers: Dict[str, Callable[[bytes], Any]] = {
            "cfg": lambda b: saving.expect(self.model, srsly.json_loads(b)),
            "vocab": lambda b: self.vocab.from_bytes(b, exclude=exclude),
            "model": lambda b: self.model.from_bytes(b),
            "sif": self.sif_from_bytes,
            "correction": self.correction_from_bytes,
        }
        util.from_bytes(bytes_data, readers, exclude)
        return self


def _absent(path: Path) -> None:
    # An older save may have left it.
    path.unlink(missing_ok=True)
