"""ELMo in plain loops over NumPy arrays, straight from the equations and the files; shares nothing with the package.

Sources: Peters et al. 2018; bilm-tf ``bilm/data.py`` and ``bilm/model.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import h5py
import numpy as np

State = Dict[Tuple[int, int], Tuple[np.ndarray, np.ndarray]]  # (direction, layer) -> h, c


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


class ReferenceElmo:
    def __init__(self, folder: Path, weights: str = "weights.hdf5") -> None:
        self.options: Dict[str, Any] = json.loads((folder / "options.json").read_text())
        self.data: Dict[str, np.ndarray] = {}
        with h5py.File(folder / weights, "r") as stream:
            stream.visititems(self._take)

    def _take(self, name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            self.data[name] = item[()].astype(np.float64)

    def char_ids(self, word: str) -> List[int]:
        max_chars = self.options["char_cnn"]["max_characters_per_token"]
        if word == "<S>":
            raw = [258, 256, 259]
        elif word == "</S>":
            raw = [258, 257, 259]
        else:
            raw = [258] + list(word.encode("utf-8", "ignore")[: max_chars - 2]) + [259]
        raw = raw + [260] * (max_chars - len(raw))
        return [i + 1 for i in raw]

    def token(self, word: str) -> np.ndarray:
        return self.token_of_ids(self.char_ids(word))

    def token_of_ids(self, ids: Sequence[int]) -> np.ndarray:
        cnn, table = self.options["char_cnn"], self.data["char_embed"]
        if len(table) == 261:
            table = np.concatenate([np.zeros((1, table.shape[1])), table])
        x = table[list(ids)]
        parts = []
        for i, (width, _) in enumerate(cnn["filters"]):
            kernel, bias = self.data[f"CNN/W_cnn_{i}"][0], self.data[f"CNN/b_cnn_{i}"]
            sums = [np.einsum("wd,wdn->n", x[p : p + width], kernel) + bias for p in range(len(x) - width + 1)]
            best = np.max(sums, axis=0)
            parts.append(np.maximum(best, 0) if cnn["activation"] == "relu" else np.tanh(best))
        y = np.concatenate(parts)
        for k in range(cnn.get("n_highway") or 0):
            gate = sigmoid(y @ self.data[f"CNN_high_{k}/W_carry"] + self.data[f"CNN_high_{k}/b_carry"])
            new = np.maximum(y @ self.data[f"CNN_high_{k}/W_transform"] + self.data[f"CNN_high_{k}/b_transform"], 0)
            y = gate * new + (1 - gate) * y
        if "CNN_proj/W_proj" in self.data:
            y = y @ self.data["CNN_proj/W_proj"] + self.data["CNN_proj/b_proj"]
        return y

    def _cell(self, direction: int, layer: int) -> Dict[str, np.ndarray]:
        for name in (f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell", f"RNN_{direction}/RNN/LSTMCell"):
            if f"{name}/W_0" in self.data:
                keys = [key for key in ("W_0", "B", "W_P_0") if f"{name}/{key}" in self.data]
                return {key: self.data[f"{name}/{key}"] for key in keys}
        raise KeyError(direction, layer)

    def lstm(self, vectors: np.ndarray, state: Optional[State] = None) -> Tuple[np.ndarray, State]:
        """(n_tokens, P) with boundaries -> (L + 1, n_tokens, 2P), new state."""
        lstm = self.options["lstm"]
        dim, width, n_layers = lstm["dim"], lstm["projection_dim"], lstm.get("n_layers", 1)
        cell_clip, proj_clip = lstm.get("cell_clip") or np.inf, lstm.get("proj_clip") or np.inf
        out = np.zeros((n_layers + 1, len(vectors), 2 * width))
        out[0] = np.concatenate([vectors, vectors], axis=1)
        new_state: State = {}
        for d in (0, 1):
            x = vectors if d == 0 else vectors[::-1]
            for layer in range(n_layers):
                cell = self._cell(d, layer)
                h, c = (state or {}).get((d, layer), (np.zeros(width), np.zeros(dim)))
                found = []
                for x_t in x:
                    i, j, f, o = np.split(np.concatenate([x_t, h]) @ cell["W_0"] + cell["B"], 4)
                    c = np.clip(sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j), -cell_clip, cell_clip)
                    h = sigmoid(o) * np.tanh(c)
                    if "W_P_0" in cell:
                        h = np.clip(h @ cell["W_P_0"], -proj_clip, proj_clip)
                    found.append(h + x_t if layer > 0 and lstm.get("use_skip_connections") else h)
                new_state[d, layer] = (h, c)
                x = np.array(found)
                out[layer + 1, :, d * width : (d + 1) * width] = x if d == 0 else x[::-1]
        return out, new_state

    def sentence(self, words: Sequence[str]) -> np.ndarray:
        """(L + 1, n_words, 2P) from zero state, boundaries removed."""
        vectors = np.array([self.token(word) for word in ["<S>", *words, "</S>"]])
        return self.lstm(vectors)[0][:, 1:-1]
