"""checks.py: each check takes what it says, and refuses all else with owner, key and value; paths stay inside."""

import math
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_ctx_embed import checks
from spacy_ctx_embed.checks import parts_inside

NUMBERS = [0, 1, 3, -1, 0.0, 0.5, 1.0, 2.5, -0.5, 1e6, math.nan, True, False, None, "1", [1], {}]
CHECKS = {
    "one_of": (lambda o, k, v: checks.check_one_of(o, k, v, ("1", None)), ["1", None]),
    "positive": (checks.check_positive, [1, 3]),
    "not below 0, or null": (lambda o, k, v: checks.check_positive(o, k, v, minimum=0, optional=True), [0, 1, 3, None]),
    "share": (checks.check_share, [0, 0.0, 0.5]),
    "number": (lambda o, k, v: checks.check_number(o, k, v, most=2.5), [1, 0.5, 1.0, 2.5]),
    "not_negative": (checks.check_not_negative, [0, 1, 3, 0.0, 0.5, 1.0, 2.5, 1e6]),
}


def _is_in(value, accepted):
    return any(type(value) is type(item) and value == item for item in accepted)


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
@pytest.mark.parametrize("name", CHECKS)
def test_a_number(name, value):
    check, accepted = CHECKS[name]
    if _is_in(value, accepted):
        check("owner", "some_key", value)
        return
    with pytest.raises(ValueError, match=r"owner.*some_key.*Accepted: .*Fix: ") as caught:
        check("owner", "some_key", value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("value", "is_accepted"),
    [
        ("all", True),
        ([0], True),
        ([-1, 2], True),
        ((1,), True),
        ([], False),
        ("last", False),
        (1, False),
        ([1.0], False),
    ],
)
def test_layers(value, is_accepted):
    if is_accepted:
        checks.check_layers("owner", value)
    else:
        with pytest.raises(ValueError, match=r"owner.*layers.*Accepted: 'all'"):
            checks.check_layers("owner", value)


# Paths


PIECES = ["a", "b.txt", "..", ".", "...", ".. ", "C:", "C:x", "d:", "/", "\\", "//", " ", "x:y", "é"]


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("a/b.txt", ["a", "b.txt"]),
        ("./a//b.txt", ["a", "b.txt"]),
        ("variables\\variables.index", ["variables", "variables.index"]),
        ("model.ckpt-1:0", ["model.ckpt-1:0"]),
        ("..a/b..", ["..a", "b.."]),
        ("", []),
        (".", []),
    ],
)
def test_a_path_inside_is_taken_apart(path, parts):
    assert parts_inside(path) == parts


@pytest.mark.parametrize(
    "path", ["..", "a/../../b", "..\\b", "a\\..\\..\\b", ".. /b", "/a", "\\a", "//a/b", "C:\\a", "C:a", "a/D:/b", "D:"]
)
def test_a_path_that_leads_out_is_none(path):
    assert parts_inside(path) is None


@given(st.lists(st.sampled_from(PIECES), max_size=6).map("".join))
def test_what_is_given_stays_below_its_folder_on_each_system(path):
    for system, folder in ((PurePosixPath, "/home/folder"), (PureWindowsPath, "C:\\folder")):
        parts = parts_inside(path)
        if parts is not None:
            target = system(folder).joinpath(*parts)
            assert target.parts[: len(system(folder).parts)] == system(folder).parts
            assert ".." not in target.parts
            assert len(target.parts) == len(system(folder).parts) + len(parts)
