"""``probe``: which layers of a frozen encoder a task wants, and whether a mix of them is better."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional

import typer

from spacy_ctx_embed.cli.terminal.reporting import errors_reported, read_overrides

if TYPE_CHECKING:
    from spacy_ctx_embed.probing.probe import Reporter


def probe_cli(
    # fmt: off
    ctx: typer.Context,
    config: Path = typer.Argument(..., help="Training config with an embedding component that a component listens to"),  # noqa: B008
    train: Path = typer.Argument(..., help="Texts to train on, .spacy"),  # noqa: B008
    dev: Path = typer.Argument(..., help="Texts to score, .spacy"),  # noqa: B008
    component: Optional[str] = typer.Option(None, "--component", help="What to score; else the first that listens"),
    embeddings: Optional[str] = typer.Option(None, "--embeddings", help="Embedding component, if there are several"),
    score: Optional[str] = typer.Option(None, "--score", help="Key of the score; else the component's main one"),
    seeds: List[str] = typer.Option(["0,1,2"], "--seeds", "-s", help="Seeds, as 0,1,2 or --seeds 0 --seeds 1"),  # noqa: B008
    max_steps: Optional[int] = typer.Option(
        None, "--max-steps", "-m", help="Steps of each training; else the config's"
    ),
    cache_mb: Optional[int] = typer.Option(None, "--cache-mb", help="Memory for layers, in MB; else 4000 at least"),
    cache_dir: Optional[Path] = typer.Option(None, "--cache-dir", help="Folder that keeps the layers, too"),  # noqa: B008
    output: Optional[Path] = typer.Option(None, "--output", "-o", help="JSON file; a rerun goes on from it"),  # noqa: B008
    gpu_id: int = typer.Option(-1, "--gpu-id", "-g", help="GPU, or -1 for the CPU"),
    code: Optional[Path] = typer.Option(None, "--code", "-c", help="Python file to import first, as in spacy train"),  # noqa: B008
    # fmt: on
) -> None:
    """
    Train a component on each layer of a frozen encoder alone, on their mean and on a learned mix, and compare.

    The encoder runs over the texts once. Every setting of the config can be overridden, as in
    --training.dropout 0.2. There is no early stopping: what is scored is the last step.
    """
    from spacy.cli._util import import_code, setup_gpu
    from wasabi import msg

    from spacy_ctx_embed.probing.probe import probe
    from spacy_ctx_embed.probing.report import format_notes, format_table

    overrides, numbers = read_overrides(ctx.args, "--training.dropout"), _read_seeds(seeds)
    import_code(code)
    kept = f"The same command goes on from {output}" if output else "With --output, what is done would be kept"
    with errors_reported("Can't probe", stopped=f"Stopped. {kept}"):
        setup_gpu(gpu_id, silent=True)
        probed = probe(
            config,
            train,
            dev,
            component=component,
            embeddings=embeddings,
            score=score,
            seeds=numbers,
            max_steps=max_steps,
            cache_mb=cache_mb,
            cache_dir=cache_dir,
            output=output,
            use_gpu=gpu_id,
            overrides=overrides,
            reporter=_make_printer(),
        )
    typer.echo(f"\n{format_table(probed.rows, probed.plan.score)}\n\n{format_notes(probed.runs, probed.rows)}")
    if probed.n_again:
        msg.warn(
            f"The cache was full: the network ran again for {probed.n_again:,} texts. "
            "Give it more memory by --cache-mb, or a folder by --cache-dir"
        )


def _make_printer() -> Reporter:
    from spacy_ctx_embed.probing.plan import Plan
    from spacy_ctx_embed.probing.probe import Reporter
    from spacy_ctx_embed.probing.runs import Run

    class Printer(Reporter):
        score = ""

        def planned(self, plan: Plan, n_done: int, n_runs: int) -> None:
            self.score = plan.score
            what = f"{len(plan.variants)} variants of {plan.embeddings!r}, by {plan.score} of {plan.component!r}"
            typer.echo(f"{what}: {n_runs} runs, {n_done} of them done before")

        def filled(self, n_texts: int, seconds: float) -> None:
            typer.echo(f"The network ran over {n_texts:,} texts, to keep all layers: {seconds:.1f} s")

        def ran(self, run: Run) -> None:
            value = f"{self.score} {100 * run.score:6.2f}"
            typer.echo(f"{run.variant:<12} seed {run.seed:<3} {value}  {run.n_steps} steps, {run.seconds:.1f} s")

    return Printer()


def _read_seeds(values: List[str]) -> List[int]:
    parts = [part for value in values for part in re.split(r"[\s,]+", value.strip()) if part]
    if not parts or not all(part.isdigit() for part in parts):
        accepted = "whole numbers, as 0,1,2 or --seeds 0 --seeds 1"
        typer.echo(f"--seeds is {' '.join(values)!r}. Accepted: {accepted}", err=True)
        raise typer.Exit(2)
    return [int(part) for part in parts]
