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
from typing import Any, Dict, List, Mapping, Tuple

import measure

CONFIG = measure.REPOSITORY / "configs" / "pretrain_elmo_mini.cfg"
BASE = "as the config"
TRIED: Dict[str, Dict[str, Any]] = {
    BASE: {},
    "Muon": {"optimizer.kind": "muon"},
    "dropout 0.1": {"dropout": 0.1},
    "rows 64": {"batch_size": 64},
    "rows 256": {"batch_size": 256},
    "unrolled 16": {"unroll_steps": 16, "batch_size": 256},
    "unrolled 64": {"unroll_steps": 64, "batch_size": 64},
    "no sentence from zeros": {"reset_state": 0.0},
    "each sentence from zeros": {"reset_state": 1.0},
    "twice the learning rate": {"optimizer.learn_rate": 2.0},  # times that of the config
    "half the learning rate": {"optimizer.learn_rate": 0.5},
    "sampled softmax, 8,192 words": {"softmax.kind": "sampled"},
    "Adagrad at 0.2": {"optimizer.kind": "adagrad", "optimizer.learn_rate": 0.2 / 0.003},
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

    from spacy_ctx_embed.pretraining.text.folder import load_prepared

    section = load_config(asked.config, interpolate=True)["pretraining"]
    text = load_prepared(asked.prepared)
    train = blocks(text.train, asked.share)
    dev = blocks(text.dev, max(len(text.dev) // max(asked.dev_tokens, 1), 1))
    rows = []
    for name in asked.only:
        changed = _changed({**section, "precision": asked.precision}, TRIED[name])
        rows.append({"contestant": name, **_learn(changed, text, train, dev, asked)})
        print(rows[-1], flush=True)
    findings = {"tokens read, held out": [len(train), len(dev)], "seed": section["seed"]}
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


def _changed(section: Mapping[str, Any], changes: Mapping[str, Any]) -> Dict[str, Any]:
    # The section with some values replaced; a learning rate is multiplied.
    found: Dict[str, Any] = {key: dict(value) if isinstance(value, dict) else value for key, value in section.items()}
    for key, value in changes.items():
        *path, last = key.split(".")
        place = found[path[0]] if path else found
        place[last] = value * place[last] if last == "learn_rate" else value
    return found


def _learn(section: Mapping[str, Any], text: Any, train: Any, dev: Any, asked: argparse.Namespace) -> Dict[str, Any]:
    import torch

    from spacy_ctx_embed.pretraining.build import make_language_model
    from spacy_ctx_embed.pretraining.evaluation import evaluate
    from spacy_ctx_embed.pretraining.network.muon import matrices_of
    from spacy_ctx_embed.pretraining.optimizer import learn_rate, make_optimizer
    from spacy_ctx_embed.pretraining.settings import read_settings
    from spacy_ctx_embed.pretraining.step import Stepper
    from spacy_ctx_embed.pretraining.text.streams import Stream

    torch.manual_seed(section["seed"])
    settings = read_settings(section)
    n_vocab = min(settings.vocab_size, len(text.words))
    sizes = (settings.batch_size, settings.unroll_steps, n_vocab)
    stream = Stream(train, *sizes, settings.reset_state, settings.seed)
    n_steps = stream.steps_per_epoch
    schedule = dataclasses.replace(settings.optimizer, warmup_steps=n_steps // 20)
    model = make_language_model(settings, text.words[:n_vocab])
    matrices = matrices_of(model.elmo)
    optimizer = make_optimizer(model.parameters(), settings.optimizer, matrices, model.dtype)
    stepper = Stepper(model, text.words, asked.threads, settings.seed)
    states = stepper.zero_states(stream.n_rows)
    averages = [part.detach().clone() for part in model.parameters()]
    begun = measure.now()
    for step in range(n_steps):
        _, states = stepper.train(stream.batch(step), states, step)
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.grad_clip)
        for group in optimizer.param_groups:
            group["lr"] = learn_rate(schedule, step, n_steps)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(averages, list(model.parameters()), 1 - min(asked.average, step / (step + 10)))
    seconds = measure.now() - begun
    found: List[Tuple[str, float]] = [
        ("carried on", evaluate(stepper, dev, n_vocab).mean),
        ("by sentence", evaluate(stepper, dev, n_vocab, reset=1.0).mean),
    ]
    with torch.no_grad():
        for part, average in zip(model.parameters(), averages):
            part.copy_(average)
    found.append(("EMA, carried on", evaluate(stepper, dev, n_vocab).mean))
    stepper.close()
    return {**dict(found), "steps": n_steps, "tokens/s": n_steps * stream.tokens_per_step / seconds}


if __name__ == "__main__":
    main()
