"""Chromium without a window, driven by its own protocol over two pipes: real keys, print, and what the console says."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, List, Optional, Type

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
_SECONDS = 120  # until an answer
_ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run")
# Chromium reads descriptor 3 and writes 4.
_START = """import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for place, end in zip((3, 4), ends):
    os.dup2(end, place)
os.execv(sys.argv[3], sys.argv[3:])"""
_CODES = {"Tab": 9, "Enter": 13, " ": 32, "Home": 36, "End": 35, "ArrowLeft": 37, "ArrowRight": 39}


class Browser:
    """A browser with one page.

    :param profile: a folder of its own.
    """

    def __init__(self, profile: Path) -> None:
        self.faults: List[str] = []
        self._left, self._number, self._session = b"", 0, ""
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        ends = (theirs_in, theirs_out)
        chromium = [str(CHROMIUM), *_ARGUMENTS, f"--user-data-dir={profile}", "about:blank"]
        command = [sys.executable, "-c", _START, *map(str, ends), *chromium]
        self._process = subprocess.Popen(command, pass_fds=ends, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for end in ends:
            os.close(end)

    def __enter__(self) -> Browser:
        targets = self.call("Target.getTargets")["targetInfos"]
        (page,) = (target["targetId"] for target in targets if target["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)  # else no event tells of it
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, **params: Any) -> Dict[str, Any]:
        """Call a method of the protocol.

        :param method: its name.
        :param params: its parameters.
        :return: its result.
        """
        self._number += 1
        message: Dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode("utf8") + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def open(self, page: Path) -> None:
        """Open a file, and wait until it is there."""
        self.call("Page.navigate", url=page.as_uri())
        for _ in range(600):
            if self.do("location.href + document.readyState") == page.as_uri() + "complete":
                return
            time.sleep(0.05)
        raise AssertionError(f"{page.name} was not loaded")

    def do(self, script: str) -> Any:
        """Give the value of an expression on the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press keys, one after another, as a keyboard would."""
        for key in keys:
            same = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": _CODES[key]}
            text = {"text": {"Enter": "\r"}.get(key, key)} if key in ("Enter", " ") else {}
            self.call("Input.dispatchKeyEvent", type="keyDown", **same, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", **same)

    def _next(self) -> Dict[str, Any]:
        deadline = time.monotonic() + _SECONDS
        while b"\0" not in self._left:
            ready = select.select([self._in], [], [], max(deadline - time.monotonic(), 0))[0]
            part = os.read(self._in, 1 << 16) if ready else b""
            assert part, "Chromium does not answer"
            self._left += part
        first, self._left = self._left.split(b"\0", 1)
        message: Dict[str, Any] = json.loads(first)
        kind, params = message.get("method"), message.get("params", {})
        if kind == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.faults.append(params["entry"]["text"])
        elif kind == "Runtime.exceptionThrown":
            self.faults.append(params["exceptionDetails"]["text"])
        elif kind in ("Runtime.consoleAPICalled", "Page.javascriptDialogOpening"):
            self.faults.append(str(params))
        return message
