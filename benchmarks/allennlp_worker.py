"""AllenNLP's side of bench_elmo.py, in an interpreter of its own: JSON lines in on stdin, JSON lines out on stdout.

Needs nothing of this repository. One command a line: ``{"do": "open" | "run" | "save" | "quit", …}``; each is
answered by one line, ``{"error": …}`` where it failed.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import sys
import time
import types
from typing import Any, Dict, List

# torchvision, which AllenNLP imports, has no build for every torch; ELMo never calls it.
_STAND_INS = ("", ".io", ".ops", ".ops.misc", ".models", ".models._utils", ".models.detection", ".transforms")


class Worker:
    """Holds the module and the sentences."""

    def open(
        self,
        options: str,
        weights: str,
        threads: int,
        clock: str,
        sentences: List[List[str]],
        device: str = "cpu",
    ) -> Dict[str, Any]:
        """Load a model.

        :param options: path of ``options.json``.
        :param weights: path of ``weights.hdf5``.
        :param threads: CPU threads.
        :param clock: "wall", or "cpu" for the processor time of the process.
        :param sentences: words of each sentence.
        :param device: of torch.
        :return: versions.
        """
        _stand_in_for_torchvision()
        import torch
        from allennlp.modules.elmo import Elmo
        from allennlp.version import VERSION

        torch.set_num_threads(threads)
        self.sentences = sentences
        self.now = time.process_time if clock == "cpu" else time.perf_counter
        self.elmo = Elmo(options, weights, num_output_representations=1, dropout=0.0).eval().to(device)
        self.device = device
        return {"allennlp": VERSION, "torch": torch.__version__}

    def run(self, batch_size: int, in_order: bool) -> Dict[str, Any]:
        """Encode all sentences once, words to NumPy arrays.

        :param batch_size: sentences per batch.
        :param in_order: batches in the order of the text, or of like lengths.
        :return: ``seconds``, and of those ``id_seconds`` that ``batch_to_ids`` took.
        """
        import torch
        from allennlp.modules.elmo import batch_to_ids

        lengths = [len(words) for words in self.sentences]
        order = list(range(len(lengths)))
        if not in_order:
            order.sort(key=lambda i: -lengths[i])
        self.vectors: List[Any] = [None] * len(order)
        id_seconds = 0.0
        start = self.now()
        with torch.no_grad():
            for first in range(0, len(order), batch_size):
                members = order[first : first + batch_size]
                began = self.now()
                ids = batch_to_ids([self.sentences[i] for i in members])
                id_seconds += self.now() - began
                self.elmo._elmo_lstm._elmo_lstm.reset_states()  # else a row depends on the batches before
                rows = self.elmo(ids.to(self.device))["elmo_representations"][0].cpu().numpy()
                for i, row in zip(members, rows):
                    self.vectors[i] = row[: lengths[i]].copy()
        return {"seconds": self.now() - start, "id_seconds": id_seconds}

    def save(self, path: str) -> Dict[str, Any]:
        """Write the vectors of the last run.

        :param path: of an ``.npy`` file: ``(n_tokens, width)``, sentence after sentence.
        :return: their shape.
        """
        import numpy as np

        rows = np.concatenate(self.vectors)
        np.save(path, rows)
        return {"shape": list(rows.shape)}


def main() -> None:
    """Answer commands until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf8")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    worker = Worker()
    for line in sys.stdin:
        command = json.loads(line)
        do = command.pop("do")
        if do == "quit":
            break
        try:
            answer = getattr(worker, do)(**command)
        except Exception as error:  # told to the benchmark, which stops
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def _stand_in_for_torchvision() -> None:
    if importlib.util.find_spec("torchvision") is not None:
        return
    for suffix in _STAND_INS:
        name = f"torchvision{suffix}"
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__path__ = []
        sys.modules[name] = module
        if suffix:
            parent, _, child = name.rpartition(".")
            setattr(sys.modules[parent], child, module)


if __name__ == "__main__":
    main()
