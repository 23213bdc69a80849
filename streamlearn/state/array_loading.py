"""Copy snapshot arrays into arrays that may have more capacity, with a check of each shape and dtype."""

from __future__ import annotations

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.state.lazy_arrays import LazyArray

Source = np.ndarray | LazyArray
"""An array of a snapshot, in memory or still in its file; the latter is copied chunk by chunk."""


def _check(source: Source, shape: tuple[int, ...], target: np.ndarray) -> None:
    if source.shape != shape or source.dtype != target.dtype:
        raise SnapshotError(
            f"an array of the snapshot is {source.dtype}{list(source.shape)}, this model needs "
            f"{target.dtype}{list(shape)}: the snapshot belongs to other settings"
        )


def _copy(target: np.ndarray, source: Source) -> None:
    if isinstance(source, np.ndarray):
        target[...] = source
    else:
        source.read_into(target)


def load_label_columns(target: np.ndarray, source: Source, columns: int, labels: int) -> None:
    """Copy ``source`` [columns, labels] to the start of ``target``; raises `SnapshotError` if shape or dtype differ."""
    _check(source, (columns, labels), target)
    _copy(target[:columns, :labels], source)


def load_labels(target: np.ndarray, source: Source, labels: int) -> None:
    """Copy ``source`` [labels] to the start of ``target``; raises `SnapshotError` if shape or dtype differ."""
    _check(source, (labels,), target)
    _copy(target[:labels], source)


def load_whole(target: np.ndarray, source: Source) -> None:
    """Copy ``source`` into ``target``; raises `SnapshotError` if shape or dtype differ."""
    _check(source, target.shape, target)
    _copy(target, source)
