"""Warm-up: loads or compiles every kernel before the first row, in two processes where there are two cores.

Run as a program, this module is the second process (`kernels.parallel_compile`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from streamlearn.encoder.row import Encoder
from streamlearn.kernels.compiler import compile_under_lock
from streamlearn.kernels.parallel_compile import Parts, SharedWork, run_child
from streamlearn.learner.drift.cluster_loss import note_alarm
from streamlearn.learner.drift.detectors import DriftDetectors
from streamlearn.learner.ensemble_learner import EnsembleLearner
from streamlearn.learner.entries import Entries
from streamlearn.learner.event_buffer import event_buffer
from streamlearn.learner.operations import Correction
from streamlearn.learner.partition.cluster_tree import MAXIMUM_CHILDREN
from streamlearn.learner.partition.clusters import FIRST_PERIOD
from streamlearn.learner.partition.code_length import compare
from streamlearn.learner.partition.linkage import candidate_tree
from streamlearn.learner.partition.mode_strategies import RandomStrategy
from streamlearn.learner.partition.pair_counts import PairCounts
from streamlearn.learner.step_compilation import StepParts
from streamlearn.model.learner_factory import ENSEMBLE, kind_of
from streamlearn.model.measures import Measures
from streamlearn.model.stream_model import StreamModel
from streamlearn.settings.presets import PAPER
from streamlearn.settings.settings import Settings

SIGNATURES = {ENSEMBLE: 242, PAPER: 100}
"""Number of kernels, one for each signature, that each kind of model compiles on an empty cache."""
SHARED_SIGNATURES = 29
"""Number of those that both kinds have."""


def warm_up(settings: Settings, progress: Callable[[str], None] | None = None) -> None:
    """Compile every kernel that a model calls, or load it from the cache; ``progress`` gets lines of text.

    Raises
    ------
    UsageError
        When the model may grow beyond ``limits.memory_bytes``.
    """
    StreamModel.check_memory(settings)
    kind = kind_of(settings)
    work = SharedWork(__name__, _parts(), tuple(_helper_parts())) if kind == ENSEMBLE else None
    compile_under_lock(lambda: _run_model(settings), progress, work, kind, count_signatures)


def count_signatures(kinds: Collection[str]) -> int:
    """Return how many kernels these kinds of models have together."""
    return sum(SIGNATURES[kind] for kind in kinds) - (SHARED_SIGNATURES if len(kinds) > 1 else 0)


def _run_model(settings: Settings) -> None:
    """Call every kernel on a throwaway model.

    There are two periods of rows, so that the partition is tested; labels join one by one, more than a node has
    children, so that the tree grows and gets levels; and one label more than there is room for, so that one leaves.
    """
    many = MAXIMUM_CHILDREN + 1
    rows = 2 * FIRST_PERIOD + 2
    labels = type(settings.labels)(maximum=many + 1, min_count=FIRST_PERIOD)
    few_labels = settings.model_copy(update={"labels": labels})
    model = StreamModel(few_labels)
    batch = model.new_batch()
    waiting = batch.predict({"a": 1.0})
    for row in range(rows):
        batch.predict_and_learn({"a": 0.5, "b": "c"}, ["x", f"l{row * many // rows}"])
    batch.predict_and_learn({"a": 0.5}, ["x", "y"])
    learned = batch.learn(waiting, {"x": True})
    batch.correct(waiting, {"x": True}, ["x"], learned_by=learned)
    model.apply(batch)
    model.probabilities({"a": 1.0})
    # A restore, a copy and a saved classifier derive what snapshots do not hold.
    StreamModel(few_labels).load_arrays(model.arrays())
    if kind_of(settings) == ENSEMBLE:
        _choose()


def _parts() -> Parts:
    """Return what both processes compile, this one from the first on, the second from the last: about half each."""
    step = StepParts()
    return {
        "model": lambda: EnsembleLearner(1) and None,
        "encoder": _encode,
        "decision infers": step.compile_decision_infer,
        "decision learns": step.compile_decision_learn,
        "decision chooses": step.compile_decision_choose,
        "cluster_losses learn": step.compile_cluster_loss_learn,
        "mixer learns": step.compile_mixer_learn,
        "mixer predicts": step.compile_mixer_predict,
        "ensemble predicts": step.compile_ensemble_predict,
        "ensemble learns": step.compile_ensemble_learn,
    }


def _helper_parts() -> Parts:
    """Return what is called rarely; the second process compiles it after the parts of the step, from the last on."""
    return {
        "answers for one instance": _one_instance,
        "corrections": _correct,
        "measures": _measure,
        "partition": _partition,
        "labels": _labels,
        "choices": _choose,
    }


def _encode() -> None:
    Encoder(2).encode([{"a": 0.5, "b": "c"}], observe=True)


def _measure() -> None:
    starts, slots = np.array([0, 1]), np.zeros(1, np.int32)
    ones = np.ones(1, np.int8)
    Measures(1, 1).score_rows(starts, slots, starts, slots, ones, ones, np.ones(1, np.int32))


def _labels() -> None:
    """Add labels, and replace one."""
    learner = EnsembleLearner(1)
    learner.join_labels(2)
    learner.replace_label(0)


def _partition() -> None:
    """Build trees of more labels than a node has children, and compare two."""
    labels = MAXIMUM_CHILDREN + 1
    tree = candidate_tree(PairCounts(labels).state, labels, labels)
    compare(tree, tree, np.array([0, 1, 2, 3]), np.zeros(3, np.int32), 1)


def _choose() -> None:
    """Call what a model calls only with partition ``random`` or with detectors of river."""
    RandomStrategy(0).replacement(PairCounts(2).state, 2, 2)
    detectors = DriftDetectors("none")
    detectors.resize(1)
    note_alarm(detectors.state, 0, 0.0, 1.0, 1, 0, 0, 0, event_buffer(1))


def _one_instance() -> None:
    learner = EnsembleLearner(1)
    learner.grow_features(1)
    learner.probabilities(_entries())


def _correct() -> None:
    learner = EnsembleLearner(1)
    learner.grow_features(1)
    nothing = np.zeros(0, np.int32), np.zeros(0, np.float32)
    unknown, known = np.full(1, -1, np.int8), np.zeros(1, np.int8)
    learner.correct(Correction(_entries(), *nothing, unknown, known, False, True, -1))


def _entries() -> Entries:
    column, value = np.zeros(1, np.int32), np.ones(1, np.float32)
    return Entries(column, value, value, np.ones(1, np.uint8))


if __name__ == "__main__":
    run_child({**_parts(), **_helper_parts()})
