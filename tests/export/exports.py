"""What the tests of exports share: a pipeline on the disk, a corpus, and the dataset as plain arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import numpy as np

WORDS = "the bank of a river , money in spring ! running un ##believ 永 🍵 xyzzy".split()


def make_texts(n: int, seed: int = 0) -> List[str]:
    """Make short documents of one to four sentences."""
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, random.integers(1, 40))) + " ." for _ in range(n)]


def write_lines(file: Path, texts: List[str]) -> Path:
    """Write a document a line."""
    file.write_text("\n".join(texts) + "\n", encoding="utf8")
    return file


def read_dataset(out: Path) -> Dict[str, Any]:
    """Read all columns of a dataset: vectors as ``(n_rows, width)`` arrays, others as lists."""
    import pyarrow.parquet as pq

    table = pq.read_table(out).combine_chunks()
    found: Dict[str, Any] = {}
    for name in table.column_names:
        column = table.column(name)
        if str(column.type).startswith("fixed_size_list"):
            flat = np.concatenate([chunk.flatten().to_numpy() for chunk in column.chunks] or [np.zeros(0)])
            found[name] = flat.reshape(len(column), column.type.list_size)
        else:
            found[name] = column.to_pylist()
    return found


def close(one: Dict[str, Any], other: Dict[str, Any]) -> bool:
    """Whether two datasets are the same but for how sums are rounded, which depends on the number of threads."""
    return one.keys() == other.keys() and all(
        np.allclose(one[key], other[key], atol=1e-5) if isinstance(one[key], np.ndarray) else one[key] == other[key]
        for key in one
    )


def same(one: Dict[str, Any], other: Dict[str, Any]) -> bool:
    """Whether two datasets are the same to the bit."""
    return one.keys() == other.keys() and all(
        one[key].tobytes() == other[key].tobytes() if isinstance(one[key], np.ndarray) else one[key] == other[key]
        for key in one
    )
