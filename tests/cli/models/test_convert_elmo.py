"""cli/: ``python -m spacy embed convert-elmo``."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from safetensors import SafetensorError, safe_open
from typer.testing import CliRunner

from spacy_ctx_embed.cli.app import embed_cli
from spacy_ctx_embed.models.elmo import folder as elmo_folder
from spacy_ctx_embed.models.elmo.formats import read_elmo
from tests.writers.elmo import write_random_elmo


@pytest.fixture
def model(tmp_path):
    return write_random_elmo(tmp_path / "model")


def _run(*args):
    result = CliRunner().invoke(embed_cli, ["convert-elmo", *map(str, args)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def _names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_what_is_written_reads_as_the_same_model(model, tmp_path):
    result = _run(model, tmp_path / "out" / "deep")
    assert result.exit_code == 0
    before, after = read_elmo(model), read_elmo(tmp_path / "out" / "deep")
    assert after.config == before.config
    assert all(torch.equal(after.weights[name], before.weights[name]) for name in before.weights)
    assert _names(tmp_path / "out" / "deep") == ["options.json", "weights.safetensors"]
    assert _names(tmp_path / "out") == ["deep"]


def test_it_says_what_was_found_and_how_to_use_it(model, tmp_path):
    said = _run(model, tmp_path / "out").output
    n_parameters = sum(tensor.numel() for tensor in read_elmo(model).weights.values())
    for part in (str(model), f"{n_parameters:,}", "12 wide", "bytes of float32"):
        assert part in said
    assert f'\nname = "{(tmp_path / "out").as_posix()}"\n' in said


def test_weights_can_be_written_as_float16(model, tmp_path):
    assert _run(model, tmp_path / "out", "--dtype", "float16").exit_code == 0
    with safe_open(tmp_path / "out" / "weights.safetensors", framework="pt") as stream:
        assert {stream.get_tensor(name).dtype for name in stream.keys()} == {torch.float16}
    before, after = read_elmo(model).weights, read_elmo(tmp_path / "out").weights
    assert all(torch.allclose(after[name], before[name], atol=2e-3) for name in before)


def test_others_may_read_the_files_too(model, tmp_path):
    _run(model, tmp_path / "out")
    modes = {file.stat().st_mode & 0o777 for file in (tmp_path / "out").iterdir()}
    (tmp_path / "plain").write_text("")
    assert modes == {(tmp_path / "plain").stat().st_mode & 0o777}


def test_an_empty_folder_may_be_there(model, tmp_path):
    (tmp_path / "out").mkdir()
    assert _run(model, tmp_path / "out").exit_code == 0


def test_a_model_that_is_there_is_replaced_only_by_force(model, tmp_path):
    out = tmp_path / "out"
    _run(model, out)
    before = (out / "weights.safetensors").read_bytes()
    other = write_random_elmo(tmp_path / "other", dim=10)
    result = _run(other, out)
    assert result.exit_code == 1
    assert "is not empty" in result.output and "--force" in result.output
    assert (out / "weights.safetensors").read_bytes() == before
    assert _run(other, out, "-F").exit_code == 0
    assert json.loads((out / "options.json").read_text())["lstm"]["dim"] == 10
    assert _names(tmp_path) == ["model", "other", "out"]


def test_a_model_may_be_converted_onto_itself(model, tmp_path):
    out = tmp_path / "out"
    _run(model, out)
    assert _run(out, out, "-F", "--dtype", "float16").exit_code == 0
    assert read_elmo(out).config == read_elmo(model).config


def test_force_does_not_throw_other_files_away(model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    result = _run(model, out, "--force")
    assert result.exit_code == 1
    assert "thesis.txt" in result.output
    assert _names(out) == ["thesis.txt"]


def test_a_file_is_not_replaced(model, tmp_path):
    (tmp_path / "out").write_text("text")
    result = _run(model, tmp_path / "out", "-F")
    assert result.exit_code == 1
    assert "is not a folder" in result.output


@pytest.mark.parametrize("name", ["no-such-model", "broken"])
def test_an_error_is_its_message_and_leaves_nothing(model, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    model.rename("broken")
    (tmp_path / "broken" / "weights.hdf5").write_bytes(b"no hdf5")
    result = _run(name, tmp_path / "out")
    assert result.exit_code == 1
    assert "Fix: " in result.output and "Traceback" not in result.output
    assert _names(tmp_path) == ["broken"]


@pytest.mark.parametrize("error", [SafetensorError("no space"), OSError("no space")])
def test_what_fails_while_writing_leaves_the_old_model(model, tmp_path, monkeypatch, error):
    out = tmp_path / "out"
    _run(model, out)

    def fail(directory, files, dtype):
        (directory / "options.json").write_text("{")
        raise error

    monkeypatch.setattr(elmo_folder, "write_elmo", fail)
    result = _run(model, out, "-F")
    assert result.exit_code == 1
    assert "no space" in result.output
    assert read_elmo(out).config == read_elmo(model).config
    assert _names(tmp_path) == ["model", "out"]


def test_a_folder_that_cannot_be_put_in_place_gives_the_old_one_back(model, tmp_path, monkeypatch):
    out = tmp_path / "out"
    _run(model, out)
    replace = type(out).replace

    def fail(self, target):
        if self.name == "new":
            raise OSError("not today")
        return replace(self, target)

    monkeypatch.setattr(type(out), "replace", fail)
    assert "not today" in _run(model, out, "-F").output
    assert _names(out) == ["options.json", "weights.safetensors"]


def test_an_unknown_dtype_is_a_usage_error(model, tmp_path):
    assert _run(model, tmp_path / "out", "--dtype", "int8").exit_code == 2


def test_spacys_command_line_has_the_group_and_loads_nothing_heavy_for_it():
    code = (
        "import sys, time, spacy.cli; before = set(sys.modules); start = time.process_time()\n"
        "import spacy_ctx_embed.cli.app\n"
        "print(time.process_time() - start, *{name.split('.')[0] for name in set(sys.modules) - before})\n"
        "sys.argv = ['spacy', 'embed', '--help']\n"
        "from spacy.cli import setup_cli; setup_cli()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, *loaded = done.stdout.splitlines()[0].split()
    assert set(loaded) <= {"spacy_ctx_embed", "__future__"}
    assert float(seconds) < 0.1
    assert "convert-elmo" in done.stdout


def test_python_m_spacy_finds_the_command():
    command = [sys.executable, "-m", "spacy", "embed", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "convert-elmo" in done.stdout
