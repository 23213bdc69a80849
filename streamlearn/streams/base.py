"""Interface of streams: a name, what is declared before the first row, and the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

Value = float | int | bool | str | None
Features = Mapping[str, Value] | Sequence[Value]
Truth = Sequence[str] | Mapping[str, bool]


class StreamRow(NamedTuple):
    """One instance: features by name or by position, its truth, and its id where the stream has ids."""

    x: Features
    y: Truth | None
    id: str | None = None


class Stream(Protocol):
    """Instances in order, read row by row.

    ``features`` and ``labels`` are the declared names, empty where nothing is declared. ``texts`` are those of the
    features whose strings are texts. ``columns`` is the number of columns that the declared features can need, besides
    the words of texts: one per feature, and one per value of a nominal feature; 0 where nothing is declared.
    ``labels_from`` says where the stream has its labels from, such as a file. ``source`` is the file or the name that
    was opened. ``warnings`` say what in the declarations may be a mistake, a sentence each. ``dropped`` counts by
    reason the values that the latest reading has left out.
    """

    @property
    def name(self) -> str: ...

    @property
    def features(self) -> Sequence[str]: ...

    @property
    def texts(self) -> Sequence[str]: ...

    @property
    def labels(self) -> Sequence[str]: ...

    @property
    def labels_from(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def warnings(self) -> Sequence[str]: ...

    @property
    def dropped(self) -> Mapping[str, int]: ...

    @property
    def columns(self) -> int: ...

    def __iter__(self) -> Iterator[StreamRow]: ...
