"""Whether this machine and this environment can run what needs a GPU; without either, says what is missing.

``python tests/gpu/machine.py driver`` looks at the machine alone, before anything is installed; without an argument, at
the environment too. Exit status 1 where something is missing. ``cupy`` prints the package that goes with this PyTorch.
"""

from __future__ import annotations

import ctypes
import sys


def driver_problem() -> str:
    """Ask the driver.

    :return: what is missing; empty where there is a CUDA GPU.
    """
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        cuda = ctypes.CDLL(library)
    except OSError:
        return f"this machine has no NVIDIA driver ({library} can't be loaded)"
    n_devices = ctypes.c_int(0)
    status = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(n_devices))
    if status or not n_devices.value:
        return f"the NVIDIA driver of this machine sees no GPU (its status is {status})"
    return ""


def cupy_package() -> str:
    """Name the CuPy that is built for PyTorch's CUDA.

    :return: a package of PyPI.
    """
    import torch

    return f"cupy-cuda{(torch.version.cuda or '12').split('.')[0]}x"


def problem() -> str:
    """Ask driver, PyTorch and CuPy.

    :return: what is missing, with the fix; empty where tests can run.
    """
    missing = driver_problem()
    if missing:
        return missing
    import torch

    if torch.version.cuda is None:
        return f"this PyTorch ({torch.__version__}) is built without CUDA: pip install a build from pytorch.org"
    if not torch.cuda.is_available():
        return f"this PyTorch ({torch.__version__}, CUDA {torch.version.cuda}) can't use it: the driver may be too old"
    try:
        import cupy
    except ImportError as error:
        return f"CuPy is missing ({error}): pip install {cupy_package()}"
    try:
        cupy.arange(3).sum().item()
    except Exception as error:  # CuPy compiles its kernels when they first run, and needs NVRTC and headers for that
        return f"CuPy {cupy.__version__} fails on the GPU ({type(error).__name__}: {error})"
    from thinc.compat import has_cupy_gpu

    return "" if has_cupy_gpu else "Thinc sees no GPU through CuPy"


if __name__ == "__main__":
    if sys.argv[1:] == ["cupy"]:
        sys.stdout.write(cupy_package() + "\n")
        sys.exit()
    found = driver_problem() if sys.argv[1:] == ["driver"] else problem()
    if found:
        sys.exit(f"Needs a CUDA GPU, and {found}.")
