from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Dict

import pytest

from spacy_ctx_embed.errors import ModelFormatError
from spacy_ctx_embed.models.elmo.source.container import find, open_container, read_member

FILES = {"options.json": b"{}", "model.hdf5": bytes(range(256)) * 40, "inner/readme.txt": b"read me"}
ALL = sorted(FILES)


def write_folder(path: Path, files: Dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def write_zip(path: Path, files: Dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, files: Dict[str, bytes], mode: str = "gz") -> Path:
    with tarfile.open(path, f"w:{mode}") as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def read_all(path: Path, unpack: bool) -> None:
    with open_container(path) as container:
        for name in container.names:
            read_member(container, name)
        if unpack:
            with container.unpacked():
                pass


def refusal(path: Path, *, unpack: bool = False) -> str:
    with pytest.raises(ModelFormatError) as caught:
        read_all(path, unpack)
    message = str(caught.value)
    assert str(path) in message and "Accepted: " in message and "Fix: " in message
    return message


@pytest.fixture(
    params=["folder", "zip", "nested.zip", "dot.zip", "tar.gz", "tar.bz2", "tar.xz", "nested.tar", "dot.tar"]
)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    kind = request.param
    top = {"nested": "model/", "dot": "./"}.get(kind.split(".")[0], "")
    files = {f"{top}{name}": content for name, content in FILES.items()}
    target = tmp_path / f"x.{kind}"
    if kind == "folder":
        return write_folder(target, files)
    if kind.endswith("zip"):
        return write_zip(target, files)
    return write_tar(target, files, kind.rpartition(".")[2].removeprefix("tar"))


def test_members_are_the_same_in_all_containers(path: Path) -> None:
    with open_container(path) as container:
        assert container.names == ALL
        assert container.label == path
        assert {name: read_member(container, name) for name in container.names} == FILES


def test_streams_can_seek(path: Path) -> None:
    with open_container(path) as container, container.open("model.hdf5") as stream:
        assert stream.seek(-1, io.SEEK_END) == len(FILES["model.hdf5"]) - 1
        assert stream.read() == b"\xff"


def test_members_can_be_had_as_files(path: Path) -> None:
    with open_container(path) as container, container.unpacked() as folder:
        assert {name: (folder / name).read_bytes() for name in ALL} == FILES
    assert folder.exists() == (folder == path)


def test_error_while_unpacked_is_passed_on(path: Path) -> None:
    with pytest.raises(ValueError, match="^mine$"), open_container(path) as container, container.unpacked():
        raise ValueError("mine")


def test_what_macos_adds_to_a_zip_is_left_out(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", {"__MACOSX/model/._options.json": b"x", "model/options.json": b"{}"})
    with open_container(path) as container:
        assert container.names == ["options.json"]


# Hostile archives


@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "..", "/../evil.txt"])
def test_members_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    files = {"options.json": b"{}", name: b"evil"}
    assert repr(name) in refusal(write_tar(inside / "x.tar.gz", files))
    assert repr(name.removeprefix("/")) in refusal(write_zip(inside / "x.zip", files), unpack=True).replace("'/", "'")
    assert not list(tmp_path.rglob("evil.txt"))


@pytest.mark.parametrize(
    "name", ["..\\..\\evil.txt", "C:\\x\\evil.txt", "D:/evil.txt", "a/D:evil.txt", "a\\..\\evil.txt"]
)
def test_members_that_lead_out_on_windows_are_refused_everywhere(tmp_path: Path, name: str) -> None:
    files = {"options.json": b"{}", name: b"evil"}
    assert repr(name) in refusal(write_tar(tmp_path / "x.tar.gz", files))
    assert repr(name) in refusal(write_zip(tmp_path / "x.zip", files), unpack=True)


@pytest.mark.parametrize("root", ["//", "\\", "\\\\"])
def test_other_roots_stay_inside(tmp_path: Path, root: str) -> None:
    name = f"{root}{tmp_path.relative_to('/')}/evil.txt"
    for path in (write_tar(tmp_path / "x.tar.gz", {name: b"evil"}), write_zip(tmp_path / "x.zip", {name: b"evil"})):
        with open_container(path) as container, container.unpacked():
            assert len(container.names) == 1
            assert not (tmp_path / "evil.txt").exists()


def test_absolute_names_stay_inside(tmp_path: Path) -> None:
    target = tmp_path / "evil.txt"
    files = {str(target): b"evil", f"{target}.2": b""}
    for path in (write_tar(tmp_path / "x.tar.gz", files), write_zip(tmp_path / "x.zip", files)):
        with open_container(path) as container, container.unpacked():
            assert len(container.names) == 2
            assert not target.exists()


def test_links_in_a_tar_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for kind, name in ((tarfile.SYMTYPE, "soft.txt"), (tarfile.LNKTYPE, "hard.txt")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(tmp_path / "secret.txt")
            archive.addfile(info)
    with open_container(tmp_path / "x.tar") as container:
        assert container.names == []


def test_a_tar_that_ends_in_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "weights.th", {"archive/data.pkl": b"x"}).read_bytes()  # as torch.save writes it
    path = write_tar(tmp_path / "model.tar", {"config.json": b"{}", "weights.th": inner}, "")
    assert zipfile.is_zipfile(path)
    with open_container(path) as container:
        assert container.names == ["config.json", "weights.th"]
        assert read_member(container, "weights.th") == inner


# Damage


@pytest.mark.parametrize("part", [0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["x.zip", "x.tar.gz", "x.tar.bz2", "x.tar.xz"])
def test_truncated_archive_is_refused(tmp_path: Path, part: float, kind: str) -> None:
    mode = kind.rpartition(".")[2]
    path = write_zip(tmp_path / kind, FILES) if mode == "zip" else write_tar(tmp_path / kind, FILES, mode)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    refusal(path)


@pytest.mark.parametrize("kind", ["x.zip", "x.tar.gz", "x.tar.bz2", "x.tar.xz"])
def test_damaged_archive_is_refused(tmp_path: Path, kind: str) -> None:
    mode = kind.rpartition(".")[2]
    path = write_zip(tmp_path / kind, FILES) if mode == "zip" else write_tar(tmp_path / kind, FILES, mode)
    content = bytearray(path.read_bytes())
    for place in range(100, 140):
        content[place] ^= 0xFF
    path.write_bytes(content)
    refusal(path)


def test_zip_without_its_directory_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "x.zip", FILES)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"PK\x01\x02", b"PK\x01\x03"))
    assert "zip archive" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", bytes(2000)])
def test_other_files_are_no_containers(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    if content != bytes(2000):  # which is an empty tar archive
        refusal(path)
    else:
        with open_container(path) as container:
            assert container.names == []


# Which member is meant


def test_first_group_with_a_match_decides(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a.json": b"", "b_options.json": b"", "deep/options.json": b""})
    with open_container(tmp_path) as container:
        assert find(container, [["options.json"], ["*options*.json"], ["*.json"]]) == "b_options.json"
        assert find(container, [["*.hdf5"]], optional=True) is None
        with pytest.raises(ModelFormatError, match=r"a\.json, b_options\.json"):
            find(container, [["*.json"]])
        with pytest.raises(ModelFormatError, match=r"named x\.hdf5, \*\.hdf5"):
            find(container, [["x.hdf5"], ["*.hdf5"]])
