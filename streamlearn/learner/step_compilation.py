"""Compiles the large kernels of the step one by one, before the step that calls them all."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from streamlearn.kernels.compiler import compile_inner
from streamlearn.learner.decode.decision import Decision, decision_infer_row, decision_learn_row
from streamlearn.learner.decode.label_set_choice import choose_by_posterior
from streamlearn.learner.drift.cluster_loss import cluster_loss_learn_row
from streamlearn.learner.drift.detectors import ClusterLossScratch, DriftDetectors
from streamlearn.learner.entries import Entries
from streamlearn.learner.event_buffer import event_buffer
from streamlearn.learner.experts.ensemble import Ensemble, ensemble_learn_row, ensemble_predict_row
from streamlearn.learner.mixture.logistic_mixing import Mixer, mixer_learn_row, mixer_predict_row
from streamlearn.learner.partition.cluster_tree import empty_tree

_INT8 = np.zeros(1, np.int8)
_UINT8 = np.zeros(1, np.uint8)
_INT32 = np.zeros(1, np.int32)
_INT64 = np.zeros(1, np.int64)
_FLOAT32 = np.zeros(1, np.float32)
_FLOAT64 = np.zeros(1)
_LABELS = 1
_ENTRIES = Entries(_INT32, _FLOAT32, _FLOAT32, _UINT8)


class StepParts:
    """Compiles parts of the step for the argument types with which the step calls them.

    Only types matter: states have one label, and no kernel is called to build them.
    """

    @cached_property
    def _ensemble(self) -> Ensemble:
        ensemble = Ensemble()
        ensemble.grow(1, _LABELS)
        return ensemble

    @cached_property
    def _mixer(self) -> Mixer:
        mixer = Mixer(self._ensemble.initial_weights)
        mixer.grow(_LABELS)
        return mixer

    @cached_property
    def _decision(self) -> Decision:
        decision = Decision()
        decision.grow(_LABELS)
        return decision

    def compile_ensemble_predict(self) -> None:
        """Compile the experts' predictions."""
        compile_inner(ensemble_predict_row, self._ensemble.state, self._ensemble.scratch, _ENTRIES, 0, 0, _LABELS, 0)

    def compile_ensemble_learn(self) -> None:
        """Compile the experts' learning."""
        ensemble = self._ensemble
        compile_inner(
            ensemble_learn_row, ensemble.state, ensemble.scratch, _ENTRIES, 0, 0, _INT8, _INT32, True, _LABELS, 0
        )

    def compile_mixer_predict(self) -> None:
        """Compile the mixing of the experts' logits."""
        mixer = self._mixer
        logits = self._ensemble.scratch.logits
        compile_inner(mixer_predict_row, mixer.state, mixer.scratch, logits, _INT64, _INT8, _LABELS, _FLOAT32)

    def compile_mixer_learn(self) -> None:
        """Compile the mixer's learning."""
        compile_inner(mixer_learn_row, self._mixer.state, self._mixer.scratch, _FLOAT32, _INT8, _LABELS)

    def compile_decision_infer(self) -> None:
        """Compile the computation of the posterior over label sets."""
        decision = self._decision
        sets = _INT64, _FLOAT64, _INT64, _INT32
        tree = empty_tree(_LABELS)
        compile_inner(decision_infer_row, decision.state, tree, decision.scratch, _FLOAT32, _LABELS, _UINT8, *sets)

    def compile_decision_choose(self) -> None:
        """Compile the choice of the answer."""
        decision = self._decision
        compile_inner(choose_by_posterior, decision.state, decision.scratch, 0, _LABELS, _UINT8, _UINT8)

    def compile_decision_learn(self) -> None:
        """Compile the decision's learning."""
        decision = self._decision
        compile_inner(
            decision_learn_row,
            decision.state,
            empty_tree(_LABELS),
            decision.scratch,
            _INT8,
            _INT32,
            True,
            _LABELS,
            _INT64,
        )

    def compile_cluster_loss_learn(self) -> None:
        """Compile the clusters' losses and the drift detectors."""
        drift, scratch = DriftDetectors().state, ClusterLossScratch(_FLOAT64, _FLOAT64, _UINT8)
        row = _INT32, 1, _FLOAT32, _INT8, _LABELS, 0, 0, 0
        compile_inner(cluster_loss_learn_row, drift, scratch, *row, event_buffer(1))
