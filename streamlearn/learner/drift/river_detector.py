"""Drift detectors of the library river for the clusters' losses, one copy per cluster.

Such a detector only reports that a change occurred. The mean losses are estimated here: after the change, from the last
`RECENT` losses and at most half of those since the last alarm; before it, from the other losses since that alarm.
Neither the detectors nor the means are part of a model's state: a loaded model starts with new ones.
"""

from __future__ import annotations

from collections import deque

from river import base

from streamlearn.errors import DetectorError, UsageError
from streamlearn.learner.drift.cluster_loss import ClusterLossScratch, note_alarm
from streamlearn.learner.drift.detectors import DriftDetectors
from streamlearn.learner.event_buffer import EventBuffer
from streamlearn.printable import shown

RECENT = 30
"""Most losses that the mean after a change is estimated from."""


class RiverDetectors(DriftDetectors):
    """One copy of a river detector per cluster, with its own settings instead of a share of the error budget.

    Parameters
    ----------
    detector
        The detector to copy; it is not changed.
    cooldown_rows
        As in `DriftDetectors`.

    Raises
    ------
    UsageError
        When the detector cannot be copied.

    Attributes
    ----------
    prototype
        The detector to copy.
    copies
        The copy of each cluster.
    """

    def __init__(self, detector: base.DriftDetector, cooldown_rows: int = 100) -> None:
        super().__init__("river", cooldown_rows=cooldown_rows)
        self.prototype = detector
        self.copies: list[Copy] = []
        self._failure: Exception | None = None
        try:
            detector.clone()
        except Exception as error:
            raise UsageError(
                f"drift_detector {type(detector).__name__} cannot be copied, as river's clone() does: {shown(error)}"
            ) from error

    def change(self, detector: str, significance: float, cooldown_rows: int) -> None:
        """Change the cooldown from the next row on; the detectors stay."""
        super().change("river", significance, cooldown_rows)

    def raise_failure(self) -> None:
        """Raise `DetectorError` for the first error that a copy raised since the last call."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise DetectorError(
                f"drift_detector {type(self.prototype).__name__} raised {shown(failure)}: the instances of this call "
                "are learnt, and the cluster goes on with a new copy of the detector"
            ) from failure

    def resize(self, clusters: int) -> None:
        """Change the number of clusters; remaining ones keep their detectors, new ones get a new copy."""
        super().resize(clusters)
        del self.copies[clusters:]
        while len(self.copies) < clusters:
            self.copies.append(Copy(self.prototype.clone()))

    def learn_row(
        self, scratch: ClusterLossScratch, operation: int, row: int, retest_time: int, events: EventBuffer
    ) -> None:
        """Update the detector of each cluster with its loss in ``scratch``, and raise the events."""
        for cluster, copy in enumerate(self.copies):
            if not scratch.known[cluster]:
                continue
            try:
                alarm = copy.update(float(scratch.loss[cluster]))
            except Exception as error:
                # The row is half learnt, so the error is kept until the call has learnt all rows.
                self._failure = self._failure or error
                self.copies[cluster] = Copy(self.prototype.clone())
                continue
            if not alarm:
                continue
            before, after, rows = copy.means()
            copy.reset()
            note_alarm(self.state, cluster, before, after, rows, operation, row, retest_time, events)


class Copy:
    """One cluster's detector and the losses since its last alarm."""

    def __init__(self, detector: base.DriftDetector) -> None:
        self._detector = detector
        self.reset()

    def reset(self) -> None:
        """Forget the losses so far."""
        self._count = 0
        self._total = 0.0
        self._recent: deque[float] = deque(maxlen=RECENT)

    def update(self, loss: float) -> bool:
        """Add a loss; return whether the detector raised an alarm."""
        self._count += 1
        self._total += loss
        self._recent.append(loss)
        self._detector.update(loss)
        return self._detector.drift_detected

    def means(self) -> tuple[float, float, int]:
        """Return the mean loss before and after the change, and the number of rows of the second mean."""
        rows = max(1, min(len(self._recent), self._count // 2))
        recent = 0.0
        for loss in list(self._recent)[-rows:]:
            recent += loss
        earlier = self._count - rows
        return ((self._total - recent) / earlier if earlier else recent), recent / rows, rows
