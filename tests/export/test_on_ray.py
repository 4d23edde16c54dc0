"""export/on_ray.py: a cluster of two real nodes, one of which is killed in the middle, gives the same dataset."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from spacy_ctx_embed.export.run import export
from tests.export.exports import close, make_texts, read_dataset, write_lines


def test_without_ray_the_package_is_named(pipeline, tmp_path, monkeypatch):
    corpus = write_lines(tmp_path / "corpus.txt", make_texts(3))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"CE005.*spacy-ctx-embed\[ray\]"):
        export(pipeline, [corpus], tmp_path / "out", engine="ray")


@pytest.mark.slow
def test_a_node_that_is_lost(pipeline, tmp_path):
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    corpus = write_lines(tmp_path / "corpus.txt", make_texts(1500))
    export(pipeline, [corpus], tmp_path / "here", shard_size=2000)
    out = tmp_path / "out"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    lost = cluster.add_node(num_cpus=1)
    killed = []

    def kill():
        while len(list(out.glob("*.parquet"))) < 3:
            time.sleep(0.02)
        cluster.remove_node(lost, allow_graceful=False)
        killed.append(len(list(out.glob("*.parquet"))))

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        summary = export(pipeline, [corpus], out, shard_size=2000, engine="ray", workers=2, ray_address=cluster.address)
    finally:
        thread.join(60)
        cluster.shutdown()
    assert killed
    assert killed[0] < summary.shards
    assert summary.complete
    assert not ray.is_initialized()
    assert close(read_dataset(out), read_dataset(tmp_path / "here"))
