"""A stand-in for the Hugging Face Hub on 127.0.0.1: serves the folders ``root/org/repo`` as repositories.

The client reads ``HF_ENDPOINT`` and ``HF_HOME`` when it is imported, so it runs in a process of its own: a fork of one
that has imported what takes seconds, and nothing of the client.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Dict, Iterator, List
from urllib.parse import unquote, urlsplit

from tests.forks import Forks

_CLIENTS = Forks(["spacy", "torch._dynamo", "torch.distributed.checkpoint", "scipy.optimize"])
_UNREAD = "import sys; assert 'huggingface_hub' not in sys.modules\n"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub(http.server.ThreadingHTTPServer):
    """Counts what is asked of it in ``asked``, the paths without the host."""

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.asked: List[str] = []

    def environment(self, home: Path, *, offline: bool = False) -> Dict[str, str]:
        """Give the environment of a client: its hub is this one, its caches are in ``home``."""
        own = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGINGFACE_"))}
        own.update(HF_ENDPOINT=f"http://127.0.0.1:{self.server_port}", HF_HOME=str(home), HF_HUB_DISABLE_TELEMETRY="1")
        return {**own, "HF_HUB_OFFLINE": "1"} if offline else own

    def run(self, script: str, home: Path, *, offline: bool = False, answer: str = "") -> "subprocess.CompletedProcess":
        """Run Python as a client; ``answer`` is what stands on its standard input."""
        environment = self.environment(home, offline=offline)
        return _CLIENTS.run(_UNREAD + script, environment=environment, given=answer)

    def fetched(self, repository: str) -> List[str]:
        """Name the files of a repository that were sent to anybody."""
        start = f"GET /{repository}/resolve/{COMMIT}/"
        return sorted({asked[len(start) :] for asked in self.asked if asked.startswith(start)})


@contextlib.contextmanager
def serve(root: Path) -> Iterator[FakeHub]:
    """Serve ``root`` while the block runs."""
    with FakeHub(root) as hub:
        threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield hub
        hub.shutdown()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: FakeHub

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        self.server.asked.append(f"{self.command} /{'/'.join(parts)}")
        api = parts[:2] == ["api", "models"]
        repository = self.server.root.joinpath(*parts[2:4] if api else parts[:2])
        rest = parts[4:] if api else parts[2:]
        if not repository.is_dir():
            self._send(404, b"", "text/plain", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "not found"})
        elif api and rest[:1] == ["tree"]:
            self._send_json([self._entry(repository, file) for file in _files(repository)])
        elif api:
            names = [{"rfilename": file.relative_to(repository).as_posix()} for file in _files(repository)]
            counts = {"downloads": 0, "likes": 0, "private": False, "tags": []}  # what clients of old insist on
            self._send_json({"id": "/".join(parts[2:4]), "sha": COMMIT, "siblings": names, **counts})
        else:
            self._send_file(repository.joinpath(*rest[2:]))

    def _entry(self, repository: Path, file: Path) -> Dict[str, object]:
        name = file.relative_to(repository).as_posix()
        return {"type": "file", "path": name, "size": file.stat().st_size, "oid": _tag(file)}

    def _send_file(self, file: Path) -> None:
        if file.is_file():
            named = {"X-Repo-Commit": COMMIT, "ETag": f'"{_tag(file)}"'}
            self._send(200, file.read_bytes(), "application/octet-stream", named)
        else:
            self._send(404, b"", "text/plain", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})

    def _send_json(self, content: object) -> None:
        self._send(200, json.dumps(content).encode(), "application/json", {})

    def _send(self, status: int, content: bytes, kind: str, headers: Dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


def _files(repository: Path) -> List[Path]:
    return sorted(file for file in repository.rglob("*") if file.is_file())


def _tag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()
