"""Train a language model: the one loop, from prepared text to a folder with everything that came of it.

The folder: ``checkpoint.pt``, ``log.jsonl``, ``loss.png``, and ``model-best/``, which is an ELMo model.
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Protocol, Sequence, Tuple

import numpy as np
import torch

from spacy_ctx_embed.errors import Errors, TrainingError
from spacy_ctx_embed.pretraining.build import make_language_model
from spacy_ctx_embed.pretraining.checkpoint import Checkpoint, Progress, load_checkpoint, save_checkpoint
from spacy_ctx_embed.pretraining.evaluation import Perplexity, evaluate
from spacy_ctx_embed.pretraining.network.muon import matrices_of
from spacy_ctx_embed.pretraining.optimizer import learn_rate, make_optimizer
from spacy_ctx_embed.pretraining.outputs import write_model
from spacy_ctx_embed.pretraining.records import LOG, Log, draw_losses, perplexity
from spacy_ctx_embed.pretraining.settings import PretrainSettings
from spacy_ctx_embed.pretraining.step import Stepper
from spacy_ctx_embed.pretraining.stop import Stop
from spacy_ctx_embed.pretraining.text.prepared import PreparedText
from spacy_ctx_embed.pretraining.text.streams import Stream

CHECKPOINT, BEST = "checkpoint.pt", "model-best"


class Reporter(Protocol):
    """Who is told what happens: each method gets the line of the log that is written."""

    def reading(self, n_files: int) -> None:
        """Before the text is read."""

    def read(self, n_texts: int, n_tokens: int) -> None:
        """While it is read."""

    def starting(self, run: Run) -> None:
        """Before the first step."""

    def train(self, line: Dict[str, Any]) -> None:
        """After each ``log_every`` steps."""

    def evaluated(self, line: Dict[str, Any]) -> None:
        """After each evaluation."""

    def close(self) -> None:
        """At the end, or after an error."""


@dataclass(frozen=True)
class Result:
    """What came of a training.

    :param directory: the best model.
    :param progress: how far it went.
    :param reason: why it ended.
    """

    directory: Path
    progress: Progress
    reason: str


class Run:
    """One training, from its last checkpoint or from the beginning.

    :param settings: what was asked for.
    :param text: what to read.
    :param out: the folder.
    :param device: where to compute.
    :param n_threads: cores to use on a CPU.
    :param describe: writes the model card.
    :param resume: whether to go on from the checkpoint in ``out``.
    """

    def __init__(
        self,
        settings: PretrainSettings,
        text: PreparedText,
        out: Path,
        *,
        device: torch.device,
        n_threads: int,
        describe: Callable[[Run, Optional[Perplexity]], str],
        resume: bool = False,
    ) -> None:
        self.settings, self.text, self.out, self.describe = settings, text, out, describe
        self.n_vocab = min(settings.vocab_size, int((text.counts[3:] > 0).sum()) + 3)
        n_rows = max(min(settings.batch_size, (len(text.train) - 1) // (4 * settings.unroll_steps)), 1)
        n_steps = min(settings.unroll_steps, len(text.train) - 1)
        self.stream = Stream(text.train, n_rows, n_steps, self.n_vocab, settings.reset_state, settings.seed)
        limits = [settings.max_epochs * self.stream.steps_per_epoch, settings.max_steps]
        self.n_steps = min(limit for limit in limits if limit)
        self.model = make_language_model(settings, text.words[: self.n_vocab]).to(device)
        matrices = matrices_of(self.model.elmo)
        self.optimizer = make_optimizer(self.model.parameters(), settings.optimizer, matrices, self.model.dtype)
        self.stepper = Stepper(self.model, text.words, n_threads, settings.seed)
        self.states = self.stepper.zero_states(n_rows)
        self.progress = Progress()
        self.saved_step = 0
        self._unlogged = np.zeros(3)  # losses of both directions since the last line of the log, and of how many steps
        self._text = _identity(text)
        if resume:
            self._restore()

    def go(self, reporter: Reporter) -> Result:
        """Train to the end. Ctrl-C and SIGTERM end it after the step under way, a second one of them at once.

        :param reporter: told what happens.
        :return: where the best model is.
        :raises TrainingError: if a loss or a gradient is not a finite number.
        :raises OSError: if the disk is full.
        :raises KeyboardInterrupt: if the user stops it; what was learnt is saved before.
        """
        progress = self.progress
        log = Log(self.out / LOG, progress.step)
        if not progress.step:
            self.save()  # there is always one to go on from, and room for it
        elif progress.best_step == progress.step:
            self._write_best()  # the process may have been killed over it
        with Stop() as stop:
            reason = self._train(log, reporter, stop)
            self.save()
            log.write("end", {"step": progress.step, "reason": reason})
            draw_losses(self.out)
        return Result(self.out / BEST, progress, reason)

    def _train(self, log: Log, reporter: Reporter, stop: Stop) -> str:
        progress, settings = self.progress, self.settings
        started, spent = time.perf_counter(), progress.seconds
        last_log, since = started, 0
        while True:
            ends = progress.step >= self.n_steps
            if self._is_evaluation_due(ends):
                begun = time.perf_counter()
                line = self._evaluate(log)
                stop.unless_stopped(reporter.evaluated, line)
                last_log += time.perf_counter() - begun
            if settings.patience and progress.n_worse >= settings.patience:
                return f"no better evaluation in {settings.patience}"
            if ends:
                return "all steps done"
            rate, norm = self._step(stop)
            since += 1
            progress.seconds = spent + time.perf_counter() - started
            if progress.step % settings.log_every == 0 or progress.step >= self.n_steps:
                now = time.perf_counter()
                speed = since * self.stream.tokens_per_step / (now - last_log)
                losses = self._unlogged[:2] / self._unlogged[2]
                line = self._line(losses.tolist(), learn_rate=rate, gradient_norm=norm, tokens_per_second=speed)
                log.write("train", line)
                self._unlogged, since, last_log = np.zeros(3), 0, now
                stop.unless_stopped(reporter.train, line)

    def save(self) -> None:
        """Write the checkpoint.

        :raises OSError: if it can't be written.
        """
        states = [[(h.cpu(), c.cpu()) for h, c in direction] for direction in self.states]
        model = {name: tensor.detach().cpu() for name, tensor in self.model.state_dict().items()}
        unlogged = self._unlogged.tolist()
        content = Checkpoint(self.progress, model, self.optimizer.state_dict(), states, unlogged, self._text)
        save_checkpoint(self.out / CHECKPOINT, content)
        self.saved_step = self.progress.step

    def _step(self, stop: Stop) -> Tuple[float, float]:
        progress, settings = self.progress, self.settings
        batch = self.stream.batch(progress.step)
        if batch.first:
            self.states = self.stepper.zero_states(self.stream.n_rows)
        frozen = progress.step < settings.freeze_steps
        found, states = self.stepper.train(batch, self.states, progress.step, frozen)
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.grad_clip))
        sides = [side for side, loss in zip(("forward", "backward"), found) if not math.isfinite(loss)]
        if sides or not math.isfinite(norm):
            self._give_up(f"the {' and '.join(sides)} loss" if sides else "the gradient")
        # Saved only here and after an evaluation: weights are good if their losses and gradients are finite.
        if stop.asked or (progress.step % settings.save_every == 0 and progress.step != self.saved_step):
            self.save()
        if stop.asked:
            raise KeyboardInterrupt
        rate = learn_rate(settings.optimizer, progress.step, self.n_steps, settings.freeze_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.states = states
        self._unlogged += [*found, 1]
        progress.step += 1
        return rate, norm

    def _give_up(self, what: str) -> None:
        progress, settings = self.progress, self.settings
        largest = {name: _largest(tensor) for name, tensor in self.model.named_parameters()}
        name = max(largest, key=largest.__getitem__)
        rate = learn_rate(settings.optimizer, max(progress.step - 1, 0), self.n_steps, settings.freeze_steps)
        raise TrainingError(
            Errors.E043.format(
                step=progress.step,
                reason=f"{what} is not a finite number",
                diagnosis=f"The learning rate was {rate:g}, the largest weight {largest[name]:.3g} in {name}.",
                saved=self.saved_step,
                file=self.out / CHECKPOINT,
                rate=settings.optimizer.learn_rate / 4,
            )
        )

    def _is_evaluation_due(self, ends: bool) -> bool:
        progress = self.progress
        is_done = bool(progress.history) and progress.history[-1][0] == progress.step
        return progress.step > 0 and not is_done and (ends or progress.step % self.settings.eval_every == 0)

    def _evaluate(self, log: Log) -> Dict[str, Any]:
        progress = self.progress
        with np.errstate(over="ignore"):
            found = evaluate(self.stepper, self.text.dev, self.n_vocab, self.settings.eval_tokens)
        if not math.isfinite(found.loss):
            self._give_up("the perplexity of the text evaluated on")
        progress.history.append([progress.step, found.forward, found.backward, found.n_tokens])
        better = found.loss < progress.best_loss
        progress.n_worse = 0 if better else progress.n_worse + 1
        if better:
            progress.best_loss, progress.best_step = found.loss, progress.step
        line = self._line([math.log(found.forward), math.log(found.backward)], best=better)
        log.write("eval", line)  # before the checkpoint: what is of a later step than that is taken out on resume
        if better:
            self.save()
            self._write_best()
        draw_losses(self.out)
        return line

    def _write_best(self) -> None:
        model = self.model
        _, forward, backward, n = next(row for row in self.progress.history if row[0] == self.progress.best_step)
        card = self.describe(self, Perplexity(forward, backward, int(n)))
        write_model(self.out / BEST, model, self.text.words[: self.n_vocab], self.settings.softmax, card)

    def _line(self, losses: Sequence[float], **more: Any) -> Dict[str, Any]:
        step = self.progress.step
        forward, backward = map(float, losses)
        return {
            "step": step,
            "epoch": round(step / self.stream.steps_per_epoch, 4),
            "tokens": step * self.stream.tokens_per_step,
            "loss_forward": forward,
            "loss_backward": backward,
            "perplexity_forward": perplexity(forward),
            "perplexity_backward": perplexity(backward),
            "seconds": round(self.progress.seconds, 1),
            "seconds_left": round(self.progress.seconds / step * max(self.n_steps - step, 0), 1),
            **more,
        }

    def _restore(self) -> None:
        file = self.out / CHECKPOINT
        if not file.is_file():
            return  # stopped before the first checkpoint: from the beginning
        found = load_checkpoint(file)
        if found.text != self._text:
            key = "the text, by paths.train, paths.dev or the pipeline that splits it,"
            raise TrainingError(Errors.E044.format(key=key, folder=self.out))
        try:
            self.model.load_state_dict(found.model)
            self._restore_optimizer(found.optimizer)
        except (RuntimeError, ValueError, KeyError) as error:
            raise TrainingError(Errors.E042.format(file=file, reason=error)) from error
        self.progress, self.saved_step = found.progress, found.progress.step
        self._unlogged = np.array(found.unlogged)
        if found.states is not None:
            device = self.model.elmo.device
            self.states = [[(h.to(device), c.to(device)) for h, c in direction] for direction in found.states]

    def _restore_optimizer(self, saved: Dict[str, Any]) -> None:
        # What was accumulated is that of the checkpoint, unless it is of another kind; constants are of the settings.
        groups: List[Dict[str, Any]] = self.optimizer.state_dict()["param_groups"]
        kinds = [("betas" in found[0], len(found)) for found in (saved["param_groups"], groups)]
        if kinds[0] == kinds[1]:
            self.optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})


def _largest(tensor: torch.Tensor) -> float:
    found = float(tensor.detach().abs().max())
    return math.inf if math.isnan(found) else found


def _identity(text: PreparedText) -> str:
    found = hashlib.sha256("\n".join(text.words).encode("utf8"))
    for part in (text.counts, text.train, text.dev):
        found.update(np.ascontiguousarray(part).data)
    return found.hexdigest()
