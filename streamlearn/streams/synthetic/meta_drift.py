"""Streams of the meta-label generator: stationary, with sudden, gradual or recurring drift, or with label turnover.

Source: the patterns of drift are those of Gama et al., *A survey on concept drift adaptation* (ACM Computing Surveys
46(4), 2014), section 2; the gradual one mixes both concepts with a share that grows row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Literal, NamedTuple

from streamlearn.streams.base import StreamRow
from streamlearn.streams.synthetic.base import Drift, GeneratedStream
from streamlearn.streams.synthetic.meta_label import (
    LABELS,
    Concept,
    new_concept,
    with_dependencies,
    with_features,
    with_present,
    with_priors,
)

PERIOD = 4_000
DURATION = 1_000
HIDDEN = 3
"""Labels that `MetaLabelTurnover` does not have at its beginning."""

_CHANGES: dict[str, Callable[[Random, Concept], Concept]] = {
    "features": with_features,
    "dependencies": with_dependencies,
    "priors": with_priors,
}


DriftTarget = Literal["features", "dependencies", "priors"]
DriftPattern = Literal["sudden", "gradual", "recurring"]


class MetaDrift(NamedTuple):
    """What changes, and how: suddenly, gradually over many rows, or suddenly and back again one period later."""

    target: DriftTarget
    pattern: DriftPattern


class MetaLabelStream(GeneratedStream):
    """A stream of the meta-label generator.

    Parameters
    ----------
    seed, instances:
        As in `GeneratedStream`.
    drift:
        The drift that happens every ``period`` rows; none by default.
    period:
        Rows between the starts of two drifts, and before the first one.
    duration:
        Rows that a gradual drift takes.
    """

    name = "synthetic:meta"

    def __init__(
        self,
        seed: int,
        instances: int,
        drift: MetaDrift | None = None,
        *,
        period: int = PERIOD,
        duration: int = DURATION,
    ) -> None:
        super().__init__(seed, instances)
        self._drift = drift
        self._period = period
        self._duration = duration if drift is not None and drift.pattern == "gradual" else 0
        if drift is not None:
            self.name = f"synthetic:meta-{drift.target}-{drift.pattern}"

    @property
    def drifts(self) -> list[Drift]:
        """The known changes within the stream, in order."""
        if self._drift is None:
            return []
        rows = range(self._period, self.instances, self._period)
        return [Drift(row, row + self._duration, self._drift.target) for row in rows]

    def concepts(self) -> Iterator[Concept]:
        """Yield the concept of every period, for ever."""
        random = Random(self.seed + 1)
        concept = new_concept(random)
        yield concept
        if self._drift is None:
            while True:
                yield concept
        change = _CHANGES[self._drift.target]
        other = change(random, concept)
        while True:
            yield other
            if self._drift.pattern == "recurring":
                concept, other = other, concept
            else:
                other = change(random, other)

    def __iter__(self) -> Iterator[StreamRow]:
        random = Random(self.seed)
        concepts = self.concepts()
        old = new = next(concepts)
        for row in range(self.instances):
            since_drift = row % self._period
            if row and not since_drift:
                old, new = new, next(concepts)
            is_mixed = self._duration and row >= self._period and since_drift < self._duration
            concept = old if is_mixed and random.random() >= since_drift / self._duration else new
            present = concept.draw_labels(random)
            values = concept.draw_values(random, present)
            x = {f"attribute_{index:02d}": value for index, value in enumerate(values)}
            yield StreamRow(x, [f"label_{label:02d}" for label in present], f"row-{row}")


class MetaLabelTurnover(MetaLabelStream):
    """Every period, in turn, a label that was never set appears, or one that was set retires; features do not drift."""

    name = "synthetic:meta-labels"

    @property
    def drifts(self) -> list[Drift]:
        """The known changes within the stream, in order."""
        turns = range(1, 2 * HIDDEN + 1)
        return [
            Drift(turn * self._period, turn * self._period, "label appears" if turn % 2 else "label retires")
            for turn in turns
            if turn * self._period < self.instances
        ]

    def concepts(self) -> Iterator[Concept]:
        """Yield the concept of every period, for ever; the last one does not change."""
        random = Random(self.seed + 1)
        full = new_concept(random)
        present = [label < LABELS - HIDDEN for label in range(LABELS)]
        concept = with_present(random, full, present)
        yield concept
        for turn in range(2 * HIDDEN):
            label = turn // 2
            present[label if turn % 2 else LABELS - HIDDEN + label] = not turn % 2
            concept = with_present(random, full, present)
            yield concept
        while True:
            yield concept
