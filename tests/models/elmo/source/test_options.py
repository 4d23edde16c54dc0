"""models/elmo/source/options.py: keys that may be missing, and values that make no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import pytest

from spacy_ctx_embed.models.elmo.formats import read_elmo
from tests.models.elmo.elmo_folders import edit_options, refusal_of
from tests.writers.elmo import write_random_elmo


def test_optional_keys_may_be_missing(tmp_path: Path) -> None:
    folder = write_random_elmo(tmp_path, n_layers=1, n_highway=0)

    def drop(options: Dict[str, Any]) -> None:
        for key in ("n_layers", "cell_clip", "proj_clip", "use_skip_connections"):
            del options["lstm"][key]
        for key in ("n_highway", "n_characters", "max_characters_per_token"):
            del options["char_cnn"][key]

    edit_options(folder, drop)
    files = read_elmo(folder)
    assert (files.config.bilm.n_layers, files.config.bilm.cell_clip, files.config.bilm.use_skip_connections) == (
        1,
        None,
        False,
    )
    assert (files.config.char_cnn.n_highway, files.config.char_cnn.max_chars) == (0, 50)


@pytest.mark.parametrize("content", ["{", "", "\x00\x01", "[1, 2", '{"lstm": }'])
def test_broken_json_is_refused(folder: Path, content: str) -> None:
    (folder / "options.json").write_text(content)
    assert "options.json" in refusal_of(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lstm.dim", None),
        ("lstm.projection_dim", "6"),
        ("lstm.n_layers", 0),
        ("lstm.cell_clip", -1),
        ("lstm.use_skip_connections", "yes"),
        ("lstm", None),
        ("char_cnn", None),
        ("char_cnn.embedding.dim", None),
        ("char_cnn.activation", "gelu"),
        ("char_cnn.activation", ["relu"]),
        ("char_cnn.filters", [[1, 4], [2]]),
        ("char_cnn.filters", [[51, 4]]),
        ("char_cnn.max_characters_per_token", 2),
    ],
)
def test_wrong_option_is_named(folder: Path, key: str, value: Any) -> None:
    def change(options: Dict[str, Any]) -> None:
        *path, last = key.split(".")
        for part in path:
            options = options[part]
        options[last] = value
        if value is None:
            del options[last]

    edit_options(folder, change)
    message = refusal_of(folder)
    assert f"'{key}'" in message and "options.json" in message


def test_options_that_are_no_table_are_refused(folder: Path) -> None:
    (folder / "options.json").write_text("[]")
    assert "'lstm' is missing" in refusal_of(folder)
