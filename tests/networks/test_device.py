"""networks/device.py: torch's device of Thinc's ops, and threads in forked children."""

import os

import torch
from thinc.api import NumpyOps

from spacy_ctx_embed.networks.device import in_pipe_worker, limit_threads, torch_device


def test_the_ops_of_a_cpu_mean_the_cpu():
    assert torch_device(NumpyOps()) == torch.device("cpu")


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
