"""pretraining/pretrain.py: from a config and text to a folder with a model; whose folder it is, and what is refused."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from filelock import FileLock
from spacy.tokens import Doc, DocBin

from spacy_ctx_embed.errors import CorpusError, TrainingError
from spacy_ctx_embed.models.elmo.formats import read_elmo
from spacy_ctx_embed.pretraining import run as run_module
from spacy_ctx_embed.pretraining.checkpoint import load_checkpoint
from spacy_ctx_embed.pretraining.pretrain import pretrain_elmo
from tests.pretraining.failing import N_WORDS, fails, stopped
from tests.pretraining.tiny import (
    FILES,
    Quiet,
    assert_same_training,
    is_same,
    make_sentences,
    read_checkpoint,
    tiny_config,
    train,
    write_text,
)

pytestmark = pytest.mark.usefixtures("no_pictures")
FULL = Path("/dev/full")


@pytest.mark.usefixtures("pictures")
def test_everything_is_there(text, tmp_path):
    result = train(tiny_config(text, max_steps=5), tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        ".lock",
        "checkpoint.pt",
        "config.cfg",
        "log.jsonl",
        "loss.png",
        "model-best",
        "text",
    ]
    assert result.directory == tmp_path / "out" / "model-best"
    assert sorted(file.name for file in result.directory.iterdir()) == FILES
    assert (result.progress.step, result.reason) == (5, "all steps done")


def test_the_config_is_kept_with_its_overrides(text, tmp_path):
    out = tmp_path / "out"
    train(tiny_config(text), out, overrides={"pretraining.max_steps": 3, "pretraining.lstm.dim": 9})
    kept = spacy.util.load_config(out / "config.cfg")
    assert (kept["pretraining"]["max_steps"], kept["pretraining"]["lstm"]["dim"]) == (3, 9)
    assert read_elmo(out / "model-best").config.bilm.dim == 9


def test_a_pipeline_uses_the_model(through):
    nlp = spacy.blank("xx")
    encoder = {"@architectures": "spacy_ctx_embed.Elmo.v1", "name": str(through[0] / "model-best")}
    nlp.add_pipe("elmo_embeddings", config={"model": encoder})
    doc = nlp("The dog barks in the unseenhouse .")
    rows = np.array([token._.vector for token in doc])
    assert rows.shape == (7, 16)
    assert np.abs(rows).sum(axis=1).min() > 0
    assert not np.allclose(rows[2], nlp("A cat barks in a tree .")[2]._.vector)  # the context counts


@pytest.mark.parametrize("n_threads", [1, 2])
def test_threads_do_not_make_it_a_matter_of_chance(text, tmp_path, n_threads):
    before = torch.get_num_threads()
    config = tiny_config(text, max_steps=12, eval_every=6)
    train(config, tmp_path / "through", n_threads=n_threads)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "out", reporter=Quiet(stop_at=7), n_threads=n_threads)
    train(config, tmp_path / "out", resume=True, n_threads=n_threads)
    assert_same_training(tmp_path / "out", tmp_path / "through")
    assert torch.get_num_threads() == before


def test_another_thread_may_train(text, tmp_path):
    found = []
    work = threading.Thread(target=lambda: found.append(train(tiny_config(text, max_steps=2), tmp_path / "out")))
    work.start()
    work.join()
    assert found[0].progress.step == 2


# The folder


def test_a_folder_that_is_not_empty_is_left_alone(text, through, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    fails(TrainingError, tiny_config(text), tmp_path, "CE040", "not empty", "--resume")
    fails(TrainingError, tiny_config(text), tmp_path, "CE040", "no config.cfg", resume=True)
    fails(TrainingError, tiny_config(text), through[0], "CE040", "--resume")
    fails(TrainingError, tiny_config(text), tmp_path / "thesis.txt", "CE040", "not a folder")
    fails(TrainingError, tiny_config(text), tmp_path / "thesis.txt" / "out", "CE040", "can't be written")
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_processes_do_not_share_a_folder(text, tmp_path):
    out = stopped(text, tmp_path / "out")
    before = (out / "checkpoint.pt").read_bytes()
    with FileLock(out / ".lock"):
        fails(TrainingError, tiny_config(text), out, "CE040", "another process", resume=True)
    assert (out / "checkpoint.pt").read_bytes() == before
    train(tiny_config(text, max_steps=15), out, resume=True)


def test_the_lock_is_held_while_it_trains_and_not_longer(text, tmp_path):
    tries = []

    class Second(Quiet):
        def train(self, line):
            with pytest.raises(TrainingError, match="another process"):
                train(tiny_config(text), tmp_path / "out", resume=True)
            tries.append(line["step"])

    train(tiny_config(text, max_steps=7), tmp_path / "out", reporter=Second())
    assert tries == [7]
    FileLock(tmp_path / "out" / ".lock").acquire(timeout=0)


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
@pytest.mark.parametrize("name", ["checkpoint.pt.tmp", "log.jsonl.tmp", "config.cfg.tmp"])
def test_on_a_full_disk_it_stops_and_goes_on_later(text, through, tmp_path, name):
    out, config = stopped(text, tmp_path / "out"), tiny_config(text)
    before = read_checkpoint(out)
    (out / name).symlink_to(FULL)
    fails(OSError, config, out, "CE041", str(out / name).removesuffix(".tmp"), "No space left", resume=True)
    assert is_same(read_checkpoint(out), before)
    (out / name).unlink(missing_ok=True)
    train(config, out, resume=True)
    assert_same_training(out, through[0])


@pytest.mark.usefixtures("pictures")
@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
def test_a_picture_and_a_model_need_room_too(text, tmp_path):
    out, config = stopped(text, tmp_path / "out", eval_every=50), tiny_config(text, eval_every=20)
    (out / "model-best").write_text("not a folder")
    fails(OSError, config, out, "CE041", str(out / "model-best"), resume=True)
    (out / "model-best").unlink()
    (out / ".loss.png").symlink_to(FULL)
    fails(OSError, config, out, "CE041", str(out / "loss.png"), resume=True)
    assert load_checkpoint(out / "checkpoint.pt").progress.step == 40  # the evaluation of 20 was done


def test_a_model_that_was_not_written_is_written_on_resume(text, through, tmp_path, monkeypatch):
    out, config = tmp_path / "out", tiny_config(text)

    def fail(*args):
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "write_model", fail)
        with pytest.raises(OSError, match="no space"):
            train(config, out)
    assert not (out / "model-best").exists()
    with pytest.raises(KeyboardInterrupt):
        train(config, out, reporter=Quiet(stop_at=21), resume=True)
    assert sorted(file.name for file in (out / "model-best").iterdir()) == FILES
    train(config, out, resume=True)
    assert_same_training(out, through[0])


# Text


def test_text_of_any_kind(tmp_path):
    sentences = make_sentences(40)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in sentences))
    vocab = spacy.blank("xx").vocab
    DocBin(docs=[Doc(vocab, words=text.split()) for text in sentences]).to_disk(folder / "b.spacy")
    one, dev = write_text(tmp_path / "one.txt", 40), write_text(tmp_path / "dev.txt", 30, seed=9)
    config = tiny_config([str(one), str(folder)], max_steps=3)
    config["paths"]["dev"] = [str(dev)]
    train(config, tmp_path / "out")
    card = (tmp_path / "out" / "model-best" / "README.md").read_text()
    assert "| Text trained on | one.txt, a.jsonl, b.spacy |" in card
    assert "| Its size | 960 tokens, sentence ends included; 24 different words |" in card
    assert "| Text evaluated on | dev.txt: 240 tokens |" in card


def test_a_pipeline_splits_the_text(tmp_path):
    (tmp_path / "a.txt").write_text(" ".join(make_sentences(60)))
    nlp = spacy.blank("xx")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "nlp")
    config = tiny_config(tmp_path / "a.txt", max_steps=2)
    del config["nlp"]
    config["paths"]["pipeline"] = str(tmp_path / "nlp")
    train(config, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "text" / "manifest.json").read_text())
    assert manifest["train"]["n_sentences"] + manifest["dev"]["n_sentences"] == 60


def test_very_little_text_will_do(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    for softmax in ("full", "sampled", "adaptive"):
        config = tiny_config(tmp_path / "a.txt", max_steps=2, unroll_steps=1, softmax={"kind": softmax})
        assert train(config, tmp_path / softmax).progress.step == 2


@pytest.mark.parametrize("content", [None, b"", b"\n \n", b"caf\xe9\n"])
@pytest.mark.parametrize("key", ["train", "dev"])
def test_text_that_cannot_be_used_is_named(text, tmp_path, key, content):
    file = tmp_path / "bad.txt"
    if content is not None:
        file.write_bytes(content)
    config = tiny_config(text)
    config["paths"][key] = str(file)
    fails(CorpusError, config, tmp_path / "out", f"paths.{key}")
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


# A model to go on from


def test_it_may_begin_with_a_model(text, through, tmp_path):
    reporter, best = Quiet(), through[0] / "model-best"
    config = tiny_config(text, init_from=str(best), lstm={"dim": 99}, max_steps=7, log_every=1)
    train(config, tmp_path / "out", reporter=reporter)
    assert reporter.lines[0]["perplexity_forward"] < N_WORDS / 5
    assert read_elmo(tmp_path / "out" / "model-best").config == read_elmo(best).config
    card = (tmp_path / "out" / "model-best" / "README.md").read_text()
    assert f"| Began with | {best} |" in card and "2 layers of 16 cells, 8 outputs" in card
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "stopped", reporter=Quiet(stop_at=3))
    train(config, tmp_path / "stopped", resume=True)
    assert_same_training(tmp_path / "stopped", tmp_path / "out")


def test_a_model_grows_while_its_softmax_learns_first(text, through, tmp_path):
    best = through[0] / "model-best"
    sizes = {"char_cnn": {"embedding_dim": 4, "filters": [[1, 4], [2, 8], [3, 4]], "n_highway": 1}}
    optimizer = {"kind": "muon", "learn_rate": 0.01, "warmup_steps": 2}
    settings = {**sizes, "lstm": {"dim": 24, "projection_dim": 12}, "widen": True, "freeze_steps": 6, "max_steps": 14}
    config = tiny_config(text, init_from=str(best), optimizer=optimizer, save_every=6, log_every=1, **settings)
    train(config, tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "stopped", reporter=Quiet(stop_at=3))
    train(config, tmp_path / "stopped", resume=True)
    assert_same_training(tmp_path / "stopped", tmp_path / "out")
    frozen = {**config, "pretraining": {**config["pretraining"], "max_steps": 6, "eval_every": 6}}
    train(frozen, tmp_path / "frozen")
    before, after = read_elmo(best).weights, read_elmo(tmp_path / "frozen" / "model-best").weights
    assert torch.equal(after["bilm.layers.0.projection"][:, :16, :8], before["bilm.layers.0.projection"])


def test_the_first_steps_of_a_config_are_the_same_each_time(text, tmp_path):
    lines = []
    for name in ("one", "two"):
        reporter = Quiet()
        train(tiny_config(text, max_steps=5, log_every=1), tmp_path / name, reporter=reporter)
        lines.append([(line["loss_forward"], line["loss_backward"]) for line in reporter.lines if "learn_rate" in line])
    assert len(lines[0]) == 5 and lines[0] == lines[1]


def test_texts_are_mixed(tmp_path):
    files = [write_text(tmp_path / f"{name}.txt", n=30, seed=i) for i, name in enumerate("abc")]
    config = tiny_config([str(files[0]), str(files[1])], mix=[1, 2.5], max_steps=3)
    config["paths"]["dev"] = str(files[2])
    train(config, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "text" / "manifest.json").read_text())
    assert manifest["train"]["n_texts"] == 30 + 75 and manifest["dev"]["n_texts"] == 30


def test_a_mix_that_does_not_fit_is_refused(text, tmp_path):
    config = tiny_config([str(text)], mix=[1, 2])
    fails(ValueError, config, tmp_path / "out", "CE001", "pretraining.mix", "a number for each of 1")
    config = tiny_config([str(text)], mix=[2])
    fails(ValueError, config, tmp_path / "out", "CE001", "paths.dev", "pretraining.mix")


def test_a_model_that_is_nowhere_is_named(text, tmp_path):
    with pytest.raises(FileNotFoundError, match="CE010.*no-such-model"):
        train(tiny_config(text, init_from="no-such-model"), tmp_path / "out")


# The config


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"pretraining": {"max_stepz": 1}}, ["pretraining.max_stepz"]),
        ({"pretraining": {"max_epochs": 0, "max_steps": 0}}, ["pretraining.max_epochs"]),
        ({"paths": {}}, ["paths.train"]),
        ({"paths": {"train": []}}, ["paths.train"]),
        ({"paths": {"train": 1}}, ["paths.train", "a list of paths"]),
        ({"paths": {"train": ["a", 1]}}, ["paths.train"]),
        ({"paths": {"train": "a", "dev": ""}}, ["paths.dev", "null"]),
        ({"training": {"max_steps": 3}}, ["training", "only the sections"]),
    ],
)
def test_a_config_that_makes_no_sense_is_refused_before_anything_is_written(text, tmp_path, changes, parts):
    fails(ValueError, {**tiny_config(text), **changes}, tmp_path / "out", "CE001", *parts)
    assert not (tmp_path / "out").exists()


def test_it_must_say_who_tokenises(text, tmp_path):
    config = tiny_config(text)
    del config["nlp"]
    fails(ValueError, config, tmp_path / "out", "CE001", "'nlp'")


@pytest.mark.parametrize(("key", "value"), [("n_threads", -1), ("n_process", 0), ("gpu_id", 99)])
def test_machines_that_are_not_there_are_refused(text, tmp_path, key, value):
    with pytest.raises(ValueError, match=f"CE001.*'{key}' is {value}"):
        pretrain_elmo(tiny_config(text), tmp_path / "out", reporter=Quiet(), **{key: value})


def test_the_pipeline_is_initialized_where_the_config_says_how(tmp_path):
    def make_callback():
        def join(nlp):
            nlp.tokenizer.add_special_case("barksloudly", [{"ORTH": "barks"}, {"ORTH": "loudly"}])

        return join

    spacy.registry.callbacks.register("join_words", func=make_callback)
    file = tmp_path / "train.txt"
    file.write_text("the dog barksloudly .\n" * 40, encoding="utf8")
    config = tiny_config(file, max_steps=1)
    config["initialize"] = {"before_init": {"@callbacks": "join_words"}}

    pretrain_elmo(config, tmp_path / "out", reporter=Quiet(), n_threads=1)

    words = (tmp_path / "out" / "text" / "vocab.txt").read_text(encoding="utf8").splitlines()
    assert {"barks", "loudly"} <= set(words)
    assert "barksloudly" not in words
