"""``pretrain-elmo``: text and a config -> an ELMo model of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import typer

from spacy_ctx_embed.cli.terminal.reporting import errors_reported, read_overrides


def pretrain_elmo_cli(
    # fmt: off
    ctx: typer.Context,
    config: Path = typer.Argument(..., help="Config file with a section [pretraining]"),  # noqa: B008
    out: Path = typer.Argument(..., help="Folder to write, new or empty"),  # noqa: B008
    resume: bool = typer.Option(False, "--resume", "-r", help="Go on from the last checkpoint in the folder"),
    gpu_id: int = typer.Option(-1, "--gpu-id", "-g", help="GPU, or -1 for the CPU"),
    threads: int = typer.Option(0, "--threads", "-t", help="CPU cores to use, 0 for all"),
    n_process: int = typer.Option(1, "--n-process", "-n", help="Processes that tokenise the text"),
    code: Optional[Path] = typer.Option(None, "--code", "-c", help="Python file to import first, as in spacy train"),  # noqa: B008
    # fmt: on
) -> None:
    """
    Train an ELMo language model on text of your own.

    Every setting of the config can be overridden, as in --paths.train books.txt --pretraining.max_epochs 3. The
    model, in OUT/model-best, is the 'name' of an ELMo component. A training that was stopped goes on with --resume.
    """
    from spacy.cli._util import import_code
    from wasabi import msg

    from spacy_ctx_embed.pretraining.pretrain import pretrain_elmo
    from spacy_ctx_embed.pretraining.records import PICTURE

    overrides = read_overrides(ctx.args, "--pretraining.max_steps")
    import_code(code)
    stopped = "Stopped. The same command with --resume goes on from the last checkpoint"
    with errors_reported("Can't train the language model", stopped=stopped):
        result = pretrain_elmo(
            config, out, overrides=overrides, resume=resume, gpu_id=gpu_id, n_threads=threads, n_process=n_process
        )
    if not (out / PICTURE).is_file():
        msg.info("No picture of the loss, as matplotlib is not there. It comes with:")
        typer.echo("pip install 'spacy-ctx-embed[pretrain]'")
    msg.good(f"Trained for {result.progress.step:,} steps: {result.reason}. Use the best model in a config as:")
    typer.echo(f'name = "{result.directory.as_posix()}"')
