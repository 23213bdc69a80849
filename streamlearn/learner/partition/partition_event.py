"""The outcome of a test of the partition."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PartitionEvent:
    """The outcome of one code-length test.

    Attributes
    ----------
    gain
        Mean gain of the candidate over the current tree, nats per row.
    standard_error
        Of the gain, nats per row.
    code_length
        Mean code length of the tree before the test, nats per row.
    rows
        Rows coded with both trees.
    switched
        Whether the candidate became the current tree.
    forced
        Whether the test ran before the period's end.
    clusters_before, clusters_after
        Number of top-level clusters.
    """

    gain: float
    standard_error: float
    code_length: float
    rows: int
    switched: bool
    forced: bool
    clusters_before: int
    clusters_after: int
