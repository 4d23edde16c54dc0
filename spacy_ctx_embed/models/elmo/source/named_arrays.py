"""Named arrays of one weight file, checked as they are read: the same errors for HDF5, TensorFlow and torch files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping, NoReturn, Optional, Tuple

import numpy as np
import torch

from spacy_ctx_embed.models.elmo.source.options import AGAIN, PAIR, unreadable, wrong

Shape = Tuple[int, ...]


class NamedArrays:
    """The arrays of one file. None is read before it is asked for.

    :param file: the file, for messages; a member of an archive as ``archive.zip/member``.
    :param shapes: name -> shape of everything in it.
    :param load: gives the array of a name (or a tensor on the CPU).
    :param noun: what the format calls an array: "dataset", "variable", "tensor".

    ``sizes`` may be set to the file that the accepted shapes come from; messages then name it too.
    """

    def __init__(self, file: Path, shapes: Mapping[str, Shape], load: Callable[[str], Any], noun: str) -> None:
        self.file = file
        self.sizes: Optional[Path] = None
        self.shapes = shapes
        self._load = load
        self._noun = noun

    def __contains__(self, name: str) -> bool:
        return name in self.shapes

    def read(self, name: str, *shapes: Shape) -> torch.Tensor:
        """Read one array.

        :param name: its name.
        :param *shapes: the shapes that are accepted, at least one.
        :return: a float32 tensor of one of the shapes, all its values finite.
        :raises ModelFormatError: if it is missing, of another shape, not floating-point, or not finite everywhere.
        """
        found = self.shapes.get(name)
        if found is None or tuple(found) not in shapes:
            self.refuse_shape(name, *shapes)
        try:
            values = self._load(name)
        except OSError as error:
            unreadable(self.file, f"the {self._noun} '{name}' can't be read ({error})", AGAIN, error)
        tensor = values if isinstance(values, torch.Tensor) else _as_tensor(np.asarray(values))
        if tensor is None or not tensor.is_floating_point():
            kind = getattr(values, "dtype", type(values).__name__)
            wrong(self.file, self._item(name), f"of type {kind}", "floating-point numbers", AGAIN)
        tensor = tensor.to(torch.float32)
        if tensor.numel() and not all(map(math.isfinite, torch.aminmax(tensor))):  # this way no copy is made
            n = int((~torch.isfinite(tensor)).sum())
            wrong(self.file, self._item(name), f"not finite (NaN or infinite) in {n} places", "numbers", AGAIN)
        return tensor

    def refuse_shape(self, name: str, *shapes: Shape) -> NoReturn:
        """Say that an array is missing or has the wrong shape.

        :param name: its name.
        :param *shapes: the shapes that are accepted.
        :raises ModelFormatError: always.
        """
        expected = " or ".join(shape_text(shape) for shape in shapes)
        if self.sizes is not None:
            expected += f", after {self.sizes}"
        wrong(self.file, self._item(name), shape_text(self.shapes.get(name)), expected, PAIR)

    def refuse_extra(self, name: str, key: str, value: int) -> None:
        """Refuse what the options do not mention: it would be dropped without a word.

        :param name: an array that must not be there.
        :param key: the key of the options that counts such arrays.
        :param value: its value.
        :raises ModelFormatError: if it is there, or anything below it.
        """
        if any(other == name or other.startswith(f"{name}/") for other in self.shapes):
            found = f"{value}, but the weights also hold '{name}'"
            wrong(self.file, f"the key '{key}' of its options", found, "the number of them in the file", PAIR)

    def _item(self, name: str) -> str:
        return f"the {self._noun} '{name}'"


def shape_text(shape: Optional[Iterable[int]]) -> str:
    """Word a shape for a message.

    :param shape: the shape, ``None`` for an array that is not there.
    :return: the words.
    """
    return "missing" if shape is None else f"of shape {tuple(shape)}"


def _as_tensor(array: np.ndarray) -> Optional[torch.Tensor]:
    # float64 and big-endian files too; None for what is not made of floating-point numbers
    if array.dtype.kind != "f":
        return None
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
