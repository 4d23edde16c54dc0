"""Which folders this process has open: each once, opened at first use, and again after a fork.

LMDB forbids a process to open one folder twice, so that all stores share what is opened here.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import List
from weakref import WeakValueDictionary

from spacy_ctx_embed.cache.environment import MAP_SIZE, MAX_MAP_SIZE, Environment


class _Registry:
    """What is open in this process; closed when no store uses it any more.

    A fork waits until no transaction runs, and the new process closes what it has inherited: LMDB forbids to use it
    there, and py-lmdb to open the folder again before.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.environments: "WeakValueDictionary[str, Environment]" = WeakValueDictionary()
        self._watches = False
        self._held: List[Environment] = []

    def watch_forks(self) -> None:
        """From now on do what a fork needs."""
        if not self._watches and hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before_fork, after_in_parent=self._after_fork, after_in_child=self._in_new_process
            )
        self._watches = True

    def _before_fork(self) -> None:
        self.lock.acquire()
        self._held = list(self.environments.values())
        for environment in self._held:
            environment.lock.acquire()

    def _after_fork(self) -> None:
        for environment in self._held:
            environment.lock.release()
        self._held = []
        self.lock.release()

    def _in_new_process(self) -> None:
        for environment in self._held:
            environment.close()
        self.environments.clear()
        self._after_fork()


_registry = _Registry()


def open_environment(folder: Path, map_size: int = MAP_SIZE, max_map_size: int = MAX_MAP_SIZE) -> Environment:
    """Open a folder, or give the environment that this process has open for it.

    :param folder: the folder.
    :param map_size: bytes of address space to start with, if it is opened now.
    :param max_map_size: bytes beyond which it does not grow, if it is opened now.
    :return: the environment, which is closed when nobody has it any more.
    :raises ValueError: if it can't be opened, made or used, or holds something else.
    """
    place = os.path.realpath(folder)
    with _registry.lock:
        _registry.watch_forks()
        environment = _registry.environments.get(place)
        if environment is None or not environment.current:
            environment = Environment(Path(place), map_size, max_map_size)
            _registry.environments[place] = environment
        return environment
