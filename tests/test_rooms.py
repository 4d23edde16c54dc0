"""The plan of the house: which folder of the package may import which, how large a room may be, and no circles."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from typing import Dict, FrozenSet, Set, Tuple

import pytest

import spacy_ctx_embed

PACKAGE = Path(spacy_ctx_embed.__file__).parent
NAME = PACKAGE.name
# Each room, and the rooms that it may import. Those of the ground floor may be imported by all.
GROUND = {"about", "data", "errors", "checks", "encoder"}
ARROWS: Dict[str, Set[str]] = {
    "segments": set(),
    "networks": set(),
    "rows": set(),
    "cache": set(),
    "models": {"networks"},
    "encoders": {"segments", "networks", "rows", "cache", "models"},
    "attach": {"segments", "rows"},
    "tok2vec": {"attach", "encoders", "segments", "rows"},
    "pipeline": {"attach", "tok2vec", "encoders", "cache", "networks", "rows", "segments"},
    "sources": {"pipeline", "encoders"},
    "measures": {"sources", "rows", "attach"},
    "seeing": {"sources", "measures", "rows", "attach", "networks"},
    "export": {"pipeline", "attach", "encoders", "models", "segments", "sources"},
    "neighbours": {"export", "sources", "attach", "networks"},
    "probing": {"pipeline", "tok2vec", "encoders", "cache", "rows"},
    "pretraining": {"models", "networks", "segments"},
    "cli": {
        "pretraining",
        "probing",
        "measures",
        "seeing",
        "sources",
        "export",
        "neighbours",
        "encoders",
        "models",
        "networks",
    },
}
FLOOR = {
    "about": set(),
    "data": set(),
    "errors": set(),
    "checks": {"errors"},
    "encoder": {"data"},
    NAME: {"about", "attach"},
}


def _name(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


FILES = {_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}
NAMES = set(FILES)


@lru_cache(maxsize=None)
def _tree(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text(encoding="utf8"))


@lru_cache(maxsize=None)
def _imports(module: str) -> FrozenSet[str]:
    # Modules of ours that a module imports, at the top, inside functions and for types.
    found = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(NAME):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & NAMES) or {str(node.module)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith(NAME)}
    return frozenset(found)


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def _folder(module: str) -> str:
    return module if (PACKAGE.parent / module.replace(".", "/")).is_dir() else module.rpartition(".")[0]


@pytest.mark.parametrize("module", FILES)
def test_imports_follow_the_data(module: str) -> None:
    room = _room(module)
    allowed = FLOOR[room] if room in FLOOR else ARROWS[room] | GROUND
    assert {_room(target) for target in _imports(module)} - {room} <= allowed


def test_the_plan_has_no_circle() -> None:
    left = {room: set(targets) for room, targets in ARROWS.items()}
    while left:
        free = {room for room, targets in left.items() if not targets & left.keys()}
        assert free, f"a circle among {sorted(left)}"
        left = {room: targets for room, targets in left.items() if room not in free}


def test_no_module_imports_itself_through_others() -> None:
    arrows = {name: _imports(name) - {name} for name in NAMES}
    done: Set[str] = set()
    while len(done) < len(arrows):
        free = {name for name, targets in arrows.items() if name not in done and not (targets & NAMES) - done}
        assert free, f"a circle among {sorted(arrows.keys() - done)}"
        done |= free


def test_no_two_folders_import_each_other() -> None:
    arrows: Set[Tuple[str, str]] = set()
    for name in NAMES:
        arrows |= {(_folder(name), _folder(target)) for target in _imports(name) & NAMES}
    both = {(one, other) for one, other in arrows if (other, one) in arrows and NAME not in (one, other)}
    assert {(one, other) for one, other in both if one < other} == set()


def test_each_module_has_tests() -> None:
    here = Path(__file__).parent
    texts = [file.read_text(encoding="utf8") for file in here.rglob("*.py")]
    for name in NAMES:
        inside = name.split(".")[1:]
        if not inside or (PACKAGE.joinpath(*inside)).is_dir():
            continue
        mirror = here.joinpath(*inside[:-1], f"test_{inside[-1]}.py")
        named = (name, "/".join(inside) + ".py")
        assert mirror.is_file() or any(part in text for text in texts for part in named), f"no test names {name}"


def test_rooms_are_of_a_size_to_live_in() -> None:
    folders: Dict[str, int] = defaultdict(int)
    for name, file in FILES.items():
        n_lines = len(file.read_text(encoding="utf8").splitlines())
        assert n_lines <= 300, f"{name} has {n_lines} lines"
        folders[name.rpartition(".")[0]] += not (PACKAGE.parent / name.replace(".", "/")).is_dir()
        for node in ast.walk(_tree(name)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                n = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
                assert n <= 60, f"{name}.{node.name} has {n} lines without its docstring"
    assert {folder: n for folder, n in folders.items() if n > 14} == {}
