"""HDF5 weights of bilm-tf and AllenNLP: a file -> named arrays."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import BinaryIO, Dict, Iterator, Tuple, Union

from spacy_ctx_embed.models.elmo.source.named_arrays import NamedArrays
from spacy_ctx_embed.models.elmo.source.options import AGAIN, unreadable


@contextlib.contextmanager
def open_hdf5(stream: Union[BinaryIO, Path], file: Path) -> Iterator[NamedArrays]:
    """Open a file for reading.

    :param stream: the file, or a seekable stream of it.
    :param file: its name, for messages.
    :yields: its datasets.
    :raises ModelFormatError: if it is not HDF5, or cut off.
    """
    import h5py

    try:
        with h5py.File(stream, "r") as data:
            shapes: Dict[str, Tuple[int, ...]] = {}

            def note(name: str, item: Union[h5py.Dataset, h5py.Group]) -> None:
                if isinstance(item, h5py.Dataset) and item.shape is not None:
                    shapes[name] = tuple(item.shape)

            data.visititems(note)
            yield NamedArrays(file, shapes, lambda name: data[name][()], "dataset")
    except OSError as error:
        unreadable(file, f"not readable as HDF5, or cut off ({error})", AGAIN, error)
