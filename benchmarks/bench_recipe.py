"""What makes ``pretrain-elmo`` learn more from the same text: one setting of a config changed at a time.

Every contestant begins with the same seed, reads the same share of the prepared text once, with the learning rate of
the config's schedule, and is measured on the same held-out text: with the state carried on, with each sentence by
itself, and with the running average of its weights (EMA) in place of the last ones. Perplexities of so little training
tell which change helps, not how good a model gets.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any, Dict

import measure
from bench_pretrain import CONFIG, Trainer

TRIED: Dict[str, Dict[str, Any]] = {
    "as the config": {},
    "Muon": {"optimizer.kind": "muon"},
    "dropout 0.1": {"dropout": 0.1},
    "rows 64": {"batch_size": 64},
    "rows 256": {"batch_size": 256},
    "unrolled 16": {"unroll_steps": 16, "batch_size": 256},
    "unrolled 64": {"unroll_steps": 64, "batch_size": 64},
    "no sentence from zeros": {"reset_state": 0.0},
    "each sentence from zeros": {"reset_state": 1.0},
    "learning rate 0.006": {"optimizer.learn_rate": 0.006},
    "learning rate 0.0015": {"optimizer.learn_rate": 0.0015},
    "sampled softmax, 8,192 words": {"softmax.kind": "sampled"},
    "Adagrad at 0.2": {"optimizer.kind": "adagrad", "optimizer.learn_rate": 0.2},
}
_BLOCK = 500  # sentences that stay together


def main() -> None:
    """Run the comparison."""
    kind = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=kind)
    parser.add_argument("--prepared", type=Path, required=True, help="a folder of prepared text")
    parser.add_argument("--config", type=Path, default=CONFIG, help="its [pretraining] is what is changed")
    parser.add_argument(
        "--only", nargs="+", default=list(TRIED), choices=list(TRIED), help="contestants", metavar="NAME"
    )
    parser.add_argument("--share", type=int, default=10, help="read one in so many blocks of sentences")
    parser.add_argument("--dev-tokens", type=int, default=60000, help="held-out tokens, of all parts of that text")
    parser.add_argument("--average", type=float, default=0.98, help="decay per step of the running average")
    parser.add_argument("--precision", default="bfloat16", help="of matrix products")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    asked = parser.parse_args()
    measure.prepare(asked.threads)
    before = measure.machine()

    from spacy.util import load_config

    from spacy_ctx_embed.pretraining.settings import read_settings
    from spacy_ctx_embed.pretraining.text.folder import load_prepared

    prepared = load_prepared(asked.prepared)
    dev_share = max(len(prepared.dev) // max(asked.dev_tokens, 1), 1)
    text = dataclasses.replace(prepared, train=blocks(prepared.train, asked.share), dev=blocks(prepared.dev, dev_share))
    rows = []
    for name in asked.only:
        changes = {"precision": asked.precision, **TRIED[name]}
        overrides = {f"pretraining.{key}": value for key, value in changes.items()}
        settings = read_settings(load_config(asked.config, overrides=overrides, interpolate=True)["pretraining"])
        rows.append({"contestant": name, **_learn(settings, text, asked)})
        print(rows[-1], flush=True)
    findings = {"tokens read, held out": [len(text.train), len(text.dev)], "seed": settings.seed}
    measure.report("recipe", rows, settings={**vars(asked), "only": len(asked.only)}, before=before, findings=findings)


def blocks(tokens: Any, share: int) -> Any:
    """Take one in so many blocks of sentences, from all parts of a text.

    :param tokens: the text, ``0 w1 … wn 0 …``.
    :param share: how many there are to each that is taken.
    :return: what was taken, in the same form.
    """
    import numpy as np

    bounds = np.flatnonzero(tokens == 0)[:: max(min(_BLOCK, len(tokens) // (100 * share)), 1)]
    parts = [tokens[start:end] for start, end in zip(bounds[::share], bounds[1::share])]
    return np.concatenate([*parts, tokens[:1]])


def _learn(settings: Any, text: Any, asked: argparse.Namespace) -> Dict[str, Any]:
    import torch

    from spacy_ctx_embed.pretraining.evaluation import evaluate
    from spacy_ctx_embed.pretraining.optimizer import learn_rate

    run = Trainer(settings, text, asked.threads)
    n_steps = run.stream.steps_per_epoch
    schedule = dataclasses.replace(settings.optimizer, warmup_steps=n_steps // 20)
    parameters = list(run.model.parameters())
    averages = [part.detach().clone() for part in parameters]
    for step in range(n_steps):
        for group in run.optimizer.param_groups:
            group["lr"] = learn_rate(schedule, step, n_steps)
        run.steps(1)
        with torch.no_grad():
            torch._foreach_lerp_(averages, parameters, 1 - min(asked.average, step / (step + 10)))

    def perplexity(reset: float = 0.0) -> float:
        return evaluate(run.stepper, text.dev, run.stream.n_vocab, reset=reset).mean

    found: Dict[str, Any] = {"carried on": perplexity(), "by sentence": perplexity(reset=1.0)}
    with torch.no_grad():
        for part, average in zip(parameters, averages):
            part.copy_(average)
    found["EMA, carried on"] = perplexity()
    run.stepper.close()
    return {**found, "steps": n_steps, "tokens/s": n_steps * run.stream.tokens_per_step / run.whole}


if __name__ == "__main__":
    main()
