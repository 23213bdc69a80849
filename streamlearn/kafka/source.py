"""A source on Kafka: a static member of a consumer group that reads committed records only.

Four rules avoid hazards of the client. No deserializers: one that raises makes ``poll`` spin. No ``pause``: a paused
partition loses its buffered records. The rebalance listener only records changes: it runs on the client's own thread.
The group's metadata is taken inside the listener: outside it may already be that of the next assignment.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer
from kafka import errors as kafka_errors
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.structs import TopicPartition as ClientPartition

from streamlearn.cleanup import Cleanup
from streamlearn.errors import (
    NameTakenError,
    OffsetLostError,
    RetryableError,
    StopError,
    StreamlearnError,
    TopicError,
)
from streamlearn.kafka import client_internals
from streamlearn.kafka.admin.consumer_group import describe_group
from streamlearn.kafka.admin.reachability import describe_this_machine
from streamlearn.kafka.assignor import OneMemberAssignor, RangeAssignor
from streamlearn.kafka.client_calls import ClientCalls
from streamlearn.kafka.client_errors import raises_no_client_errors
from streamlearn.kafka.client_options import connection_options, convert_client_errors, lookup_options
from streamlearn.kafka.consumer_options import (
    CALL_TIMEOUT_MS,
    FETCH_WAIT_MS,
    MAX_POLL_RECORDS,
    READ_OPTIONS,
    UNASSIGNED_ERRORS,
    fetch_position_and_end,
    to_raw_record,
)
from streamlearn.kafka.leader_epochs import UNKNOWN, LeaderEpochs
from streamlearn.kafka.name_taken import name_taken_error
from streamlearn.kafka.range_reader import KafkaRangeReader
from streamlearn.kafka.stalled_partitions import StalledPartitionDetector
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

_logger = logging.getLogger(__name__)

MIN_BROKER_VERSION = (2, 5)
MAX_POLL_INTERVAL_MS = 120_000
KEEP_ALIVE_SECONDS = 10.0
"""Longest time without a poll while the worker does other work, such as a restore."""
KEEP_ALIVE_POLL_SECONDS = 0.1
REACH_TIMEOUT_MS = 5_000
END_TIMEOUT_MS = 1_000
"""Longest wait for the ends of the log while the worker has work to do."""
FENCED_SECONDS = 1.0
"""A stable member that has sent no heartbeats for this long was fenced. During a join they stop for a moment too."""
HEARTBEAT_MS = 500
"""A stand-by learns from the answer to a heartbeat that it is to take over."""

IDLE_FETCH_WAIT_MS = 500
"""`FETCH_WAIT_MS` after `IDLE_SECONDS` without a record. The wait then covers every partition, and each answer, even an
empty one, costs processor time."""
IDLE_SECONDS = 1.0


class _ChangeRecorder(ConsumerRebalanceListener):
    """Records changes of the assignment; runs on the client's own thread."""

    def __init__(self, source: KafkaSource) -> None:
        self._source = source

    def on_partitions_revoked(self, revoked: Any) -> None:
        self._source.record_change("revoked", revoked, None)

    def on_partitions_lost(self, lost: Any) -> None:
        self._source.record_change("revoked", lost, None)

    def on_partitions_assigned(self, assigned: Any) -> None:
        membership = self._source.consumer.group_metadata()  # pyright: ignore[reportAttributeAccessIssue]
        self._source.record_change("assigned", assigned, membership)


@raises_no_client_errors
class KafkaSource:
    """Reads the instances and labels topics as a member of the group.

    Parameters
    ----------
    settings:
        The settings.
    consumer:
        A consumer that is a member of no group, for an observer, which is not opened; by default `open` makes one.
    offsets:
        A consumer that reads the committed offsets; by default the one that reads the records.
    calls:
        Limits the time of the client's calls; by default nothing looks at it.
    """

    def __init__(
        self,
        settings: Settings,
        consumer: KafkaConsumer | None = None,
        offsets: KafkaConsumer | None = None,
        *,
        calls: ClientCalls | None = None,
    ) -> None:
        self._settings = settings
        self._calls = calls or ClientCalls()
        topics = settings.topics
        self._topics = [topic for topic in (topics.instances, topics.labels) if topic]
        self._consumer = None if consumer is None else self._calls.limit(consumer)
        self._offsets = None if offsets is None else self._calls.limit(offsets)
        self._answered_at: float | None = None
        self._admin: KafkaAdminClient | None = None
        self._changes: deque[AssignmentChange] = deque()
        self._last_poll = 0.0
        self._last_record = 0.0
        self._no_heartbeats_since: float | None = None
        self._is_fenced = False
        self._epochs = LeaderEpochs()
        self._unsought: set[TopicPartition] = set()
        self._stalled = StalledPartitionDetector(lambda partition: fetch_position_and_end(self.consumer, partition))

    @property
    def consumer(self) -> KafkaConsumer:
        """The client's consumer; `open` makes it."""
        assert self._consumer is not None
        return self._consumer

    @property
    def admin(self) -> KafkaAdminClient:
        """The client's administrator; made on first use."""
        if self._admin is None:
            with self._calls.call("KafkaAdminClient"):
                self._admin = self._calls.limit(KafkaAdminClient(**lookup_options(self._settings)))
        return self._admin

    def record_change(self, kind: Any, partitions: Any, token: Any) -> None:
        """Record a change of the assignment; called by the rebalance listener."""
        owned = tuple(sorted(TopicPartition(partition.topic, partition.partition) for partition in partitions))
        if kind == "assigned":
            self._unsought = set(owned)
        self._changes.append(AssignmentChange(kind, owned, token))

    def open(self) -> None:
        with convert_client_errors(self._settings, f"group {self._settings.kafka.group_id}"):
            with self._calls.call("KafkaConsumer"):
                consumer = self._calls.limit(self._create_member())
            try:
                self._join(consumer)
            except BaseException:
                with Cleanup(lambda: _close_consumer(consumer)):
                    raise
        self._consumer = consumer

    def _create_member(self) -> KafkaConsumer:
        kafka, scope = self._settings.kafka, self._settings.engine.scope
        assignor = OneMemberAssignor if scope == "topic" else RangeAssignor
        return KafkaConsumer(
            **connection_options(self._settings),
            **READ_OPTIONS,
            group_id=kafka.group_id,
            group_instance_id=self._settings.worker.name,
            session_timeout_ms=kafka.session_timeout_ms,
            heartbeat_interval_ms=min(HEARTBEAT_MS, kafka.session_timeout_ms // 3),
            max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
            max_poll_records=MAX_POLL_RECORDS,
            partition_assignment_strategy=(assignor(describe_this_machine(self._settings)),),  # pyright: ignore[reportArgumentType]
        )

    def _join(self, consumer: KafkaConsumer) -> None:
        version = consumer.config["api_version"]
        if version < MIN_BROKER_VERSION:
            raise StopError(
                f"the brokers are of version {'.'.join(map(str, version))}: exactly once needs "
                f"{'.'.join(map(str, MIN_BROKER_VERSION))} or newer, which refuses a commit of a worker that is no "
                "longer a member of the group; upgrade the brokers"
            )
        consumer.subscribe(self._topics, listener=_ChangeRecorder(self))
        # Without the topics' metadata before the first poll, a join can stall for ever.
        for topic in self._topics:
            consumer.partitions_for_topic(topic)

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
        polled = self._poll(timeout_seconds, limit)
        self._adjust_fetch_wait(bool(polled))
        self._check_not_stalled(polled, limit)
        for partition, records in polled.items():
            # Before the engine seeks, the client reads from the committed offset without a check whether that lies on
            # the log: its epoch may be that of records that have replaced others.
            if partition not in self._unsought:
                self._epochs.add_records(TopicPartition(*partition), records)
        return {
            TopicPartition(*partition): [to_raw_record(record) for record in records]
            for partition, records in polled.items()
        }

    def _poll(self, timeout_seconds: float, limit: int) -> Mapping[Any, Any]:
        """Return what the client's poll gives, and raise our errors in place of its own."""
        self._last_poll = time.monotonic()
        try:
            polled = client_internals.poll(self.consumer, int(timeout_seconds * 1000), limit)
        except kafka_errors.NoOffsetForPartitionError:
            # A group without offsets: the assignment has just come, and the engine seeks before the next poll.
            return {}
        except kafka_errors.CorruptRecordError as error:
            corrupt = client_internals.parse_corrupt_record(str(error))
            if corrupt is None:
                raise StopError(f"a record fails its checksum: {error}") from error
            partition = TopicPartition(corrupt.topic, corrupt.partition)
            position = client_internals.local_position(self.consumer, ClientPartition(*partition)) or 0
            # Between the position and a corrupt batch there may be markers; within the batch the position moves on.
            raise CorruptInputError(partition, max(position, corrupt.offset), str(error)) from error
        except kafka_errors.FencedInstanceIdError as error:
            raise self._fenced_error() from error
        except kafka_errors.OffsetOutOfRangeError as error:
            raise OffsetLostError(f"offsets to read are no longer kept: {error}") from error
        except kafka_errors.LogTruncationError as error:  # pyright: ignore[reportAttributeAccessIssue]
            raise _truncated_input_error(error) from error
        except kafka_errors.TopicAuthorizationFailedError as error:
            raise TopicError(f"not allowed to read {error}: grant this user READ on the topic") from error
        # Remembered from here on, also when the connection is gone.
        self.answered_at()
        self._check_not_fenced()
        return polled

    def _adjust_fetch_wait(self, has_records: bool) -> None:
        """Let the brokers wait longer for records when none have come for a while."""
        if has_records:
            self._last_record = self._last_poll
        is_idle = self._last_poll > self._last_record + IDLE_SECONDS
        client_internals.set_fetch_wait(self.consumer, IDLE_FETCH_WAIT_MS if is_idle else FETCH_WAIT_MS)

    def _check_not_stalled(self, polled: Mapping[Any, Any], limit: int) -> None:
        assigned = {TopicPartition(*partition) for partition in self.consumer.assignment()}
        is_drained = sum(map(len, polled.values())) < limit
        active = {TopicPartition(*partition) for partition in polled} if is_drained else assigned
        stalled = self._stalled.check(assigned, active, self._last_poll)
        if stalled is not None:
            topic, partition = stalled.partition
            raise StopError(
                f"{topic}[{partition}] cannot be read at offset {stalled.offset}: the broker has records up to "
                f"{stalled.end} but returns none of them. Its log is damaged there: restore the partition from another "
                "replica"
            )

    def _check_not_fenced(self) -> None:
        """Stop when another member has joined under this worker's group instance id.

        The client then stops its heartbeats and only logs it; polling would go on as if nothing had happened.
        """
        if not client_internals.heartbeats_have_stopped(self.consumer):
            self._no_heartbeats_since = None
        elif self._no_heartbeats_since is None:
            self._no_heartbeats_since = time.monotonic()
        elif time.monotonic() > self._no_heartbeats_since + FENCED_SECONDS:
            raise self._fenced_error()

    def _fenced_error(self) -> NameTakenError:
        self._is_fenced = True
        return name_taken_error(self._settings)

    def check_reachable(self) -> None:
        kafka = self._settings.kafka
        try:
            self.consumer.end_offsets([ClientPartition(self._topics[0], 0)], timeout_ms=REACH_TIMEOUT_MS)  # pyright: ignore[reportCallIssue]
        except (kafka_errors.KafkaError, KeyError) as error:
            raise RetryableError(
                f"no broker of {kafka.bootstrap_servers} answers for {self._topics[0]} ({type(error).__name__})"
            ) from error
        if not client_internals.find_coordinator(self.consumer, REACH_TIMEOUT_MS):
            raise RetryableError(f"no broker of {kafka.bootstrap_servers} coordinates group {kafka.group_id}")

    def answered_at(self) -> float | None:
        consumer = self._consumer
        latest = None if consumer is None else client_internals.last_answer(consumer)
        known = [moment for moment in (latest, self._answered_at) if moment is not None]
        self._answered_at = max(known, default=None)
        return self._answered_at

    def keep_alive(self) -> bool:
        if time.monotonic() < self._last_poll + KEEP_ALIVE_SECONDS:
            return False
        try:
            self._poll(KEEP_ALIVE_POLL_SECONDS, 1)
        except (CorruptInputError, OffsetLostError) as error:
            # It comes again when the record is polled to be applied, and the engine then does what the settings say.
            _logger.info("while the worker restores: %s", error)
        finally:
            self._last_poll = time.monotonic()
        return True

    def changes(self) -> list[AssignmentChange]:
        # One by one: the client's thread may add another one at any moment.
        changes = []
        while self._changes:
            changes.append(self._changes.popleft())
        return changes

    def seek(self, partition: TopicPartition, offset: int) -> None:
        # While partitions are being revoked, the assignment that follows seeks again.
        with contextlib.suppress(*UNASSIGNED_ERRORS):
            client = ClientPartition(*partition)
            self._unsought.discard(partition)
            self._stalled.reset(partition)
            self.consumer.seek(client, offset)
            epoch = self._epochs.epoch_at(partition, offset)
            if epoch != UNKNOWN:
                client_internals.seek_with_leader_epoch(self.consumer, client, offset, epoch)

    def leader_epoch(self, partition: TopicPartition, offset: int) -> int:
        return self._epochs.epoch_at(partition, offset)

    def at_end(self, partition: TopicPartition) -> bool:
        client = ClientPartition(*partition)
        try:
            end = self.consumer.highwater(client)
        except UNASSIGNED_ERRORS:
            # It is being revoked: nothing more of it will be polled.
            return True
        position = client_internals.local_position(self.consumer, client)
        return end is not None and position is not None and position >= end

    def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        clients = [ClientPartition(*partition) for partition in partitions]
        with self._convert_missing_leader(clients):
            ends = self.consumer.end_offsets(clients, timeout_ms=END_TIMEOUT_MS)  # pyright: ignore[reportCallIssue]
        return {TopicPartition(*client): ends[client] for client in clients}

    def partitions(self, topic: str) -> int:
        return len(self._describe_topic(topic)["partitions"])

    def topic_id(self, topic: str) -> str:
        return str(self._describe_topic(topic)["topic_id"])

    def _describe_topic(self, topic: str) -> dict[str, Any]:
        (description,) = self.admin.describe_topics([topic])
        if description.get("error_code"):
            raise TopicError(f"topic {topic} does not exist or may not be described: create it, or grant DESCRIBE")
        return description

    def committed(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        result: dict[TopicPartition, Committed | None] = {}
        consumer = self._offsets or self.consumer
        for partition in partitions:
            entry = consumer.committed(ClientPartition(*partition), metadata=True, timeout_ms=CALL_TIMEOUT_MS)
            result[partition] = None
            if entry is not None:
                result[partition] = Committed(entry.offset, entry.metadata, entry.leader_epoch)
                self._epochs.add_committed(partition, entry.offset, entry.leader_epoch)
        return result

    def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        clients = [ClientPartition(*partition) for partition in partitions]
        with self._convert_missing_leader(clients):
            starts = self.consumer.beginning_offsets(clients, timeout_ms=CALL_TIMEOUT_MS)  # pyright: ignore[reportCallIssue]
            ends = self.consumer.end_offsets(clients, timeout_ms=CALL_TIMEOUT_MS)  # pyright: ignore[reportCallIssue]
        return {TopicPartition(*client): Bounds(starts[client], ends[client]) for client in clients}

    @contextlib.contextmanager
    def _convert_missing_leader(self, clients: Collection[ClientPartition]) -> Iterator[None]:
        try:
            yield
        except KeyError as error:
            # While the client knows the leaders of some partitions only, it leaves the others out of its answer.
            for topic in {client.topic for client in clients}:
                self.consumer.partitions_for_topic(topic)
            raise RetryableError(f"{error.args[0]} has no known leader") from None

    def reader(self, partition: TopicPartition, start: int) -> KafkaRangeReader:
        return KafkaRangeReader(self._settings, partition, start, calls=self._calls)

    def members(self) -> list[str]:
        return describe_group(self._settings).describe_members()

    def holders(self) -> list[str]:
        return describe_group(self._settings).describe_holders()

    def observer(self, *, settled: bool = True) -> KafkaSource:
        """Return a source for another thread, which reads the log and is not a member of the group.

        The committed offsets are those after every open transaction, for the end of which it waits; that of a killed
        worker takes up to 10 s. Unless ``settled``, they are those before.
        """
        consumer = self._create_observer()
        offsets = None if settled else self._create_observer(isolation_level="read_uncommitted")
        return KafkaSource(self._settings, consumer, offsets, calls=self._calls)

    def _create_observer(self, **options: Any) -> KafkaConsumer:
        # It subscribes to nothing, so it joins nothing; it needs the group's name to read the committed offsets.
        with self._calls.call("KafkaConsumer"):
            return KafkaConsumer(
                **lookup_options(self._settings),
                **{**READ_OPTIONS, **options},
                group_id=self._settings.kafka.group_id,
            )

    def close(self, *, leave: bool) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            member_id = consumer.group_metadata().member_id if consumer.subscription() else ""  # pyright: ignore[reportAttributeAccessIssue]
            _close_consumer(consumer)
            # The name of a fenced worker is that of another member.
            if member_id and not self._is_fenced:
                try:
                    if leave or self._has_standby():
                        self._leave_group(member_id)
                except (kafka_errors.KafkaError, StreamlearnError) as error:
                    _logger.warning("%s (%s: %s)", describe_reserved_name(self._settings), type(error).__name__, error)
        offsets, self._offsets = self._offsets, None
        if offsets is not None:
            _close_consumer(offsets)
        admin, self._admin = self._admin, None
        if admin is not None:
            with contextlib.suppress(kafka_errors.KafkaError):
                admin.close()

    def _has_standby(self) -> bool:
        """Return whether another worker could take over at once if this one left the group."""
        return self._settings.engine.scope == "topic" and len(describe_group(self._settings).members) > 1

    def _leave_group(self, member_id: str) -> None:
        """Remove this static member from the group; otherwise its name stays reserved for the session timeout.

        With its own id, which is not that of a member that has just joined under the same name.
        """
        from kafka.admin import MemberToRemove  # pyright: ignore[reportAttributeAccessIssue]

        member = MemberToRemove(member_id=member_id, group_instance_id=self._settings.worker.name)
        answers = self.admin.remove_group_members(self._settings.kafka.group_id, [member])  # pyright: ignore[reportAttributeAccessIssue]
        for error in answers.values():
            # A member that the group does not know any more has left it.
            if error not in (kafka_errors.NoError, kafka_errors.UnknownMemberIdError):
                raise error


def describe_reserved_name(settings: Settings) -> str:
    """Return what it means that a worker ends without having left the group."""
    return (
        f"the worker did not leave group {settings.kafka.group_id}: its name {settings.worker.name} stays reserved for "
        f"a restart, and other workers wait, for up to {settings.kafka.session_timeout_ms / 1000:g} s"
    )


def _close_consumer(consumer: KafkaConsumer) -> None:
    with contextlib.suppress(kafka_errors.KafkaError):
        consumer.close(autocommit=False, timeout_ms=5_000)


def _truncated_input_error(error: kafka_errors.LogTruncationError) -> TruncatedInputError:  # pyright: ignore[reportAttributeAccessIssue]
    partition, divergent = next(iter(error.divergent_offsets.items()))
    return TruncatedInputError(TopicPartition(*partition), None if divergent is None else divergent.offset)
