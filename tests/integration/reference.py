"""The reference for every run: a single uninterrupted run over the same journal.

The records are read by consumers outside of the group; the reference model never stops, restores or rebalances. Its
outputs must equal, byte for byte, what the workers committed together. Where several model versions computed a journal,
each part of it is run by its release, from the state that the one before came to in memory.
"""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from streamlearn._version import MODEL_VERSION
from streamlearn.engine.journal import records as journal
from streamlearn.settings.loading import load_settings
from streamlearn.settings.settings import Settings
from streamlearn.source.base import RawRecord
from tests.faults.workers import Starter
from tests.integration.reference_part import Part, PartResult, Position, State, run_part
from tests.integration.service import Service


def settings_of(service: Service, *, labels: bool, more: Sequence[str] = ()) -> Settings:
    arguments = service.settings(labels=labels, more=more)
    return load_settings(None, arguments[1::2], {}).settings


def read_raw(service: Service, topic: str) -> list[RawRecord]:
    return [
        RawRecord(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, r.headers)
        for r in service.read_topic(topic)
    ]


class OtherReleases:
    """Runs the parts of other model versions in processes of theirs.

    Parameters
    ----------
    starters:
        The process that forks those of a model version.
    settings:
        The settings of the workers, as ``name=value``.
    folder:
        Folder for the records, states and outputs that processes pass to each other.
    """

    def __init__(self, starters: Mapping[int, Starter], settings: Sequence[str], folder: Path) -> None:
        self._starters = starters
        self._settings = settings
        self._inputs = folder / "inputs"
        self._part = folder / "part"
        self._result = folder / "result"
        self._log = folder / "log"
        self._has_inputs = False
        folder.mkdir(exist_ok=True)

    def run(self, inputs: Mapping[Position, Sequence[RawRecord]], part: Part) -> PartResult:
        """Return what a part gives; raises `AssertionError` as `run_part`."""
        if not self._has_inputs:
            self._inputs.write_bytes(pickle.dumps(inputs))
            self._has_inputs = True
        self._part.write_bytes(pickle.dumps(part))
        files = [str(path) for path in (self._inputs, self._part, self._result)]
        starter = self._starters[part.model_version]
        process = starter.fork([*self._settings, *files], self._log, module="tests.integration.reference_part")
        assert starter.collect(process) == 0, self._log.read_text()
        return pickle.loads(self._result.read_bytes())


def assert_equals_an_uninterrupted_run(
    service: Service, settings: Settings, others: OtherReleases | None = None
) -> None:
    """Apply the journalled ranges in the journalled order and compare every output.

    ``others`` run what was computed by other model versions.
    """
    topics = settings.topics
    inputs: dict[Position, list[RawRecord]] = defaultdict(list)
    for topic in filter(None, (topics.instances, topics.labels)):
        for record in read_raw(service, topic):
            inputs[topic, record.partition].append(record)
    written: dict[str, dict[int, list[bytes | None]]] = {}
    for topic in (topics.predictions, topics.events, topics.dead_letters):
        written[topic] = defaultdict(list)
        for record in read_raw(service, topic):
            written[topic][record.partition].append(record.value)
    partitions = {topic: service.partitions(topic) for topic in written}
    expected: dict[str, dict[int, list[bytes | None]]] = {topic: defaultdict(list) for topic in written}
    journals: dict[int, list[bytes]] = defaultdict(list)
    for entry in read_raw(service, settings.journal_topic):
        journals[journal.decode(entry.value, f"{entry.offset}").task].append(entry.value or b"")
    for task, entries in journals.items():
        states: dict[tuple[int, str], State] = {}
        last: PartResult | None = None
        for part in split_journal(task, entries):
            if last is not None:
                _check_change(part, last)
            begun = part._replace(state=states.get(part.mark))
            if others is None or part.model_version == MODEL_VERSION:
                last = run_part(settings, inputs, begun)
            else:
                last = others.run(inputs, begun)
            states.update(last.states)
            for topic, partition, value in last.outputs:
                expected[topic][partition % partitions[topic]].append(value)
        assert last is not None
        committed = service.committed(list(last.positions))
        mark = f"{last.mark[0]}:{last.mark[1]}"
        assert committed == {partition: (offset, mark) for partition, offset in last.positions.items()}, (
            "the committed offsets differ from those of the journal's last record"
        )
    if len(journals) > 1:
        # The models share one partition of events, in which their order is not defined.
        for values in (*written[topics.events].values(), *expected[topics.events].values()):
            values.sort(key=lambda value: value or b"")
    assert written == expected


def _check_change(part: Part, before: PartResult) -> None:
    """Check that a part begins where the one before ended; a rollback and an upgrade move no position."""
    record = journal.decode(part.entries[0], "the journal")
    if not isinstance(record, journal.RollbackRecord | journal.UpgradeRecord):
        assert part.mark == before.mark
        return
    assert (record.seq - 1, record.before) == before.mark
    assert {(p.topic, p.partition): p.offset for p in record.positions} == before.positions


def split_journal(task: int, entries: Sequence[bytes]) -> list[Part]:
    """Return the parts of a task's journal: one ends where another model version continues, and at a rollback.

    Their states are not known yet.
    """
    parts: list[Part] = []
    mark = (journal.START.seq, journal.START.chain)
    path: list[bytes] = []  # to the mark
    places = {mark: 0}  # the length of the path to each mark
    paths: dict[tuple[int, str], list[bytes]] = {}  # begin with the path to each mark
    versions: dict[tuple[int, str], int] = {}

    def begin(start: tuple[int, str], version: int, again: Sequence[bytes] = ()) -> None:
        parts.append(Part(task, version, start, None, list(again), [], set()))

    for data in entries:
        record = journal.decode(data, "the journal")
        if isinstance(record, journal.LineageRecord):
            assert not parts, "a second model was started"
            begin(mark, record.model_version)
        elif isinstance(record, journal.ControlRecord) and record.model_version is not None:
            begin(mark, record.model_version)
        elif isinstance(record, journal.RollbackRecord):
            to = (record.to.seq, record.to.chain)
            begin(to, versions[to])
            path = paths[to][: places[to]]
        elif isinstance(record, journal.UpgradeRecord):
            base = (record.base.seq, record.base.chain)
            begin(base, record.to_version, path[places[base] :])
        parts[-1].entries.append(data)
        path.append(data)
        if isinstance(record, journal.NumberedRecord):
            mark = (record.seq, record.chain)
            places[mark] = len(path)
            versions[mark] = parts[-1].model_version
            paths[mark] = path
    starts = {part.mark for part in parts}
    return [part._replace(kept=starts) for part in parts]
