"""``streamlearn dead-letters`` on a broker: lists, shows and exports letters, and replays each once."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

from kafka import KafkaProducer

from tests.integration.service import Service

LARGE = b'{"id": "large", "x": {"a": "' + b"a" * 950_000 + b'"}}'


def produce(service: Service, role: str, values: list[bytes]) -> None:
    """Write records without a key, with a header."""
    producer = KafkaProducer(bootstrap_servers=service.broker, max_request_size=4 << 20)
    for value in values:
        producer.send(service.topic(role), value=value, partition=0, headers=[("mine", b"\x00\xff")])
    producer.flush(timeout=30)
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
    assert [line["headers"][0][0] for line in exported] == ["mine"] * 3

    assert dead_letters(service, "replay").endswith("nothing was sent; --yes sends them\n")
    assert len(service.read("instances")) == 4
    assert dead_letters(service, "replay", "--yes").endswith("sent\n")
    written = service.read("instances")[4:]
    assert [record.value for record in written] == [b"{bad", long, LARGE]
    assert [dict(record.headers) for record in written] == [{"mine": b"\x00\xff", "streamlearn.replayed": b"1"}] * 3
    run(service)
    assert sorted(json.loads(record.value)["id"] for record in service.read("predictions")) == ["1", "large", "long"]
    letters = service.read("dead_letters")
    assert len(letters) == 4, "the record that is not JSON was refused again"
    assert dict(letters[3].headers)["streamlearn.replayed"] == b"1"
    again = dead_letters(service, "replay", "--reason", "not_json", "--since", "2020-01-01T00:00+00:00")
    assert "left out: 1 refused after a replay; --again sends them once more" in again
    assert "1 in all" in again
