"""export/manifest.py and export/local.py: whatever ends an export, what was done is kept, and nothing is half there."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from spacy_ctx_embed.export.run import export
from tests.export.exports import make_texts, read_dataset, same, write_lines

OPTIONS = {"shard_size": 3000, "dtype": "float16"}


pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_lines(tmp_path_factory.mktemp("corpus") / "corpus.txt", make_texts(700))


@pytest.fixture(scope="module")
def whole(pipeline, corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    export(pipeline, [corpus], out, **OPTIONS)
    return read_dataset(out)


def _begin(pipeline, corpus, out, before=None, **more):
    # A fork, which has all libraries imported already. What an error says is in a file beside the folder.
    def run():
        if before is not None:
            before()
        try:
            export(pipeline, [corpus], out, **OPTIONS, **more)
        except Exception as error:
            out.with_suffix(".error").write_text(str(error))
            os._exit(1)
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    return process


def _limit_files():
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))


def _wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited for nothing"
        time.sleep(0.01)


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_moment(pipeline, corpus, whole, tmp_path, workers):
    out, random = tmp_path / "out", np.random.default_rng(workers)
    kills = 0
    for _ in range(5):
        process = _begin(pipeline, corpus, out, workers=workers)
        n_done = len(list(out.glob("*.parquet")))
        _wait_for(lambda process=process, n=n_done: not process.is_alive() or len(list(out.glob("*.parquet"))) > n)
        time.sleep(random.uniform(0, 0.3))
        kills += process.is_alive()
        process.kill()
        process.join()
        for file in out.glob("*.parquet"):
            assert file.stat().st_size > 0
    assert kills >= 2
    summary = export(pipeline, [corpus], out, **OPTIONS, workers=workers)
    assert summary.complete
    assert same(read_dataset(out), whole)
    assert not list((out / ".export" / "unfinished").iterdir())


def test_a_full_disk_says_so_and_the_next_call_goes_on(pipeline, corpus, whole, tmp_path):
    out = tmp_path / "out"
    process = _begin(pipeline, corpus, out, _limit_files)
    process.join(120)
    assert process.exitcode == 1
    assert "[CE113] embed export: can't write" in out.with_suffix(".error").read_text()
    assert not list(out.glob("*.parquet"))
    assert not list((out / ".export" / "unfinished").iterdir())
    export(pipeline, [corpus], out, **OPTIONS)
    assert same(read_dataset(out), whole)


def test_two_at_once_are_refused_and_jobs_are_not(pipeline, corpus, tmp_path):
    out = tmp_path / "out"
    first = _begin(pipeline, corpus, out)
    try:
        _wait_for(lambda: list(out.glob("*.parquet")))
        os.kill(first.pid, signal.SIGSTOP)
        with pytest.raises(ValueError, match="CE112.*another process"):
            export(pipeline, [corpus], out, **OPTIONS)
        with pytest.raises(ValueError, match="CE112.*another process"):
            export(pipeline, [corpus], out, **OPTIONS, shard="1/2")
    finally:
        first.kill()
        first.join()
    job = _begin(pipeline, corpus, out, shard="1/2")
    export(pipeline, [corpus], out, **OPTIONS, shard="2/2")
    job.join(120)
    assert job.exitcode == 0
    assert export(pipeline, [corpus], out, **OPTIONS).shards_now == 0


def test_a_worker_that_is_killed(pipeline, corpus, whole, tmp_path):
    out = tmp_path / "out"
    process = _begin(pipeline, corpus, out, workers=2)
    _wait_for(lambda: list(out.glob("*.parquet")))
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    if not os.path.exists(children):
        process.kill()
        process.join()
        pytest.skip("/proc does not list the children of a process here")
    with open(children) as file:
        os.kill(int(file.read().split()[0]), signal.SIGKILL)
    process.join(120)
    assert process.exitcode == 1
    assert "[CE115] embed export: a worker ended without a word" in out.with_suffix(".error").read_text()
    assert export(pipeline, [corpus], out, **OPTIONS).complete
    assert same(read_dataset(out), whole)


def test_a_record_that_is_damaged_is_named(pipeline, corpus, tmp_path):
    out = tmp_path / "out"
    export(pipeline, [corpus], out, **OPTIONS)
    record = sorted((out / ".export" / "shards").iterdir())[1]
    record.write_text("{")
    with pytest.raises(ValueError, match=rf"CE116.*{record.name} can't be read"):
        export(pipeline, [corpus], out, **OPTIONS)
    record.unlink()  # a shard without a record is done again
    assert export(pipeline, [corpus], out, **OPTIONS).shards_now == 1
    assert json.loads(record.read_text())["rows"] > 0
