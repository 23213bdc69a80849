"""Run the learner on fixed streams and print, as JSON, hashes of its states and the calls in its machine code.

Run it as a program with an empty cache folder: numba does not show the code of a kernel that it loads from a cache.
"""

from __future__ import annotations

import importlib
import json
import math
import pkgutil
import random
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

import streamlearn
from streamlearn.kernels import cache as kernel_cache
from streamlearn.kernels.compiler import KernelDispatcher, kernel
from streamlearn.learner.decode.fixed_share import FixedShare, fixed_share_learn_row, fixed_share_predict_row
from streamlearn.learner.decode.joint_posterior import joint_predict_row, joint_scratch
from streamlearn.learner.decode.learned_pool import LearnedPool, learned_pool_learn_row
from streamlearn.learner.decode.pool_scores import (
    learned_pool_marginals,
    learned_pool_posterior,
    learned_pool_score_row,
)
from streamlearn.learner.decode.thresholds import Thresholds, thresholds_choose, thresholds_learn_row
from streamlearn.learner.decode.tree_prior import TreePrior, tree_prior_learn_row
from streamlearn.learner.decode.utility import Utility, utility_choose, utility_learn_row
from streamlearn.learner.drift.page_hinkley import PageHinkley
from streamlearn.learner.experts.label_history import (
    MAXIMUM_HISTORY_FEATURES,
    LabelHistory,
    label_history_begin_label,
    label_history_features,
    label_history_learn_row,
    label_history_predict_row,
)
from streamlearn.learner.experts.label_tree import (
    LabelTrees,
    label_tree_begin_label,
    label_tree_learn_row,
    label_tree_predict_row,
)
from streamlearn.learner.experts.naive_bayes import NaiveBayes, naive_bayes_learn_row, naive_bayes_predict_row
from streamlearn.learner.experts.neighbour_search import NEIGHBOURS, neighbours_search_row
from streamlearn.learner.experts.neighbour_votes import neighbours_label_sets, neighbours_predict_row
from streamlearn.learner.experts.neighbour_window import window_push
from streamlearn.learner.experts.neighbours import Neighbours
from streamlearn.learner.ihomer.hierarchy import Hierarchy, ihomer_begin_label
from streamlearn.learner.ihomer.learn_row import ihomer_due, ihomer_learn_row
from streamlearn.learner.ihomer.predict_row import ihomer_predict_row
from streamlearn.learner.label_sets import label_set_code
from streamlearn.learner.partition.clusters import Partition, partition_due, partition_know, partition_learn_row
from streamlearn.model.stored_instance import StoredInstance
from streamlearn.model.stream_model import StreamModel
from streamlearn.numerics.exp_log import exp64
from streamlearn.settings.rule import Rule
from streamlearn.settings.settings import Settings
from streamlearn.state.arrays import state_hash

ROWS = 1500
DECLARED = re.compile(r"^declare .*?@\"?([\w.$-]+)\"?\(", re.MULTILINE)
CALLED = re.compile(r"\b(?:call|jmp|movabs)q?\s+\*?\$?([A-Za-z_][\w.$]*)")


@kernel
def foreign(x, y, out):
    """Functions that kernels may not call; a test checks that they are found in this one."""
    out[0] = math.exp(x[0]) + math.log(x[1]) + x[2] ** x[3] + np.dot(x, y) + math.tanh(x[0])


def example_model(preset: str = "default", rows: int = ROWS) -> StreamModel:
    """Return a model after a stream with drift and every kind of truth, feature and rule."""
    settings = Settings.model_validate(
        {"learner": {"preset": preset}, "labels": {"maximum": 22, "min_count": 3}, "features": {"maximum": 64}}
    )
    model = StreamModel(settings, labels=["l0", "l1"])
    generator = random.Random(5)
    rules = [Rule.parse(text) for text in ("subset", "hamming", "top_k:2", "threshold:0.4")]
    waiting: list[tuple[Any, list[str]]] = []
    for row in range(rows):
        topic = generator.randrange(4)
        x: dict[str, Any] = {f"f{topic}_{generator.randrange(3)}": generator.random() for _ in range(4)}
        x |= {"size": generator.gauss(topic, 2), "colour": generator.choice("rgb"), "on": topic > 1}
        partner = (topic + (1 if row < rows // 2 else 2)) % 4
        truth = [f"l{topic}", f"l{4 + partner}"] if generator.random() < 0.9 else [f"l{8 + row % 19}"]
        batch = model.new_batch()
        if row % 17 == 3:
            partial = {truth[0]: True, "l3": False}
            operation = batch.predict_and_learn(x, partial)
            batch.correct(operation, partial, truth, learned_by=operation)
            batch.correct(operation, truth, [truth[-1]], learned_by=operation)
        elif row % 5 == 2:
            operation = batch.predict(x, rules[row % 4])
            waiting.append((StoredInstance.unpacked(model.apply(batch).packed(operation)), truth))
            continue
        else:
            batch.predict_and_learn(x, truth, rules[row % 4])
        if len(waiting) > 20:
            batch.learn(*waiting.pop(0))
        model.apply(batch)
    model.probabilities({"size": 1.0})
    return model


def example_experts() -> list[str]:
    """Return the hashes of naive Bayes, the label history and their logits after rows of 21 labels and 12 columns."""
    labels, features = 21, 12
    generator = random.Random(7)
    bayes, label_history = NaiveBayes(), LabelHistory()
    bayes.grow(features, labels)
    label_history.grow(labels)
    label_history_begin_label(label_history.state, 3, -4.0)
    before, values = np.zeros(MAXIMUM_HISTORY_FEATURES, np.int32), np.zeros(MAXIMUM_HISTORY_FEATURES, np.float32)
    logits, scratch = np.zeros((3, 24), np.float32), np.zeros(24, np.float32)
    slow = np.full(24, 0.05)
    for _ in range(400):
        topic = generator.randrange(4)
        columns = np.array(sorted(generator.sample(range(topic, features), 5)), np.int32)
        u = np.array([generator.gauss(0.3, 0.3) for _ in columns], np.float32)
        truth = np.array([generator.random() < 0.2 + 0.4 * (label == topic) for label in range(labels)], np.int8)
        size = label_history_features(label_history.state, labels, before, values)
        label_history_predict_row(label_history.state, before[:size], values[:size], labels, logits[0])
        naive_bayes_predict_row(bayes.state, columns, u, features, labels, slow, scratch, logits[1], logits[2])
        label_history_learn_row(label_history.state, before[:size], values[:size], truth, logits[0], labels, scratch)
        naive_bayes_learn_row(bayes.state, columns, u, np.flatnonzero(truth).astype(np.int32))
    return [
        *(state_hash(arrays) for arrays in (bayes.arrays(features, labels), label_history.arrays(labels))),
        state_hash({"logits": logits}),
    ]


def example_pool() -> LearnedPool:
    """Return a pool of label sets after rows with neighbours, new sets and a label that is retired."""
    generator = np.random.default_rng(3)
    labels = 12
    pool = LearnedPool()
    pool.grow(labels)
    positives = np.zeros(labels, np.int64)
    marginals = np.zeros(labels, np.float32)
    for _ in range(300):
        members = np.sort(generator.choice(labels, generator.integers(0, 6), replace=False)).astype(np.int32)
        code = np.full(2, label_set_code(members, 0, members.size), np.int64)
        starts = np.arange(3) * members.size
        logits = generator.normal(-1.0, 2.0, labels).astype(np.float32)
        around = code, np.ones(2), starts, np.tile(members, 2)
        learned_pool_score_row(pool.state, pool.scratch, logits, labels, *around)
        learned_pool_marginals(pool.state, pool.scratch, labels, marginals)
        learned_pool_posterior(pool.state, pool.scratch, members)
        positives[members] += 1
        learned_pool_learn_row(pool.state, pool.scratch, members, labels, positives)
    pool.retire(3)
    pool.load_arrays(pool.arrays(labels), labels)
    return pool


def example_joint() -> list[str]:
    """Return the hashes of the cluster tree, of the decisions' states and of the last marginals after 600 rows."""
    generator = np.random.default_rng(4)
    labels = 20
    partition, tree, pool = Partition(19, maximum=32), TreePrior(), LearnedPool()
    utility, share, thresholds, scratch = Utility(), FixedShare(), Thresholds(), joint_scratch(labels)
    partition.grow(labels)
    for owner in (tree, pool, share, thresholds):
        owner.grow(labels)
    tree.follow(partition)
    partition_know(partition.state, labels)
    tree.follow(partition)
    none = np.zeros(0, np.int64), np.zeros(0), np.zeros(1, np.int64), np.zeros(0, np.int32)
    positives, allowed, chosen = np.zeros(labels, np.int64), np.ones(labels, np.uint8), np.zeros(labels, np.uint8)
    mixed = np.zeros(labels, np.float32)
    for _ in range(600):
        first = generator.random(10) < 0.2
        truth = np.concatenate([first, first & (generator.random(10) < 0.9)]).astype(np.int8)
        members = np.flatnonzero(truth).astype(np.int32)
        logits = generator.normal(3.0 * truth - 2.0, 1.5).astype(np.float32)
        best = learned_pool_score_row(pool.state, pool.scratch, logits, labels, *none)
        states = pool.state, pool.scratch, best, tree.state, partition.state.tree
        joint_predict_row(*states, scratch, logits, labels, allowed)
        utility_choose(utility.state, scratch.candidates, 2.0)
        fixed_share_predict_row(share.state, scratch.probabilities, scratch.marginals, labels, mixed)
        thresholds_choose(thresholds.state, mixed, labels, allowed, chosen)
        thresholds_learn_row(thresholds.state, mixed, truth, labels)
        fixed_share_learn_row(share.state, scratch.probabilities, scratch.marginals, truth, labels)
        utility_learn_row(utility.state, scratch.candidates, truth, members.size)
        positives += truth
        learned_pool_learn_row(pool.state, pool.scratch, members, labels, positives)
        partition_learn_row(partition.state, members)
        tree_prior_learn_row(tree.state, partition.state.tree, members)
        if partition_due(partition.state):
            partition.run_test()
            tree.follow(partition)
    arrays = tree.arrays(partition), utility.arrays(), share.arrays(labels), thresholds.arrays(labels)
    return [*(state_hash(each) for each in arrays), state_hash({"marginals": scratch.marginals, "mixed": mixed})]


def example_neighbours() -> list[str]:
    """Return the hashes of the neighbours' window, after a label was retired, and of its answers."""
    generator = np.random.default_rng(11)
    labels, features = 9, 30
    owner = Neighbours()
    owner.grow(features, labels)
    slow = np.full(labels, 0.1)
    logits = np.zeros((2, labels), np.float32)
    codes, weights = np.zeros(NEIGHBOURS, np.int64), np.zeros(NEIGHBOURS)
    starts, sets = np.zeros(NEIGHBOURS + 1, np.int64), np.zeros(NEIGHBOURS * labels, np.int32)
    for row in range(400):
        share = 0.1 + 0.8 * (np.arange(features) % 5 == 0)
        columns = np.flatnonzero(generator.random(features) < share).astype(np.int32)
        v = generator.normal(0.1, 0.3, columns.size).astype(np.float32)
        truth = (generator.random(labels) < 0.3).astype(np.int8)
        neighbours_search_row(owner.state, owner.scratch, columns, v)
        neighbours_predict_row(owner.state, owner.scratch, slow, labels, logits[0], logits[1])
        neighbours_label_sets(owner.state, owner.scratch, codes, weights, starts, sets)
        members = np.flatnonzero(truth == 1).astype(np.int32)
        window_push(owner.state, columns, v, truth, members, row % 5 != 0, labels)
    answers = {"logits": logits, "codes": codes, "weights": weights}
    owner.retire(3)
    owner.load_arrays(owner.arrays(), features, labels)
    return [state_hash(owner.arrays()), state_hash(answers)]


def example_trees() -> LabelTrees:
    """Return label trees after a stream with unknown truths, a late label, drift and more columns than fit."""
    generator = np.random.default_rng(4)
    labels, features = 5, 60
    trees = LabelTrees(2**14)
    trees.grow(features, labels + 1)
    out, slow = np.zeros(labels + 1, np.float32), np.full(labels + 1, -1.5, np.float32)
    for row in range(1500):
        if row == 300:
            label_tree_begin_label(trees.state, labels)
            labels += 1
        bins = generator.integers(0, 4, features).astype(np.uint8)
        columns = np.flatnonzero(bins).astype(np.int32)
        moved = np.roll(bins, -7 * (row // 500))
        truth = (generator.random(labels) < 0.05 + 0.3 * (moved[:labels] > 1)).astype(np.int8)
        truth[2] = -1 if row % 9 == 8 else truth[2]
        label_tree_predict_row(trees.state, trees.scratch, columns, bins[columns], labels, out)
        entries = columns, bins[columns], truth, truth[2] >= 0, labels, features
        label_tree_learn_row(trees.state, trees.scratch, *entries, slow)
    return trees


def example_ihomer() -> list[Any]:
    """Return the hash of iHOMER and its counts, after drift in its trees and clusters."""
    generator = np.random.default_rng(6)
    labels, features = 6, 14
    owner = Hierarchy("random", tree_bytes=2**16)
    owner.grow(features, labels)
    for label in range(labels):
        ihomer_begin_label(owner.state, label)
    logits, chosen = np.zeros(labels, np.float32), np.zeros(labels, np.uint8)
    restructured = 0
    for row in range(2600):
        bins = generator.integers(0, 2, features).astype(np.uint8)
        columns = np.flatnonzero(bins).astype(np.int32)
        values = np.full(columns.size, 1 / math.sqrt(max(columns.size, 1)), np.float32)
        on = bins[4] != bins[5] if 1500 <= row < 1560 else bins[3]
        truth = np.array([on, on, on, *generator.integers(0, 2, 3)], np.int8)
        members = np.flatnonzero(truth).astype(np.int32)
        ihomer_predict_row(owner.state, owner.scratch, columns, values, bins[columns], labels, logits, chosen)
        ihomer_learn_row(owner.state, owner.scratch, columns, values, bins[columns], truth, members, True, labels)
        if ihomer_due(owner.state):
            alarms, events = owner.restructure()
            restructured += len(alarms) + len(events)
    owner.retire(2)
    return [state_hash(owner.arrays(features, labels)), list(owner.counts.values()), restructured]


def kernels() -> Iterator[tuple[str, KernelDispatcher]]:
    """Yield every kernel of the package with its full name."""
    for found in pkgutil.walk_packages(streamlearn.__path__, "streamlearn."):
        if found.name.split(".")[1] in kernel_cache.KERNEL_SOURCES:
            module = importlib.import_module(found.name)
            for name, value in vars(module).items():
                if isinstance(value, KernelDispatcher) and value.py_func.__module__ == found.name:
                    yield f"{found.name}.{name}", value


def describe(compiled: KernelDispatcher) -> dict[str, Any]:
    """Return the functions that the code of a kernel declares or calls, and its fused multiply-adds."""
    forms = (compiled, compiled.inner)
    ir = "\n".join(text for form in forms for text in form.inspect_llvm().values())
    assembly = "\n".join(text for form in forms for text in form.inspect_asm().values())
    return {
        "signatures": sum(len(form.signatures) for form in forms),
        "symbols": sorted(set(DECLARED.findall(ir)) | set(CALLED.findall(assembly))),
        "fused": len(re.findall(r"\bvf[n]?m(?:add|sub)", assembly)),
        "readable": "define " in ir and ".globl" in assembly,
    }


def report() -> dict[str, Any]:
    """Return the hashes of the examples, and the calls in the machine code of every kernel."""
    model = example_model()
    detector = PageHinkley(1)
    alarms = [detector.update(0, float(row > 300)) for row in range(600)]
    trees = example_trees()
    exp64(1.0)
    foreign(np.ones(4), np.ones(4), np.zeros(1))
    return {
        "hash": model.state_hash(),
        "experts": example_experts(),
        "neighbours": example_neighbours(),
        "joint": example_joint(),
        "learned_pool": state_hash(example_pool().arrays(12)),
        "label_trees": [state_hash(trees.arrays(60, 6)), trees.splits, trees.resets],
        "ihomer": [*example_ihomer(), example_model("paper", 400).state_hash()],
        "page_hinkley": [state_hash(detector.arrays()), sum(alarms)],
        "learned": model.learned,
        "clusters": model.cluster_count,
        "kernels": {name: describe(compiled) for name, compiled in kernels()},
        "foreign": describe(foreign),  # type: ignore[arg-type]
    }


if __name__ == "__main__":
    print(json.dumps(report()))  # noqa: T201
