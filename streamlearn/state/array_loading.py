"""Taking snapshot arrays over into arrays with more capacity, with a check of each shape."""

from __future__ import annotations

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.state.lazy_arrays import Blocks

Source = np.ndarray | Blocks
"""An array of a snapshot; one that is still in its file goes to its place block by block."""


def _check(source: Source, shape: tuple[int, ...], target: np.ndarray) -> None:
    if source.shape != shape or source.dtype != target.dtype:
        raise SnapshotError(
            f"an array of the snapshot is {source.dtype}{list(source.shape)}, this model needs "
            f"{target.dtype}{list(shape)}: the snapshot belongs to other settings"
        )


def _take(target: np.ndarray, source: Source) -> None:
    if isinstance(source, np.ndarray):
        target[...] = source
    else:
        source.read_into(target)


def load_label_columns(target: np.ndarray, source: Source, columns: int, labels: int) -> None:
    """Copy ``source`` [columns, labels] into the head of ``target``; raises `SnapshotError` on another shape."""
    _check(source, (columns, labels), target)
    _take(target[:columns, :labels], source)


def load_labels(target: np.ndarray, source: Source, labels: int) -> None:
    """Copy ``source`` [labels] into the head of ``target``; raises `SnapshotError` on another shape."""
    _check(source, (labels,), target)
    _take(target[:labels], source)


def load_whole(target: np.ndarray, source: Source) -> None:
    """Copy ``source`` into ``target``; raises `SnapshotError` on another shape."""
    _check(source, target.shape, target)
    _take(target, source)
