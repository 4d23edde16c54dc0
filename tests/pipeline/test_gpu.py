"""pipeline/gpu.py without a GPU: what it asks Thinc for, what it says where there is none, and workers that have one.

What needs a real one is in tests/gpu.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from thinc import compat
from thinc.api import CupyOps, NumpyOps, get_current_ops, set_current_ops

from spacy_ctx_embed.pipeline import gpu


@pytest.fixture
def no_gpu(monkeypatch):
    for name in ("has_cupy", "has_cupy_gpu", "has_torch_mps_gpu"):
        monkeypatch.setattr(compat, name, False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return monkeypatch


@pytest.fixture
def asked(no_gpu):
    # GPUs that Thinc was asked for, as if there were one.
    found = []
    no_gpu.setattr(gpu, "require_gpu", found.append)
    return found


def test_follow_asks_for_nothing(asked, make_nlp):
    make_nlp("bert", gpu_id=3)
    assert asked == []


@pytest.mark.parametrize("choice", ["prefer", "require"])
def test_the_gpu_that_the_config_names_is_activated(choice, asked):
    moved = []
    model = SimpleNamespace(ops=NumpyOps(), to_gpu=moved.append)  # built before the GPU was active
    gpu.activate("mine", model, choice, 1)
    assert asked == moved == [1]


@pytest.mark.parametrize(
    ("there", "reason", "fix"),
    [
        ({}, "no usable GPU was found", "gpu = 'prefer'"),
        ({"torch": True}, "PyTorch sees a GPU but CuPy is missing", "pip install 'spacy-ctx-embed.cuda12x.'"),
        ({"has_cupy": True, "has_cupy_gpu": True}, "PyTorch is built without CUDA", "CUDA build of PyTorch"),
        ({"has_torch_mps_gpu": True}, "Apple's MPS is not supported", "gpu = 'prefer'"),
    ],
)
def test_require_says_what_is_missing_and_prefer_goes_on_without(there, reason, fix, no_gpu, make_nlp):
    def fails(gpu_id):
        raise ValueError("No GPU devices detected")

    no_gpu.setattr(gpu, "require_gpu", fails)
    for name, value in there.items():
        if name == "torch":
            no_gpu.setattr(torch.cuda, "is_available", lambda: True)
        else:
            no_gpu.setattr(compat, name, value)
    with pytest.raises(ValueError, match=rf"CE004.*static_embeddings: gpu = 'require', but .*{reason}.*Fix: .*{fix}"):
        make_nlp("static", gpu="require")
    assert isinstance(get_current_ops(), NumpyOps)
    assert make_nlp("bert", gpu="prefer")("the bank")[1]._.has_vector


@pytest.mark.parametrize("choice", ["prefer", "require"])
def test_a_gpu_that_is_not_there_leaves_thinc_as_it_was(choice, no_gpu, make_nlp):
    def fails(gpu_id):
        set_current_ops(CupyOps())  # as thinc does, before CuPy says that it has no such device
        raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")

    no_gpu.setattr(gpu, "require_gpu", fails)
    before = get_current_ops()
    if choice == "require":
        with pytest.raises(ValueError, match="CE004.*invalid device ordinal"):
            make_nlp("static", gpu=choice, gpu_id=7)
    else:
        assert make_nlp("bert", gpu=choice, gpu_id=7)("the bank")[1]._.has_vector
    assert get_current_ops() is before


@pytest.mark.parametrize("source", ["static", "bert"])
def test_workers_with_a_gpu_are_refused_and_the_pipeline_goes_on(source, make_nlp):
    nlp = make_nlp(source)
    expected = np.array(nlp("the bank")._.embeddings[f"{source}_embeddings"])
    nlp.get_pipe(f"{source}_embeddings").model.ops = CupyOps()
    with (
        pytest.warns(UserWarning, match="W114"),  # spaCy's own, which leaves it at that
        pytest.raises(
            ValueError, match=rf"CE008\] {source}_embeddings: .*n_process > 1.*Accepted: n_process = 1.*Fix: "
        ),
    ):
        list(nlp.pipe(["the bank"] * 6, n_process=2, batch_size=2))
    nlp.get_pipe(f"{source}_embeddings").model.ops = NumpyOps()
    for doc in nlp.pipe(["the bank"] * 2):
        np.testing.assert_allclose(doc._.embeddings[f"{source}_embeddings"], expected, atol=1e-6)
    assert len(list(nlp.pipe(["the bank"] * 6, n_process=2, batch_size=2))) == 6
