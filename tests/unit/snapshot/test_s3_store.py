"""Snapshots in an S3 object store, on a moto server that the test starts."""

from __future__ import annotations

import uuid

import fsspec
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from streamlearn.snapshot.store import SnapshotStore
from streamlearn.state.arrays import state_hash

ARRAYS = {"weights": np.arange(200_000, dtype=np.float32)}


@pytest.fixture
def location(monkeypatch):
    """A bucket on a server that lives as long as the test."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"snapshots-{uuid.uuid4().hex[:8]}"
    # A cached instance would use the server of the previous test.
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    fsspec.filesystem("s3").mkdir(bucket)
    yield f"s3://{bucket}/here"
    server.stop()


def test_snapshots_are_created_exclusively_listed_read_and_pruned(location: str) -> None:
    store = SnapshotStore(location, keep=2)
    store.check()
    for seq in (1, 2, 3):
        store.save("group", "lineage", 0, seq, "c0ffee", ARRAYS, {})
    again = store.save("group", "lineage", 0, 3, "c0ffee", {"weights": np.zeros(3)}, {})
    _, read = store.read(again)
    assert state_hash(read) == state_hash(ARRAYS)
    assert store.verify(again)["seq"] == 3
    assert [entry.seq for entry in store.prune("group", "lineage", 0, 3)] == [1]
    assert [entry.seq for entry in store.list("group")] == [3, 2]


def test_snapshot_that_another_process_writes_appears_whole(location: str) -> None:
    store = SnapshotStore(location)
    unfinished = store.begin("group", "lineage", 0, 7, "c0ffee")
    store.fill(unfinished, ARRAYS, {})
    assert store.list() == []
    entry = store.finish(unfinished)
    assert state_hash(store.read(entry)[1]) == state_hash(ARRAYS)
    assert not unfinished.temporary.exists()
