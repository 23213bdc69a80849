"""Drift detectors of river on the clusters' losses, one copy for each cluster.

Such a detector only says that something has changed. What the loss was before and after comes from means kept beside
it: of the last `RECENT` losses, at most half of those since its last alarm, and of all losses since then before these.
Neither the detectors nor the means are part of a model's state: a model that is loaded starts them anew.
"""

from __future__ import annotations

from collections import deque

from river import base

from streamlearn.learner.drift.cluster_loss import ClusterLossScratch, note_alarm
from streamlearn.learner.drift.detectors import DriftDetectors
from streamlearn.learner.event_buffer import EventBuffer

RECENT = 30


class RiverDetectors(DriftDetectors):
    """Watches with copies of a river detector, which come without a share of the error budget: it is theirs to keep.

    Parameters
    ----------
    detector
        What is copied; it is not changed itself.
    cooldown_rows
        As in `DriftDetectors`.

    ``copies`` has one for each cluster.
    """

    def __init__(self, detector: base.DriftDetector, cooldown_rows: int = 100) -> None:
        super().__init__("river", cooldown_rows=cooldown_rows)
        self._foreign = detector
        self.copies: list[Copy] = []

    def change(self, detector: str, significance: float, cooldown_rows: int) -> None:
        """Let another cooldown hold from the next row on; the detectors stay."""
        super().change("river", significance, cooldown_rows)

    def resize(self, clusters: int) -> None:
        """Change the number of clusters; those that stay keep their detectors, new ones get a new copy."""
        super().resize(clusters)
        del self.copies[clusters:]
        while len(self.copies) < clusters:
            self.copies.append(Copy(self._foreign.clone()))

    def learn_row(
        self, scratch: ClusterLossScratch, operation: int, row: int, testable: int, events: EventBuffer
    ) -> None:
        """Give each cluster's loss, in the scratch, to its detector and note the alarms."""
        for cluster, copy in enumerate(self.copies):
            if not scratch.known[cluster] or not copy.update(float(scratch.loss[cluster])):
                continue
            before, after, rows = copy.means()
            copy.begin()
            note_alarm(self.state, cluster, before, after, rows, operation, row, testable, events)


class Copy:
    """One cluster's detector and the losses since its last alarm."""

    def __init__(self, detector: base.DriftDetector) -> None:
        self._detector = detector
        self.begin()

    def begin(self) -> None:
        self._count = 0
        self._total = 0.0
        self._recent: deque[float] = deque(maxlen=RECENT)

    def update(self, loss: float) -> bool:
        self._count += 1
        self._total += loss
        self._recent.append(loss)
        self._detector.update(loss)
        return self._detector.drift_detected

    def means(self) -> tuple[float, float, int]:
        """Return the mean loss before and after the change, and the rows of the second mean."""
        rows = max(1, min(len(self._recent), self._count // 2))
        recent = 0.0
        for loss in list(self._recent)[-rows:]:
            recent += loss
        earlier = self._count - rows
        return ((self._total - recent) / earlier if earlier else recent), recent / rows, rows
