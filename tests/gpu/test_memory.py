"""The memory of the GPU: flat over a stream, and what happens where it is not enough."""

from __future__ import annotations

import random
import re
import threading
from typing import Dict, Iterator, List, Union

import numpy as np
import pytest
from spacy.language import Language

from spacy_ctx_embed.errors import EncoderError
from tests.gpu.encoders import NAME, TEXTS, farthest, on_cpu, pipeline, rows

pytestmark = pytest.mark.gpu

MB = 1 << 20


def _texts(n: int) -> Iterator[str]:
    draw = random.Random(0)
    words = "the bank of a river gave money to dogs and unbelievably green trees in spring".split()
    for _ in range(n):
        yield " ".join(draw.choices(words, k=draw.choice([1, 5, 20, 60, 150])))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["elmo", "bert"])
def test_memory_is_flat_over_ten_thousand_docs(family):
    import torch

    nlp = pipeline(family)
    held: List[int] = []
    for i, doc in enumerate(nlp.pipe(_texts(10_000), batch_size=64), 1):
        assert len(doc._.embeddings[NAME]) == len(doc)
        if i % 2000 == 0:
            torch.cuda.synchronize()
            held.append(torch.cuda.memory_allocated())
    assert len(held) == 5
    assert max(held[1:]) - min(held[1:]) <= 4 * MB  # of what is alive; what the allocator keeps is its own affair
    assert torch.cuda.max_memory_reserved() <= held[-1] + 4096 * MB


@pytest.mark.parametrize("family", ["elmo", "bert"])
def test_docs_that_are_kept_hold_none_of_it(family):
    import torch

    nlp = pipeline(family)
    nlp("Open the model.")
    before = torch.cuda.memory_allocated()
    docs = list(nlp.pipe(_texts(500)))
    assert len(docs) == 500
    assert torch.cuda.memory_allocated() - before <= 4 * MB


def test_too_little_memory_is_no_wrong_row_and_no_broken_pipeline():
    import torch

    texts = [" ".join(_texts(8)) for _ in range(64)]
    expected = rows(on_cpu("bert").pipe(texts))
    nlp = pipeline("bert", max_batch_tokens=1 << 20)  # far more at once than the default
    nlp("Open the model.")
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + 256 * MB) / total)
    try:
        found = _rows_or_message(nlp, texts)
        assert (
            re.search(r"CE09[34]\].*Accepted: .*Fix: ", found)
            if isinstance(found, str)
            else (farthest(found, expected) <= 1e-3)
        )
        assert farthest(rows([nlp(texts[0][:200])]), rows([on_cpu("bert")(texts[0][:200])])) <= 1e-3
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()


def _rows_or_message(nlp: Language, texts: List[str]) -> Union[str, List[np.ndarray]]:
    try:
        return rows(nlp.pipe(texts, batch_size=64))
    except EncoderError as error:
        return str(error)


def test_two_pipelines_run_at_once():
    settings = [
        ("bert", {}),
        ("elmo", {}),
        ("bert", {"layer_mix": "mean"}),
        ("elmo", {"layers": [0], "layer_mix": "last"}),
    ]
    pipelines = [pipeline(family, **of_model) for family, of_model in settings]
    expected = [rows(nlp.pipe(TEXTS)) for nlp in pipelines]
    found: Dict[int, List[np.ndarray]] = {}

    def run(i: int) -> None:
        found[i] = rows(pipelines[i].pipe(TEXTS * 10, batch_size=4))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(pipelines))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 1, 2, 3]
    for i, parts in found.items():
        assert farthest(parts, expected[i] * 10) <= 1e-4
