# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
# pyright: reportIncompatibleMethodOverride=false
# The stubs that come with the type checker describe an older client than the one installed.
"""A source on Kafka: a static member of a consumer group that reads committed records only.

The client's hazards that the rules here answer are named where they apply: no deserializers (a raising one makes
``poll`` spin), no ``pause`` (a paused partition loses what was parked), listeners that only take notes (they run on the
client's own thread), and the group's metadata taken only inside the callback (outside it runs ahead of the assignment).
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Collection, Mapping
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer
from kafka import errors as kafka_errors
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.structs import OffsetAndMetadata
from kafka.structs import TopicPartition as ClientPartition

from streamlearn.errors import OffsetLostError, RetryableError, StopError, TopicError
from streamlearn.kafka.assignor import OneMemberAssignor
from streamlearn.kafka.client_options import answered, connection_options
from streamlearn.kafka.consumer_options import (
    CALL_MS,
    DAMAGED,
    FETCH_WAIT_MS,
    POLL_RECORDS,
    READ_OPTIONS,
    UNASSIGNED,
    places,
    raw_record,
)
from streamlearn.kafka.leader_epochs import UNKNOWN, LeaderEpochs
from streamlearn.kafka.range_reader import KafkaRangeReader
from streamlearn.kafka.stalled_partitions import StalledPartitions
from streamlearn.settings.settings import Settings
from streamlearn.source.base import (
    AssignmentChange,
    Bounds,
    Committed,
    CorruptInputError,
    RawRecord,
    TopicPartition,
    TruncatedInputError,
)

OLDEST_BROKER = (2, 5)
POLL_INTERVAL_MS = 120_000
ALIVE_SECONDS = 10.0
REACH_MS = 5_000
SILENT_SECONDS = 1.0
"""A member of a stable group that sends no heartbeats for so long has lost its name: joining takes a moment of that."""
HEARTBEAT_MS = 500
"""A stand-by learns by a heartbeat that it is to take over."""

IDLE_WAIT_MS = 500
"""`FETCH_WAIT_MS` once nothing has come for `IDLE_AFTER_SECONDS`, when the wait covers every partition: each answer,
even an empty one, costs processor time."""
IDLE_AFTER_SECONDS = 1.0


class _Notes(ConsumerRebalanceListener):
    """Takes notes of what happens to the assignment; runs on the client's own thread."""

    def __init__(self, source: KafkaSource) -> None:
        self._source = source

    def on_partitions_revoked(self, revoked: Any) -> None:
        self._source.note("revoked", revoked, None)

    def on_partitions_lost(self, lost: Any) -> None:
        self._source.note("revoked", lost, None)

    def on_partitions_assigned(self, assigned: Any) -> None:
        self._source.note("assigned", assigned, self._source.consumer.group_metadata())


class KafkaSource:
    """Reads the instances and labels topics as a member of the group.

    Parameters
    ----------
    settings:
        The settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        topics = settings.topics
        self._topics = [topic for topic in (topics.instances, topics.labels) if topic]
        self._consumer: KafkaConsumer | None = None
        self._admin: KafkaAdminClient | None = None
        self._changes: deque[AssignmentChange] = deque()
        self._alive = 0.0
        self._heard = 0.0
        self._silent_since: float | None = None
        self._epochs = LeaderEpochs()
        self._unsought: set[TopicPartition] = set()
        self._withheld = StalledPartitions(lambda partition: places(self.consumer, partition))

    @property
    def consumer(self) -> KafkaConsumer:
        """The client's consumer; `open` made it."""
        assert self._consumer is not None
        return self._consumer

    @property
    def admin(self) -> KafkaAdminClient:
        """The client's administrator, made when it is first needed."""
        if self._admin is None:
            self._admin = KafkaAdminClient(**connection_options(self._settings))
        return self._admin

    def note(self, kind: Any, partitions: Any, token: Any) -> None:
        """Remember a change of assignment; called by the listener."""
        owned = tuple(sorted(TopicPartition(partition.topic, partition.partition) for partition in partitions))
        if kind == "assigned":
            self._unsought = set(owned)
        self._changes.append(AssignmentChange(kind, owned, token))

    def open(self) -> None:
        with answered(self._settings, f"group {self._settings.kafka.group_id}"):
            self._join()

    def _join(self) -> None:
        kafka, scope = self._settings.kafka, self._settings.engine.scope
        self._consumer = KafkaConsumer(
            **connection_options(self._settings),
            **READ_OPTIONS,
            group_id=kafka.group_id,
            group_instance_id=self._settings.worker.name,
            session_timeout_ms=kafka.session_timeout_ms,
            heartbeat_interval_ms=min(HEARTBEAT_MS, kafka.session_timeout_ms // 3),
            max_poll_interval_ms=POLL_INTERVAL_MS,
            max_poll_records=POLL_RECORDS,
            partition_assignment_strategy=(OneMemberAssignor() if scope == "topic" else RangePartitionAssignor,),
        )
        version = self._consumer.config["api_version"]
        if version < OLDEST_BROKER:
            raise StopError(
                f"the brokers are of version {'.'.join(map(str, version))}: exactly once needs "
                f"{'.'.join(map(str, OLDEST_BROKER))} or newer, which refuse a commit of a worker that lost its place"
            )
        self._consumer.subscribe(self._topics, listener=_Notes(self))
        # Without the topics' metadata before the first poll, a join can stall for ever.
        for topic in self._topics:
            self._consumer.partitions_for_topic(topic)

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
        self._alive = time.monotonic()
        try:
            polled = self.consumer.poll(timeout_ms=int(timeout_seconds * 1000), max_records=limit)
        except kafka_errors.NoOffsetForPartitionError:
            # A group without offsets: the assignment has just come, and the engine seeks before the next poll.
            return {}
        except kafka_errors.CorruptRecordError as error:
            named = DAMAGED.search(str(error))
            if named is None:
                raise StopError(f"a record fails its checksum: {error}") from error
            partition = TopicPartition(named[1], int(named[2]))
            position = self.consumer.position(ClientPartition(*partition), timeout_ms=CALL_MS) or 0
            # Between the position and a damaged batch there may be markers; within it the position goes on.
            raise CorruptInputError(partition, max(position, int(named[3])), str(error)) from error
        except kafka_errors.FencedInstanceIdError as error:
            raise self._name_is_taken() from error
        except kafka_errors.OffsetOutOfRangeError as error:
            raise OffsetLostError(f"offsets to read are no longer kept: {error}") from error
        except kafka_errors.LogTruncationError as error:
            raise _truncated(error) from error
        except kafka_errors.TopicAuthorizationFailedError as error:
            raise TopicError(f"not allowed to read {error}: grant this user READ on the topic") from error
        self._check_name()
        self._pace(bool(polled))
        self._check_withheld(polled, limit)
        for partition, records in polled.items():
            # Until it is told where to go on, the client begins by itself at what is committed, and nobody has checked
            # whether that lies on the log: the epoch there may be of records that have taken the place of others.
            if partition not in self._unsought:
                self._epochs.read(TopicPartition(*partition), records)
        return {
            TopicPartition(*partition): [raw_record(record) for record in records]
            for partition, records in polled.items()
        }

    def _pace(self, heard: bool) -> None:
        """Let the brokers wait longer for records when none come."""
        if heard:
            self._heard = self._alive
        is_idle = self._alive > self._heard + IDLE_AFTER_SECONDS
        self.consumer._fetcher.config["fetch_max_wait_ms"] = IDLE_WAIT_MS if is_idle else FETCH_WAIT_MS

    def _check_withheld(self, polled: Mapping[Any, Any], limit: int) -> None:
        assigned = {TopicPartition(*partition) for partition in self.consumer.assignment()}
        is_drained = sum(map(len, polled.values())) < limit
        given = {TopicPartition(*partition) for partition in polled} if is_drained else assigned
        found = self._withheld.polled(assigned, given, self._alive)
        if found is not None:
            partition, position, end = found
            raise StopError(
                f"{partition.topic}[{partition.partition}] cannot be read at offset {position}: the broker has records "
                f"up to {end} and gives none of them. Its log is damaged there: restore the partition from another "
                "replica"
            )

    def _check_name(self) -> None:
        """Stop when another worker has taken this one's name.

        The client then ends its heartbeats and says so in its log only; polling would go on as if nothing had happened.
        """
        coordinator = self.consumer._coordinator
        if coordinator._heartbeat_enabled or not coordinator.stable():
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = time.monotonic()
        elif time.monotonic() > self._silent_since + SILENT_SECONDS:
            raise self._name_is_taken()

    def _name_is_taken(self) -> StopError:
        return StopError(
            f"another worker called {self._settings.worker.name} has joined group {self._settings.kafka.group_id}: "
            "give each worker its own worker.name"
        )

    def check_reachable(self) -> None:
        try:
            self.consumer.end_offsets([ClientPartition(self._topics[0], 0)], timeout_ms=REACH_MS)
        except kafka_errors.KafkaError as error:
            raise RetryableError(
                f"no broker of {self._settings.kafka.bootstrap_servers} answers for {self._topics[0]} "
                f"({type(error).__name__})"
            ) from error

    def keep_alive(self) -> None:
        if time.monotonic() < self._alive + ALIVE_SECONDS:
            return
        # What is wrong with a record or an offset is said again when it is polled to be applied.
        with contextlib.suppress(kafka_errors.KafkaError):
            self.consumer.poll(timeout_ms=100, max_records=1)
        self._alive = time.monotonic()

    def changes(self) -> list[AssignmentChange]:
        # One by one: the client's thread may add another one at any moment.
        changes = []
        while self._changes:
            changes.append(self._changes.popleft())
        return changes

    def seek(self, partition: TopicPartition, offset: int) -> None:
        # While partitions are being taken away, the assignment that follows seeks again.
        with contextlib.suppress(*UNASSIGNED):
            client = ClientPartition(*partition)
            self._unsought.discard(partition)
            self._withheld.forget(partition)
            self.consumer.seek(client, offset)
            epoch = self._epochs.at(partition, offset)
            if epoch != UNKNOWN:
                # The public call takes no epoch, and without one nobody sees that the log was cut off.
                self.consumer._subscription.seek(client, OffsetAndMetadata(offset, "", epoch))

    def leader_epoch(self, partition: TopicPartition, offset: int) -> int:
        return self._epochs.at(partition, offset)

    def at_end(self, partition: TopicPartition) -> bool:
        client = ClientPartition(*partition)
        try:
            end = self.consumer.highwater(client)
            position = self.consumer.position(client, timeout_ms=CALL_MS)
        except kafka_errors.LogTruncationError as error:
            raise _truncated(error) from error
        except UNASSIGNED:
            # It is being taken away: nothing more of it will be polled.
            return True
        return end is not None and position is not None and position >= end

    def behind(self, partition: TopicPartition, offset: int) -> int:
        try:
            end = self.consumer.highwater(ClientPartition(*partition))
        except UNASSIGNED:
            return 0
        return 0 if end is None else max(0, end - offset)

    def partitions(self, topic: str) -> int:
        return len(self._described(topic)["partitions"])

    def topic_id(self, topic: str) -> str:
        return str(self._described(topic)["topic_id"])

    def _described(self, topic: str) -> dict[str, Any]:
        (description,) = self.admin.describe_topics([topic])
        if description.get("error_code"):
            raise TopicError(f"topic {topic} does not exist or may not be described: create it, or grant DESCRIBE")
        return description

    def committed(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        result: dict[TopicPartition, Committed | None] = {}
        for partition in partitions:
            entry = self.consumer.committed(ClientPartition(*partition), metadata=True, timeout_ms=CALL_MS)
            result[partition] = None
            if entry is not None:
                result[partition] = Committed(entry.offset, entry.metadata, entry.leader_epoch)
                self._epochs.committed(partition, entry.offset, entry.leader_epoch)
        return result

    def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        asked = [ClientPartition(*partition) for partition in partitions]
        try:
            starts = self.consumer.beginning_offsets(asked, timeout_ms=CALL_MS)
            ends = self.consumer.end_offsets(asked, timeout_ms=CALL_MS)
        except KeyError as error:
            # The client leaves partitions out of its answer while it knows the leaders of others only.
            self.consumer.partitions_for_topic(asked[0].topic)
            raise RetryableError(f"{error.args[0]} has no known leader") from None
        return {TopicPartition(*partition): Bounds(starts[partition], ends[partition]) for partition in asked}

    def reader(self, partition: TopicPartition, start: int) -> KafkaRangeReader:
        return KafkaRangeReader(self._settings, partition, start)

    def members(self) -> list[str]:
        group = self._settings.kafka.group_id
        return [
            f"{member['group_instance_id'] or member['client_id']} ({member['client_host'].lstrip('/')})"
            for member in self.admin.describe_groups([group])[group]["members"]
        ]

    def observer(self) -> KafkaSource:
        observer = KafkaSource(self._settings)
        # It subscribes to nothing, so it joins nothing; the group's name is for its committed offsets.
        observer._consumer = KafkaConsumer(
            **connection_options(self._settings), **READ_OPTIONS, group_id=self._settings.kafka.group_id
        )
        return observer

    def close(self, *, leave: bool) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            is_member = bool(consumer.subscription())
            with contextlib.suppress(kafka_errors.KafkaError):
                consumer.close(autocommit=False, timeout_ms=5_000)
            with contextlib.suppress(kafka_errors.KafkaError):
                if is_member and (leave or self._stand_by_waits()):
                    self._leave()
        admin, self._admin = self._admin, None
        if admin is not None:
            with contextlib.suppress(kafka_errors.KafkaError):
                admin.close()

    def _stand_by_waits(self) -> bool:
        """Return whether another worker can take over at once, were it not for our reserved name."""
        if self._settings.engine.scope != "topic":
            return False
        group = self.admin.describe_groups([self._settings.kafka.group_id])[self._settings.kafka.group_id]
        return len(group["members"]) > 1

    def _leave(self) -> None:
        """Give the static name up; closing alone keeps it reserved for the session timeout."""
        from kafka.admin import MemberToRemove

        self.admin.remove_group_members(
            self._settings.kafka.group_id, [MemberToRemove(group_instance_id=self._settings.worker.name)]
        )


def _truncated(error: kafka_errors.LogTruncationError) -> TruncatedInputError:
    place, cut = next(iter(error.divergent_offsets.items()))
    return TruncatedInputError(TopicPartition(place.topic, place.partition), None if cut is None else cut.offset)
