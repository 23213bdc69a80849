"""A drift detector of your own: any detector with river's interface watches the loss of each label cluster.

python custom_drift_detector.py
"""

from __future__ import annotations

from collections import deque

from river import base

from streamlearn import LabelHierarchyClassifier
from streamlearn.streams import open_stream


class MeanShift(base.DriftDetector):
    """Alarms when the mean of the newest values is above the mean of those before by a margin."""

    def __init__(self, window: int = 100, margin: float = 0.15) -> None:
        super().__init__()
        self.window = window
        self.margin = margin
        self._values: deque[float] = deque(maxlen=2 * window)

    def update(self, x: float) -> None:
        self._values.append(x)
        values = list(self._values)
        older, newer = values[: self.window], values[self.window :]
        full = len(newer) == self.window
        self._drift_detected = full and sum(newer) - sum(older) > self.margin * self.window
        if self._drift_detected:
            self._values.clear()


def main() -> None:
    """Learn a stream that drifts every 4,000 rows and print the alarms."""
    model = LabelHierarchyClassifier(drift_detector=MeanShift())
    for row in open_stream("synthetic:drifting", instances=9_000):
        model.learn_one(row.x, set(row.y))
        for event in model.events:
            if event.kind == "drift":
                print(f"row {event.row}: {event.direction} for {event.name}, {event.before:.2f} -> {event.after:.2f}")


if __name__ == "__main__":
    main()
