"""``streamlearn dead-letters`` on a broker: lists, shows and exports letters, and replays each once."""

from __future__ import annotations

import json
import time
from base64 import b64decode
from pathlib import Path

from kafka import KafkaProducer

from streamlearn.kafka.client_internals import with_null_headers
from streamlearn.kafka.dead_letter_reader import DeadLetterReader
from streamlearn.records.dead_letter import DeadLetter, DeadLetterRecord
from tests.integration.reference import settings_of
from tests.integration.service import Service
from tests.integration.test_topics import create

LARGE = b'{"id": "large", "x": {"a": "' + b"a" * 950_000 + b'"}}'


def produce(service: Service, role: str, values: list[bytes]) -> None:
    """Write records without a key, with a header."""
    producer = KafkaProducer(bootstrap_servers=service.broker, max_request_size=4 << 20)
    for value in values:
        headers = with_null_headers([("mine", b"\x00\xff"), ("null", None)])
        producer.send(service.topic(role), value=value, partition=0, headers=headers)
    producer.flush(timeout=120)
    producer.close(timeout=5)


def dead_letters(service: Service, *arguments: str) -> str:
    command, *rest = arguments
    return service.command("dead-letters", command, *rest, *service.settings(labels=True)).stdout


def run(service: Service, *more: str) -> None:
    service.command("run", "--stop-at-end", *service.settings(labels=True, more=more))


def test_dead_letters_are_listed_shown_exported_and_replayed_once(service: Service, tmp_path: Path) -> None:
    service.make_topics(labels=True)
    good = b'{"id": "1", "x": {"a": 1}}'
    long = b'{"id": "long", "x": {"a": "' + b"b" * 3_000 + b'"}}'
    produce(service, "instances", [good, b"{bad", long, LARGE])
    run(service, "limits.record_bytes=2000")
    listed = dead_letters(service, "list").splitlines()
    assert [line.split()[2] for line in listed[:3]] == ["not_json", "too_large", "too_large"]
    assert f"{service.topic('instances')}[0]@1" in listed[0]
    assert [line.split() for line in listed[3:]] == [["1", "not_json"], ["2", "too_large"], ["3", "in", "all"]]
    only = dead_letters(service, "list", "--reason", "too_large", "--partition", "0", "--json").splitlines()
    assert [json.loads(line)["offset"] for line in only] == [2, 3]
    assert [json.loads(line)["size"] for line in only] == [len(long), len(LARGE)]
    assert dead_letters(service, "list", "--until", "2020-01-01").split() == ["0", "in", "all"]
    name = listed[2].split()[0]
    shown = dead_letters(service, "show", name)
    assert "too_large" in shown
    assert LARGE.decode() in shown, "a letter that only points to its record shows the record"
    file = tmp_path / "letters.jsonl"
    dead_letters(service, "export", str(file))
    exported = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["value"] and b64decode(line["value"]) for line in exported] == [b"{bad", long, None]
    assert [[name for name, _ in line["headers"]] for line in exported] == [["mine", "null"]] * 3
    assert [line["headers"][1][1] for line in exported] == [None] * 3
    assert "header     null = none" in shown

    assert dead_letters(service, "replay").endswith("nothing was sent; --yes sends them\n")
    assert len(service.read("instances")) == 4
    assert dead_letters(service, "replay", "--yes").endswith("sent\n")
    written = service.read("instances")[4:]
    assert [record.value for record in written] == [b"{bad", long, LARGE]
    assert [dict(record.headers) for record in written] == [
        {"mine": b"\x00\xff", "null": None, "streamlearn.replayed": b"1"}
    ] * 3
    run(service)
    assert sorted(json.loads(record.value)["id"] for record in service.read("predictions")) == ["1", "large", "long"]
    letters = service.read("dead_letters")
    assert len(letters) == 4, "the record that is not JSON was refused again"
    assert dict(letters[3].headers)["streamlearn.replayed"] == b"1"
    again = dead_letters(service, "replay", "--reason", "not_json", "--since", "2020-01-01T00:00+00:00")
    assert "left out: 1 refused after a replay; --again sends them once more" in again
    assert "1 in all" in again


def test_originals_that_are_in_no_topic_are_not_found_at_once(service: Service) -> None:
    create(service, instances={}, dead_letters={})
    about = DeadLetter(
        topic=service.topic("instances"), partition=0, offset=0, timestamp=0, reason="not_json", text="", version="1"
    )
    start = time.monotonic()
    reader = DeadLetterReader(settings_of(service, labels=False))
    for changed in ({}, {"partition": 7}, {"partition": 1 << 40}, {"topic": "absent"}, {"topic": "no name\n"}):
        letter = DeadLetterRecord(0, 0, 0, None, None, [], about.model_copy(update=changed))
        assert reader.original(letter) is None
    reader.close()
    assert time.monotonic() - start < 20, "the client waits for 30 s for the offsets of a partition that is not there"


def test_control_characters_of_records_do_not_reach_the_terminal(service: Service) -> None:
    harmful = "\x1b]0;t\x07\x9b31m\u202e\nforged"
    escaped = "\\u001b]0;t\\u0007\\u009b31m\\u202e\\nforged"
    service.make_topics(labels=True)
    producer = KafkaProducer(bootstrap_servers=service.broker)
    values = [
        f"{{{harmful}".encode(),
        json.dumps({"id": "1", "x": {harmful: []}}, ensure_ascii=False).encode(),
        json.dumps({"id": "1", "x": {}, "y": [harmful * 200]}, ensure_ascii=False).encode(),
    ]
    for value in values:
        producer.send(
            service.topic("instances"), key=harmful.encode(), value=value, headers=[(harmful, harmful.encode())]
        )
    # A letter that another program has forged: its reason, and a topic that no broker has.
    fields = {"topic": f"a b{harmful}", "partition": "0", "offset": "0", "timestamp": "0", "pointer": "1"}
    fields |= {"reason": harmful, "text": harmful, "version": harmful}
    forged = [(f"streamlearn.{name}", text.encode()) for name, text in fields.items()]
    producer.send(service.topic("dead_letters"), key=b"", headers=forged).get(timeout=30)
    producer.close(timeout=30)
    run(service)
    names = []
    for line in dead_letters(service, "list", "--json").splitlines():
        assert all(character.isprintable() for character in line)
        names.append(json.loads(line)["letter"])
    listed = dead_letters(service, "list")
    assert len(names) == 4
    assert escaped in listed
    forged_letter, refused = (dead_letters(service, "show", name) for name in names[:2])
    for shown in (listed, forged_letter, refused):
        assert all(character.isprintable() or character == "\n" for character in shown)
        assert not any(line.startswith("forged") for line in shown.splitlines())
    assert f"because    {escaped}" in forged_letter.splitlines()
    assert "no longer in its topic or cannot be read" in forged_letter
    assert {f"key        {escaped}", f"header     {escaped} = {escaped}"} <= set(refused.splitlines())
