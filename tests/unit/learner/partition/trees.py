"""Converts cluster trees to the nested tuples of the plain twins and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamlearn.learner.partition.cluster_tree import (
    MAXIMUM_CHILDREN,
    TreeSize,
    TreeState,
    empty_tree,
    tree_add_node,
    tree_attach,
)


def nested(tree: TreeState, node: int | None = None) -> Any:
    """Return a tree, or the subtree of one of its nodes, as nested tuples of labels."""
    at = int(tree.size[TreeSize.ROOT]) if node is None else node
    children = tree.children[at, : tree.child_count[at]].tolist()
    return tuple(children) if tree.height[at] == 1 else tuple(nested(tree, child) for child in children)


def labels_below(item: Any) -> list[int]:
    """Return the labels in nested tuples, from left to right."""
    return [item] if isinstance(item, int) else [label for child in item for label in labels_below(child)]


def build(item: Any, capacity: int | None = None) -> TreeState:
    """Return the tree of nested tuples, in which all labels must be equally deep."""
    labels = len(labels_below(item))
    tree = empty_tree(labels if capacity is None else capacity)
    tree.size[:] = (labels, 0, 0)

    def add(below: Any) -> tuple[int, int]:
        added = [(child, 0) if isinstance(child, int) else add(child) for child in below]
        height = 1 + max((high for _, high in added), default=0)
        node = tree_add_node(tree, height)
        for child, _ in added:
            tree_attach(tree, node, child)
        return node, height

    tree.size[TreeSize.ROOT] = add(item)[0]
    return tree


def assert_sound(tree: TreeState) -> None:
    """Check that every label is in the tree once, equally deep, and that parents and children agree."""
    labels, nodes, root = (int(tree.size[i]) for i in TreeSize)
    assert sorted(labels_below(nested(tree))) == list(range(labels))
    assert tree.parent[root] == -1
    for node in range(nodes):
        count = int(tree.child_count[node])
        assert (0 if node == root else 1) <= count <= MAXIMUM_CHILDREN
        children = tree.children[node, :count]
        positions = np.arange(count)
        if tree.height[node] == 1:
            np.testing.assert_array_equal(tree.leaf_parent[children], node)
            np.testing.assert_array_equal(tree.leaf_position[children], positions)
        else:
            np.testing.assert_array_equal(tree.parent[children], node)
            np.testing.assert_array_equal(tree.position[children], positions)
            np.testing.assert_array_equal(tree.height[children], tree.height[node] - 1)
