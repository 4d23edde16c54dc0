"""Every architecture of the installed transformers as ``bert_embeddings``: which work, and how exactly.

A small random model of each ``model_type`` that reads text is written to disk and opened by name. Asked of each: are
the rows of a Doc those of the bare model, are they the same in a batch with longer Docs, does the mean of all layers
work, do Docs longer than the model's limit, and does a saved pipeline give the same rows. Each runs in a process of its
own; what can't be made small by turning down the sizes in its config is listed with the reason.

    python benchmarks/families.py --json benchmarks/results/families.jsonl --output docs/families.md

A run that was cut off goes on where it stopped: what the JSON lines have of the same versions is not run again, except
by ``--only``. Without ``--output`` they are all that is written.
"""

from __future__ import annotations

import argparse
import inspect
import json
import multiprocessing
import os
import re
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, Iterator, List

COLUMNS = ("alone", "batch", "layers", "long", "saved")
_CLOSE = 1e-4  # of the length of a row
_SECONDS = 300
_LONGEST = 120  # characters of a reason
_PRELOADED = ["transformers.models.bert.modeling_bert", "spacy.lang.xx", "spacy_ctx_embed.pipeline"]

_LEGEND = [
    "- *passes*: which Docs go together, found on the model when it is opened: any, without padding (*flat*)",
    "  or with it (*padded*); those of equal length (*equal*); each for itself (*alone*); *put back*: what a pass",
    "  changed in the model is undone;",
    "  *seeded*: it draws at random, always from the same state;",
    "- *width*: of a row; the small model's, not a real one's;",
    "- *alone*: the rows of a Doc are those of the bare model; *batch*: they stay the same beside longer Docs;",
    '- *layers*: `layer_mix = "mean"` is the mean of the model\'s layers, or the code of the error where these have',
    "  several widths, or not one state for each piece; `layers = [-1]` is what works then;",
    "- *long*: every token of a Doc beyond the model's limit has a row; *saved*: the same rows after saving;",
    f"- *yes*: the distance is at most {_CLOSE:g} of a row's length; else the largest distance, or the error, in bold;",
    "- *worst*: the largest distance of all columns, as a share of a row's length.",
]
_CHINESE_LEGEND = [
    "中文说明：*passes*：哪些 Doc 可以同批计算（*flat* 任意长度而不填充，*padded* 任意长度并填充，*equal* 仅等长，",
    "*alone* 逐个；*put back* 计算后还原模型状态；*seeded* 固定随机状态）。*width*：小模型的行向量宽度。*alone*：单个",
    "Doc 与原模型一致；",
    "*batch*：与更长的 Doc 同批时不变；*layers*：各层平均与原模型一致，或错误代码；*long*：超出模型长度上限的 Doc",
    "每个词都有向量；*saved*：保存后再加载，结果不变。"
    f"*yes*：与行向量长度之比的距离不超过 {_CLOSE:g}；否则以粗体给出最大距离或错误。*worst*：各列中的最大距离。",
]


def main() -> None:
    """Run all families that are not known yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    parser.add_argument("--json", type=Path, help="JSON lines, read first and appended to while it runs")
    parser.add_argument("--only", nargs="*", help="model types to try (again); all that are not known if not given")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once; 0 for the table of what is known")
    settings = parser.parse_args()
    versions = _versions()
    known = _known(settings.json, versions)
    kinds = settings.only or [kind for kind in _text_kinds() if kind not in known]
    if settings.jobs:
        context = multiprocessing.get_context("forkserver")  # the imports, once for all
        context.set_forkserver_preload(_PRELOADED)
        with ThreadPoolExecutor(settings.jobs) as pool:
            for result in pool.map(lambda kind: _in_a_process(kind, context), kinds):
                known[result["kind"]] = result
                line = json.dumps({**result, "versions": versions})
                print(line, flush=True)
                if settings.json:
                    with settings.json.open("a", encoding="utf8") as stream:
                        stream.write(line + "\n")
    if settings.output:
        results = [known[kind] for kind in sorted(known)]
        settings.output.write_text(_page(results, versions), encoding="utf8")


def _versions() -> Dict[str, str]:
    import torch
    import transformers

    import spacy_ctx_embed

    ours, theirs = spacy_ctx_embed.__version__, transformers.__version__
    return {"spacy-ctx-embed": ours, "transformers": theirs, "torch": torch.__version__.partition("+")[0]}


def _known(file: Any, versions: Dict[str, str]) -> Dict[str, Dict[str, Any]]:
    # By kind, the last line of each.
    if file is None or not file.exists():
        return {}
    results = [json.loads(line) for line in file.read_text(encoding="utf8").splitlines()]
    return {result["kind"]: result for result in results if result.pop("versions") == versions}


def _text_kinds() -> List[str]:
    # Those whose class takes piece ids, or that have a vocabulary somewhere in their config.
    from transformers import CONFIG_MAPPING, MODEL_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES
    from transformers.utils import logging

    logging.set_verbosity(logging.CRITICAL)
    found = []
    for kind in MODEL_MAPPING_NAMES:
        try:
            model = MODEL_MAPPING[CONFIG_MAPPING[kind]]
            takes_pieces = "input_ids" in inspect.signature(model.forward).parameters
        except Exception:  # several classes, or one that needs another package
            takes_pieces = False
        try:
            settings = CONFIG_MAPPING[kind]().to_dict()
        except Exception:  # a config without defaults has nothing to turn down
            settings = {"vocab_size": 0}
        parts = [settings, *(part for part in settings.values() if isinstance(part, dict))]
        if takes_pieces or any("vocab_size" in part or "n_vocab" in part for part in parts):
            found.append(kind)
    return sorted([*found, "byt5"])


def _in_a_process(kind: str, context: Any) -> Dict[str, Any]:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(kind, sender))
    process.start()
    sender.close()
    try:
        if receiver.poll(_SECONDS):
            return dict(receiver.recv())
        return {"kind": kind, "not made": f"took more than {_SECONDS} s"}
    except EOFError:
        process.join()
        return {"kind": kind, "not made": f"its process ended with {process.exitcode}"}
    finally:
        process.join(5)
        process.kill()


def _send(kind: str, sender: Any) -> None:
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (as long as the process lives)
    sender.send(_try(kind))


def _try(kind: str) -> Dict[str, Any]:
    import small_configs
    import torch
    from transformers.utils import logging

    warnings.filterwarnings("ignore")
    logging.set_verbosity(logging.CRITICAL)
    torch.set_num_threads(1)
    result: Dict[str, Any] = {"kind": kind}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "model")
        try:
            result["class"] = small_configs.make(kind, folder)
        except small_configs.NoTextError:
            return {**result, "no text": True}
        except small_configs.FixtureError as error:
            return {**result, "fixture": str(error)}
        except Exception as error:  # a config that turning down does not make small
            return {**result, "not made": _line(error)}
        _ask(folder, result)
    return result


def _ask(folder: Path, result: Dict[str, Any]) -> None:
    import numpy as np
    import small_configs
    import spacy

    words = small_configs.WORDS
    texts = [" ".join(words[:n] * times) for n, times in ((2, 1), (14, 1), (5, 4), (9, 1), (14, 3), (9, 1))]
    long = " ".join(words * 45)

    def pipeline(**settings: Any) -> Any:
        nlp = spacy.blank("xx")
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
        result["error"] = _line(error)
        try:
            _bare(folder, texts[1])
        except Exception as bare:
            result["bare"] = _line(bare)
        return
    result["width"] = int(alone[0].shape[1])
    network = nlp.get_pipe("bert_embeddings").model.shims[0].network()
    verdict = network._verdict
    result["run"] = (
        (verdict.together if network.pads else "flat") + ", put back" * verdict.resets + ", seeded" * verdict.seeded
    )
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
                finite = np.isfinite(rows([doc])[0]).all()
                result[column] = bool(finite) and all(token._.has_vector for token in doc)
            else:
                saved = folder.with_name("saved")
                nlp.to_disk(saved)
                again = spacy.load(saved)
                check(column, alone, rows(again(text) for text in texts))
        except Exception as error:
            result[column] = _line(error)


def _bare(folder: Path, text: str) -> List[Any]:
    # Layers of the text's words from transformers alone: means of the pieces in each.
    import numpy as np
    import torch
    from transformers import AutoModel, AutoTokenizer, set_seed

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).float().eval()
    encoded = dict(tokenizer(text, return_tensors="pt"))
    offsets = _offsets(tokenizer, text)
    words = [
        [i for i, (start, end) in enumerate(offsets) if max(start, word.start()) < min(end, word.end())]
        for word in re.finditer(r"\S+", text)
    ]
    failures: List[str] = []
    for part in _parts(model):
        taken = inspect.signature(part.forward).parameters
        inputs = {key: value for key, value in encoded.items() if key in taken}
        inputs.update({"use_cache": False} if "use_cache" in taken else {})
        set_seed(0)
        try:
            with torch.no_grad():
                output = part(**inputs, output_hidden_states=True)
            states = [*(output.get("hidden_states") or [None])[:-1], output.last_hidden_state]
        except Exception as error:  # the next part may be the one that reads text
            failures.append(_line(error))
            continue
        if output.last_hidden_state.shape[:2] != encoded["input_ids"].shape:
            failures.append(f"states of shape {tuple(output.last_hidden_state.shape)} for {len(offsets)} pieces")
            continue
        fitting = [state[0].float().numpy() for state in states if state.shape[:2] == encoded["input_ids"].shape]
        return [np.stack([state[pieces].mean(axis=0) for pieces in words]) for state in fitting]
    raise ValueError(failures[0] if failures else "no part of it reads text")


def _offsets(tokenizer: Any, text: str) -> List[Any]:
    # Characters of each piece, nothing for the special ones. Our texts are ASCII: a piece of a slow one is a character.
    if tokenizer.is_fast:
        return list(tokenizer(text, return_offsets_mapping=True)["offset_mapping"])
    before = tokenizer.build_inputs_with_special_tokens([40, 41]).index(40)
    behind = tokenizer.num_special_tokens_to_add() - before
    return [(0, 0)] * before + [(i, i + 1) for i in range(len(text))] + [(0, 0)] * behind


def _parts(model: Any) -> Iterator[Any]:
    if getattr(model.config, "is_encoder_decoder", False):
        yield model.get_encoder()
        return
    for part in model.modules():
        if hasattr(part, "config") and "input_ids" in inspect.signature(part.forward).parameters:
            yield part


def _distance(expected: Any, found: Any) -> float:
    import numpy as np

    if expected.shape != found.shape:
        raise ValueError(f"shapes {expected.shape} and {found.shape}")
    lengths = np.maximum(np.linalg.norm(expected, axis=1), 1e-6)
    return float((np.linalg.norm(expected - found, axis=1) / lengths).max())


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:600]


def _page(results: List[Dict[str, Any]], versions: Dict[str, str]) -> str:
    opened = [r for r in results if "run" in r]
    refused = [r for r in results if "error" in r]
    not_made = [r for r in results if "not made" in r]
    fixture = [r for r in results if "fixture" in r]
    other = [r for r in results if "no text" in r]
    exact = sum(all(_cell(r[column]) == "yes" for column in COLUMNS) for r in opened)
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    rows = [
        [r["kind"], r["class"], r["run"], r["width"], *(_cell(r[column]) for column in COLUMNS), _worst(r)]
        for r in opened
    ]
    lines = [
        "# Model families",
        "",
        f"Made by `python benchmarks/families.py --output docs/families.md` with {named}: of each architecture that "
        "`AutoModel` knows, a small random model as `bert_embeddings`. "
        "`canine` and `byt5` (a T5) have tokenizers of their own, of characters and bytes; the others one of words.",
        "",
        f"- {len(opened)} work, {exact} of them in all columns;",
        f"- {len(refused)} are refused: on word pieces alone they do not run;",
        f"- {len(other)} more read no text, or have no part that takes word pieces, and are not listed;",
        f"- {len(not_made) + len(fixture)} could not be tried.",
        "",
        *_LEGEND,
        "",
        *_table(["model type", "class", "passes", "width", *COLUMNS, "worst"], rows),
        "",
        *_CHINESE_LEGEND,
        "",
        "## Refused",
        "",
        "What the bare model says to word pieces alone; in bold where it runs and is refused all the same.",
        "",
        *_table(["model type", "class", "error", "bare model"], [_refusal(r) for r in refused]),
        "",
        "## Not tried",
        "",
        "What can't be made small, or needs another package, or has a tokenizer that does not learn the words.",
        "",
        *_table(
            ["model type", "reason"],
            [[r["kind"], _short(r.get("not made") or r["fixture"])] for r in [*not_made, *fixture]],
        ),
        "",
    ]
    return "\n".join(lines)


def _table(head: List[str], rows: List[List[Any]]) -> List[str]:
    if not rows:
        return ["None."]
    return ["| " + " | ".join(map(str, row)) + " |" for row in [head, ["---"] * len(head), *rows]]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    if isinstance(value, float):
        return "yes" if value <= _CLOSE else f"**{value:.0e}**"
    return _code(value) or f"**{_short(value)}**"


def _worst(result: Dict[str, Any]) -> str:
    distances = [result[column] for column in COLUMNS if isinstance(result[column], float)]
    return f"{max(distances):.0e}" if distances else ""


def _refusal(result: Dict[str, Any]) -> List[str]:
    code, bare = _code(result["error"]), result.get("bare")
    error = code or f"**{_short(result['error'])}**"
    return [result["kind"], result["class"], error, _short(bare.removeprefix("ValueError: ")) if bare else "**runs**"]


def _code(message: str) -> str:
    found = re.search(r"\[(CE\d+)\]", message)
    return found[1] if found else ""


def _short(message: str) -> str:
    # One line, without what is in front of the reason and without places on this machine.
    message = re.sub(r"^StrictDataclass.*?'validate_\w+': ", "", message)
    message = re.sub(r"/\S*/", "", message).replace("|", "\\|").replace("<", "&lt;")
    return message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…"


if __name__ == "__main__":
    main()
