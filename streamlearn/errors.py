"""One tree of errors: a class says who acts, and carries what the handler needs.

    StreamlearnError
    ├── UsageError                    the caller: a wrong setting, argument, file or topic (exit status 2)
    │   ├── BrokerHandshakeError      kafka/admin/broker_connection.py
    │   ├── FileAccessError           also an OSError
    │   │   └── FileMissingError      also a FileNotFoundError
    │   ├── FixedParameterError       also an AttributeError
    │   ├── ReentryError
    │   └── SettingsError
    ├── RecordError                   the engine: one record cannot be used and becomes a dead letter
    ├── RetryableError                the engine: try again
    │   ├── BootstrapError            kafka/instance_producer.py
    │   ├── BrokerDisconnectedError   kafka/admin/broker_connection.py
    │   ├── BrokerUnreachableError    kafka/admin/broker_connection.py
    │   └── FencedError
    ├── BrokenModelError              the caller: an error ended learning in the middle of a row
    ├── DetectorError                 the caller: a drift detector of river failed
    ├── LearnerError                  the evaluation: another library's learner failed, and has no result on the stream
    └── StopError                     the operator: the engine cannot go on (exit status 1)
        ├── CorruptInputError         source/base.py
        ├── JournalError
        ├── NameTakenError            another worker has taken the name (exit status 3)
        ├── NotDrainedError           a model has no snapshot at its committed point (exit status 4)
        ├── OffsetLostError
        ├── OvertakenError
        ├── RecordTooLargeError       kafka/topic_limits.py
        ├── SnapshotError
        │   ├── MissingArrayError
        │   └── OutOfReachError
        │       └── OtherVersionError
        ├── TooManyBadRecordsError
        ├── TopicError
        └── TruncatedInputError       source/base.py

A class with a path is defined there, all others here. Every message says what is wrong, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Reason = Literal[
    "empty_value",
    "too_large",
    "not_utf8",
    "not_json",
    "wrong_type",
    "missing_field",
    "not_finite",
    "too_many_features",
    "too_many_labels",
    "name_too_long",
    "id_too_long",
    "duplicate_label",
    "label_expired",
    "corrupt_record",
    "unknown_instance",
]
"""Why a record becomes a dead letter."""


class StreamlearnError(Exception):
    """Any error that streamlearn raises on purpose."""


class UsageError(StreamlearnError, ValueError):
    """A setting, argument, file or topic is wrong; nothing was changed."""


class SettingsError(UsageError):
    """Settings are wrong; ``faults`` has one text for each fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = list(faults)


class FileAccessError(UsageError, OSError):
    """A file to save to or to load from cannot be used; ``errno`` is the operating system's number of the reason."""


class FileMissingError(FileAccessError, FileNotFoundError):
    """There is no file to load from, or no folder for the file to save to."""


class FixedParameterError(UsageError, AttributeError):
    """A parameter of the embedded class was assigned after construction; nothing was changed."""


class ReentryError(UsageError):
    """The embedded class was called in the middle of another call of the same thread; nothing was changed."""


class RecordError(StreamlearnError):
    """One record cannot be used.

    Parameters
    ----------
    code:
        The reason; metrics and dead letters carry it.
    text:
        What is wrong, where in the record, and the offending value, shortened.
    """

    def __init__(self, code: Reason, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class RetryableError(StreamlearnError):
    """The work may succeed when it is tried again: the broker is away, or an outcome is not known yet."""


class FencedError(RetryableError):
    """Another producer has taken over the transactional id."""


class BrokenModelError(StreamlearnError):
    """The model cannot be used, since an error such as `MemoryError` ended learning in the middle of a row."""


class DetectorError(StreamlearnError):
    """A drift detector of river raised an error; what was to be learnt is learnt."""


class LearnerError(StreamlearnError):
    """A learner of another library failed on a row."""


class StopError(StreamlearnError):
    """The engine cannot go on until the operator acts; what was committed is kept."""


class JournalError(StopError):
    """The journal is missing, broken, or disagrees with what was committed."""


class NameTakenError(StopError):
    """Another worker has joined the group under this one's name; a restart would take the name back from it."""


class NotDrainedError(StopError):
    """A worker has stopped, and a model does not end on a snapshot at its committed point; nothing is lost.

    ``faults`` has one text for each model.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(
            f"not drained: {'; '.join(faults)}. Nothing is lost: this release continues from the journal when it is "
            "started again. Before an upgrade, run `streamlearn run --drain` of this release until it ends with status "
            "0"
        )
        self.faults = list(faults)


class OffsetLostError(StopError):
    """The broker no longer keeps the offsets to read from."""


class OvertakenError(StopError):
    """Another worker has taken over; what this one holds must not be committed."""


class SnapshotError(StopError):
    """A snapshot cannot be used: it is broken, belongs to another model, or has a newer format."""


class MissingArrayError(SnapshotError, KeyError):
    """A snapshot does not have an array that is looked up.

    Parameters
    ----------
    name:
        The array, or the part without any array.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"the snapshot lacks the array {name!r}: it was written by a release with other arrays")

    def __str__(self) -> str:
        return str(self.args[0])


class OutOfReachError(SnapshotError):
    """A point cannot be reached by replaying the journal: records are gone, or are of another release."""


class OtherVersionError(OutOfReachError):
    """Another model version computed the model, and this release cannot continue it as it is."""


class TooManyBadRecordsError(StopError):
    """Too large a share of the last records could not be used."""


class TopicError(StopError):
    """A topic is missing, has the wrong partitions or settings, or may not be used."""
