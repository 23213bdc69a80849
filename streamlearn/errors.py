"""One tree of errors: a class says who acts, and carries what the handler needs.

    StreamlearnError
    ├── UsageError          the caller: a wrong setting, argument, file or topic (exit status 2)
    ├── RecordError         the engine: one record cannot be used and becomes a dead letter
    ├── RetryableError      the engine: try again
    ├── LearnerError        the evaluation: another library's learner failed, and has no result on the stream
    └── StopError           the operator: the engine cannot go on (exit status 1)
        ├── JournalError
        ├── OffsetLostError
        ├── OvertakenError
        ├── SnapshotError
        │   └── OutOfReachError
        ├── TooManyBadRecordsError
        └── TopicError

Every message says what is wrong, where, and what to do.
"""

from __future__ import annotations


class StreamlearnError(Exception):
    """Any error that streamlearn raises on purpose."""


class UsageError(StreamlearnError, ValueError):
    """A setting, argument, file or topic is wrong; nothing was changed."""


class RecordError(StreamlearnError):
    """One record cannot be used.

    Parameters
    ----------
    code:
        The reason as one word, such as ``not_json``; metrics and dead letters carry it.
    text:
        What is wrong, where in the record, and the offending value, shortened.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class RetryableError(StreamlearnError):
    """The work may succeed when it is tried again: the broker is away, or an outcome is not known yet."""


class LearnerError(StreamlearnError):
    """A learner of another library failed on a row."""


class StopError(StreamlearnError):
    """The engine cannot go on without somebody's help; what was committed is kept."""


class JournalError(StopError):
    """The journal is missing, broken, or disagrees with what was committed."""


class OffsetLostError(StopError):
    """The offsets to read from are no longer kept by the broker."""


class OvertakenError(StopError):
    """Another worker has taken over; what this one holds must not be committed."""


class SnapshotError(StopError):
    """A snapshot cannot be used: broken, foreign, or of a newer format."""


class OutOfReachError(SnapshotError):
    """A point cannot be reached by applying the journal again: what it takes is gone, or of another release."""


class TooManyBadRecordsError(StopError):
    """Too large a share of the last records could not be used."""


class TopicError(StopError):
    """A topic is missing, has the wrong partitions or settings, or may not be used."""
