"""Signals that end a training run after the step under way."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import Any, Callable, Dict


class Stop:
    """Ctrl-C and SIGTERM, kept until what is under way is done; a second one ends it at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: Dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():  # no other thread may handle them
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if handler not in (signal.SIG_IGN, None):
                    self._before[number] = handler
                    signal.signal(number, self._take)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def unless_stopped(self, tell: Callable[[Dict[str, Any]], None], line: Dict[str, Any]) -> None:
        """Tell a reporter, which may ask for the end too.

        :param tell: its method.
        :param line: what to tell.
        """
        try:
            tell(line)
        except KeyboardInterrupt:
            self.asked = True

    def _take(self, number: int, frame: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        with suppress(OSError):  # not by sys.stderr, which may be at work when the signal comes
            os.write(2, b"\nStopping after this step, to save it; a second Ctrl-C stops at once.\n")
