"""The cluster tree: adding labels, top-level clusters, growth, snapshots."""

from __future__ import annotations

import numpy as np
import pytest

from streamlearn.errors import SnapshotError
from streamlearn.learner.partition.cluster_tree import (
    TreeSize,
    empty_tree,
    grow_tree,
    tree_arrays,
    tree_cluster,
    tree_cluster_count,
    tree_from_arrays,
    tree_join,
)
from tests.unit.learner.partition.trees import assert_sound, build, labels_below, nested


def tree_of(labels: int):
    tree = empty_tree(labels)
    for _ in range(labels):
        tree_join(tree)
    return tree


@pytest.mark.parametrize("labels", [0, 1, 2, 15, 16, 17, 33, 255, 256, 257, 300, 4_096, 4_097])
def test_labels_added_one_by_one_keep_the_tree_sound(labels):
    tree = tree_of(labels)
    assert_sound(tree)
    assert labels_below(nested(tree)) == list(range(labels))
    expected_height = 1 if labels <= 16 else 2 if labels <= 256 else 3 if labels <= 4_096 else 4
    assert tree.height[tree.size[TreeSize.ROOT]] == expected_height


def test_a_label_joins_the_node_with_the_fewest_labels():
    tree = build(((0, 1, 2), (3,), (4, 5)), capacity=10)
    assert not tree_join(tree)
    assert nested(tree) == ((0, 1, 2), (3, 6), (4, 5))
    assert not tree_join(tree)
    assert nested(tree) == ((0, 1, 2), (3, 6, 7), (4, 5)), "the first on a tie"


def test_a_label_in_a_full_tree_gets_new_nodes():
    full = tuple(range(16)), tuple(range(16, 32))
    tree = build(full, capacity=40)
    assert not tree_join(tree)
    assert nested(tree) == (*full, (32,))
    flat = build(tuple(range(16)), capacity=40)
    assert tree_join(flat), "the root itself was full"
    assert nested(flat) == (tuple(range(16)), (16,))


def test_top_level_clusters():
    assert tree_cluster_count(empty_tree(3)) == 0
    flat = build((0, 1, 2))
    assert tree_cluster_count(flat) == 1
    assert [tree_cluster(flat, label) for label in range(3)] == [0, 0, 0]
    deep = build((((0, 3), (5,)), ((1,), (2, 4))))
    assert tree_cluster_count(deep) == 2
    assert [tree_cluster(deep, label) for label in range(6)] == [0, 1, 1, 0, 1, 0]


def test_growing_keeps_the_tree():
    tree = tree_of(40)
    grown = grow_tree(tree, 100)
    assert nested(grown) == nested(tree)
    for name, array in tree_arrays(tree).items():
        np.testing.assert_array_equal(tree_arrays(grown)[name], array, err_msg=name)
    for _ in range(60):
        tree_join(grown)
    assert_sound(grown)
    assert nested(grown) == nested(tree_of(100))


def test_a_tree_equals_the_one_restored_from_its_arrays():
    tree = build((((0, 3), (5,)), ((1,), (2, 4))), capacity=9)
    again = tree_from_arrays(tree_arrays(tree), 20)
    assert nested(again) == nested(tree)
    tree_join(again)
    assert_sound(again)


@pytest.mark.parametrize("name", ["size", "children", "leaf_parent"])
def test_arrays_that_do_not_fit_are_rejected(name):
    arrays = tree_arrays(tree_of(20))
    with pytest.raises(SnapshotError, match="cluster tree"):
        tree_from_arrays({**arrays, name: arrays[name][:-1]}, 20)
    del arrays[name]
    with pytest.raises(SnapshotError, match=name):
        tree_from_arrays(arrays, 20)


def test_more_labels_than_the_capacity_are_rejected():
    with pytest.raises(SnapshotError, match="do not fit"):
        tree_from_arrays(tree_arrays(tree_of(20)), int(tree_of(20).size[TreeSize.LABELS]) - 1)
