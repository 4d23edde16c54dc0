"""ELMo models of the published sizes with random weights, as bilm-tf writes them, and the work that they ask for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

_FILTERS = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024))


@dataclass(frozen=True)
class Size:
    """Sizes of an ELMo model.

    :param dim: cells per direction and layer.
    :param projection_dim: width of a direction's output.
    :param n_highway: highway layers of the token encoder.
    """

    dim: int
    projection_dim: int
    n_highway: int
    n_layers: int = 2
    char_dim: int = 16
    filters: Tuple[Tuple[int, int], ...] = _FILTERS
    max_chars: int = 50

    @property
    def n_filters(self) -> int:
        """Outputs of all convolutions together."""
        return sum(n for _, n in self.filters)


SIZES = {"small": Size(1024, 128, 1), "medium": Size(2048, 256, 1), "original": Size(4096, 512, 2)}


def write_model(size: Size, folder: Path, seed: int = 0) -> Tuple[Path, Path]:
    """Write ``options.json`` and ``weights.hdf5``.

    :param size: the sizes.
    :param folder: an existing folder.
    :param seed: of the random weights.
    :return: paths of the two files.
    """
    import h5py
    import numpy as np

    draw = np.random.default_rng(seed)

    def normal(*shape: int, fan_in: int) -> Any:
        return (draw.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)

    options = {
        "lstm": {
            "dim": size.dim,
            "projection_dim": size.projection_dim,
            "n_layers": size.n_layers,
            "cell_clip": 3,
            "proj_clip": 3,
            "use_skip_connections": True,
        },
        "char_cnn": {
            "activation": "relu",
            "embedding": {"dim": size.char_dim},
            "filters": [list(f) for f in size.filters],
            "n_highway": size.n_highway,
            "n_characters": 262,
            "max_characters_per_token": size.max_chars,
        },
    }
    options_path, weights_path = folder / "options.json", folder / "weights.hdf5"
    options_path.write_text(json.dumps(options), encoding="utf8")
    f, p, d = size.n_filters, size.projection_dim, size.dim
    with h5py.File(weights_path, "w") as file:
        file["char_embed"] = normal(261, size.char_dim, fan_in=1)
        for i, (width, n) in enumerate(size.filters):
            file[f"CNN/W_cnn_{i}"] = normal(1, width, size.char_dim, n, fan_in=width * size.char_dim)
            file[f"CNN/b_cnn_{i}"] = normal(n, fan_in=100)
        for k in range(size.n_highway):
            file[f"CNN_high_{k}/W_carry"] = normal(f, f, fan_in=f)
            file[f"CNN_high_{k}/W_transform"] = normal(f, f, fan_in=f)
            file[f"CNN_high_{k}/b_carry"] = np.full(f, -2, dtype=np.float32)
            file[f"CNN_high_{k}/b_transform"] = normal(f, fan_in=100)
        file["CNN_proj/W_proj"] = normal(f, p, fan_in=f)
        file["CNN_proj/b_proj"] = normal(p, fan_in=100)
        for direction in (0, 1):
            for layer in range(size.n_layers):
                cell = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
                file[f"{cell}/W_0"] = normal(2 * p, 4 * d, fan_in=2 * p)
                file[f"{cell}/B"] = normal(4 * d, fan_in=100)
                file[f"{cell}/W_P_0"] = normal(d, p, fan_in=d)
    return options_path, weights_path


def bilm_flops(size: Size, n_tokens: int) -> float:
    """Count the matrix products of the biLM, a product and a sum being two.

    :param size: the sizes.
    :param n_tokens: tokens, boundary symbols included.
    :return: floating point operations of both directions.
    """
    gates = 2 * (2 * size.projection_dim) * (4 * size.dim)
    projection = 2 * size.dim * size.projection_dim
    return float(2 * size.n_layers * (gates + projection) * n_tokens)


def bilm_bytes(size: Size, n_steps: int, n_tokens: int) -> Tuple[float, float]:
    """Count what the biLM moves through memory in float32 if nothing stays in a cache.

    :param size: the sizes.
    :param n_steps: steps of all batches; each reads all weights once.
    :param n_tokens: tokens, boundary symbols included.
    :return: bytes of weights, and of inputs, gates and cells written and read once.
    """
    weights = 2 * size.n_layers * (8 * size.projection_dim * size.dim + size.dim * size.projection_dim)
    activations = 2 * size.n_layers * 2 * (2 * size.projection_dim + 4 * size.dim + 2 * size.dim)
    return 4.0 * weights * n_steps, 4.0 * activations * n_tokens


def word_flops(size: Size, words: Sequence[str], *, padding: bool) -> float:
    """Count the matrix products of the token encoder.

    :param size: the sizes.
    :param words: the words that go through it.
    :param padding: whether all positions are convolved, or only those that touch the word.
    :return: floating point operations.
    """
    total = 0.0
    for word in words:
        n_chars = min(len(word.encode("utf8", "ignore")) + 2, size.max_chars)
        for width, n in size.filters:
            positions = size.max_chars - width + 1
            positions = positions if padding else min(n_chars, positions)
            total += 2.0 * width * size.char_dim * n * positions
    dense = size.n_highway * 2 * size.n_filters * 2 * size.n_filters + 2 * size.n_filters * size.projection_dim
    return total + float(dense) * len(words)


def steps_of(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> List[List[int]]:
    """Tell how many sentences run at each step of each batch when a batch shrinks as sentences end.

    :param lengths: tokens of each sentence.
    :param batches: indices into them.
    :return: per batch the number of sentences at each step.
    """
    found = []
    for batch in batches:
        inside = [lengths[i] for i in batch]
        found.append([sum(n > step for n in inside) for step in range(max(inside))])
    return found


def words_of(sentences: Sequence[Sequence[str]]) -> Dict[str, int]:
    """Count words.

    :param sentences: words of each sentence.
    :return: how often each occurs.
    """
    counts: Dict[str, int] = {}
    for sentence in sentences:
        for word in sentence:
            counts[word] = counts.get(word, 0) + 1
    return counts
