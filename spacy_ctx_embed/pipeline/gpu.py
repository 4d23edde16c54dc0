"""The setting ``gpu`` of a component: follow Thinc's active ops, or activate the GPU through Thinc."""

from __future__ import annotations

from thinc import compat
from thinc.api import Model, get_current_ops, require_gpu, set_current_ops

from spacy_ctx_embed.checks import check_one_of, check_positive
from spacy_ctx_embed.errors import EncoderError, Errors
from spacy_ctx_embed.networks.device import in_pipe_worker

CHOICES = ("follow", "prefer", "require")


def activate(owner: str, model: Model, gpu: str, gpu_id: int) -> None:
    """Do what ``gpu`` says.

    :param owner: the component.
    :param model: its encoder, moved to the GPU where one is activated.
    :param gpu: "follow" leaves Thinc as it is; "prefer" activates the GPU where it can; "require" must.
    :param gpu_id: which GPU.
    :raises ValueError: with "require", if there is no usable GPU; says so when CuPy is what is missing.
    """
    check_one_of(owner, "gpu", gpu, CHOICES)
    check_positive(owner, "gpu_id", gpu_id, minimum=0)
    if gpu == "follow":
        return
    before = get_current_ops()
    try:
        if not compat.has_cupy_gpu and compat.has_torch_mps_gpu:
            raise ValueError("Apple's MPS is not supported")
        require_gpu(gpu_id)
    except Exception as error:  # thinc raises ValueError, CuPy and CUDA their own types for a GPU that fails
        set_current_ops(before)  # it may have activated CuPy before it found that there is no such GPU
        if gpu == "require":
            reason, fix = _diagnose(error)
            raise ValueError(Errors.E004.format(owner=owner, value=gpu, reason=reason, fix=fix)) from error
        return
    if type(model.ops).__name__ == "NumpyOps":
        model.to_gpu(gpu_id)


def refuse_workers(owner: str, model: Model) -> None:
    """Refuse to run on a GPU in a worker of ``nlp.pipe(n_process=…)``; spaCy itself only warns (W114).

    :param owner: the component.
    :param model: its encoder.
    :raises EncoderError: in a worker, if the encoder is on a GPU.
    """
    if type(model.ops).__name__ == "CupyOps" and in_pipe_worker():
        raise EncoderError(Errors.E008.format(owner=owner))


def _diagnose(error: Exception) -> tuple[str, str]:
    import torch

    if torch.cuda.is_available() and not compat.has_cupy:
        return (
            "PyTorch sees a GPU but CuPy is missing, through which spaCy and Thinc use it",
            "pip install 'spacy-ctx-embed[cuda12x]', or the CuPy package of your CUDA version",
        )
    if compat.has_cupy_gpu and not torch.cuda.is_available():
        return (
            "CuPy sees a GPU but this PyTorch is built without CUDA",
            "install a CUDA build of PyTorch",
        )
    return f"no usable GPU was found ({error})", "set gpu = 'prefer', or run on a machine with a GPU and its driver"
