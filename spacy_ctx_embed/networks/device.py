"""Which torch device Thinc's ops mean, and how torch survives a forked worker."""

from __future__ import annotations

import multiprocessing
import os
from typing import TYPE_CHECKING

from spacy_ctx_embed.errors import EncoderError, Errors

if TYPE_CHECKING:
    import torch
    from thinc.api import Ops


def torch_device(ops: Ops) -> torch.device:
    """Translate Thinc's ops into the torch device that holds the same arrays.

    :param ops: a model's ops.
    :return: ``cuda:N`` for CuPy ops (N: the active device), else ``cpu``.
    :raises EncoderError: for MPS ops. The Macs that run tests on the web have no MPS that works.
    """
    import torch

    kind = type(ops).__name__
    if kind == "CupyOps":
        return torch.device("cuda", torch.cuda.current_device())
    if kind == "MPSOps":
        raise EncoderError(Errors.E007.format(value=kind))
    return torch.device("cpu")


def in_pipe_worker() -> bool:
    """Tell whether this process is a worker of ``nlp.pipe(n_process=…)``.

    :return: true in such a worker, however it was started; false in any other process.
    """
    if multiprocessing.parent_process() is None:
        return False
    target = getattr(multiprocessing.current_process(), "_target", None)
    return getattr(target, "__module__", "") == "spacy.language"


def limit_threads(home_pid: int) -> None:
    """Use one torch thread in a forked child and in ``nlp.pipe`` workers.

    A forked child has none of its parent's OpenMP threads, and its first parallel region waits for them for ever.

    :param home_pid: id of the process that loaded the network.
    """
    if home_pid != os.getpid() or in_pipe_worker():
        import torch

        if torch.get_num_threads() > 1:
            torch.set_num_threads(1)
