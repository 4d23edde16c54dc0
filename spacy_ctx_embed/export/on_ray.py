"""Shards on the machines of a Ray cluster: actors that keep the pipeline loaded.

Enters: a plan and shards. Leaves: what is known of each shard that was written. The folder of the export has to be one
that all machines see. A shard whose machine is lost is given to another actor.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Deque, Dict, Iterator, Optional, Tuple

from spacy_ctx_embed.errors import Errors
from spacy_ctx_embed.export.manifest import Done
from spacy_ctx_embed.export.pipelines import open_same
from spacy_ctx_embed.export.selection import OWNER
from spacy_ctx_embed.export.shards import Shard
from spacy_ctx_embed.export.worker import Plan, Worker

_LOSSES = 3  # machines that one shard may cost before it is blamed


class Actor:
    """A worker on one of the machines.

    :param plan: what is exported.
    """

    def __init__(self, plan: Plan) -> None:
        self._worker = Worker(open_same(plan.pipeline, plan.code, plan.fingerprint), plan)

    def ready(self) -> None:
        """Answer, once the pipeline is loaded."""

    def export(self, shard: Shard) -> Done:
        """Export a shard.

        :param shard: the shard.
        :return: what is known of it.
        """
        return self._worker.export(shard)


def export_on_ray(plan: Plan, shards: Iterator[Shard], n_workers: int, address: Optional[str]) -> Iterator[Done]:
    """Export shards on a cluster.

    :param plan: what is exported.
    :param shards: the shards.
    :param n_workers: actors.
    :param address: of the cluster, as ``ray.init`` takes it; ``None`` for one on this machine.
    :yields: what is known of each, as they are finished.
    :raises ImportError: if ray is not installed.
    :raises RuntimeError: if no machine is left, or one shard has lost several.
    """
    try:
        import ray
    except ImportError as error:
        values = {"package": "ray", "install": "spacy-ctx-embed[ray]", "reason": error}
        raise ImportError(Errors.E005.format(owner=OWNER, key="--engine", **values)) from error
    mine = not ray.is_initialized()
    if mine:
        ray.init(address=address, log_to_driver=False, include_dashboard=False)
    try:
        yield from _Cluster(ray, plan, n_workers).run(shards)
    finally:
        if mine:
            ray.shutdown()


class _Cluster:
    # Actors, and which shard each has at the moment.
    def __init__(self, ray: Any, plan: Plan, n_workers: int) -> None:
        self._ray, self._plan = ray, plan
        nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        n_threads = max(1, min(sum(nodes) // n_workers, max(nodes, default=1)))  # an actor is on one machine
        environment = {"env_vars": {"OMP_NUM_THREADS": str(n_threads)}}
        options = {"num_cpus": n_threads, "max_restarts": 0, "runtime_env": environment}
        self._class = ray.remote(Actor).options(**options)
        self._busy: Dict[Any, Tuple[Any, Optional[Shard]]] = {}  # what is awaited -> actor, and its shard
        self._again: Deque[Shard] = deque()
        self._lost: Dict[int, int] = {}
        for _ in range(n_workers):
            self._hire()

    def run(self, shards: Iterator[Shard]) -> Iterator[Done]:
        idle: Deque[Any] = deque()
        while True:
            while idle and (shard := self._next(shards)) is not None:
                actor = idle.popleft()
                self._busy[actor.export.remote(shard)] = (actor, shard)
            if not any(shard for _, shard in self._busy.values()) and idle:
                return
            (reference,), _ = self._ray.wait(list(self._busy), num_returns=1)
            actor, shard = self._busy.pop(reference)
            try:
                done = self._ray.get(reference)
            except self._ray.exceptions.RayActorError as error:
                self._replace(shard, error)
                continue
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from error
            idle.append(actor)
            if shard is not None:
                yield done

    def _next(self, shards: Iterator[Shard]) -> Optional[Shard]:
        return self._again.popleft() if self._again else next(shards, None)

    def _hire(self) -> None:
        actor = self._class.remote(self._plan)
        self._busy[actor.ready.remote()] = (actor, None)

    def _replace(self, shard: Optional[Shard], error: BaseException) -> None:
        number = -1 if shard is None else shard.number
        self._lost[number] = self._lost.get(number, 0) + 1
        if self._lost[number] >= _LOSSES:
            raise RuntimeError(Errors.E115.format(owner=OWNER, reason=str(error).splitlines()[0])) from error
        if shard is not None:
            self._again.append(shard)
        self._hire()
