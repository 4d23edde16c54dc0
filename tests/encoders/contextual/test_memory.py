"""encoders/contextual/memory.py: a GPU without memory for a batch. The GPU is a stand-in that refuses large batches."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, List

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language

from spacy_ctx_embed.encoders.shim import encoder_shims
from spacy_ctx_embed.errors import EncoderError
from tests.writers.elmo import write_random_elmo

TEXTS = [f"the bank of the river {'we sat on it ' * (i % 5)}dog" for i in range(40)]
SETTINGS = {"bert": {"overlap": 8, "max_batch_tokens": 128}, "elmo": {"max_batch_tokens": 128}}


@pytest.fixture(autouse=True)
def oldest_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    # The shorter name came with torch 2.5.
    monkeypatch.delattr(torch, "OutOfMemoryError", raising=False)


@pytest.fixture(scope="module")
def names(tiny_bert: Path, tmp_path_factory: Any) -> dict:
    return {"bert": str(tiny_bert), "elmo": str(write_random_elmo(tmp_path_factory.mktemp("elmo") / "model"))}


def pipeline(family: str, name: str, **settings: Any) -> Language:
    nlp = spacy.blank("xx")
    model = {
        "@architectures": f"spacy_ctx_embed.{family.capitalize()}.v1",
        "name": name,
        **SETTINGS[family],
        **settings,
    }
    nlp.add_pipe(f"{family}_embeddings", name="vectors", config={"model": model})
    return nlp


def give_memory_for(nlp: Language, n_tokens: int) -> List[int]:
    # The device has no memory for more from now on. Gives the tokens of the batches that ran.
    network, ran = encoder_shims(nlp.get_pipe("vectors").model)[0].network(), []
    run = network.run

    def limited(segments: Any, layers: Any) -> Any:
        n = sum(len(segment.tokens) for segment in segments)
        if n > n_tokens:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has …")
        ran.append(n)
        return run(segments, layers)

    network.run = limited
    return ran


def rows_of(nlp: Language, texts: List[str] = TEXTS) -> np.ndarray:
    return np.concatenate([doc._.embeddings["vectors"] for doc in nlp.pipe(texts)])


@pytest.mark.parametrize("family", ["bert", "elmo"])
def test_without_memory_for_a_batch_its_halves_are_run_and_one_warning_is_given(family, names):
    expected = rows_of(pipeline(family, names[family]))
    nlp = pipeline(family, names[family])
    ran = give_memory_for(nlp, 75)
    with pytest.warns(UserWarning, match=r"\[CW006\].*max_batch_tokens = 64.*where it is 128") as seen:
        rows = rows_of(nlp)
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    assert [str(w.message)[:7] for w in seen] == ["[CW006]"]
    assert len(ran) > 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what comes later is in small batches from the start
        np.testing.assert_allclose(rows_of(nlp), expected, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "elmo"])
def test_where_half_a_batch_is_too_much_as_well_the_error_names_the_setting(family, names):
    nlp = pipeline(family, names[family])
    give_memory_for(nlp, 5)
    with pytest.warns(UserWarning, match="CW006"), pytest.raises(EncoderError, match=r"(?s)CE094.*max_batch_tokens"):
        rows_of(nlp)


def test_one_text_can_not_be_halved(names):
    nlp = pipeline("bert", names["bert"])
    give_memory_for(nlp, 5)
    with pytest.raises(EncoderError, match=r"(?s)CE094.*CUDA out of memory"):
        nlp(TEXTS[0])


def test_state_that_is_carried_along_is_no_reason_to_halve(names):
    nlp = pipeline("elmo", names["elmo"], stateful=True)
    give_memory_for(nlp, 75)
    with pytest.raises(EncoderError, match="CE094"):
        rows_of(nlp)
