"""Results in a file, written after each run, from which a rerun goes on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np

from spacy_ctx_embed.about import __version__
from spacy_ctx_embed.probing.plan import Plan
from spacy_ctx_embed.probing.report import Row
from spacy_ctx_embed.probing.runs import Run

_FORMAT = 1


def describe(plan: Plan, paths: Dict[str, str]) -> Dict[str, Any]:
    """Say what results depend on, seeds aside.

    :param plan: what is probed.
    :param paths: the files "train" and "dev".
    :return: plain data, equal where a rerun may go on.
    :raises OSError: if a file can't be read.
    """
    config = plan.config.copy()
    config["components"][plan.embeddings] = {**plan.section, "cache_mb": 0, "cache_dir": None}
    for section, keys in {"system": ["seed"], "training": ["seed", "max_steps"], "paths": ["train", "dev"]}.items():
        for key in keys:
            if key in config.get(section, {}):
                config[section][key] = None  # the files count, not their names
    return {
        "format": _FORMAT,
        "version": __version__,
        "config": hashlib.sha256(config.to_str(interpolate=False).encode("utf8")).hexdigest(),
        "train": _digest(Path(paths["train"])),
        "dev": _digest(Path(paths["dev"])),
        "embeddings": plan.embeddings,
        "model": plan.checksum,
        "component": plan.component,
        "score": plan.score,
        "max_steps": plan.max_steps,
    }


def read(file: Optional[Path], settings: Dict[str, Any]) -> List[Run]:
    """Read the runs of a file.

    :param file: the file, which need not be there.
    :param settings: what :func:`describe` gave.
    :return: its runs.
    :raises FileExistsError: if the file is of other settings, or something else.
    """
    if file is None or not file.exists():
        return []
    try:
        content = json.loads(file.read_text(encoding="utf8"))
        same = content["settings"] == settings
        runs = [_load(item) for item in content["runs"]] if same else []
    except (KeyError, TypeError, ValueError):
        raise FileExistsError(
            f"{file} holds something else than results. Fix: name another file by --output."
        ) from None
    if not same:
        other = [key for key in settings if content["settings"].get(key) != settings[key]]
        raise FileExistsError(
            f"{file} holds results of other settings ({', '.join(other)}). Fix: name another file by --output."
        )
    return runs


def write(file: Optional[Path], settings: Dict[str, Any], runs: List[Run], rows: List[Row]) -> None:
    """Write all runs, in one go over the file of before.

    :param file: the file; ``None`` for none.
    :param settings: what :func:`describe` gave.
    :param runs: the runs.
    :param rows: the table of them, which is for readers and not read again.
    :raises OSError: if it can't be written.
    """
    if file is None:
        return
    content = {"settings": settings, "table": [asdict(row) for row in rows], "runs": [_dump(run) for run in runs]}
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.tmp")
    beside.write_text(json.dumps(content, indent=1), encoding="utf8")
    beside.replace(file)


def _dump(run: Run) -> Dict[str, Any]:
    counts = (
        None if run.counts is None else json.dumps(run.counts.tolist(), separators=(",", ":"))
    )  # one line, not one per number
    return {**asdict(run), "counts": counts}


def _load(item: Dict[str, Any]) -> Run:
    counts = None if item["counts"] is None else np.array(json.loads(item["counts"]), dtype=np.int64)
    return Run(**{**item, "counts": counts})


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*.spacy")) if path.is_dir() else [path]:
        digest.update(file.read_bytes())
    return digest.hexdigest()
