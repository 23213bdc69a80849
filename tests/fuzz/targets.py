"""The fuzz targets: readers of external bytes, each with seeds."""

from __future__ import annotations

import io
import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streamlearn.codec.decode import decode_instance, decode_label
from streamlearn.engine.journal import records as journal
from streamlearn.errors import StreamlearnError
from streamlearn.settings.loading import load_settings
from streamlearn.settings.settings import LimitSettings
from streamlearn.snapshot.format import read_manifest, read_snapshot, verify_snapshot, write_snapshot
from streamlearn.streams.arff import ArffStream
from streamlearn.streams.base import Stream
from streamlearn.streams.jsonl import JsonLinesStream

LIMITS = LimitSettings(
    record_bytes=2_000, labels_per_record=4, features_per_record=6, id_bytes=16, name_bytes=32, label_bytes=24
)
ROWS = 200


class Target(NamedTuple):
    """A reader of external bytes; ``seeds`` are valid inputs."""

    read: Callable[[bytes], None]
    seeds: list[bytes]


def _instance(data: bytes) -> None:
    dropped: dict[str, int] = {}
    instance = decode_instance(data, LIMITS, dropped, ("title",))
    values = instance.x.values() if isinstance(instance.x, dict) else instance.x
    assert all(math.isfinite(value) for value in values if isinstance(value, float))
    assert len(values) <= LIMITS.features_per_record
    assert instance.y is None or len(instance.y) <= LIMITS.labels_per_record
    assert all(len(name.encode()) <= LIMITS.label_bytes for name in instance.y or ())
    assert instance.id is None or len(instance.id.encode()) <= LIMITS.id_bytes


def _label(data: bytes) -> None:
    label = decode_label(data, LIMITS)
    assert len(label.id.encode()) <= LIMITS.id_bytes
    assert len(label.y) <= LIMITS.labels_per_record


def _stream_reader(
    name: str, open_folder: Callable[[Path], Stream], others: Mapping[str, bytes]
) -> Callable[[bytes], None]:
    """Return a reader of a stream whose file ``name`` has the fuzzed bytes; ``others`` are its other files."""

    def read(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for file, content in {**others, name: data}.items():
                (Path(folder) / file).write_bytes(content)
            for number, row in enumerate(open_folder(Path(folder))):
                values = row.x.values() if isinstance(row.x, dict) else row.x
                assert not any(isinstance(value, float) and math.isinf(value) for value in values)
                if number == ROWS:
                    break

    return read


def _arff(folder: Path) -> Stream:
    return ArffStream(folder / "stream.arff")


def _json_lines(folder: Path) -> Stream:
    return JsonLinesStream(str(folder / "stream.jsonl"))


def _snapshot(data: bytes) -> None:
    errors = []
    for read in (read_manifest, read_snapshot, verify_snapshot):
        try:
            read(io.BytesIO(data), "fuzzed")
        except StreamlearnError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _settings(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "settings.toml"
        path.write_bytes(data)
        load_settings(path, [], {})


def _override(data: bytes) -> None:
    load_settings(None, [data.decode("utf-8", "surrogateescape")], {})


def _environment(data: bytes) -> None:
    name, _, value = data.decode("utf-8", "surrogateescape").partition("=")
    load_settings(None, [], {f"STREAMLEARN_{name}": value})


def _journal(data: bytes) -> None:
    journal.decode(data, "journal[0]@7")


def _metadata(data: bytes) -> None:
    journal.parse_mark(data.decode("utf-8", "surrogateescape"), "instances[0]")


def _small_snapshot() -> bytes:
    file = io.BytesIO()
    write_snapshot(file, {"model.a": np.arange(3.0), "names": np.zeros((2, 0), np.int32)}, {"seq": 7})
    return file.getvalue()


_LINEAGE = journal.LineageRecord(journal.VERSION, 0, "ab", {}, {}, "platform", [], 1, "0.1.0")
_UPGRADE = journal.UpgradeRecord(
    journal.VERSION, 0, 3, "ab", journal.START, 0, 1, "0.1.0", 12, "cd", [], 1_700_000_000_000_000_000
).with_chain()
_BATCH = journal.BatchRecord(
    journal.VERSION,
    0,
    1,
    [journal.Range("instances", 0, 0, 2)],
    [2],
    123,
    1_700_000_000_000_000_000,
    journal.FIRST_CHAIN,
)

_ARFF = (
    b"@relation 'r: -C -2'\n@attribute a numeric\n@attribute 'b c' {x,'y z'}\n"
    b"@attribute l1 {0,1}\n@attribute l2 {0,1}\n@data\n1.5,x,0,1\n?,'y z',1,0\n{0 2.5,3 1}\n"
)

TARGETS: dict[str, Target] = {
    "instance": Target(
        _instance,
        [
            b'{"id": "a1", "x": {"f": 1.5, "g": true, "c": "red", "n": null}, "y": ["a", "b"], "ts": 5}',
            b'{"x": [1, 2.5, null], "y": {"a": true, "b": false}}',
            '{"id": 7, "x": {"title": "Ärger \\ud83d\\ude00"}, "y": []}'.encode(),
        ],
    ),
    "label": Target(_label, [b'{"id": "a1", "y": ["a"]}', b'{"id": 7, "y": {"a": true}}']),
    "arff": Target(
        _stream_reader("stream.arff", _arff, {}),
        [
            _ARFF,
            b"@relation 'r: -C 1'\n@attribute l {0,1} {1}\n@attribute t string\n@attribute d date 'dd.MM.yyyy'\n"
            b"@attribute n {a, % one\n 'b c'}\n@data 1 'a, b' 01.02.2003 a,\n{1 'x\\n', 3 'b c'} , {1} % two\n",
            b"@relation 'r: -C 2'\n@attribute l1 {0,1}\n@attribute l2 {0,1}\n@attribute a real\n@data\n0,1,-1e-3\n",
        ],
    ),
    "labels": Target(
        _stream_reader("stream.xml", _arff, {"stream.arff": _ARFF}),
        [
            b'<labels xmlns="http://mulan.sourceforge.net/labels">\n<label name="l1"/>\n<label name="l2"/>\n</labels>',
            b'<?xml version="1.0" encoding="latin1"?><labels><label name="l1"><label name="&#108;2"/></label></labels>',
        ],
    ),
    "jsonl": Target(
        _stream_reader("stream.jsonl", _json_lines, {}), [b'{"x": {"a": 1}, "y": ["l"]}\n\n{"x": [1, 2], "y": []}\n']
    ),
    "snapshot": Target(_snapshot, [_small_snapshot()]),
    "settings": Target(
        _settings,
        [
            b'[kafka]\nbootstrap_servers = "h1:9092,h2:9092"\n[learner]\npreset = "fast"\nrule = "top_k:3"\n',
            b'[labels]\ndeclared = ["a", "b"]\n[drift]\nsignificance = 0.02\n[encoder]\ntext_fields = ["t"]\n',
        ],
    ),
    "override": Target(_override, [b"kafka.session_timeout_ms=7000", b"labels.declared=a,b"]),
    "environment": Target(_environment, [b"KAFKA__GROUP_ID=g", b"LABELS__DECLARED=a,b"]),
    "journal": Target(_journal, [journal.encode(_LINEAGE), journal.encode(_BATCH)]),
    "metadata": Target(_metadata, [str(journal.Mark(12, journal.FIRST_CHAIN)).encode()]),
}
