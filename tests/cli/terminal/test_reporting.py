"""cli/terminal/reporting.py: how a command ends where its work fails or is stopped."""

import pytest
import typer

from spacy_ctx_embed.cli.terminal.reporting import errors_reported, read_overrides


@pytest.mark.parametrize("error", [ValueError, OSError, ImportError, RuntimeError])
@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_is_printed_and_the_status_is_1(error, as_json, capsys):
    with pytest.raises(typer.Exit) as ended, errors_reported("Can't do it", as_json=as_json):
        raise error("[CE000] why and how")
    out, err = capsys.readouterr()
    assert ended.value.exit_code == 1
    assert (out, err) == ("", "[CE000] why and how\n") if as_json else ("Can't do it" in out and "[CE000]" in out)


def test_a_fault_of_the_program_is_not_hidden():
    with pytest.raises(ZeroDivisionError), errors_reported("Can't do it"):
        _ = 1 / 0


def test_ctrl_c_says_how_to_go_on_where_something_is_kept(capsys):
    with pytest.raises(typer.Exit) as ended, errors_reported("Can't do it", stopped="Go on with --resume"):
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    assert "Go on with --resume" in capsys.readouterr().out
    with pytest.raises(KeyboardInterrupt), errors_reported("Can't do it"):
        raise KeyboardInterrupt


def test_an_exit_inside_keeps_its_status():
    with pytest.raises(typer.Exit) as ended, errors_reported("Can't do it"):
        raise typer.Exit(3)
    assert ended.value.exit_code == 3


def test_overrides(capsys):
    assert read_overrides(["--training.dropout", "0.2", "--a.b=true"], "--a.b") == {
        "training.dropout": 0.2,
        "a.b": True,
    }
    with pytest.raises(typer.Exit) as ended:
        read_overrides(["--dropout", "0.2"], "--training.dropout")
    assert ended.value.exit_code == 2
    assert "--training.dropout" in capsys.readouterr().err
