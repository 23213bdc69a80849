"""The main job on a real broker: each instance is answered exactly once, even when workers are killed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from random import Random

import pytest

from tests.datasets import dataset
from tests.faults.workers import Workers
from tests.integration.service import Service


def assert_each_answered_once(service: Service, count: int) -> None:
    answered = [(each["source"]["partition"], each["source"]["offset"]) for each in service.predictions()]
    assert len(answered) == len(set(answered)), "an instance was answered twice"
    assert len(answered) == count, f"{count - len(answered)} instances were not answered\n{service.logs()}"


def run_to_end(service: Service, **options: object) -> None:
    process = service.start("--stop-at-end", **options)
    assert process.wait(timeout=120) == 0, service.logs()


def test_twenty_thousand_real_instances_each_answered_once(service: Service) -> None:
    path = dataset("tmc2007")
    service.create_topics()
    service.command(
        "produce", str(path), "--topic", service.topic("instances"), "--bootstrap", service.broker, "--limit", "20000"
    )
    run_to_end(service, own=True)
    assert_each_answered_once(service, 20_000)
    learned = [each["model"]["learned"] for each in service.predictions()]
    assert learned == list(range(20_000)), "a truth inside an instance was not learnt right after its answer"


def kill_repeatedly(service: Service, workers: Workers, folder: Path, kills: int) -> None:
    """Kill a worker in mid-stream, and compare the predictions with those of a service without kills."""
    count = 8_000
    quiet = Service(service.broker, service.name + "q", folder)
    for each in (service, quiet):
        each.make_topics()
        each.command(
            "produce", "synthetic:drifting", "--topic", each.topic("instances"), "--bootstrap", service.broker,
            "--limit", str(count),
        )  # fmt: skip
    run_to_end(quiet)
    random = Random(5)
    answered = service.follow("predictions")
    for _ in range(kills):
        # Small batches make many commits, so that kills happen before, during and after them.
        process = workers.start(*service.settings(more=["engine.batch_instances=2"]))
        goal = answered.count() + random.randrange(1, 200)
        service.wait("answers before the kill", lambda goal=goal: answered.count() >= goal)
        os.kill(process, signal.SIGKILL)
        assert workers.wait(process) == -signal.SIGKILL, workers.log()
        assert 0 < answered.count() < count, "the kill did not happen in mid-stream"
    run_to_end(service, more=["engine.batch_instances=100"])
    assert_each_answered_once(service, count)
    assert anonymize(service) == anonymize(quiet)


def test_killed_four_times_it_gives_the_bytes_of_an_uninterrupted_run(
    service: Service, workers: Workers, tmp_path: Path
) -> None:
    kill_repeatedly(service, workers, tmp_path, kills=4)


@pytest.mark.slow
def test_killed_ten_times_it_gives_the_bytes_of_an_uninterrupted_run(
    service: Service, workers: Workers, tmp_path: Path
) -> None:
    kill_repeatedly(service, workers, tmp_path, kills=10)


def anonymize(service: Service) -> list[bytes]:
    """Return the predictions' bytes without the names of the model and of the topic, which differ."""
    names = {json.loads(record.value)["model"]["lineage"] for record in service.read("predictions")}
    (lineage,) = names
    return [
        record.value.replace(lineage.encode(), b"").replace(service.topic("instances").encode(), b"")
        for record in service.read("predictions")
    ]


def test_poison_becomes_dead_letters_with_bytes_and_reason(service: Service) -> None:
    service.make_topics()
    limits = {"record_bytes": 2_000, "labels_per_record": 3, "features_per_record": 8, "id_bytes": 16, "name_bytes": 64}
    poison = {
        b"\xff\xfe": "not_utf8",
        b"{": "not_json",
        b"[]": "wrong_type",
        b'{"id": "a"}': "missing_field",
        b'{"x": {"f": NaN}}': "not_finite",
        b'{"x": {"f": 1e999}}': "not_finite",
        b'{"x": {}, "y": 3}': "wrong_type",
        b'{"x": {}, "pad": "' + b"p" * 2_000 + b'"}': "too_large",
        b'{"x": {}, "y": ["a", "b", "c", "d"]}': "too_many_labels",
        b'{"x": [1, 2, 3, 4, 5, 6, 7, 8, 9]}': "too_many_features",
        b'{"x": {"' + b"n" * 100 + b'": 1}}': "name_too_long",
        b'{"id": "0123456789abcdefg", "x": {}}': "id_too_long",
        b"": "empty_value",
    }
    good = [json.dumps({"id": str(row), "x": {"f": row % 3}, "y": ["a"]}).encode() for row in range(40)]
    service.produce_raw("instances", [*good[:20], *poison, None, *good[20:]])
    run_to_end(service, more=[f"limits.{name}={value}" for name, value in limits.items()])
    assert_each_answered_once(service, 40)
    dead = service.read("dead_letters")
    given = [(record.value, dict(record.headers)["streamlearn.reason"].decode()) for record in dead]
    assert given == [*poison.items(), (None, "empty_value")]
    offsets = [int(dict(record.headers)["streamlearn.offset"]) for record in dead]
    assert offsets == list(range(20, 20 + len(given)))


def test_labels_that_cannot_be_used_become_dead_letters_with_the_reason(service: Service) -> None:
    more = ["labels.pending_count=20", "labels.orphan_count=1", "engine.batch_instances=10"]
    service.make_topics(labels=True, more=more)
    instances = [json.dumps({"id": f"r{row}", "x": {"f": row % 3}}).encode() for row in range(40)]
    labels = [
        (b"\xff", "not_utf8"),
        (b'{"id": "r39"}', "missing_field"),
        (b'{"id": "r39", "y": {}}', "wrong_type"),
        (b'{"id": "r39", "y": {"a": "yes"}}', "wrong_type"),
        (b'{"id": "r39", "y": ["a"]}', None),
        (b'{"id": "r39",  "y": ["a"]}', "duplicate_label"),
        (b'{"id": "r0", "y": ["a"]}', "label_expired"),
        (b'{"id": "nobody", "y": ["a"]}', "unknown_instance"),
        (b'{"id": "nobody else", "y": ["a"]}', None),
    ]
    service.produce_raw("instances", instances)
    service.produce_raw("labels", [value for value, _ in labels])
    run_to_end(service, labels=True, more=more)
    assert_each_answered_once(service, 40)
    dead = [(r.value, dict(r.headers)["streamlearn.reason"].decode()) for r in service.read("dead_letters")]
    assert sorted(dead) == sorted((value, reason) for value, reason in labels if reason is not None)
    service.produce_raw("instances", [b'{"id": "last", "x": {"f": 1}}'])
    run_to_end(service, labels=True, more=more)
    assert service.predictions()[-1]["model"]["learned"] == 1


def test_labels_on_their_own_topic_late_and_some_never(service: Service) -> None:
    service.make_topics(labels=True)
    count = 1_000
    instances = [json.dumps({"id": f"r{row}", "x": {"f": row % 4, f"w{row % 4}": 1}}).encode() for row in range(count)]
    labelled = [row for row in range(count) if row % 5]
    Random(3).shuffle(labelled)
    labels = [json.dumps({"id": f"r{row}", "y": [f"label{row % 4}"]}).encode() for row in labelled]
    service.produce_raw("instances", instances)
    service.produce_raw("labels", [*labels, labels[0]])
    process = service.start(labels=True, more=["engine.batch_instances=50"])
    service.wait("some answers", lambda: len(service.read("predictions")) >= 200)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run_to_end(service, labels=True)
    service.produce_raw("instances", [b'{"id": "last", "x": {"f": 1, "w1": 1}}'])
    run_to_end(service, labels=True)
    assert_each_answered_once(service, count + 1)
    last = next(each for each in service.predictions() if each["id"] == "last")
    assert last["model"]["learned"] == len(labelled), "not each truth was learnt once"
    assert last["labels"] == ["label1"]
    reasons = [dict(record.headers)["streamlearn.reason"] for record in service.read("dead_letters")]
    assert reasons == [b"duplicate_label"]


def test_a_stand_by_takes_over_when_the_active_worker_leaves(service: Service) -> None:
    service.make_topics()
    send = ("produce", "synthetic:drifting", "--topic", service.topic("instances"), "--bootstrap", service.broker)
    service.command(*send, "--limit", "1000")
    first = service.start("--leave", worker="w0")
    service.wait("the first worker's answers", lambda: len(service.read("predictions")) >= 1_000)
    second = service.start(worker="w1")
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=60) == 0, service.logs()
    service.command(*send, "--limit", "500")
    service.wait("the second worker's answers", lambda: len(service.read("predictions")) >= 1_500)
    second.send_signal(signal.SIGTERM)
    assert second.wait(timeout=60) == 0, service.logs()
    assert_each_answered_once(service, 1_500)
    assert [each["model"]["learned"] for each in service.predictions()] == list(range(1_500))
