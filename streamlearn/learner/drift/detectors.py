"""The detectors on the clusters' losses: which kind, how much error each may make, what they have reported.

The error budget: with M clusters watched, each detector gets ``significance`` / M (Bonferroni's inequality: the chance
that any of them alarms falsely is at most the sum of their chances). An ADWIN takes its share as delta, the chance of a
false cut at a check (A. Bifet and R. Gavaldà 2007, theorem 3.1). Page-Hinkley, a cumulated sum with slack d, alarms at
the height h = v ln(M / significance) / (2 d): a sum of values whose deviations have variance proxy v rises so high from
a given row on with a chance of at most exp(-2 d h / v) (Lundberg's inequality; A. Wald, Sequential Analysis, 1947), so
that false alarms lie at least M / significance rows apart on average (G. Lorden, Annals of Mathematical Statistics 42,
1971, theorem 2). Its slack is .01 and v is 1/16: the standard deviation of a loss in [0, 1] is 1/2 at most and was .19
on generated streams without drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.errors import SnapshotError, UsageError
from streamlearn.learner.drift.adwin import Adwin, AdwinState
from streamlearn.learner.drift.page_hinkley import PageHinkley, PageHinkleyState
from streamlearn.learner.event_buffer import EventBuffer
from streamlearn.numerics.exp_log import log64
from streamlearn.state.array_names import DriftPart, join_parts
from streamlearn.state.lazy_arrays import split_parts

DETECTORS = ("none", "adwin", "page_hinkley", "river")
"""Kinds of detectors; ``river`` ones are objects that kernels cannot call."""

NONE, ADWIN, PAGE_HINKLEY, RIVER = range(len(DETECTORS))
BETTER, WORSE = 0, 1
ASKED, WAITS = 0, 1
SLACK = 0.01
VARIANCE = 1.0 / 16.0


class ClusterLossScratch(NamedTuple):
    """Per row and cluster: ``loss`` and ``union`` float64, its loss and the denominator in it; ``known`` uint8, whether
    any label's truth is known."""

    loss: np.ndarray
    union: np.ndarray
    known: np.ndarray


def cluster_loss_scratch(clusters: int) -> ClusterLossScratch:
    """Return memory for that many clusters."""
    return ClusterLossScratch(np.zeros(clusters), np.zeros(clusters), np.zeros(clusters, np.uint8))


class DriftState(NamedTuple):
    """What the kernels read and write.

    Attributes
    ----------
    adwin, page_hinkley
        One detector a cluster of the kind in use, none of the other.
    noted
        int64[M, 2], the row of each cluster's last event that said better and that said worse; -1 before any.
    retest
        int64[2]: the row of the last alarm that had the partition tested, -1 before any; 1 while that test waits.
    detector
        The place of the kind in `DETECTORS`.
    cooldown_rows
        Rows during which further alarms of one cluster and direction belong to the event before.
    """

    adwin: AdwinState
    page_hinkley: PageHinkleyState
    noted: np.ndarray
    retest: np.ndarray
    detector: int
    cooldown_rows: int


class DriftDetectors:
    """Holds, names and resizes the detectors.

    Parameters
    ----------
    detector
        One of `DETECTORS`.
    significance
        Chance of a false alarm at a check over all that is watched, in (0, 1).
    cooldown_rows
        As in `DriftState`, at least 0; 0 merges nothing.

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
            np.full((0, 2), -1, np.int64),
            np.array([-1, 0], np.int64),
            _place(detector),
            cooldown_rows,
        )

    @property
    def detector(self) -> str:
        """The kind in use."""
        return DETECTORS[self.state.detector]

    @property
    def clusters(self) -> int:
        """Clusters that are watched, M."""
        return len(self.state.noted)

    def change(self, detector: str, significance: float, cooldown_rows: int) -> None:
        """Let other settings hold from the next row on; detectors of another kind start empty."""
        self._significance = significance
        self.state = self.state._replace(detector=_place(detector), cooldown_rows=cooldown_rows)
        self.resize(self.clusters)

    def learn_row(
        self, scratch: ClusterLossScratch, operation: int, row: int, testable: int, events: EventBuffer
    ) -> None:
        """Give the losses to detectors that kernels cannot call; the arguments are as in `cluster_loss_learn_row`."""

    def restart(self, clusters: int) -> None:
        """DriftDetectors other clusters: every detector is empty and none has reported anything."""
        self.resize(0)
        self.resize(clusters)

    def resize(self, clusters: int) -> None:
        """Change the number of clusters; those that stay keep their detectors, new ones start empty.

        Every detector's share of the error budget changes with it.
        """
        kind = self.state.detector
        self._adwin.resize(clusters if kind == ADWIN else 0)
        self._page_hinkley.resize(clusters if kind == PAGE_HINKLEY else 0)
        noted = np.full((clusters, 2), -1, np.int64)
        kept = min(clusters, self.clusters)
        noted[:kept] = self.state.noted[:kept]
        self.state = self.state._replace(noted=noted)
        self._share()

    def _share(self) -> None:
        """Share the error budget out, and put the detectors' arrays into the state."""
        clusters = max(self.clusters, 1)
        self._adwin.state = self._adwin.state._replace(delta=self._significance / clusters)
        self._page_hinkley.state = self._page_hinkley.state._replace(
            threshold=float(VARIANCE * log64(clusters / self._significance) / (2.0 * SLACK))
        )
        self.state = self.state._replace(adwin=self._adwin.state, page_hinkley=self._page_hinkley.state)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the state by name; river detectors are not part of it."""
        arrays = {"noted": self.state.noted, "retest": self.state.retest}
        for part in (self._adwin, self._page_hinkley):
            if part.detectors:
                name = DriftPart.ADWIN if part is self._adwin else DriftPart.PAGE_HINKLEY
                arrays |= join_parts({name: part.arrays()})
        return arrays

    def load_arrays(self, arrays: Mapping[str, np.ndarray], clusters: int) -> None:
        """Take over a state of that many clusters that ``arrays`` returned; detectors of another kind start empty.

        Raises
        ------
        SnapshotError
            If an array is missing or does not fit.
        """
        # Each is looked at several times, and may be in a file.
        arrays = dict(arrays)
        for name, shape in {"noted": (clusters, 2), "retest": (2,)}.items():
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
                    raise SnapshotError(f"drift: {part.detectors} detectors for {clusters} clusters")
        self.state = self.state._replace(noted=arrays["noted"].copy(), retest=arrays["retest"].copy())
        self._share()

    @staticmethod
    def bytes_bound(clusters: int) -> int:
        """Return the most bytes that this many clusters' detectors hold, whichever they are."""
        return max(Adwin.bytes_bound(clusters), PageHinkley.bytes_bound(clusters)) + 16 * (clusters + 1)


def _place(detector: str) -> int:
    if detector not in DETECTORS:
        raise UsageError(f"drift.detector must be one of adwin, page_hinkley, none, not {detector!r}")
    return DETECTORS.index(detector)
