"""AllenNLP as a contestant: another process that takes turns with this one (see allennlp_worker.py)."""

from __future__ import annotations

import json
import subprocess
from typing import Any, Dict

import measure


class AllenNLP:
    """The process that runs AllenNLP.

    :param python: an interpreter that has AllenNLP.
    """

    def __init__(self, python: str) -> None:
        worker = str(measure.HERE / "allennlp_worker.py")
        self._process = subprocess.Popen(
            [python, worker], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def ask(self, do: str, **values: Any) -> Dict[str, Any]:
        r"""Send a command and wait for its answer.

        :param do: the command.
        :param \**values: its arguments.
        :return: the answer.
        :raises RuntimeError: if the command failed.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(json.dumps({"do": do, **values}) + "\n")
        stdin.flush()
        line = stdout.readline()
        answer = json.loads(line) if line else {"error": "the process ended; run allennlp_worker.py by hand to see why"}
        if "error" in answer:
            raise RuntimeError(f"AllenNLP, {do}: {answer['error']}")
        return dict(answer)

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=30)
