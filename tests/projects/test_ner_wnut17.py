"""The project ``projects/ner_wnut17``: its file names what is there, and its scripts convert, resume and sum up."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import statistics
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, List

import pytest
import spacy
import srsly
from spacy.tokens import DocBin
from spacy.training import Corpus

REPOSITORY = Path(__file__).parents[2]
PROJECT = REPOSITORY / "projects" / "ner_wnut17"
if not PROJECT.exists():
    pytest.skip("projects/ is not in this tree", allow_module_level=True)

CONLL = (
    "Ann\tB-person\nLee\tI-person\nruns\tO\n\t\n"
    "@paulwalk\tO\nIt\tO\n's\tO\n\n"
    "Empire\tB-location\nState\tI-location\nBuilding\tI-location\n\t\n\t\n"
    "a\u2028b\tB-product\n\n\n"
    "Bob\tB-person\nJoe\tB-person\n\t\n"
    "The\tB-creative-work\nDoor\tI-creative-work\n!\tO\n\n"
    "don't\tO\n\t\nGmbH.\tB-corporation\n\n&gt;\tO\n:)\tO\n\nend\tO\n\t\n"
)
WORDS = [
    ["Ann", "Lee", "runs"],
    ["@paulwalk", "It", "'s"],
    ["Empire", "State", "Building"],
    ["a\u2028b"],
    ["Bob", "Joe"],
    ["The", "Door", "!"],
    ["don't"],
    ["GmbH."],
    ["&gt;", ":)"],
    ["end"],
]
ENTITIES = [
    [(0, 2, "person")],
    [],
    [(0, 3, "location")],
    [(0, 1, "product")],
    [(0, 1, "person"), (1, 2, "person")],
    [(0, 2, "creative-work")],
    [],
    [(0, 1, "corporation")],
    [],
    [],
]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"ner_wnut17_{name}", PROJECT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def conll_folder(folder: Path, text: str = CONLL) -> Path:
    folder.mkdir()
    for part in ("train", "dev"):
        (folder / f"{part}.conll").write_text(text, encoding="utf8", newline="")
    return folder


# The project file


def commands() -> Dict[str, Dict[str, Any]]:
    from weasel.util import load_project_config

    return {command["name"]: command for command in load_project_config(PROJECT)["commands"]}


def test_the_project_file_follows_the_schema_of_weasel():
    from weasel.schemas import ProjectConfigSchema, validate

    project = srsly.read_yaml(PROJECT / "project.yml")
    assert validate(ProjectConfigSchema, project) == []
    assert set(commands()) == {"prepare", "train", "table", "layers"}
    assert project["workflows"]["all"] == ["prepare", "train", "table"]


def test_scripts_and_configs_that_the_project_names_are_there():
    lines = [shlex.split(line) for command in commands().values() for line in command["script"]]
    scripts = {line[1] for line in lines if line[1] != "-m"}
    assert scripts == {"scripts/prepare.py", "scripts/train.py", "scripts/table.py"}
    assert all((PROJECT / name).is_file() for name in scripts)
    variables = srsly.read_yaml(PROJECT / "project.yml")["vars"]
    for variant in variables["variants"].split():
        assert (PROJECT / variables["configs"] / f"ner_{variant}.cfg").is_file()


@pytest.mark.parametrize("name", ["prepare", "train", "table"])
def test_the_arguments_in_the_project_are_those_of_the_script(name, capsys):
    (line,) = commands()[name]["script"]
    with pytest.raises(SystemExit):
        script(name).main(["--help"])
    known = set(re.findall(r"--[a-z]+", capsys.readouterr().out))
    assert {word for word in shlex.split(line) if word.startswith("--")} <= known


def test_the_readme_documents_all_commands_and_assets():
    readme = (PROJECT / "README.md").read_text(encoding="utf8")
    for name, command in commands().items():
        assert f"| `{name}` | {command['help']} |" in readme
    for asset in srsly.read_yaml(PROJECT / "project.yml")["assets"]:
        assert f"| `{asset['dest']}` | URL | {asset['description']} |" in readme


# prepare


def test_prepare_keeps_words_and_entities(tmp_path):
    data = conll_folder(tmp_path / "data")
    script("prepare").main(["--data", str(data), "--output", str(tmp_path / "corpus")])
    for part in ("train", "dev"):
        docs = list(DocBin().from_disk(tmp_path / "corpus" / f"{part}.spacy").get_docs(spacy.blank("xx").vocab))
        assert [[token.text for token in doc] for doc in docs] == WORDS
        assert [[(ent.start, ent.end, ent.label_) for ent in doc.ents] for doc in docs] == ENTITIES


def test_training_sees_the_words_of_the_data_and_not_those_of_a_tokenizer(tmp_path):
    data = conll_folder(tmp_path / "data")
    script("prepare").main(["--data", str(data), "--output", str(tmp_path)])
    examples = Corpus(tmp_path / "train.spacy")(spacy.blank("xx"))
    assert [[token.text for token in example.predicted] for example in examples] == WORDS


def test_prepare_takes_so_many_sentences_as_asked_for(tmp_path):
    data = conll_folder(tmp_path / "data")
    script("prepare").main(["--data", str(data), "--output", str(tmp_path), "--sentences", "4"])
    docs = DocBin().from_disk(tmp_path / "dev.spacy").get_docs(spacy.blank("xx").vocab)
    assert [[token.text for token in doc] for doc in docs] == WORDS[:4]


def test_preparing_twice_gives_the_same_bytes(tmp_path):
    data = conll_folder(tmp_path / "data")
    found = []
    for output in (tmp_path / "a", tmp_path / "b"):
        script("prepare").main(["--data", str(data), "--output", str(output)])
        found.append((output / "train.spacy").read_bytes())
    assert found[0] == found[1]


def test_a_local_folder_comes_before_the_assets(tmp_path):
    prepare = script("prepare")
    assets = tmp_path / "assets"
    assets.mkdir()
    for name in prepare.ASSETS.values():
        (assets / name).write_text(CONLL, encoding="utf8")
    data = tmp_path / "data"
    assert prepare.find_files(data, assets) == {part: assets / name for part, name in prepare.ASSETS.items()}
    conll_folder(data)
    assert prepare.find_files(data, assets) == {part: data / name for part, name in prepare.LOCAL.items()}


def test_the_assets_are_those_that_prepare_looks_for():
    assets = srsly.read_yaml(PROJECT / "project.yml")["assets"]
    assert {asset["dest"] for asset in assets} == {f"assets/{name}" for name in script("prepare").ASSETS.values()}
    assert all(Path(asset["dest"]).name == Path(asset["url"]).name for asset in assets)


def test_data_found_nowhere_is_an_error_with_a_fix(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        script("prepare").main(["--data", str(tmp_path / "no"), "--assets", str(tmp_path / "none")])
    assert stopped.value.code == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "Accepted: " in shown and "python -m spacy project assets" in shown


def test_a_word_without_a_label_is_an_error(tmp_path):
    file = conll_folder(tmp_path / "data", "Ann\tB-person\nruns\n") / "train.conll"
    with pytest.raises(ValueError, match="Line 2 .*Accepted: .*Fix: "):
        script("prepare").read_conll(file)


# train


@pytest.fixture
def workplace(tmp_path: Path) -> List[str]:
    """A corpus, and arguments for two variants with two seeds."""
    (tmp_path / "corpus").mkdir()
    for part in ("train", "dev"):
        (tmp_path / "corpus" / f"{part}.spacy").write_bytes(part.encode())
    places = {name: str(tmp_path / name) for name in ("corpus", "output", "cache")}
    arguments = ["--configs", str(REPOSITORY / "configs"), "--variants", "hash", "bert", "--seeds", "0", "1"]
    return [*arguments, *(word for name, place in places.items() for word in (f"--{name}", place))]


class FakeCommands:
    """Stands for ``spacy train`` and ``score.py``: writes what they would."""

    def __init__(self, fails: str = "") -> None:
        self.commands: List[List[str]] = []
        self.fails = fails

    def __call__(self, command: List[str], log: Path, threads: int) -> None:
        folder = Path(command[command.index("--output") + 1])
        if folder.name == self.fails:
            raise RuntimeError("It failed")
        self.commands.append(command)
        scores = {"ents_f": 0.5, "ents_p": 0.6, "ents_r": 0.4}
        if "train" in command:
            for name in ("model-best", "model-last"):
                (folder / name).mkdir(parents=True, exist_ok=True)
                (folder / name / "meta.json").write_text(json.dumps({"performance": {**scores, "ner_loss": 1.0}}))
            Path(command[command.index("--training.batcher.log") + 1]).write_text(
                '{"whole": true, "seconds": 3.0, "cpu_seconds": 2.5, "cpu_seconds_in_all": 9.5, "peak_mb": 100.0}\n'
                '{"whole": true, "seconds": 1.0, "cpu_seconds": 0.5, "cpu_seconds_in_all": 8.0, "peak_mb": 150.0}\n'
                '{"whole": false, "seconds": 0.2, "cpu_seconds": 0.1, "cpu_seconds_in_all": 10.0, "peak_mb": 200.0}\n'
            )
        else:
            folder.write_text(json.dumps({**scores, "counts": [[1, 0, 0]]}))

    def trained(self) -> List[str]:
        return [Path(command[command.index("--output") + 1]).name for command in self.commands if "train" in command]


def train(monkeypatch: pytest.MonkeyPatch, arguments: List[str], fails: str = "") -> FakeCommands:
    module, fake = script("train"), FakeCommands(fails)
    monkeypatch.setattr(module, "run_command", fake)
    module.main(arguments)
    return fake


def test_finished_runs_are_skipped(workplace, monkeypatch, tmp_path):
    assert train(monkeypatch, workplace).trained() == ["hash-0", "bert-0", "hash-1", "bert-1"]
    assert train(monkeypatch, workplace).trained() == []
    (tmp_path / "output" / "bert-0" / "result.json").unlink()
    assert train(monkeypatch, workplace).trained() == ["bert-0"]


def test_a_run_of_other_settings_is_done_again(workplace, monkeypatch, tmp_path):
    train(monkeypatch, workplace)
    assert len(train(monkeypatch, [*workplace, "--epochs", "3"]).trained()) == 4
    (tmp_path / "corpus" / "dev.spacy").write_bytes(b"other")
    assert len(train(monkeypatch, [*workplace, "--epochs", "3"]).trained()) == 4


def test_what_was_finished_before_a_failure_is_kept(workplace, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        train(monkeypatch, workplace, fails="hash-1")
    assert "It failed" in capsys.readouterr().out
    again = train(monkeypatch, [*workplace, "--jobs", "2"]).trained()
    assert "hash-1" in again and not {"hash-0", "bert-0"} & set(again)


def test_a_result_has_scores_times_memory_and_size(workplace, monkeypatch, tmp_path):
    train(monkeypatch, workplace)
    found = json.loads((tmp_path / "output" / "bert-1" / "result.json").read_text())
    assert (found["variant"], found["seed"], found["settings"]["epochs"]) == ("bert", 1, 15)
    assert found["last"] == found["best"] == {"ents_f": 0.5, "ents_p": 0.6, "ents_r": 0.4}
    assert found["epoch_seconds"] == [3.0, 1.0] and found["epoch_cpu_seconds"] == [2.5, 0.5]
    assert found["cpu_seconds"] == 10.0 and found["peak_mb"] == 200.0
    assert found["counts"] == [[1, 0, 0]]


def test_the_seed_goes_everywhere_and_the_cache_to_what_can_be_cached(workplace, monkeypatch, tmp_path):
    fake = train(monkeypatch, [*workplace, "--variants", "hash", "stacked", "--seeds", "7"])
    plain, stacked = (command for command in fake.commands if "train" in command)
    assert all(
        command[command.index(f"--{key}.seed") + 1] == "7"
        for command in (plain, stacked)
        for key in ("system", "training")
    )
    caches = {word: place for word, place in zip(stacked, stacked[1:]) if word.endswith("cache_dir")}
    place = str(tmp_path / "cache")
    assert caches == {"--components.elmo_embeddings.cache_dir": place, "--components.bert_embeddings.cache_dir": place}
    assert not [word for word in plain if word.endswith("cache_dir")]


def test_batches_are_spacys_and_each_epoch_gets_a_line(tmp_path):
    script("timed_batches")
    settings = {"size": 5, "tolerance": 0.2, "discard_oversize": False}
    plain = spacy.registry.batchers.get("spacy.batch_by_words.v1")(**settings)
    timed = spacy.registry.batchers.get("ner_wnut17.TimedBatches.v1")(**settings, log=str(tmp_path / "log"))
    texts = list(WORDS)
    for _ in range(2):
        assert list(timed(texts)) == list(plain(texts))
    lines = list(srsly.read_jsonl(tmp_path / "log"))
    assert [line["whole"] for line in lines] == [True, True]


def test_an_epoch_that_is_broken_off_gets_a_line_that_says_so(tmp_path):
    script("timed_batches")
    make = spacy.registry.batchers.get("ner_wnut17.TimedBatches.v1")
    batches = iter(make(5, 0.2, False, log=str(tmp_path / "log"))(WORDS))
    next(batches)
    del batches  # as spaCy does at max_steps
    assert [line["whole"] for line in srsly.read_jsonl(tmp_path / "log")] == [False]


# table


def write_result(folder: Path, variant: str, seed: int, f: float, counts: List[List[int]], epochs: int = 2) -> None:
    scores = {"ents_f": f, "ents_p": f + 0.1, "ents_r": f - 0.1}
    result = {
        "variant": variant,
        "seed": seed,
        "last": scores,
        "best": scores,
        "seconds": 10.0 * (seed + 1),
        "cpu_seconds": 9.0,
        "epoch_seconds": [5.0 - seed, 1.0, 2.0],
        "epoch_cpu_seconds": [4.0 - seed, 0.5, 0.5],
        "peak_mb": 300.0 + seed,
        "size_mb": 4.0,
        "settings": {"epochs": epochs, "config": variant, "train": "a", "dev": "b"},
        "jobs": 1,
        "threads": 2,
        "versions": {"spacy": "3.8"},
        "counts": counts,
    }
    place = folder / f"{variant}-{seed}"
    place.mkdir(parents=True)
    (place / "result.json").write_text(json.dumps(result), encoding="utf8")


@pytest.fixture
def training(tmp_path: Path) -> Path:
    for seed, f in enumerate((0.20, 0.23, 0.26)):
        write_result(tmp_path / "training", "hash", seed, f, [[0, 0, 1]] * 12)
        write_result(tmp_path / "training", "bert", seed, f + 0.1 + 0.01 * seed, [[1, 0, 0]] * 12)
    return tmp_path / "training"


def table(training: Path, *more: str) -> List[Dict[str, Any]]:
    script("table").main(["--training", str(training), "--output", str(training.parent / "results"), *more])
    return json.loads((training.parent / "results.json").read_text(encoding="utf8"))


def test_the_table_has_mean_and_standard_deviation_best_first(training):
    bert, plain = table(training)
    assert (bert["variant"], plain["variant"]) == ("bert", "hash")
    assert plain["f"] == pytest.approx(23) and plain["f_sd"] == pytest.approx(3)
    assert bert["f"] == pytest.approx(34) and bert["f_sd"] == pytest.approx(statistics.stdev([30, 34, 38]))
    assert plain["precision"] == pytest.approx(33) and plain["recall"] == pytest.approx(13)
    assert "| `ner_hash` | 23.00 ± 3.00 |" in (training.parent / "results.md").read_text(encoding="utf8")


def test_the_table_tells_the_first_epoch_from_later_ones(training):
    row = table(training)[0]
    assert (row["first_epoch_first_seed"], row["first_epoch_other_seeds"], row["later_epoch"]) == (5.0, 3.5, 1.5)
    assert (row["seconds"], row["peak_mb"], row["size_mb"]) == (20.0, 302.0, 4.0)


def test_the_table_can_be_of_processor_time(training):
    row = table(training, "--clock", "cpu")[0]
    assert row["first_epoch_first_seed"] == 4.0
    assert (row["seconds"], row["first_epoch_other_seeds"], row["later_epoch"]) == (9.0, 2.5, 0.5)
    assert "by the cpu clock" in (training.parent / "results.md").read_text(encoding="utf8")


def test_gains_are_paired_by_seed_and_tested_over_sentences(training):
    bert, plain = table(training)
    assert bert["gains"] == pytest.approx([10, 11, 12]) and bert["gain"] == pytest.approx(11)
    assert bert["p"] < 0.01
    assert plain["gains"] == [] and plain["p"] is None


def test_one_seed_gives_no_standard_deviation(tmp_path):
    write_result(tmp_path / "training", "static", 0, 0.25, [[1, 0, 0]])
    (row,) = table(tmp_path / "training")
    assert row["f"] == pytest.approx(25) and row["f_sd"] is None and row["first_epoch_other_seeds"] is None
    assert "| `ner_static` | 25.00 |" in (tmp_path / "results.md").read_text(encoding="utf8")


def test_the_table_is_of_the_variants_and_seeds_asked_for(training):
    write_result(training, "static", 0, 0.5, [[1, 0, 0]] * 12, epochs=9)
    rows = table(training, "--variants", "hash", "bert", "--seeds", "0", "2")
    assert [(row["variant"], row["seeds"]) for row in rows] == [("bert", [0, 2]), ("hash", [0, 2])]


def test_a_missing_run_makes_no_table(training):
    with pytest.raises(ValueError, match="hash-7 .*Accepted: .*Fix: "):
        script("table").read_results(training, ["hash", "bert"], ["1", "7"])


def test_runs_of_different_epochs_make_no_table(training):
    write_result(training, "static", 0, 0.5, [[1, 0, 0]] * 12, epochs=9)
    with pytest.raises(ValueError, match="epochs.*Accepted: .*Fix: "):
        script("table").read_results(training)
