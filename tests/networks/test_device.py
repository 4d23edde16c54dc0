"""networks/device.py: torch's device of Thinc's ops, and threads in forked children."""

import os

import pytest
import torch
from thinc.api import MPSOps, NumpyOps, use_ops

from spacy_ctx_embed.encoders.bert.model import make_bert_v1
from spacy_ctx_embed.errors import EncoderError
from spacy_ctx_embed.networks.device import in_pipe_worker, limit_threads, torch_device


def test_the_ops_of_a_cpu_mean_the_cpu():
    assert torch_device(NumpyOps()) == torch.device("cpu")


def test_apples_gpu_is_refused_when_a_network_is_opened(tiny_bert):
    with use_ops("mps"):  # its arrays are NumPy's, so that it can be active anywhere
        model = make_bert_v1(name=str(tiny_bert), overlap=8)
    assert isinstance(model.ops, MPSOps)
    with pytest.raises(EncoderError, match=r"CE007.*MPSOps.*Accepted: the CPU, or a CUDA GPU.*Fix: .*require_cpu"):
        model.initialize()


def test_threads_stay_in_the_process_that_loaded_the_network():
    before = torch.get_num_threads()
    limit_threads(os.getpid())
    assert torch.get_num_threads() == before
    assert not in_pipe_worker()


def test_another_process_runs_on_one_thread():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        limit_threads(-1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
