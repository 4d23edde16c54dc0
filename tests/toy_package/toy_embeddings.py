"""A package that brings a fourth family and a static format, by entry points alone: the example of CONTRIBUTING.md."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Optional, Sequence

import numpy as np
import torch
from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Model, Ops

from spacy_ctx_embed.data import LayerStack, Segment
from spacy_ctx_embed.encoders.contextual.model import make_contextual
from spacy_ctx_embed.encoders.network import ContextualNetwork
from spacy_ctx_embed.encoders.settings import ContextualSettings
from spacy_ctx_embed.models.places import find_model
from spacy_ctx_embed.models.static.plugins import StaticFormat, TableFile
from spacy_ctx_embed.models.static.tables.table import VectorTable
from spacy_ctx_embed.pipeline.factories import make_embeddings
from spacy_ctx_embed.segments.words import word_segments

PLACES = [str(Path(__file__).with_name("toy_model"))]  # of the alias "toy-model"


@dataclass(frozen=True, kw_only=True)
class HashSettings(ContextualSettings):
    """Those of every network over segments are enough."""

    owner = "toy.Hashes.v1"


class HashNetwork(ContextualNetwork):
    """Three layers: hashes of a word, the mean with its neighbours, and of the whole window."""

    kind, by_sentences, n_layers = "toy", True, 3

    def __init__(self, path: Path, width: int) -> None:
        self.path, self.width = path, width
        self.module = torch.nn.Embedding(1000, width)
        torch.nn.init.normal_(self.module.weight, generator=torch.Generator().manual_seed(0))

    @property
    def device(self) -> torch.device:
        return self.module.weight.device

    @property
    def checksum(self) -> str:
        return str(self.width)

    def identity(self) -> List[Any]:
        return [str(self.width).encode()]

    def save(self, directory: Path) -> None:
        (directory / "toy.json").write_text(json.dumps({"width": self.width}))

    def segment(self, docs: Sequence[Doc]) -> List[Segment]:
        return word_segments(docs, 100)

    def run(self, segments: Sequence[Segment], layers: Sequence[int]) -> LayerStack:
        parts = []
        for segment in segments:
            ids = torch.tensor([sum(word.encode()) % 1000 for word in segment.inputs], dtype=torch.long)
            own = self.module(ids)
            near = (own + own.roll(1, 0) + own.roll(-1, 0)) / 3
            parts.append(torch.stack([own, near, own.mean(0).expand_as(own)]))
        return LayerStack(torch.cat(parts, dim=1)[list(layers)])


def make_hashes_v1(name: str, layers: Any = "all", layer_mix: str = "mean", max_batch_tokens: int = 1000) -> Model:
    return make_contextual(HashSettings(**locals()), _open)


def _open(settings: HashSettings, directory: Optional[Path], ops: Ops) -> HashNetwork:
    path = directory if directory is not None else find_model("toy", settings.name, owner=HashSettings.owner).path
    return HashNetwork(path, json.loads((path / "toy.json").read_text())["width"])


make_toy_embeddings = Language.factory(
    "toy_embeddings",
    func=make_embeddings,
    default_config={
        **Language.get_factory_meta("bert_embeddings").default_config,
        "model": {"@architectures": HashSettings.owner, "name": "toy-model"},
    },
)


def _read(file: TableFile) -> VectorTable:
    words = json.loads(file.plain.read_bytes()[4:])
    return VectorTable(list(words), np.array(list(words.values()), dtype=np.float32))


TOY_FORMAT = StaticFormat(lambda head: head.startswith(b"TOY:"), _read)
