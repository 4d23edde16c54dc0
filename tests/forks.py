"""Fresh processes without their imports: a process imports what takes seconds, and each script is run by a fork of it.

A fork has what the process imported and nothing more: not what the tests did, nor their settings.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, Optional, Sequence

_SERVER = """
import importlib, json, os, signal, sys, traceback
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print("ready", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    pid = os.fork()
    if not pid:
        os.environ.clear()
        os.environ.update(order["environment"])
        for number, name in enumerate(("in", "out", "err")):
            flags = os.O_RDONLY if name == "in" else os.O_WRONLY | os.O_CREAT
            os.dup2(os.open(os.path.join(order["folder"], name), flags), number)
        signal.alarm(300)
        sys.argv, sys.stdin, code = ["-c"], open(0), 0
        try:
            exec(compile(order["script"], "<string>", "exec"), {"__name__": "__main__"})
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Forks:
    """A process with imports, started for the first script; where processes do not fork, each script has its own.

    :param imports: modules that no script may want to import itself.
    """

    def __init__(self, imports: Sequence[str]) -> None:
        self._imports = list(imports)
        self._server: Optional["subprocess.Popen[str]"] = None

    def run(
        self, script: str, *, environment: Optional[Dict[str, str]] = None, given: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        """Run a script as ``python -c`` does; ``given`` is what stands on its standard input."""
        environment = dict(os.environ) if environment is None else environment
        if not hasattr(os, "fork"):
            command = [sys.executable, "-c", script]
            return subprocess.run(command, env=environment, input=given, capture_output=True, text=True, timeout=300)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "in").write_text(given, encoding="utf8")
            code = int(self._ask({"script": script, "environment": environment, "folder": folder}))
            out, err = (Path(folder, name).read_text(encoding="utf8") for name in ("out", "err"))
        return subprocess.CompletedProcess(["-c", script], code, out, err)

    def _ask(self, order: Dict[str, object]) -> str:
        if self._server is None:
            command = [sys.executable, "-c", _SERVER, json.dumps(self._imports)]
            self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            atexit.register(self._close)
            assert self._server.stdout is not None and self._server.stdout.readline() == "ready\n"
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        return self._server.stdout.readline()

    def _close(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.communicate()
