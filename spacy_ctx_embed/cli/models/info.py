"""``info``: versions, devices, models and caches of this machine, for a report of a fault and for oneself."""

from __future__ import annotations

import contextlib
import json
import platform
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Dict, List

import typer

PACKAGES = (
    "spacy-ctx-embed spacy thinc numpy torch transformers tokenizers sentencepiece gensim h5py safetensors "
    "huggingface-hub lmdb pyarrow spacy-transformers spacy-curated-transformers sentence-transformers allennlp "
    "cupy-cuda11x cupy-cuda12x cupy"
).split()


@dataclass(frozen=True)
class Cache:
    """A folder in which downloaded models are kept.

    :param of: whose it is.
    :param path: the folder.
    :param n_bytes: size of the files in it, 0 where it is not there.
    """

    of: str
    path: str
    n_bytes: int


@dataclass(frozen=True)
class Info:
    """What this machine has.

    :param python: version of Python.
    :param system: operating system and processor.
    :param packages: version of each package that is installed.
    :param devices: what torch and spaCy can compute on.
    :param models: of each alias whose files are on this machine, where they are.
    :param caches: folders of downloaded models.
    """

    python: str
    system: str
    packages: Dict[str, str]
    devices: Dict[str, str]
    models: Dict[str, str]
    caches: List[Cache]


def info_cli(
    # fmt: off
    as_json: bool = typer.Option(False, "--json", "-j", help="Print JSON and nothing else"),
    # fmt: on
) -> None:
    """
    Show versions, devices, the models that are on this machine, and the caches with their sizes.

    Nothing is downloaded. Paste the output into a report of a fault.
    """
    found = info()
    typer.echo(json.dumps(asdict(found), indent=2, ensure_ascii=False) if as_json else format_info(found))


def info() -> Info:
    """Look at this machine.

    :return: what it has.
    """
    return Info(
        python=sys.version.split()[0],
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        packages=_packages(),
        devices=_devices(),
        models=_models(),
        caches=_caches(),
    )


def format_info(found: Info) -> str:
    """Write it as text that GitHub shows as it is.

    :param found: what :func:`info` gave.
    :return: lines.
    """
    groups = {
        "versions": {"python": found.python, "system": found.system, **found.packages},
        "devices": found.devices,
        "models on this machine": found.models,
        "caches": {cache.of: f"{cache.path}, {_size(cache.n_bytes)}" for cache in found.caches},
    }
    lines = []
    for title, rows in groups.items():
        width = max(map(len, rows), default=0)
        lines += [title, *(f"  {key:<{width}}  {value}" for key, value in rows.items()), ""]
    return "\n".join(lines).rstrip()


def _packages() -> Dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _devices() -> Dict[str, str]:
    import torch
    from thinc.compat import has_cupy_gpu

    from spacy_ctx_embed.networks.packed.matrix import can_pack_int8, fits_in_8_bits

    found = {"cpu": f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"}
    if can_pack_int8():
        found["int8 on the cpu"] = "8 bits" if fits_in_8_bits() else "7 bits: this processor has no VNNI"
    for i in range(torch.cuda.device_count()):
        found[f"cuda:{i}"] = torch.cuda.get_device_name(i)
    if torch.backends.mps.is_available():
        found["mps"] = "there, and not used by ELMo and BERT"
    found["gpu through spaCy"] = "yes" if has_cupy_gpu else "no: CuPy sees none"
    return found


def _models() -> Dict[str, str]:
    from spacy_ctx_embed.models.aliases import all_aliases
    from spacy_ctx_embed.models.places import find_local

    found = {}
    for alias, places in all_aliases().items():
        is_of_hub = any(place.startswith("hub:") for place in places)
        model = find_local("bert" if is_of_hub else "static", alias)
        if model is not None:
            found[alias] = str(model.path)
    return found


def _caches() -> List[Cache]:
    from huggingface_hub.constants import HF_HUB_CACHE

    from spacy_ctx_embed.models.places import cache_folder, gensim_folder

    folders = {"spacy-ctx-embed": cache_folder(), "huggingface-hub": Path(HF_HUB_CACHE), "gensim": gensim_folder()}
    return [Cache(of, str(folder), _n_bytes(folder)) for of, folder in folders.items()]


def _n_bytes(folder: Path) -> int:
    # Of the files themselves: the hub's folders of versions are links to them.
    total = 0
    for path in folder.rglob("*") if folder.is_dir() else ():
        with contextlib.suppress(OSError):  # another process removed it, or it may not be seen
            total += path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
    return total


def _size(n_bytes: int) -> str:
    size = float(n_bytes)
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
