"""Names of arrays in snapshots: a file format, independent of the names of classes and attributes.

An array's name is the name of its part, a dot, and its name within the part; parts may have parts. Each class below
lists the parts of one owner. A changed value makes all earlier snapshots unreadable and changes the `state_hash` of
every state.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import numpy as np


class TaskPart(StrEnum):
    """Parts of `engine.tasks.task.Task`."""

    MODEL = "model"
    WAITING = "pending"
    BAD_RECORDS = "bad_records"


class ModelPart(StrEnum):
    """Parts of `model.stream_model.StreamModel`."""

    ENCODER = "encoder"
    LABELS = "labels"
    LEARNER = "learner"
    MEASURES = "measures"


class EncoderPart(StrEnum):
    """Parts of `encoder.row.Encoder`."""

    COLUMNS = "columns"
    SCALING = "scaling"


class LearnerPart(StrEnum):
    """Parts of a learner: IHOMER of `learner.ihomer.learner`, all others of `learner.ensemble_learner`."""

    ENSEMBLE = "panel"
    MIXER = "mixer"
    DECISION = "decision"
    PARTITION = "partition"
    DRIFT = "drift"
    IHOMER = "paper"


class ExpertPart(StrEnum):
    """Parts of `learner.experts.ensemble.Ensemble`."""

    RATES = "rates"
    SLOW_LINEAR = "slow_linear"
    SOFTMAX = "softmax"
    FAST_LINEAR = "fast_linear"
    NEIGHBOURS = "neighbours"
    NAIVE_BAYES = "naive_bayes"
    LABEL_HISTORY = "burst"
    LABEL_TREE = "label_tree"


class DecisionPart(StrEnum):
    """Parts of `learner.decode.decision.Decision`."""

    POOL = "pool"
    TREE_PRIOR = "tree"
    UTILITY = "utility"
    FIXED_SHARE = "share"
    THRESHOLDS = "thresholds"


class DriftPart(StrEnum):
    """Parts of `learner.drift.detectors.DriftDetectors`."""

    ADWIN = "adwin"
    PAGE_HINKLEY = "page_hinkley"


class PartitionPart(StrEnum):
    """Parts of `learner.partition.clusters.Partition` and of `learner.ihomer.divisive.DivisiveClustering`."""

    PAIR_COUNTS = "counts"
    RECENT_LABEL_SETS = "replay"
    TREE = "tree"
    CANDIDATE = "candidate"


class IhomerPart(StrEnum):
    """Parts of `learner.ihomer.hierarchy.Hierarchy`."""

    PARTITION = "partition"
    DETECTORS = "adwin"
    ROW_WINDOW = "rows"
    TREES = "trees"


SCALING = ("rows", "first", "present", "set", "mean", "deviations", "squares", "dense")
"""The arrays of `encoder.scaling.ScalingState`, in the order of its fields."""

MIXER = ("shared", "shared_squared", "own", "own_squared", "final", "final_squared")
"""The arrays of `learner.mixture.logistic_mixing.MixerState`, in the order of its fields."""

PAIR_COUNTS = ("label_weight", "pair_weight", "increment")
"""The arrays of `learner.partition.pair_counts.PairCountsState`, in the order of its fields."""

CLUSTER_TREE = ("size", "children", "child_count", "parent", "position", "height", "leaf_parent", "leaf_position")
"""The arrays of `learner.partition.cluster_tree.TreeState`, in the order of its fields."""

ROW_WINDOW = ("row", "square", "columns", "values", "bins", "members", "cursor")
"""The arrays of `learner.ihomer.row_window.RowWindowState`, in the order of its fields."""

TREE_PRIOR = {
    "pattern": "pattern",
    "pattern_weight": "pattern_weight",
    "pattern_count": "pattern_count",
    "pattern_total": "pattern_total",
    "visits": "visits",
    "novel": "novel",
    "child_weight": "child_weight",
    "increment": "increment",
}
"""Attributes of `learner.partition.code_length.NodeStates` that are state, and their names."""

ADWIN = {
    "buckets": "buckets",
    "bucket_count": "bucket_count",
    "window": "window",
    "moments": "moments",
    "before": "before",
    "after": "after",
    "since": "since",
}
"""Attributes of `learner.drift.adwin.AdwinState` that are state, and their names."""

PAGE_HINKLEY = {"counts": "counts", "sums": "sums", "before": "before", "after": "after", "since": "since"}
"""Attributes of `learner.drift.page_hinkley.PageHinkleyState` that are state, and their names."""


def join_parts(parts: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the arrays of all parts, each as ``part.name``: the inverse of `state.lazy_arrays.split_parts`."""
    return {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
