"""What the commands share: settings of a config given on the command line, and errors as a user should see them."""

from __future__ import annotations

import contextlib
from typing import Any, Dict, Iterator, List, Optional

import typer


def decimals(value: Optional[float]) -> str:
    """Show a measure in a table.

    :param value: the measure.
    :return: three decimals; a dash where there is none.
    """
    return "-" if value is None else f"{value:.3f}"


@contextlib.contextmanager
def errors_reported(title: str, *, stopped: Optional[str] = None, as_json: bool = False) -> Iterator[None]:
    """Run the work of a command; what goes wrong is printed, and the exit status is 1.

    :param title: what can't be done.
    :param stopped: printed after Ctrl-C, with exit status 130: what is kept, and how to go on.
    :param as_json: whether standard output is for a program, so that the error goes to standard error.
    :yields: nothing.
    :raises Exit: with the status, after an error.
    """
    from wasabi import msg

    try:
        yield
    except KeyboardInterrupt:
        if stopped is None:
            raise
        msg.warn(stopped)
        raise typer.Exit(130) from None
    except typer.Exit:  # which is a RuntimeError
        raise
    except (OSError, ValueError, ImportError, RuntimeError) as error:  # those of errors/ are among them, with the fix
        if not as_json:
            msg.fail(title)
        typer.echo(str(error), err=as_json)  # wasabi would wrap its lines
        raise typer.Exit(1) from error


def read_overrides(args: List[str], example: str) -> Dict[str, Any]:
    """Read settings of a config from the command line.

    :param args: what the command itself does not know, as ``--training.dropout 0.2``.
    :param example: such a setting, for the message.
    :return: values by dotted key.
    :raises Exit: with status 2, if there is something else among them.
    """
    from click import ClickException
    from spacy.cli._util import parse_config_overrides

    try:
        return parse_config_overrides(args)
    except ClickException as error:  # which a typer with a click of its own would not know
        typer.echo(f"{error.message} A setting of the config has a dot in its name, as {example}", err=True)
        raise typer.Exit(2) from error
