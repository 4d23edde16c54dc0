"""AllenNLPElmo.v1 as far as it goes without AllenNLP; the rest is in ``tests/reference/test_allennlp_live.py``."""

from __future__ import annotations

import importlib.util
import inspect
import json
import shlex
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator, List

import pytest
import spacy
import torch
from thinc.api import Config

from spacy_ctx_embed.encoders.allennlp import module as allennlp_module
from spacy_ctx_embed.encoders.allennlp.model import OWNER, make_allennlp_elmo_v1
from spacy_ctx_embed.encoders.allennlp.module import import_allennlp
from spacy_ctx_embed.encoders.elmo.model import make_elmo_v1, reset_states
from spacy_ctx_embed.errors import ModelFormatError, ModelNotFoundError
from spacy_ctx_embed.models.elmo.formats import read_elmo
from tests.models.elmo.elmo_folders import assert_same
from tests.writers.allennlp import elmo_state
from tests.writers.elmo import elmo_datasets, write_random_elmo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_random_elmo(tmp_path / "elmo")


@pytest.fixture
def no_allennlp(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("allennlp", "allennlp.modules.elmo"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture
def fake_allennlp(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands where AllenNLP's module is looked for; its ``_ElmoBiLm`` refuses every model as AllenNLP does."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise KeyError("n_layers")

    fake = SimpleNamespace(_ElmoBiLm=refuse)
    monkeypatch.setattr(allennlp_module, "import_allennlp", lambda owner: fake)
    return fake


@pytest.fixture
def allennlp_that_wants_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if importlib.util.find_spec("torchvision") is not None:
        pytest.skip("torchvision is installed, so nothing stands in for it")
    folder = tmp_path / "allennlp" / "modules"
    folder.mkdir(parents=True)
    code = "import torchvision.ops.boxes as boxes\nfrom torchvision import io\nNAMES = [boxes.__name__, io.__name__]\n"
    (folder / "elmo.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "allennlp"]:
        monkeypatch.delitem(sys.modules, name)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "allennlp"]:
        del sys.modules[name]


def open_message(path: Path) -> str:
    with pytest.raises(ModelFormatError) as caught:
        make_allennlp_elmo_v1(name=str(path)).initialize()
    return str(caught.value)


# Building


def test_config_resolves_without_importing_or_opening_anything(no_allennlp: None) -> None:
    nlp = spacy.blank("xx")
    config = {"@architectures": OWNER, "name": "nowhere", "layers": [-1], "layer_mix": "last"}
    pipe = nlp.add_pipe("elmo_embeddings", config={"model": config})
    assert pipe.model.name == OWNER and not pipe.model.shims[0].loaded
    reset_states(pipe.model)


FINE_TUNING = ("learn_rate_factor", "layer_decay", "unfreeze_steps")


def test_settings_of_elmo_v1_are_taken_where_they_apply() -> None:
    ours, theirs = (inspect.signature(make).parameters for make in (make_elmo_v1, make_allennlp_elmo_v1))
    assert theirs.keys() == ours.keys() - {"initial_state", "char_cache_mb", *FINE_TUNING}


def test_unknown_setting_is_refused() -> None:
    text = f'[model]\n@architectures = "{OWNER}"\nname = "x"\nchar_cache_mb = 64\n'
    with pytest.raises(ValueError, match="char_cache_mb"):
        spacy.registry.resolve(Config().from_str(text))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("window", 0),
        ("stateful", "yes"),
        ("precision", "float16"),
        ("precision", "int8"),
        ("layer_norm", "yes"),
        ("dropout", 1.0),
        ("layers", []),
        ("layer_mix", "median"),
        ("max_batch_tokens", 0),
    ],
)
def test_wrong_setting_is_named(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"AllenNLPElmo.v1: the setting '{key}'"):
        make_allennlp_elmo_v1(name="x", **{key: value})


# Importing AllenNLP


def test_missing_allennlp_is_an_error_with_the_commands(no_allennlp: None, folder: Path) -> None:
    finders = list(sys.meta_path)
    with pytest.raises(ImportError) as caught:
        make_allennlp_elmo_v1(name=str(folder)).initialize()
    message = str(caught.value)
    assert "[CE005]" in message and OWNER in message and "'allennlp'" in message
    first, second = (shlex.split(part) for part in message.split("Fix: ")[1].removesuffix(".").split(" && "))
    assert first[:2] == ["pip", "install"] and "transformers==4.53.2" in first
    assert second == ["pip", "install", "--no-deps", "--no-build-isolation", "allennlp==2.10.1", "fairscale==0.4.6"]
    assert sys.meta_path == finders


def test_missing_allennlp_is_told_before_a_model_is_looked_for(no_allennlp: None) -> None:
    with pytest.raises(ImportError, match="CE005"):
        make_allennlp_elmo_v1(name="nowhere").initialize()


def test_nothing_of_torchvision_stays_behind(allennlp_that_wants_torchvision: None) -> None:
    finders = list(sys.meta_path)
    assert import_allennlp(OWNER).NAMES == ["torchvision.ops.boxes", "torchvision.io"]
    assert not [name for name in sys.modules if name.split(".")[0] == "torchvision"]
    assert importlib.util.find_spec("torchvision") is None
    assert sys.meta_path == finders


# Files


def test_name_that_leads_nowhere(fake_allennlp: SimpleNamespace) -> None:
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        make_allennlp_elmo_v1(name="nowhere").initialize()


def test_other_formats_are_refused_with_the_encoder_that_reads_them(
    fake_allennlp: SimpleNamespace, folder: Path, tmp_path: Path
) -> None:
    ours = tmp_path / "ours"
    make_elmo_v1(name=str(folder)).shims[0].save(ours)
    archive = Path(shutil.make_archive(str(tmp_path / "model"), "zip", folder))
    for path, reason in ((ours, "no HDF5 file"), (archive, "neither a folder nor an HDF5 file")):
        message = open_message(path)
        assert str(path) in message and reason in message and "use spacy_ctx_embed.Elmo.v1" in message


def test_weights_without_options_are_refused(fake_allennlp: SimpleNamespace, folder: Path) -> None:
    (folder / "options.json").unlink()
    assert "no options.json" in open_message(folder) and "no options.json" in open_message(folder / "weights.hdf5")


@pytest.mark.parametrize("change", ["no characters", "40 characters"])
def test_models_that_read_words_otherwise_are_refused(
    fake_allennlp: SimpleNamespace, folder: Path, change: str
) -> None:
    options = json.loads((folder / "options.json").read_text())
    if change == "no characters":
        del options["char_cnn"]
    else:
        options["char_cnn"]["max_characters_per_token"] = 40
    (folder / "options.json").write_text(json.dumps(options))
    assert "as 50 characters" in open_message(folder)


@pytest.mark.parametrize("names", [["options.json", "weights.hdf5"], ["pt_options.json", "pt_weights.hdf5"]])
def test_what_allennlp_runs_into_is_told(fake_allennlp: SimpleNamespace, folder: Path, names: List[str]) -> None:
    for old, new in zip(("options.json", "weights.hdf5"), names):
        (folder / old).rename(folder / new)
    message = open_message(folder)
    assert names[1] in message and f"with {names[0]} (KeyError: 'n_layers')" in message and "Elmo.v1" in message


def test_options_are_those_named_like_the_weights(fake_allennlp: SimpleNamespace, folder: Path) -> None:
    for name in ("options.json", "weights.hdf5"):
        shutil.copy(folder / name, folder / f"pt_{name}")
    assert "with pt_options.json" in open_message(folder / "pt_weights.hdf5")


# Saving


class OnCard(torch.Tensor):
    """A tensor that says it is on a GPU, until it is fetched."""

    device = torch.device("cuda")

    def cpu(self) -> torch.Tensor:
        return self.as_subclass(torch.Tensor)


class BilmOnCard(torch.nn.Module):
    """What ``AllenNLPElmo.v1`` asks of AllenNLP's ``_ElmoBiLm``, with weights on a GPU."""

    num_layers = 3

    def __init__(self, options: str, weights: str, requires_grad: bool) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(1))
        values = json.loads(Path(options).read_text())
        self.values = elmo_state(values, elmo_datasets(values), prefix="")

    def get_output_dim(self) -> int:
        return 12

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return {name.removeprefix("_elmo_lstm."): tensor.as_subclass(OnCard) for name, tensor in self.values.items()}


def test_weights_on_a_gpu_are_saved(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(_ElmoBiLm=BilmOnCard)
    monkeypatch.setattr(allennlp_module, "import_allennlp", lambda owner: fake)
    model = make_allennlp_elmo_v1(name=str(folder))
    model.initialize()
    model.shims[0].save(tmp_path / "saved")
    assert_same(read_elmo(tmp_path / "saved"), read_elmo(folder))
