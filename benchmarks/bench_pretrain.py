"""Speed of ``pretrain-elmo``: tokens per second by threads and precision, and what a training step is spent on.

Every contestant trains a model of its own on the same batches, in turns of a few steps. A token counts once, though
both directions read it. The share of matrix products is from PyTorch's profiler, with one direction after the other on
one thread; the profiler costs something per operator, so that small operators look dearer than they are.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import measure

CONFIG = measure.REPOSITORY / "configs" / "pretrain_elmo_mini.cfg"
PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::addbmm", "aten::_addmm_activation")


def main() -> None:
    """Run the comparison."""
    kind = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=kind)
    parser.add_argument("--prepared", type=Path, required=True, help="a folder of prepared text")
    parser.add_argument("--config", type=Path, default=CONFIG, help="its [pretraining] is what is measured")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="CPU threads to compare")
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"], help="precisions to compare")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each after one to warm up")
    parser.add_argument("--steps", type=int, default=5, help="steps per turn")
    parser.add_argument("--operators", type=int, default=12, help="costs to show, the first ones")
    settings = parser.parse_args()
    measure.prepare(max(settings.threads))
    before = measure.machine()

    from spacy.util import load_config

    from spacy_ctx_embed.pretraining.settings import read_settings
    from spacy_ctx_embed.pretraining.text.folder import load_prepared

    section = load_config(settings.config, interpolate=True)["pretraining"]
    text = load_prepared(settings.prepared)
    runs: Dict[Tuple[int, str], Trainer] = {}
    for precision in settings.precisions:
        for n_threads in settings.threads:
            asked = read_settings({**section, "precision": precision})
            runs[n_threads, precision] = Trainer(asked, text, n_threads)
    contestants: Dict[str, Callable[[], Any]] = {
        _name(*key): lambda run=run: run.steps(settings.steps) for key, run in runs.items()
    }
    seconds = measure.take_turns(contestants, settings.rounds)
    rows: List[Dict[str, Any]] = []
    findings: Dict[str, Any] = {}
    first = _name(*next(iter(runs)))
    for key, run in runs.items():
        name, n_tokens = _name(*key), settings.steps * run.stream.tokens_per_step
        row: Dict[str, Any] = {"contestant": name, "tokens/s": n_tokens / statistics.median(seconds[name])}
        row["ms per step"] = 1000 * statistics.median(seconds[name]) / settings.steps
        row["in Stepper.train, %"] = f"{100 * run.training / run.whole:.0f}"
        row[f"times {first}"] = measure.ratio(seconds, first, name)
        rows.append({**row, "from, to": measure.spread(seconds, first, name)})
    for (_, precision), run in runs.items():
        key = f"share of matrix products on one thread, {precision}, %"
        if key not in findings:
            findings[key], operators = profile(run, settings.steps)
            findings[f"% by operator, {precision}"] = dict(operators[: settings.operators])
    some = next(iter(runs.values()))
    findings["rows, unrolled steps, vocabulary"] = [some.stream.n_rows, some.stream.n_steps, some.stream.n_vocab]
    findings["seed"] = some.settings.seed
    for run in runs.values():
        run.stepper.close()
    shown = {**vars(settings), "threads": " ".join(map(str, settings.threads))}
    measure.report("pretrain", rows, settings=shown, before=before, findings=findings)


class Trainer:
    """What a training does at each step, without what it writes.

    :param settings: of the training.
    :param text: prepared text.
    :param n_threads: CPU threads.
    """

    def __init__(self, settings: Any, text: Any, n_threads: int) -> None:
        from spacy_ctx_embed.pretraining.build import make_language_model
        from spacy_ctx_embed.pretraining.network.muon import matrices_of
        from spacy_ctx_embed.pretraining.optimizer import make_optimizer
        from spacy_ctx_embed.pretraining.step import Stepper
        from spacy_ctx_embed.pretraining.text.streams import Stream

        n_vocab = min(settings.vocab_size, int((text.counts[3:] > 0).sum()) + 3)
        sizes = (settings.batch_size, settings.unroll_steps, n_vocab)
        self.settings, self.n_threads = settings, n_threads
        self.stream = Stream(text.train, *sizes, settings.reset_state, settings.seed)
        self.model = make_language_model(settings, text.words[:n_vocab])
        matrices = matrices_of(self.model.elmo)
        self.optimizer = make_optimizer(self.model.parameters(), settings.optimizer, matrices, self.model.dtype)
        self.stepper = Stepper(self.model, text.words, n_threads, settings.seed)
        self.states = self.stepper.zero_states(self.stream.n_rows)
        self.step = 0
        self.training = self.whole = 0.0  # seconds in Stepper.train, and in all

    def steps(self, n_steps: int) -> None:
        """Train.

        :param n_steps: how many steps.
        """
        import torch

        torch.set_num_threads(self.n_threads)
        for _ in range(n_steps):
            start = measure.now()
            batch = self.stream.batch(self.step)
            begun = measure.now()
            _, self.states = self.stepper.train(batch, self.states, self.step)
            self.training += measure.now() - begun
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.grad_clip)
            self.optimizer.step()
            self.step += 1
            self.whole += measure.now() - start


def profile(run: Trainer, n_steps: int) -> Tuple[float, List[Tuple[str, float]]]:
    """Find what steps are spent on.

    :param run: what to profile. It works on one thread from here on, and without a pool, as the profiler sees only the
        thread that it was started in.
    :param n_steps: steps to profile.
    :return: share of the operators' time in matrix products; and operators with their shares, the dearest first; in %.
    """
    import torch

    run.n_threads = run.stepper._n_workers = 1
    run.stepper._map = lambda function, values: [function(value) for value in values]  # type: ignore[method-assign]
    run.steps(1)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        run.steps(n_steps)
    found = sorted(((event.key, event.self_cpu_time_total) for event in profiler.key_averages()), key=lambda e: -e[1])
    total = sum(time for _, time in found)
    products = sum(time for name, time in found if name in PRODUCTS or "mkldnn" in name)
    shares = [(name, round(100 * time / total, 1)) for name, time in found]
    return round(100 * products / total, 1), shares


def _name(n_threads: int, precision: str) -> str:
    return f"{precision}, {n_threads} thread{'s' if n_threads > 1 else ''}"


if __name__ == "__main__":
    main()
