"""Reads what releases before model versions wrote, 0.1.0 among them: their model version counts as 0.

The layout changed within version 0, so some arrays may be there or not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streamlearn.migrations.migration import Before, Migration, PartMigration, SettingsMigration, filled
from streamlearn.state.array_names import ExpertPart, LearnerPart, ModelPart, TaskPart
from streamlearn.state.lazy_arrays import get_lazy

_UNSET = -1
_CONFIRMATIONS = 8
"""Of `engine.waiting.event_clock` in version 1: event time before the first record, and the records that confirm it."""


def _empty_count(before: Before) -> np.ndarray:
    """Return the count of a window of bad records that has seen none."""
    return np.zeros(1, np.int64)


def _no_places(before: Before) -> np.ndarray:
    """Return the places of a window of bad records that has seen none."""
    return np.zeros(0, np.int64)


def _clock(before: Before) -> np.ndarray:
    """Return the whole clock where there is event time alone, which was 0 before the first record."""
    clock = before.arrays["clock"]
    if clock.size != 2:
        return clock
    event_time, evicted = clock.tolist()
    if not event_time:
        return np.array([_UNSET, evicted, 0, 0, 0, 0, 0], np.int64)
    return np.array([event_time, evicted, event_time, _CONFIRMATIONS, 0, 0, 0], np.int64)


def _no_nulls(before: Before) -> np.ndarray:
    """Return that no header of an orphan is null: null and empty were the same."""
    count = before.arrays["orphan_header_name_offsets"].size - 1
    return np.zeros(count, np.uint8)


def _not_learnt(before: Before) -> np.ndarray:
    """Return row numbers by which no correction finds a row of the window."""
    return filled(get_lazy(before.arrays, "rows").shape[:1], np.int64, -1)


def _each_once(names: Any) -> Any:
    """Return a list of names without repeated ones, which were taken for one."""
    return [name for place, name in enumerate(names) if name not in names[:place]] if isinstance(names, list) else names


MIGRATION = Migration(
    0,
    [
        PartMigration(
            "",
            added_if_absent={
                f"{TaskPart.BAD_RECORDS}.count": _empty_count,
                f"{TaskPart.BAD_RECORDS}.bad": _no_places,
            },
        ),
        PartMigration(
            TaskPart.WAITING,
            dropped=["clock"],
            added={"clock": _clock},
            added_if_absent={"orphan_header_nulls": _no_nulls},
        ),
        PartMigration(
            f"{TaskPart.MODEL}.{ModelPart.LEARNER}.{LearnerPart.ENSEMBLE}.{ExpertPart.NEIGHBOURS}",
            added_if_absent={"learnt_rows": _not_learnt},
        ),
    ],
    parameters=SettingsMigration(converted={"labels": _each_once, "text_fields": _each_once}),
)
