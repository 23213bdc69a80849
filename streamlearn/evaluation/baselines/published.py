"""river's learners with the names and parameters of the published comparison.

Source: Esteban, Cano, Zafra and Ventura, *Hoeffding adaptive trees for multi-label classification on data streams*
(Knowledge-Based Systems, 2024), experiments of the repository aestebant/mlhat.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

GRACE_PERIOD = 200
DELTA = 1e-5
TAU = 0.05
HOEFFDING = {
    "grace_period": GRACE_PERIOD,
    "delta": DELTA,
    "tau": TAU,
    "split_criterion": "info_gain",
    "leaf_prediction": "nba",
    "nb_threshold": 0,
}


def _naive_bayes(seed: int) -> Any:
    from river import naive_bayes

    return naive_bayes.GaussianNB()


def _model_rules(seed: int) -> Any:
    from streamlearn.evaluation.baselines.model_rules import ModelRules

    return ModelRules()


def _hoeffding_tree(seed: int) -> Any:
    from river import tree

    return tree.HoeffdingTreeClassifier(**HOEFFDING, splitter=tree.splitter.GaussianSplitter())


def _hoeffding_adaptive_tree(seed: int) -> Any:
    from river import drift, tree

    return tree.HoeffdingAdaptiveTreeClassifier(
        **HOEFFDING,
        splitter=tree.splitter.GaussianSplitter(),
        drift_window_threshold=50,
        switch_significance=0.05,
        drift_detector=drift.ADWIN(),
        seed=seed,
    )


def _extremely_fast_decision_tree(seed: int) -> Any:
    from river import tree

    return tree.ExtremelyFastDecisionTreeClassifier(
        **HOEFFDING, splitter=tree.splitter.GaussianSplitter(), min_samples_reevaluate=20
    )


def _stochastic_gradient_tree(seed: int) -> Any:
    from river import tree

    return tree.SGTClassifier(grace_period=GRACE_PERIOD, delta=DELTA, init_pred=0.0, lambda_value=0.1, gamma=1.0)


def _mondrian_tree(seed: int) -> Any:
    from river import forest

    return forest.AMFClassifier(
        n_estimators=1, step=0.1, use_aggregation=True, dirichlet=0.5, split_pure=False, seed=seed
    )


def _adaptive_random_forest(seed: int) -> Any:
    from river import drift, forest

    return forest.ARFClassifier(
        n_models=10,
        max_features="sqrt",
        grace_period=50,
        delta=0.01,
        tau=TAU,
        lambda_value=6,
        leaf_prediction="nba",
        drift_detector=drift.ADWIN(),
        seed=seed,
    )


def _aggregated_mondrian_forest(seed: int) -> Any:
    from river import forest

    return forest.AMFClassifier(n_estimators=10, step=1.0, use_aggregation=True, dirichlet=0.5, seed=seed)


def _adwin_bagging(seed: int) -> Any:
    from river import ensemble, linear_model

    return ensemble.ADWINBaggingClassifier(linear_model.LogisticRegression(), n_models=10, seed=seed)


def _adwin_boosting(seed: int) -> Any:
    from river import ensemble, linear_model

    return ensemble.ADWINBoostingClassifier(linear_model.LogisticRegression(), n_models=10, seed=seed)


PUBLISHED: dict[str, Callable[[int], Any]] = {
    "nb": _naive_bayes,
    "amr": _model_rules,
    "ht": _hoeffding_tree,
    "hat": _hoeffding_adaptive_tree,
    "efdt": _extremely_fast_decision_tree,
    "sgt": _stochastic_gradient_tree,
    "mt": _mondrian_tree,
    "arf": _adaptive_random_forest,
    "amf": _aggregated_mondrian_forest,
    "abalr": _adwin_bagging,
    "abolr": _adwin_boosting,
}
"""Functions from a seed to a new model of one label; nearest neighbours are in `nearest_neighbours`."""
