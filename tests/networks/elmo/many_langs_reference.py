"""ELMoForManyLangs in plain loops over NumPy arrays, straight from its equations; shares nothing with the package.

Sources: Che et al. 2018; ``elmoformanylangs/elmo.py`` and its ``modules``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, List, Sequence

import numpy as np
import torch


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def read_dic(file: Path) -> Dict[str, int]:
    found: Dict[str, int] = {}
    for line in file.read_text(encoding="utf8").rstrip("\n").split("\n"):
        parts = line.strip().split("\t")
        found[parts[0] if len(parts) == 2 else "\u3000"] = int(parts[-1])
    return found


class ManyLangsReference:
    def __init__(self, folder: Path, architecture: str = "tiny.json") -> None:
        options = json.loads((folder / architecture).read_text())
        self.encoder, self.embedder = options["encoder"], options["token_embedder"]
        self.data: Dict[str, np.ndarray] = {}
        for name in ("token_embedder.pkl", "encoder.pkl"):
            for key, tensor in torch.load(folder / name, weights_only=True).items():
                self.data[key] = tensor.double().numpy()
        self.words = read_dic(folder / "word.dic") if self.embedder["word_dim"] else {}
        self.chars = read_dic(folder / "char.dic") if self.embedder["char_dim"] else {}

    def char_ids(self, word: str) -> List[int]:
        chars, limit = self.chars, self.embedder["max_characters_per_token"]
        inside = [word] if word in ("<bos>", "<eos>") else list(word)[: limit - 2]
        ids = [chars["<eow>"]]
        for char in inside:
            ids.append(chars[char] if char in chars else chars["<oov>"])
        ids.append(chars["<bow>"])
        while len(ids) < limit:
            ids.append(chars["<pad>"])
        return ids

    def spelling(self, word: str) -> np.ndarray:
        x = self.data["char_emb_layer.embedding.weight"][self.char_ids(word)]
        parts = []
        for i, (width, _) in enumerate(self.embedder["filters"]):
            kernel, bias = self.data[f"convolutions.{i}.weight"], self.data[f"convolutions.{i}.bias"]
            sums = [np.einsum("wd,ndw->n", x[p : p + width], kernel) + bias for p in range(len(x) - width + 1)]
            best = np.max(sums, axis=0)
            parts.append(np.maximum(best, 0) if self.embedder["activation"] == "relu" else np.tanh(best))
        y = np.concatenate(parts)
        for k in range(self.embedder["n_highway"]):
            z = self.data[f"highways._layers.{k}.weight"] @ y + self.data[f"highways._layers.{k}.bias"]
            new, gate = np.maximum(z[: len(y)], 0), sigmoid(z[len(y) :])
            y = gate * y + (1 - gate) * new
        return y

    def token(self, word: str) -> np.ndarray:
        parts = []
        if self.embedder["word_dim"]:
            cut = word[: self.embedder["max_characters_per_token"] - 2]
            row = self.words[cut] if cut in self.words else self.words["<oov>"]
            parts.append(self.data["word_emb_layer.embedding.weight"][row])
        if self.embedder["char_dim"]:
            parts.append(self.spelling(word))
        return self.data["projection.weight"] @ np.concatenate(parts) + self.data["projection.bias"]

    def lstm(self, vectors: np.ndarray) -> np.ndarray:
        """(n_tokens, P) with boundaries -> (L + 1, n_tokens, 2P)."""
        dim, width, n_layers = (self.encoder[key] for key in ("dim", "projection_dim", "n_layers"))
        out = np.zeros((n_layers + 1, len(vectors), 2 * width))
        out[0] = np.concatenate([vectors, vectors], axis=1)
        for d, direction in enumerate(("forward", "backward")):
            x = vectors[:: 1 - 2 * d]
            for layer in range(n_layers):
                cell = f"{direction}_layer_{layer}"
                h, c, found = np.zeros(width), np.zeros(dim), []
                for x_t in x:
                    z = self.data[f"{cell}.input_linearity.weight"] @ x_t
                    z = z + self.data[f"{cell}.state_linearity.weight"] @ h + self.data[f"{cell}.state_linearity.bias"]
                    i, f, g, o = np.split(z, 4)
                    c = sigmoid(i) * np.tanh(g) + sigmoid(f) * c
                    c = np.clip(c, -self.encoder["cell_clip"], self.encoder["cell_clip"])
                    h = self.data[f"{cell}.state_projection.weight"] @ (sigmoid(o) * np.tanh(c))
                    h = np.clip(h, -self.encoder["proj_clip"], self.encoder["proj_clip"])
                    found.append(h + x_t if layer > 0 else h)
                x = np.array(found)
                out[layer + 1, :, d * width : (d + 1) * width] = x[:: 1 - 2 * d]
        return out

    def sentence(self, words: Sequence[str]) -> np.ndarray:
        """(L + 1, n_words, 2P) from zero state, boundaries removed."""
        return self.lstm(np.array([self.token(word) for word in ["<bos>", *words, "<eos>"]]))[:, 1:-1]
