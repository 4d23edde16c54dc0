"""models/downloads.py against a web server of the test's own that breaks off, lies and forgets as it is told."""

from __future__ import annotations

import errno
import http.client
import http.server
import io
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
import time
import urllib.error

import pytest

from spacy_ctx_embed.models import downloads
from spacy_ctx_embed.models.downloads import DownloadError, download

BODY = bytes(range(256)) * 400  # 102,400 bytes


class Server(http.server.ThreadingHTTPServer):
    """Serves ``files``; the rest says how well."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {"model.bin": BODY}
        self.etag = '"v1"'
        self.modified = None
        self.ranges = True
        self.cuts = []  # one per request: bytes of the body that are sent before the connection closes
        self.codes = []  # one per request: an HTTP error instead of the file
        self.extra = 0  # bytes that Content-Length claims too many
        self.no_length = False
        self.content_type = "application/octet-stream"
        self.delay = 0.0  # seconds before the body
        self.asked = []  # the Range of each request

    def url(self, name="model.bin"):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
        body = server.files.get(self.path.split("/")[-1])
        code = server.codes.pop(0) if server.codes else None
        if body is None or code:
            self.send_error(code or 404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and server.ranges else 0
        if start and self.headers["If-Range"] not in (server.etag, server.modified):
            start = 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if not server.no_length:
            self.send_header("Content-Length", str(len(body) - start + server.extra))
        for header, value in (("ETag", server.etag), ("Last-Modified", server.modified)):
            if value:
                self.send_header(header, value)
        self.send_header("Content-Type", server.content_type)
        self.end_headers()
        time.sleep(server.delay)
        cut = server.cuts.pop(0) if server.cuts else len(body)
        self.wfile.write(body[start : start + cut])


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(downloads, "_PAUSE", 0.0)
    with Server() as httpd:
        threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield httpd
        httpd.shutdown()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def _get(server, folder, name="model.bin", offline=False):
    download({name: server.url(name)}, folder, offline=offline)
    return (folder / name).read_bytes()


def _names(folder):
    return sorted(file.name for file in folder.iterdir())


def _break_off(server, folder, n_bytes):
    # Leaves a part of n_bytes behind, as a process that was stopped would.
    server.cuts, server.codes = [n_bytes], [None, 403]
    with pytest.raises(DownloadError, match="403"):
        _get(server, folder)
    assert (folder / ".model.bin.part").stat().st_size == n_bytes
    server.asked.clear()


def test_a_file_is_downloaded_once_and_recorded(server, folder):
    assert _get(server, folder) == BODY
    assert _get(server, folder) == BODY
    assert server.asked == [None]
    record = json.loads((folder / ".downloads").read_text())["model.bin"]
    assert (record["url"], record["size"], len(record["sha256"])) == (server.url(), len(BODY), 64)
    assert _names(folder) == [".downloads", ".lock", "model.bin"]


def test_what_broke_off_is_continued(server, folder):
    _break_off(server, folder, 70_000)
    assert not (folder / "model.bin").exists()
    assert _get(server, folder) == BODY
    assert server.asked == ["bytes=70000-"]
    assert _names(folder) == [".downloads", ".lock", "model.bin"]


def test_a_date_does_where_there_is_no_strong_etag(server, folder):
    server.etag, server.modified = 'W/"weak"', "Sun, 22 Nov 2026 12:00:00 GMT"
    _break_off(server, folder, 70_000)
    assert _get(server, folder) == BODY
    assert server.asked == ["bytes=70000-"]


def test_without_a_version_the_download_starts_again(server, folder):
    server.etag = None
    _break_off(server, folder, 70_000)
    assert _get(server, folder) == BODY
    assert server.asked == [None]


def test_a_connection_that_drops_twice_is_taken_up_again(server, folder):
    server.cuts = [50_000, 20_000]
    assert _get(server, folder) == BODY
    assert server.asked == [None, "bytes=50000-", "bytes=70000-"]


def test_a_server_that_ignores_ranges_sends_all_again(server, folder):
    _break_off(server, folder, 70_000)
    server.ranges = False
    assert _get(server, folder) == BODY


def test_a_new_version_is_not_glued_to_the_old_one(server, folder):
    _break_off(server, folder, 70_000)
    server.etag, server.files["model.bin"] = '"v2"', BODY[::-1]
    assert _get(server, folder) == BODY[::-1]


def test_a_range_that_does_not_exist_any_more_starts_again(server, folder):
    _break_off(server, folder, 70_000)
    server.files["model.bin"] = BODY[:10_000]
    assert _get(server, folder) == BODY[:10_000]
    assert server.asked == ["bytes=70000-", None]


def test_a_missing_file_is_said_at_once(server, folder):
    with pytest.raises(DownloadError, match="download failed .*404"):
        _get(server, folder, "other.bin")
    assert server.asked == [None]
    assert _names(folder) == [".lock"]


def test_an_overloaded_server_is_asked_again(server, folder):
    server.codes = [503, 429]
    assert _get(server, folder) == BODY


def test_a_server_that_never_sends_what_it_promised_is_given_up(server, folder):
    server.extra, server.ranges = 7, False
    with pytest.raises(DownloadError, match="broke off after 102400 of 102407 bytes"):
        _get(server, folder)
    assert len(server.asked) == 1 + 3
    assert not (folder / "model.bin").exists()


def test_a_host_that_is_not_there_is_not_asked_again(folder, monkeypatch):
    monkeypatch.setattr(downloads.time, "sleep", lambda seconds: pytest.fail("waited"))
    with pytest.raises(DownloadError, match="download failed"):
        download({"a": "http://127.0.0.1:9/a"}, folder, offline=False)


def test_a_file_of_unknown_length_is_taken_to_its_end(server, folder):
    server.no_length = True
    assert _get(server, folder) == BODY


def test_a_published_size_is_checked_against_what_the_server_has(server, folder, monkeypatch):
    monkeypatch.setitem(downloads.PUBLISHED_BYTES, "model.bin", 5)
    for server.no_length in (False, True):
        with pytest.raises(DownloadError, match="has 102400 bytes, expected were 5"):
            _get(server, folder)
    monkeypatch.setitem(downloads.PUBLISHED_BYTES, "model.bin", 102_401)
    with pytest.raises(DownloadError, match="broke off after 102400 of 102401 bytes|416"):
        _get(server, folder)
    assert not (folder / "model.bin").exists()


def test_a_web_page_is_not_a_model(server, folder):
    server.content_type = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="is a web page"):
        _get(server, folder)
    assert not (folder / "model.bin").exists()


def test_of_two_files_the_second_may_fail_and_the_first_is_kept(server, folder):
    urls = {"model.bin": server.url(), "more.bin": server.url("more.bin")}
    with pytest.raises(DownloadError):
        download(urls, folder, offline=False)
    assert downloads.missing_files(urls, folder) == ["more.bin"]
    with pytest.raises(DownloadError, match=r"^\('more.bin not in .*HF_HUB_OFFLINE is set"):
        download(urls, folder, offline=True)
    server.files["more.bin"] = b"more"
    server.asked.clear()
    download(urls, folder, offline=False)
    assert server.asked == [None]


def test_offline_what_is_whole_is_used_and_a_part_is_not(server, folder):
    _break_off(server, folder, 70_000)
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE"):
        _get(server, folder, offline=True)
    _get(server, folder)
    assert _get(server, folder, offline=True) == BODY


def test_a_file_that_was_changed_is_refused_until_it_is_deleted(server, folder):
    _get(server, folder)
    (folder / "model.bin").write_bytes(BODY[::-1])
    for offline in (False, True):
        with pytest.raises(DownloadError, match="is not what was downloaded") as caught:
            _get(server, folder, offline=offline)
        assert caught.value.fix == f"delete {folder / 'model.bin'} to download it again"
    (folder / "model.bin").unlink()
    assert _get(server, folder) == BODY
    assert _get(server, folder, offline=True) == BODY


def test_a_file_is_hashed_again_only_if_its_time_changed(server, folder, monkeypatch):
    _get(server, folder)
    hashed = []
    describe = downloads._describe
    monkeypatch.setattr(downloads, "_describe", lambda url, file: hashed.append(file) or describe(url, file))
    _get(server, folder)
    assert hashed == []
    os.utime(folder / "model.bin", (1, 1))
    _get(server, folder)
    _get(server, folder)
    assert len(hashed) == 1


@pytest.mark.parametrize("record", [None, "no json", "[1]", '{"model.bin": {}}'])
def test_a_file_without_a_record_gets_one(server, folder, record):
    _get(server, folder)
    (folder / ".downloads").unlink()
    if record is not None:
        (folder / ".downloads").write_text(record)
    assert _get(server, folder, offline=True) == BODY
    assert json.loads((folder / ".downloads").read_text())["model.bin"]["size"] == len(BODY)


def test_a_full_disk_is_said_before_anything_is_written(server, folder, monkeypatch):
    usage = shutil.disk_usage(os.curdir)._replace(free=10)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DownloadError, match="no room on the disk for the 102400 bytes") as caught:
        _get(server, folder)
    assert "SPACY_CTX_EMBED_CACHE" in caught.value.fix
    assert _names(folder) == [".lock"]


def test_a_disk_that_fills_up_meanwhile_is_not_left_full(server, folder, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads.os, "fsync", fail)
    with pytest.raises(DownloadError, match="no room on the disk"):
        _get(server, folder)
    assert not (folder / ".model.bin.part").exists()


def test_a_folder_that_cannot_be_used_is_said(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="can't be used"):
        _get(server, tmp_path / "file" / "below")


def test_threads_at_once_download_once(server, folder):
    server.delay = 0.1
    got = []
    threads = [threading.Thread(target=lambda: got.append(_get(server, folder))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [BODY] * 3
    assert server.asked == [None]


def test_processes_at_once_download_once(server, folder):
    server.delay = 0.5
    code = "import sys; from pathlib import Path; from spacy_ctx_embed.models.downloads import download; "
    code += "download({'model.bin': sys.argv[1]}, Path(sys.argv[2]), offline=False)"
    command = [sys.executable, "-c", code, server.url(), str(folder)]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    assert (folder / "model.bin").read_bytes() == BODY
    assert server.asked == [None]


def test_progress_is_shown_in_a_terminal_only(server, folder, monkeypatch, capsys):
    _get(server, folder)
    assert capsys.readouterr().err == ""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    (folder / "model.bin").unlink()
    _get(server, folder)
    assert "model.bin: 100%" in sys.stderr.getvalue()


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (urllib.error.URLError(ConnectionResetError()), True),
        (urllib.error.URLError(ConnectionRefusedError()), False),
        (urllib.error.URLError(TimeoutError()), False),
        (urllib.error.URLError(OSError("Name or service not known")), False),
        (http.client.IncompleteRead(b""), True),
        (http.client.RemoteDisconnected(), True),
        (TimeoutError(), True),
        (ssl.SSLError(), True),
        (PermissionError(), False),
        (ValueError(), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error, again):
    assert downloads._may_pass(error, None) == again
