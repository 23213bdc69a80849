"""The answer to a commit is lost while the worker runs: it determines the outcome, and sends the same bytes again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from streamlearn.engine.loop.engine import Engine
from streamlearn.kafka import sink as sink_module
from streamlearn.kafka.sink import KafkaSink
from streamlearn.kafka.source import KafkaSource
from streamlearn.snapshot.store import SnapshotStore
from tests.integration.proxy import END_TRANSACTION, INIT_PRODUCER_ID, Loss, Proxy
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import Service
from tests.integration.test_faults import assert_each_handled_once, instance

COUNT = 120
OUTPUTS = ("predictions", "events", "dead_letters")


@pytest.fixture
def proxy(broker: str) -> Iterator[Proxy]:
    made = Proxy(broker)
    yield made
    made.close()


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_an_unknown_commit_outcome_is_resolved_with_the_process_alive(
    service: Service,
    proxy: Proxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    lost: Literal["request", "answer"],
) -> None:
    """A lost request was not committed and is sent again byte for byte; with a lost answer it was, and is not."""
    more = ["engine.batch_instances=20"]
    service.make_topics(more=more)
    service.produce_raw("instances", [instance(row) for row in range(COUNT)])
    monkeypatch.setattr(sink_module, "COMMIT_SECONDS", 0.5)
    settings = settings_of(service, labels=False, more=[*more, f"kafka.bootstrap_servers={proxy.address}"])
    proxy.lose(Loss(END_TRANSACTION, after=3, what=lost, until=INIT_PRODUCER_ID))
    sink = KafkaSink(settings)
    caplog.set_level("INFO", "streamlearn")
    Engine(settings, KafkaSource(settings), sink, SnapshotStore(str(tmp_path))).run(stop_at_end=True)
    assert proxy.lost, "the fault did not happen"
    assert "the commit was not answered within" in caplog.text
    outcome = "not committed" if lost == "request" else "committed"
    assert f"task 0 at 3:{_chain(service, 3)}: {outcome}" in caplog.text
    assert_each_handled_once(service, COUNT)
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=False, more=more))
    written = Counter(record.value for record in service.read_topic(service.topic("predictions"), committed=False))
    assert sorted(set(written.values())) == ([1, 2] if lost == "request" else [1])
    assert len(written) == COUNT, "records that are sent again differ from the first ones"
    assert sum(count == 2 for count in written.values()) == (20 if lost == "request" else 0)
    journal = [record.value for record in service.read_topic(f"{service.name}-journal", committed=False)]
    assert len(journal) - len(set(journal)) == (1 if lost == "request" else 0)


def _chain(service: Service, seq: int) -> str:
    from streamlearn.engine.journal import records as journal

    records = [journal.decode(record.value, "") for record in service.read_topic(f"{service.name}-journal")]
    return next(each.chain for each in records if isinstance(each, journal.BatchRecord) and each.seq == seq)
