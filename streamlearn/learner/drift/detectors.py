"""The drift detectors of the clusters' losses: their kind, their error budget and their last events.

Error budget: with M clusters, each detector gets ``significance`` / M (Bonferroni's inequality: the probability that
any of them raises a false alarm is at most the sum of their probabilities). ADWIN's share is its delta, the probability
of a false cut at a check (A. Bifet and R. Gavaldà 2007, theorem 3.1). Page-Hinkley, a cumulative sum with slack d,
alarms at the height h = v ln(M / significance) / (2 d): a sum of values whose deviations have variance proxy v reaches
this height from a given row on with probability at most exp(-2 d h / v) (Lundberg's inequality; A. Wald, Sequential
Analysis, 1947), so that false alarms are at least M / significance rows apart on average (G. Lorden, Annals of
Mathematical Statistics 42, 1971, theorem 2). The slack is .01 and v is 1/16: the standard deviation of a loss in [0, 1]
is at most 1/2, and it was .19 on generated streams without drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.errors import SnapshotError, UsageError
from streamlearn.learner.drift.adwin import Adwin, AdwinState
from streamlearn.learner.drift.page_hinkley import PageHinkley, PageHinkleyState
from streamlearn.learner.event_buffer import EventBuffer
from streamlearn.numerics.exp_log import log64
from streamlearn.state.array_names import DriftPart, join_parts
from streamlearn.state.lazy_arrays import load_all, split_parts

DETECTORS = ("none", "adwin", "page_hinkley", "river")
"""Names of the kinds of detectors."""

SLACK = 0.01
"""Page-Hinkley's slack per row."""

VARIANCE = 1.0 / 16.0
"""Variance proxy of a cluster's loss."""


class DetectorKind(IntEnum):
    """Kinds of detectors as states hold them: indices into `DETECTORS`."""

    NONE = 0  # no drift detection
    ADWIN = 1  # `adwin`
    PAGE_HINKLEY = 2  # `page_hinkley`
    RIVER = 3  # Python objects of river, which kernels cannot call


class Change(IntEnum):
    """Fields of a row of `DriftState.last_event`: which way the loss changed."""

    BETTER = 0  # the loss fell
    WORSE = 1  # the loss grew


class Retest(IntEnum):
    """Fields of `DriftState.retest`."""

    ROW = 0  # row of the last alarm that requested a test of the partition, -1 before any
    PENDING = 1  # 1 until that test has run


CHANGES = len(Change)
RETEST_FIELDS = len(Retest)


class ClusterLossScratch(NamedTuple):
    """Memory of one row.

    Attributes
    ----------
    loss
        float64[clusters], the loss of each cluster.
    union
        float64[clusters], the denominator of the loss.
    known
        uint8[clusters], 1 if the truth of any of the cluster's labels is known.
    """

    loss: np.ndarray
    union: np.ndarray
    known: np.ndarray


def cluster_loss_scratch(clusters: int) -> ClusterLossScratch:
    """Return the scratch memory for this many clusters."""
    return ClusterLossScratch(np.zeros(clusters), np.zeros(clusters), np.zeros(clusters, np.uint8))


class DriftState(NamedTuple):
    """The arrays and settings that kernels read and write.

    Attributes
    ----------
    adwin, page_hinkley
        One detector per cluster of the kind in use, none of the other.
    last_event
        int64[M, CHANGES], row of each cluster's last event for each `Change`, -1 before any.
    retest
        int64[RETEST_FIELDS], fields `Retest`.
    kind
        The `DetectorKind`.
    cooldown_rows
        Rows after an event during which further alarms of the same cluster and `Change` raise no new event.
    """

    adwin: AdwinState
    page_hinkley: PageHinkleyState
    last_event: np.ndarray
    retest: np.ndarray
    kind: int
    cooldown_rows: int


class DriftDetectors:
    """Owns the arrays of one drift detector per cluster.

    Parameters
    ----------
    detector
        The kind, one of `DETECTORS`.
    significance
        Probability of a false alarm at a check over all clusters, in (0, 1).
    cooldown_rows
        As in `DriftState`, at least 0; with 0 every alarm is an event.

    Raises
    ------
    UsageError
        If there is no such detector.
    """

    def __init__(self, detector: str = "adwin", significance: float = 0.01, cooldown_rows: int = 100) -> None:
        self._significance = significance
        self._adwin = Adwin(0)
        self._page_hinkley = PageHinkley(0, delta=SLACK)
        self.state = DriftState(
            self._adwin.state,
            self._page_hinkley.state,
            np.full((0, CHANGES), -1, np.int64),
            np.array([-1, 0], np.int64),
            _parse_kind(detector),
            cooldown_rows,
        )

    @property
    def kind(self) -> str:
        """The kind in use, one of `DETECTORS`."""
        return DETECTORS[self.state.kind]

    @property
    def clusters(self) -> int:
        """The number of clusters, M."""
        return len(self.state.last_event)

    def change(self, detector: str, significance: float, cooldown_rows: int) -> None:
        """Change the settings from the next row on; detectors of another kind start empty."""
        self._significance = significance
        self.state = self.state._replace(kind=_parse_kind(detector), cooldown_rows=cooldown_rows)
        self.resize(self.clusters)

    def learn_row(
        self, scratch: ClusterLossScratch, operation: int, row: int, retest_time: int, events: EventBuffer
    ) -> None:
        """Update detectors that kernels cannot call, as `cluster_loss_learn_row` updates the others."""

    def restart(self, clusters: int) -> None:
        """Start over with this many clusters: every detector is empty and no event has been raised."""
        self.resize(0)
        self.resize(clusters)

    def resize(self, clusters: int) -> None:
        """Change the number of clusters; remaining ones keep their detectors, new ones start empty.

        The error budget of each detector changes with it.
        """
        kind = self.state.kind
        self._adwin.resize(clusters if kind == DetectorKind.ADWIN else 0)
        self._page_hinkley.resize(clusters if kind == DetectorKind.PAGE_HINKLEY else 0)
        last_event = np.full((clusters, CHANGES), -1, np.int64)
        kept = min(clusters, self.clusters)
        last_event[:kept] = self.state.last_event[:kept]
        self.state = self.state._replace(last_event=last_event)
        self._update_state()

    def _update_state(self) -> None:
        """Divide the error budget among the clusters, and put the detectors' arrays into the state."""
        clusters = max(self.clusters, 1)
        self._adwin.state = self._adwin.state._replace(delta=self._significance / clusters)
        self._page_hinkley.state = self._page_hinkley.state._replace(
            threshold=float(VARIANCE * log64(clusters / self._significance) / (2.0 * SLACK))
        )
        self.state = self.state._replace(adwin=self._adwin.state, page_hinkley=self._page_hinkley.state)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the state as named arrays; detectors of river are not part of it."""
        arrays = {"noted": self.state.last_event, "retest": self.state.retest}
        for part in (self._adwin, self._page_hinkley):
            if part.detectors:
                name = DriftPart.ADWIN if part is self._adwin else DriftPart.PAGE_HINKLEY
                arrays |= join_parts({name: part.arrays()})
        return arrays

    def load_arrays(self, arrays: Mapping[str, np.ndarray], clusters: int) -> None:
        """Restore a state of this many clusters that `arrays` returned; detectors of another kind start empty.

        Raises
        ------
        SnapshotError
            If an array is missing or does not fit.
        """
        # Each array is read several times, and may have to be loaded from a file.
        arrays = load_all(arrays)
        for name, shape in {"noted": (clusters, CHANGES), "retest": (RETEST_FIELDS,)}.items():
            given = arrays.get(name)
            if given is None or given.shape != shape or given.dtype != np.int64:
                found = "nothing" if given is None else f"{given.dtype}{given.shape}"
                raise SnapshotError(f"drift: the array {name!r} should be int64{shape}, found {found}")
        self.restart(clusters)
        parts = split_parts(arrays)
        for name, part in {DriftPart.ADWIN: self._adwin, DriftPart.PAGE_HINKLEY: self._page_hinkley}.items():
            own = parts.get(name, {})
            if own and part.detectors:
                part.load_arrays(own)
                if part.detectors != clusters:
                    raise SnapshotError(f"drift: the snapshot has {part.detectors} detectors for {clusters} clusters")
        self.state = self.state._replace(last_event=arrays["noted"].copy(), retest=arrays["retest"].copy())
        self._update_state()

    @staticmethod
    def bytes_bound(clusters: int) -> int:
        """Return the largest size in bytes of the detectors of this many clusters, of any kind."""
        return max(Adwin.bytes_bound(clusters), PageHinkley.bytes_bound(clusters)) + 16 * (clusters + 1)


def _parse_kind(detector: str) -> int:
    if detector not in DETECTORS:
        raise UsageError(f"drift.detector is {detector!r}: it must be one of adwin, page_hinkley, none")
    return DETECTORS.index(detector)
