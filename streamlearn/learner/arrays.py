"""Taking snapshot arrays over into arrays with more capacity, with a check of each shape."""

from __future__ import annotations

import numpy as np

from streamlearn.errors import SnapshotError


def _check(source: np.ndarray, shape: tuple[int, ...], target: np.ndarray) -> None:
    if source.shape != shape or source.dtype != target.dtype:
        raise SnapshotError(
            f"an array of the snapshot is {source.dtype}{list(source.shape)}, this model needs "
            f"{target.dtype}{list(shape)}: the snapshot belongs to other settings"
        )


def load_label_columns(target: np.ndarray, source: np.ndarray, columns: int, labels: int) -> None:
    """Copy ``source`` [columns, labels] into the head of ``target``; raises `SnapshotError` on another shape."""
    _check(source, (columns, labels), target)
    target[:columns, :labels] = source


def load_labels(target: np.ndarray, source: np.ndarray, labels: int) -> None:
    """Copy ``source`` [labels] into the head of ``target``; raises `SnapshotError` on another shape."""
    _check(source, (labels,), target)
    target[:labels] = source


def load_whole(target: np.ndarray, source: np.ndarray) -> None:
    """Copy ``source`` into ``target``; raises `SnapshotError` on another shape."""
    _check(source, target.shape, target)
    target[...] = source
