"""Files of a model from the web into a folder: resumed where they broke off, whole or not there, and known again.

Beside the files, hidden: ``.downloads`` has the URL, size and SHA-256 of each; ``.NAME.part`` is what has come so far
of a file, and ``.NAME.part.of`` says of which version of it; ``.lock`` lets one process download at a time.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from spacy_ctx_embed.about import __version__
from spacy_ctx_embed.errors import reason_of
from spacy_ctx_embed.models.aliases import PUBLISHED_BYTES

_RECORD, _LOCK = ".downloads", ".lock"
_BLOCK = 1 << 16  # bytes
_TIMEOUT = 30  # seconds without a byte
_ATTEMPTS = 4  # in a row that bring nothing new
_PAUSE = 0.5  # seconds after the first of them, then twice as long each time
_PASSING = (408, 416, 425, 429, 500, 502, 503, 504)  # HTTP codes after which the same request may succeed
_BROKEN = (ConnectionError, TimeoutError, ssl.SSLError, http.client.HTTPException)
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))

Record = Dict[str, Dict[str, Any]]  # file name -> url, size (bytes), mtime_ns, sha256


class DownloadError(Exception):
    """Files that can't be had: ``reason``, and ``fix``, which may be empty."""

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(reason, fix)
        self.reason = reason
        self.fix = fix


class _BrokenOffError(ConnectionError):
    pass


def download(urls: Dict[str, str], folder: Path, *, offline: bool) -> None:
    """Bring the files that are missing, and check that those brought before are still what they were.

    :param urls: file name -> URL.
    :param folder: where the files are or come.
    :param offline: whether the network must not be used.
    :raises DownloadError: if a file can't be had, or was changed since it was downloaded.
    """
    try:
        missing = missing_files(urls, folder)
        if missing and offline:
            reason = f"{', '.join(missing)} not in {folder}, and HF_HUB_OFFLINE is set"
            raise DownloadError(reason, "unset HF_HUB_OFFLINE")
        if missing:
            from filelock import FileLock

            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / _LOCK):
                for name in missing_files(urls, folder):  # asked again: another process may have brought them
                    _bring(urls[name], folder / name)
                    _write_record(folder, {**_read_record(folder), name: _describe(urls[name], folder / name)})
        _verify(urls, folder)
    except OSError as error:
        fix = "set SPACY_CTX_EMBED_CACHE to a folder that can be written"
        raise DownloadError(f"{folder} can't be used ({reason_of(error)})", fix) from error


def missing_files(urls: Dict[str, str], folder: Path) -> List[str]:
    """List what a folder lacks.

    :param urls: file name -> URL.
    :param folder: where the files come.
    :return: names of files that are not there, or not yet whole.
    """
    return [name for name in urls if not (folder / name).is_file()]


def _verify(urls: Dict[str, str], folder: Path) -> None:
    # Cheap where nothing touched a file. What has no record yet (an interrupted download, an older version) gets one.
    known = _read_record(folder)
    now = dict(known)
    for name, url in urls.items():
        file, then = folder / name, known.get(name)
        status = file.stat()
        if then is not None and (status.st_size, status.st_mtime_ns) == (then["size"], then["mtime_ns"]):
            continue
        now[name] = _describe(url, file)
        if then is not None and now[name]["sha256"] != then["sha256"]:
            reason = f"{file} is not what was downloaded (SHA-256 {now[name]['sha256']}, then {then['sha256']})"
            raise DownloadError(reason, f"delete {file} to download it again")
    if now != known:
        try:
            _write_record(folder, now)
        except OSError:  # a cache that others may only read: hashed again next time
            return


def _describe(url: str, file: Path) -> Dict[str, Any]:
    status = file.stat()
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return {"url": url, "size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": digest.hexdigest()}


def _read_record(folder: Path) -> Record:
    try:
        record: Record = json.loads((folder / _RECORD).read_text(encoding="utf8"))
        return {name: entry for name, entry in record.items() if {"size", "mtime_ns", "sha256"} <= set(entry)}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _write_record(folder: Path, record: Record) -> None:
    written = folder / f"{_RECORD}.{os.getpid()}.{threading.get_ident()}"
    written.write_text(json.dumps(record, indent=2), encoding="utf8")
    os.replace(written, folder / _RECORD)


def _bring(url: str, target: Path) -> None:
    # Renamed when it is whole, so that what broke off never looks like a model.
    part = target.with_name(f".{target.name}.part")
    most = failures = 0
    while True:
        try:
            _continue(url, part, target.name)
            break
        except (OSError, http.client.HTTPException, ValueError) as error:
            code = error.code if isinstance(error, urllib.error.HTTPError) else None
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            full = isinstance(error, OSError) and error.errno in _FULL
            if full or code == 416:  # 416, no such range: what is here is of another version
                part.unlink(missing_ok=True)
            if full:
                raise _disk_full(target) from error
            come = part.stat().st_size if part.exists() else 0
            failures = failures + 1 if come <= most else 1
            most = max(most, come)
            if failures >= _ATTEMPTS or not _may_pass(error, code):
                raise DownloadError(f"download failed ({reason_of(error)})") from error
        time.sleep(_PAUSE * 2 ** (failures - 1))
    os.replace(part, target)
    _source(part).unlink(missing_ok=True)


def _continue(url: str, part: Path, name: str) -> None:
    # One request, for what is missing; the server sends all where it can't do that or the file is a new version.
    from tqdm import tqdm

    have, version = _resumable(url, part)
    headers = {"User-Agent": f"spacy-ctx-embed/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310 (the scheme was checked)
        start, total = _extent(response)
        if start not in (0, have):
            part.unlink(missing_ok=True)
            raise _BrokenOffError(f"{url} sent from byte {start} on, not from {have}")
        published = PUBLISHED_BYTES.get(url.rsplit("/", 1)[-1])
        if response.headers.get_content_type() == "text/html" and not name.endswith((".html", ".htm")):
            raise DownloadError(f"{url} is a web page, not a file of a model")
        if None not in (published, total) and total != published:
            raise DownloadError(f"{url} has {total} bytes, expected were {published}")
        if total is not None and total - start > shutil.disk_usage(part.parent).free:
            raise _disk_full(part.with_name(name), total - start)
        if not start:  # nothing of another version may stay under the name of this one
            part.unlink(missing_ok=True)
            _source(part).write_text(json.dumps({"url": url, "version": _version(response)}), encoding="utf8")
        # disable=None: no bar where there is no terminal
        bar = tqdm(desc=name, total=total, initial=start, unit="B", unit_scale=True, disable=None)
        with bar, part.open("ab") as stream:
            while block := response.read(_BLOCK):
                stream.write(block)
                bar.update(len(block))
            stream.flush()
            os.fsync(stream.fileno())
    size = part.stat().st_size
    expected = total or published or size
    if size < expected:
        raise _BrokenOffError(f"{url} broke off after {size} of {expected} bytes")
    if size > expected:
        part.unlink()
        raise DownloadError(f"{url} has {size} bytes, expected were {expected}")


def _resumable(url: str, part: Path) -> Tuple[int, str]:
    # How many bytes are here, and of which version. A file of unknown version is not continued.
    try:
        source = json.loads(_source(part).read_text(encoding="utf8"))
        if source["url"] == url and source["version"]:
            return part.stat().st_size, source["version"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return 0, ""


def _source(part: Path) -> Path:
    return part.with_name(f"{part.name}.of")


def _version(response: http.client.HTTPResponse) -> str:
    # What If-Range accepts: a strong ETag or a date (RFC 9110, 13.1.5).
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _extent(response: http.client.HTTPResponse) -> Tuple[int, Optional[int]]:
    # The first byte that this answer has, and the size of the whole file where the server says it.
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if match is None:
            raise ValueError(f"can't read the Content-Range {response.headers.get('Content-Range')!r}")
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length")
    return 0, None if length is None else int(length)


def _disk_full(file: Path, needed: Optional[int] = None) -> DownloadError:
    size = "" if needed is None else f" for the {needed} bytes"
    fix = f"make room on the disk of {file.parent}, or set SPACY_CTX_EMBED_CACHE to a folder on another one"
    return DownloadError(f"no room on the disk{size} of {file}", fix)


def _may_pass(error: Exception, code: Optional[int]) -> bool:
    if code is not None:
        return code in _PASSING
    if isinstance(error, urllib.error.URLError):  # no connection came about
        return isinstance(error.reason, (ConnectionResetError, ConnectionAbortedError))
    return isinstance(error, _BROKEN)
