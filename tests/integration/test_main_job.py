"""The main job on a real broker: each instance answered exactly once, whatever happens to the workers."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from random import Random

from tests.datasets import dataset
from tests.integration.service import Service, comparable


def assert_each_answered_once(service: Service, count: int) -> None:
    places = [(each["source"]["partition"], each["source"]["offset"]) for each in service.predictions()]
    assert len(places) == len(set(places)), "an instance was answered twice"
    assert len(places) == count, f"{count - len(places)} instances were not answered\n{service.logs()}"


def run_to_end(service: Service, **options: object) -> None:
    process = service.start("--stop-at-end", **options)
    assert process.wait(timeout=120) == 0, service.logs()


def test_twenty_thousand_real_instances_each_answered_once(service: Service) -> None:
    path = dataset("tmc2007")
    service.create_topics()
    service.command(
        "produce", str(path), "--topic", service.topic("instances"), "--bootstrap", service.broker, "--limit", "20000"
    )
    run_to_end(service)
    assert_each_answered_once(service, 20_000)
    learned = [each["model"]["learned"] for each in service.predictions()]
    assert learned == list(range(20_000)), "every truth inside an instance is learnt right after its answer"


def test_killed_ten_times_it_gives_the_bytes_of_an_uninterrupted_run(
    service: Service, broker: str, tmp_path: Path
) -> None:
    count = 8_000
    quiet = Service(broker, service.name + "q", tmp_path)
    for each in (service, quiet):
        each.create_topics()
        each.command(
            "produce", "synthetic:drifting", "--topic", each.topic("instances"), "--bootstrap", broker,
            "--limit", str(count),
        )  # fmt: skip
    run_to_end(quiet)
    random = Random(5)
    for _ in range(10):
        # Small batches make many commits, so that kills fall before, within and after them.
        process = service.start(more=["engine.batch_instances=100"])
        before = len(service.read("predictions"))
        goal = before + random.randrange(1, 500)
        service.wait("answers before the kill", lambda goal=goal: len(service.read("predictions")) >= min(goal, count))
        process.send_signal(signal.SIGKILL)
        process.wait()
    run_to_end(service, more=["engine.batch_instances=100"])
    assert_each_answered_once(service, count)
    ours = [comparable(each) for each in service.predictions()]
    assert ours == [comparable(each) for each in quiet.predictions()]


def test_poison_becomes_dead_letters_with_bytes_and_reason(service: Service) -> None:
    service.create_topics()
    poison = {
        b"\xff\xfe": "not_utf8",
        b"{": "not_json",
        b"[]": "wrong_type",
        b'{"id": "a"}': "missing_field",
        b'{"x": {"f": NaN}}': "not_finite",
        b'{"x": {}, "y": 3}': "wrong_type",
        b"": "empty_value",
    }
    good = [json.dumps({"id": str(row), "x": {"f": row % 3}, "y": ["a"]}).encode() for row in range(40)]
    service.produce_raw("instances", [*good[:20], *poison, *good[20:]])
    run_to_end(service)
    assert_each_answered_once(service, 40)
    dead = service.read("dead_letters")
    reasons = {record.value or b"": dict(record.headers)["streamlearn.reason"].decode() for record in dead}
    assert reasons == poison
    assert [dict(record.headers)["streamlearn.offset"] for record in dead] == [b"%d" % n for n in range(20, 27)]


def test_labels_on_their_own_topic_late_and_some_never(service: Service) -> None:
    service.create_topics(labels=True)
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
    assert last["model"]["learned"] == len(labelled), "each truth is learnt once, those that never came are not"
    assert last["labels"] == ["label1"]
    reasons = [dict(record.headers)["streamlearn.reason"] for record in service.read("dead_letters")]
    assert reasons == [b"duplicate_label"]


def test_a_stand_by_takes_over_when_the_active_worker_leaves(service: Service) -> None:
    service.create_topics()
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
