"""A training run on the terminal: a bar while it goes, and a row of a table for each evaluation.

Where standard error is not a terminal, each line of the log is a row instead of the bar.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Dict, Optional

from spacy_ctx_embed.pretraining.records import clock

if TYPE_CHECKING:
    from tqdm import tqdm

    from spacy_ctx_embed.pretraining.run import Run

_HEADER = ("EPOCH", "STEP", "TOKENS", "LOSS", "PPL FORWARD", "PPL BACKWARD", "TOKENS/S", "LEFT")
_WIDTHS = (6, 8, 13, 6, 11, 12, 9, 9)


class Table:
    """Standard output, and a bar on standard error."""

    def __init__(self) -> None:
        self._bar: Optional[tqdm[Any]] = None
        self._live = sys.stderr.isatty()
        self._speed = 0.0

    def reading(self, n_files: int) -> None:
        """Before the text is read.

        :param n_files: files to read.
        """
        from wasabi import msg

        msg.info(f"Reading the text ({n_files} {'file' if n_files == 1 else 'files'})")

    def read(self, n_texts: int, n_tokens: int) -> None:
        """While the text is read.

        :param n_texts: texts read so far.
        :param n_tokens: their words.
        """
        if self._live:
            sys.stderr.write(f"\r{n_texts:,} texts, {n_tokens:,} words")

    def starting(self, run: Run) -> None:
        """Before the first step.

        :param run: what begins or goes on.
        """
        from tqdm import tqdm
        from wasabi import msg

        if self._live:
            sys.stderr.write("\n")
        text, progress = run.text, run.progress
        msg.info(f"{text.n_train_tokens:,} words to train on, {text.n_dev_tokens:,} to evaluate on")
        n_parameters = sum(part.numel() for part in run.model.elmo.parameters())
        msg.info(f"{n_parameters:,} parameters, a vocabulary of {run.n_vocab:,} words, {run.n_steps:,} steps")
        if progress.step:
            msg.info(f"Going on from step {progress.step:,}")
        self._say(_row(_HEADER))
        self._say(_row(["-" * width for width in _WIDTHS]))
        if self._live:
            self._bar = tqdm(total=run.n_steps, initial=progress.step, unit="step", leave=False)

    def train(self, line: Dict[str, Any]) -> None:
        """After each ``log_every`` steps.

        :param line: of the log.
        """
        self._speed = line["tokens_per_second"]
        if self._bar is not None:
            self._bar.update(line["step"] - self._bar.n)
            pair = f"{line['perplexity_forward']:.1f} / {line['perplexity_backward']:.1f}"
            values = f"{self._speed:,.0f} tokens/s, loss {_loss(line):.3f}, perplexity {pair}"
            self._bar.set_postfix_str(f"{values}, {clock(line['seconds_left'])} left")
        else:
            self._print(line, "")

    def evaluated(self, line: Dict[str, Any]) -> None:
        """After each evaluation.

        :param line: of the log.
        """
        self._print(line, "  held out, best so far" if line["best"] else "  held out")

    def close(self) -> None:
        """At the end, or after an error."""
        if self._bar is not None:
            self._bar.close()

    def _print(self, line: Dict[str, Any], note: str) -> None:
        values = (
            f"{line['epoch']:.2f}",
            f"{line['step']:,}",
            f"{line['tokens']:,}",
            f"{_loss(line):.3f}",
            f"{line['perplexity_forward']:.2f}",
            f"{line['perplexity_backward']:.2f}",
            f"{self._speed:,.0f}",
            clock(line["seconds_left"]),
        )
        text = _row(values) + note
        self._say(text)

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stdout)
        else:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()


def _row(values: Any) -> str:
    return "  ".join(f"{value:>{width}}" for value, width in zip(values, _WIDTHS))


def _loss(line: Dict[str, Any]) -> float:
    return 0.5 * float(line["loss_forward"] + line["loss_backward"])
