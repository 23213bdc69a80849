"""The large parts of the step, each to be compiled by itself, before the step that calls them all."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from streamlearn.kernels.compiler import compile_inner
from streamlearn.learner.decode.decision import Decision, decision_choose_row, decision_infer_row, decision_learn_row
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
    """Compiles parts of the step for arguments of the types that the step passes on.

    Only types count: states are of one label, and no kernel is called to make them.
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

    def panel_predicts(self) -> None:
        """Compile what fills the experts' logits."""
        compile_inner(ensemble_predict_row, self._ensemble.state, self._ensemble.scratch, _ENTRIES, 0, 0, _LABELS, 0)

    def panel_learns(self) -> None:
        """Compile what every expert learns."""
        ensemble = self._ensemble
        compile_inner(
            ensemble_learn_row, ensemble.state, ensemble.scratch, _ENTRIES, 0, 0, _INT8, _INT32, True, _LABELS, 0
        )

    def mixer_predicts(self) -> None:
        """Compile what mixes the experts' logits."""
        mixer = self._mixer
        logits = self._ensemble.scratch.logits
        compile_inner(mixer_predict_row, mixer.state, mixer.scratch, logits, _INT64, _INT8, _LABELS, _FLOAT32)

    def mixer_learns(self) -> None:
        """Compile what the mixer learns."""
        compile_inner(mixer_learn_row, self._mixer.state, self._mixer.scratch, _FLOAT32, _INT8, _LABELS)

    def decision_infers(self) -> None:
        """Compile what brings logits to a posterior over label sets."""
        decision = self._decision
        sets = _INT64, _FLOAT64, _INT64, _INT32
        tree = empty_tree(_LABELS)
        compile_inner(decision_infer_row, decision.state, tree, decision.scratch, _FLOAT32, _LABELS, _UINT8, *sets)

    def decision_chooses(self) -> None:
        """Compile what chooses the answer."""
        decision = self._decision
        compile_inner(decision_choose_row, decision.state, decision.scratch, 0, _LABELS, _UINT8, _UINT8)

    def decision_learns(self) -> None:
        """Compile what the decision learns."""
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

    def monitors_learn(self) -> None:
        """Compile what watches for drift."""
        watch, scratch = DriftDetectors().state, ClusterLossScratch(_FLOAT64, _FLOAT64, _UINT8)
        row = _INT32, 1, _FLOAT32, _INT8, _LABELS, 0, 0, 0
        compile_inner(cluster_loss_learn_row, watch, scratch, *row, event_buffer(1))
