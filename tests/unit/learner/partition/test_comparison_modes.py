"""Setting ``learner.partition``: what each mode makes of the clusters, for the partition and for whole models."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from streamlearn.errors import SnapshotError, UsageError
from streamlearn.learner.decode.tree_prior import Scale, TreePrior, tree_prior_learn_row, tree_prior_log_prior
from streamlearn.learner.partition.cluster_tree import tree_cluster
from streamlearn.learner.partition.clusters import Partition, due, partition_know, partition_learn_row
from streamlearn.learner.partition.comparison_modes import MODES, Mode
from streamlearn.learner.partition.linkage import candidate_tree
from streamlearn.model.stream_model import StreamModel
from streamlearn.settings.settings import Settings
from tests.unit.learner.partition.trees import assert_sound

LABELS = 24


def learnt(mode: Mode, rows: int = 700, seed: int = 0) -> Partition:
    """Return a partition that has seen groups of three labels that go together."""
    generator = np.random.default_rng(5)
    partition = Partition(LABELS, mode=mode, seed=seed)
    for _ in range(rows):
        group = generator.integers(0, LABELS // 3)
        members = np.flatnonzero((np.arange(LABELS) % (LABELS // 3) == group) & (generator.random(LABELS) < 0.9))
        partition_learn_row(partition.state, members.astype(np.int32))
        if due(partition.state):
            partition.run_test()
    return partition


def groups_of(partition: Partition) -> list[set[int]]:
    found: dict[int, set[int]] = {}
    for label, parent in enumerate(partition.state.tree.leaf_parent[: partition.known].tolist()):
        found.setdefault(parent, set()).add(label)
    return list(found.values())


def test_whole_is_one_cluster_for_ever():
    partition = learnt("whole")
    assert (partition.cluster_count, set(partition.cluster_of.tolist())) == (1, {0})
    assert (partition.tests, partition.switches) == (0, 0)
    assert Partition(mode="whole").cluster_count == 0


def test_singletons_are_one_cluster_a_label_late_ones_too():
    partition = learnt("singletons")
    partition.grow(LABELS + 2)
    partition_know(partition.state, LABELS + 2)
    assert partition.cluster_count == LABELS + 2
    assert partition.cluster_of.tolist() == list(range(LABELS + 2))
    assert (partition.tests, partition.switches) == (0, 0)


def test_random_clusters_have_the_sizes_of_the_first_candidate_and_hang_on_the_seed_alone():
    first, again, other = learnt("random", 100), learnt("random", 700), learnt("random", 700, seed=1)
    candidate = candidate_tree(first.state.counts, LABELS, LABELS)
    sizes = Counter(candidate.leaf_parent[:LABELS].tolist())
    counted = {frozenset(np.flatnonzero(candidate.leaf_parent[:LABELS] == node).tolist()) for node in sizes}
    for partition in (first, again, other):
        assert_sound(partition.state.tree)
        assert sorted(map(len, groups_of(partition))) == sorted(sizes.values())
        assert partition.switches == 1
        assert {frozenset(group) for group in groups_of(partition)} != counted
        assert partition.cluster_of.tolist() == [tree_cluster(partition.state.tree, n) for n in range(LABELS)]
    assert groups_of(first) == groups_of(again) != groups_of(other)


@pytest.mark.parametrize("mode", MODES)
def test_a_snapshot_comes_back_and_another_mode_refuses_it(mode):
    partition = learnt(mode)
    arrays = {name: array.copy() for name, array in partition.arrays().items()}
    same = Partition(mode=mode)
    same.load_arrays(arrays)
    assert same.cluster_of.tolist() == partition.cluster_of.tolist()
    other: Mode = "whole" if mode == "jaccard" else "jaccard"
    with pytest.raises(SnapshotError, match=rf"learner.partition = {mode}.*{other}"):
        Partition(mode=other).load_arrays(arrays)


def test_a_mode_that_does_not_exist_is_named():
    with pytest.raises(UsageError, match="'pearson'"):
        Partition(mode="pearson")  # pyright: ignore[reportArgumentType]


def test_singletons_decode_labels_that_always_go_together_as_independent():
    prior = {}
    for mode in ("whole", "singletons"):
        partition, tree = Partition(2, mode=mode), TreePrior()
        tree.follow(partition)
        for row in range(400):
            members = np.array([0, 1] if row % 2 else [], np.int32)
            tree_prior_learn_row(tree.state, partition.state.tree, members)
        sets = ([], [0], [1], [0, 1])
        logs = [tree_prior_log_prior(tree.state, partition.state.tree, np.array(s, np.int32)) for s in sets]
        prior[mode] = np.exp(logs) / np.exp(logs).sum()
        assert (tree.state.scale[0, Scale.REMEMBERED] == 0.0) == (mode == "singletons")
    np.testing.assert_allclose(prior["singletons"], 0.25, atol=0.01)
    assert prior["whole"][1] < 0.02


def rows_of(count: int) -> list[tuple[dict[str, float], list[str]]]:
    generator = random.Random(2)
    found = []
    for _ in range(count):
        topic = generator.randrange(4)
        truth = [f"l{topic}", f"l{topic + 4}"] + [f"l{generator.randrange(20)}"] * (generator.random() < 0.3)
        found.append(({f"f{topic}": 1.0, f"g{generator.randrange(5)}": generator.random()}, list(dict.fromkeys(truth))))
    return found


@pytest.mark.parametrize("preset", ["default", "paper"])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_keeps_the_laws_of_a_model(preset, mode):
    settings = Settings.model_validate(
        {"learner": {"preset": preset, "partition": mode}, "features": {"maximum": 32}, "labels": {"maximum": 24}}
    )
    whole, cut = StreamModel(settings), StreamModel(settings)
    rows = rows_of(900)
    for model, edges in ((whole, [0, 900]), (cut, [0, 50, 130, 131, 420, 900])):
        for start, stop in pairwise(edges):
            batch = model.new_batch()
            for x, truth in rows[start:stop]:
                batch.predict_and_learn(x, truth)
            model.apply(batch)
            if stop == 420:
                arrays = {name: array.copy() for name, array in model.arrays().items()}
                model.load_arrays(arrays)
                assert model.memory_bytes() <= model.memory_bound_bytes()
    assert whole.state_hash() == cut.state_hash()
    names = sorted(name for cluster in whole.clusters() for name in cluster)
    assert names == sorted(whole.label_names)
    if mode == "whole":
        assert whole.cluster_count == 1
    if mode == "singletons":
        assert whole.cluster_count == len(names) == 20
    if mode in ("jaccard", "random"):
        assert 1 <= whole.cluster_count < 20


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_a_model_of_another_mode_refuses_the_snapshot(preset):
    def model(mode: str) -> StreamModel:
        return StreamModel(Settings.model_validate({"learner": {"preset": preset, "partition": mode}}))

    with pytest.raises(SnapshotError, match=r"mode|learner\.partition"):
        model("jaccard").load_arrays(model("random").arrays())
