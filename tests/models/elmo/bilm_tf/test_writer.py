"""models/elmo/bilm_tf/writer.py: what AllenNLP holds in memory goes back to the datasets that it was read from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Tuple

import h5py
import numpy as np
import pytest
import torch

from spacy_ctx_embed.models.elmo.allennlp.modules import read_state
from spacy_ctx_embed.models.elmo.bilm_tf.writer import datasets, read_source, write_bilm_tf
from spacy_ctx_embed.models.elmo.source.options import parse_options
from spacy_ctx_embed.models.elmo.source.torch_state import named_tensors
from spacy_ctx_embed.networks.elmo.alphabets import Utf8Bytes
from spacy_ctx_embed.networks.elmo.module import ElmoConfig
from tests.writers.allennlp import elmo_state
from tests.writers.elmo import elmo_datasets, elmo_options, write_random_elmo


def converted(sizes: Dict[str, Any], state: Dict[str, torch.Tensor]) -> Tuple[ElmoConfig, Dict[str, torch.Tensor]]:
    parsed = parse_options(json.dumps(sizes).encode(), Path("options.json"))
    assert parsed.char_cnn is not None
    weights = read_state(named_tensors(state, Path("weights")), parsed.char_cnn, parsed.bilm)
    return ElmoConfig(parsed.char_cnn, parsed.bilm, Utf8Bytes()), weights


def bilm_state(sizes: Dict[str, Any], arrays: Dict[str, Any]) -> Dict[str, torch.Tensor]:
    return {name.removeprefix("_elmo_lstm."): tensor for name, tensor in elmo_state(sizes, arrays, "").items()}


@pytest.mark.parametrize("options", [{}, {"n_layers": 1, "n_highway": 2}, {"n_layers": 3, "n_highway": 0}])
def test_datasets_are_those_that_allennlp_loaded(options: Dict[str, Any]) -> None:
    sizes = elmo_options(**options)
    expected = elmo_datasets(sizes)
    state = bilm_state(sizes, expected)
    found = datasets(*converted(sizes, state), np.float64)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        # The bias of the forget gate has been rounded with the 1 added.
        np.testing.assert_allclose(found[name], array, atol=1e-6 if name.endswith("/B") else 0)


def test_forget_bias_comes_back_as_it_was() -> None:
    sizes = elmo_options()
    state = bilm_state(sizes, elmo_datasets(sizes))
    name = "_elmo_lstm.forward_layer_1.state_linearity.bias"
    state[name] = torch.linspace(-3, 3, 48) ** 5 / 1e2  # of many sizes, small ones too
    found = datasets(*converted(sizes, state), np.float64)
    bias = found["RNN_0/RNN/MultiRNNCell/Cell1/LSTMCell/B"][24:36] + 1
    np.testing.assert_array_equal(bias.astype("f"), state[name][12:24].numpy())


def test_file_names_what_it_was_made_from(tmp_path: Path) -> None:
    sizes = elmo_options()
    state = bilm_state(sizes, elmo_datasets(sizes))
    for source in (None, "abc"):
        write_bilm_tf(tmp_path / "weights.hdf5", *converted(sizes, state), source_checksum=source)
        assert read_source(tmp_path / "weights.hdf5") == source
    with h5py.File(tmp_path / "weights.hdf5") as stream:
        assert stream["char_embed"].shape == (261, 4)


def test_file_of_another_origin_names_nothing(tmp_path: Path) -> None:
    assert read_source(write_random_elmo(tmp_path) / "weights.hdf5") is None
