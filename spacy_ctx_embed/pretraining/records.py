"""What a training run tells while it goes: lines of JSON, a table in the terminal, and a picture of the loss.

Enters: figures. Leaves: ``log.jsonl`` with one object per line, and ``loss.png`` where matplotlib is installed.
"""

from __future__ import annotations

import json
import math
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List

from spacy_ctx_embed.errors import Errors

LOG, PICTURE = "log.jsonl", "loss.png"


class Log:
    """The file of lines. Kinds of lines: ``train``, ``eval``, ``end``; every line has ``step``.

    :param file: where it is; lines after ``step`` are taken out, as they will be written again, and the end of before.
    :param step: the step that training goes on from.
    :raises OSError: if it can't be written.
    """

    def __init__(self, file: Path, step: int) -> None:
        self.file = file
        kept = [line for line in read_log(file) if line["step"] <= step and line["kind"] != "end"] if step else []
        temporary = file.with_name(file.name + ".tmp")
        with _written(file):
            temporary.write_text("".join(f"{json.dumps(line)}\n" for line in kept), encoding="utf8")
            temporary.replace(file)

    def write(self, kind: str, values: Dict[str, Any]) -> None:
        """Add a line.

        :param kind: of the line.
        :param values: what it tells.
        :raises OSError: if it can't be written.
        """
        with _written(self.file), self.file.open("a", encoding="utf8") as stream:
            stream.write(json.dumps({"kind": kind, **values}) + "\n")
            stream.flush()
            os.fsync(stream.fileno())


def read_log(file: Path) -> List[Dict[str, Any]]:
    """Read a log, up to a line that a killed process left half written.

    :param file: the log, which may not be there yet.
    :return: its lines.
    """
    found: List[Dict[str, Any]] = []
    text = file.read_text(encoding="utf8", errors="replace") if file.is_file() else ""
    for line in text.split("\n")[:-1]:
        try:
            found.append(json.loads(line))
        except ValueError:  # what a computer that lost its power left
            break
    return found


def draw_losses(folder: Path) -> bool:
    """Draw the perplexities of a log, if matplotlib is there.

    :param folder: where the log is and the picture goes.
    :return: whether it was drawn.
    :raises OSError: if it can't be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    lines = read_log(folder / LOG)
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for kind, style in (("train", "-"), ("eval", "o-")):
        found = [line for line in lines if line["kind"] == kind]
        for direction in ("forward", "backward"):
            places = [line["tokens"] / 1e6 for line in found]
            values: List[float] = [line[f"perplexity_{direction}"] for line in found]
            axes.plot(places, values, style, label=f"{kind}, {direction}", linewidth=1, markersize=4)
    axes.set(xlabel="tokens read, in millions", ylabel="perplexity", yscale="log")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    temporary = folder / f".{PICTURE}"
    with _written(folder / PICTURE):
        figure.savefig(temporary, format="png", dpi=120)
        temporary.replace(folder / PICTURE)
    return True


def perplexity(loss: float) -> float:
    """Give the perplexity of a mean loss.

    :param loss: in nats.
    :return: ``exp(loss)``, infinity where that is too large for a number.
    """
    return math.exp(loss) if loss < 700 else math.inf


def clock(seconds: float) -> str:
    """Write a duration.

    :param seconds: how long.
    :return: as in ``1:02:03``.
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


@contextmanager
def _written(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(Errors.E041.format(file=file, reason=error)) from error
