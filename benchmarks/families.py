"""Every architecture of the installed transformers as ``bert_embeddings``: which work, and how exactly.

A small random model of each ``model_type`` that reads text is written to disk and opened by name. Asked of each: are
the rows of a Doc those of the bare model, are they the same in a batch with longer Docs, does the mean of all layers
work, do Docs longer than the model's limit, and does a saved pipeline give the same rows. Each runs in a process of its
own; what can't be made small by turning down the sizes in its config is listed with the reason.

    python benchmarks/families.py --output docs/families.md
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, List

COLUMNS = ("alone", "batch", "layers", "long", "saved")
_CLOSE = 1e-4  # of the length of a row
_SECONDS = 300


def main() -> None:
    """Run all families and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    parser.add_argument("--json", type=Path, help="the same as JSON lines")
    parser.add_argument("--only", nargs="*", help="model types to try; all if not given")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.one:
        print(json.dumps(_try(settings.one)))
        return
    kinds = settings.only or _text_kinds()
    with ThreadPoolExecutor(settings.jobs) as pool:
        results = []
        for result in pool.map(_in_a_process, kinds):
            results.append(result)
            print(json.dumps(result), flush=True)
    if settings.json:
        settings.json.write_text("".join(json.dumps(result) + "\n" for result in results), encoding="utf8")
    if settings.output:
        settings.output.write_text(_page(results), encoding="utf8")


def _text_kinds() -> List[str]:
    # Those with a vocabulary somewhere in their config.
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    found = []
    for kind in MODEL_MAPPING_NAMES:
        try:
            settings = CONFIG_MAPPING[kind]().to_dict()
        except Exception:  # a config without defaults has nothing to turn down
            settings = {}
        parts = [settings, *(part for part in settings.values() if isinstance(part, dict))]
        if not settings or any("vocab_size" in part or "n_vocab" in part for part in parts):
            found.append(kind)
    return sorted(found)


def _in_a_process(kind: str) -> Dict[str, Any]:
    command = [sys.executable, str(Path(__file__).resolve()), "--one", kind]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return {"kind": kind, "not made": f"took more than {_SECONDS} s"}
    if run.returncode:
        return {"kind": kind, "not made": (run.stderr.strip().splitlines() or [str(run.returncode)])[-1][:160]}
    return dict(json.loads(run.stdout.splitlines()[-1]))


def _try(kind: str) -> Dict[str, Any]:
    import numpy as np
    import small_configs
    import spacy
    import torch
    from transformers.utils import logging

    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    result: Dict[str, Any] = {"kind": kind}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "model")
        try:
            result["class"] = small_configs.make(kind, folder)
        except Exception as error:  # a config that turning down does not make small
            return {**result, "not made": _line(error)}
        words = small_configs.WORDS
        texts = [" ".join(words[:n] * times) for n, times in ((2, 1), (14, 1), (5, 4), (9, 1), (14, 3), (9, 1))]
        long = " ".join(words * 20)

        def pipeline(**settings: Any) -> Any:
            nlp = spacy.blank("en")
            nlp.add_pipe("bert_embeddings", config={"model": {"name": str(folder), **settings}})
            return nlp

        def rows(docs: Any) -> List[Any]:
            return [np.array(doc._.embeddings["bert_embeddings"]) for doc in docs]

        def check(column: str, expected: Any, found: Any) -> None:
            result[column] = max(_distance(a, b) for a, b in zip(expected, found))

        nlp = pipeline()
        try:
            alone = rows(nlp(text) for text in texts)
        except Exception as error:
            return {**result, "error": _line(error)}
        result["width"] = int(alone[0].shape[1])
        verdict = nlp.get_pipe("bert_embeddings").model.shims[0].network()._verdict
        result["run"] = verdict.together + ", put back" * verdict.resets + ", seeded" * verdict.seeded
        for column in COLUMNS:
            try:
                if column == "alone":
                    check(column, [_bare(folder, text)[-1] for text in texts], alone)
                elif column == "batch":
                    check(column, alone, rows(nlp.pipe(texts)))
                elif column == "layers":
                    every = _bare(folder, texts[1])
                    mean = pipeline(layer_mix="mean")(texts[1])
                    check(column, [np.mean(every, axis=0)], rows([mean]))
                elif column == "long":
                    doc = nlp(long)
                    result[column] = bool(all(token._.has_vector for token in doc))
                else:
                    nlp.to_disk(Path(name, "saved"))
                    again = spacy.load(Path(name, "saved"))
                    check(column, alone, rows(again(text) for text in texts))
            except Exception as error:
                result[column] = _line(error)
    return result


def _bare(folder: Path, text: str) -> List[Any]:
    # Layers of the text's words from transformers alone.
    import inspect

    import torch
    from transformers import AutoModel, AutoTokenizer, set_seed

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    encoded = dict(tokenizer(text, return_tensors="pt"))
    parts = [model.get_encoder()] if model.config.is_encoder_decoder else [model, *model.modules()]
    for part in parts:
        taken = inspect.signature(part.forward).parameters if hasattr(part, "config") else {}
        if "input_ids" not in taken:
            continue
        inputs = {key: value for key, value in encoded.items() if key in taken}
        inputs.update({"use_cache": False} if "use_cache" in taken else {})
        set_seed(0)
        try:
            with torch.no_grad():
                output = part(**inputs, output_hidden_states=True)
            states = [*(output.hidden_states or [None])[:-1], output.last_hidden_state]
        except Exception:  # the next part may be the one that reads text
            continue
        return [state[0, 1:-1].float().numpy() for state in states]
    raise ValueError("no part of it reads text")


def _distance(expected: Any, found: Any) -> float:
    import numpy as np

    if expected.shape != found.shape:
        raise ValueError(f"shapes {expected.shape} and {found.shape}")
    lengths = np.maximum(np.linalg.norm(expected, axis=1), 1e-6)
    return float((np.linalg.norm(expected - found, axis=1) / lengths).max())


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"[:240]


def _page(results: List[Dict[str, Any]]) -> str:
    import transformers

    import spacy_ctx_embed

    def cell(value: Any) -> str:
        if isinstance(value, bool):
            return "yes" if value else "**no**"
        if isinstance(value, float):
            return "yes" if value <= _CLOSE else f"**{value:.0e}**"
        code = str(value).partition("[")[2].partition("]")[0]
        return code or f"**{str(value)[:60]}**"

    tried = [r for r in results if "not made" not in r]
    opened = [r for r in tried if "error" not in r]
    refused = [r for r in tried if "error" in r]
    skipped = [r for r in results if "not made" in r]
    lines = [
        "# Model families",
        "",
        "Made by `python benchmarks/families.py --output docs/families.md` with spacy-ctx-embed "
        f"{spacy_ctx_embed.__version__} and transformers {transformers.__version__}: a small random model of each "
        f"architecture that reads text, used as `bert_embeddings`. {len(opened)} work, {len(refused)} are refused with "
        f"an error that says why, {len(skipped)} could not be made small.",
        "",
        "- *alone*: the rows of a Doc are those of the bare model; *batch*: they stay the same beside longer Docs;",
        '- *layers*: `layer_mix = "mean"` is the mean of the model\'s layers, or the code of the error where these',
        "  don't fit together; *long*: every token of a Doc beyond the model's limit has a row; *saved*: the same rows",
        "  after saving;",
        f"- *yes* is a distance of at most {_CLOSE:g} of a row's length;",
        "- *passes*: which Docs go together, found on the model when it is opened: any with padding, those of equal",
        "  length, or each alone; *put back*: what a pass changed in the model is undone; *seeded*: it draws at",
        "  random, always from the same state.",
        "",
        "| model type | class | passes | alone | batch | layers | long | saved |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in opened:
        cells = " | ".join(cell(r[column]) for column in COLUMNS)
        lines.append(f"| {r['kind']} | {r['class']} | {r['run']} | {cells} |")
    lines += ["", "## Refused", "", "| model type | class | error |", "|---|---|---|"]
    lines += [f"| {r['kind']} | {r['class']} | {cell(r['error'])} |" for r in refused]
    lines += ["", "## Not made small", "", ", ".join(r["kind"] for r in skipped) or "None.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
