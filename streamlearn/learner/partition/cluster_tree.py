"""The tree of label clusters: labels in groups of at most 16, groups of groups, up to one root; all equally deep.

A label that is not yet in the tree joins the group with most room. The top-level clusters are the groups directly below
the root; a root that holds the labels themselves is one cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.kernels.compiler import kernel
from streamlearn.state.array_names import CLUSTER_TREE

MAXIMUM_CHILDREN = 16
"""Children of a node, so that a pattern of active children is a bit mask."""

LABELS, NODES, ROOT = 0, 1, 2


class TreeState(NamedTuple):
    """A tree over the label slots 0 to ``size[LABELS]`` - 1; what lies beyond ``size`` is spare room.

    Attributes
    ----------
    size
        int64[3]: labels, nodes, index of the root.
    children
        int32[nodes, MAXIMUM_CHILDREN], label slots where ``height`` is 1, else nodes.
    child_count, parent, position, height
        int32[nodes]: children in use; the parent (-1 at the root); place among the parent's children; levels above
        the labels, from 1.
    leaf_parent, leaf_position
        int32[labels]: the group of a label and its place there.
    """

    size: np.ndarray
    children: np.ndarray
    child_count: np.ndarray
    parent: np.ndarray
    position: np.ndarray
    height: np.ndarray
    leaf_parent: np.ndarray
    leaf_position: np.ndarray


def empty_tree(labels: int) -> TreeState:
    """Return a tree of one root without labels, with room for ``labels`` label slots."""
    nodes = node_capacity(labels)
    return TreeState(
        np.array([0, 1, 0], np.int64),
        np.zeros((nodes, MAXIMUM_CHILDREN), np.int32),
        np.zeros(nodes, np.int32),
        np.full(nodes, -1, np.int32),
        np.zeros(nodes, np.int32),
        np.ones(nodes, np.int32),
        np.zeros(labels, np.int32),
        np.zeros(labels, np.int32),
    )


def node_capacity(labels: int) -> int:
    """Return how many nodes a tree over this many labels may need."""
    return labels + MAXIMUM_CHILDREN


def grow_tree(tree: TreeState, labels: int) -> TreeState:
    """Return the same tree with room for ``labels`` label slots."""
    grown = empty_tree(labels)
    for old, new in zip(tree, grown, strict=True):
        new[tuple(slice(0, n) for n in old.shape)] = old
    return grown


def tree_arrays(tree: TreeState) -> dict[str, np.ndarray]:
    """Return the tree by name without its spare room."""
    labels, nodes = int(tree.size[LABELS]), int(tree.size[NODES])
    cuts = (3, nodes, nodes, nodes, nodes, nodes, labels, labels)
    return {name: array[:cut] for name, array, cut in zip(CLUSTER_TREE, tree, cuts, strict=True)}


def tree_from_arrays(arrays: Mapping[str, np.ndarray], labels: int) -> TreeState:
    """Return the tree that ``tree_arrays`` described, with room for ``labels`` label slots.

    Raises
    ------
    SnapshotError
        If an array is missing or the shapes do not agree with the sizes.
    """
    try:
        given = TreeState(*(arrays[name] for name in CLUSTER_TREE))
    except KeyError as error:
        raise SnapshotError(f"label tree: the array {error} is missing from the snapshot") from None
    if given.size.shape != (3,) or not 0 <= given.size[LABELS] <= labels:
        raise SnapshotError(f"label tree: sizes {given.size.tolist()} do not fit {labels} labels")
    tree = empty_tree(labels)
    if given.size[NODES] > len(tree.parent):
        raise SnapshotError(f"label tree: {given.size[NODES]} nodes are too many for {labels} labels")
    tree.size[:] = given.size
    for (name, array), source in zip(tree_arrays(tree).items(), given, strict=True):
        if source.shape != array.shape:
            raise SnapshotError(f"label tree: the array {name!r} should be {array.shape}, found {source.shape}")
        array[...] = source
    return tree


@kernel
def tree_add_node(tree: TreeState, height: int) -> int:
    """Append a node without children and return its index."""
    node = tree.size[NODES]
    tree.size[NODES] = node + 1
    tree.child_count[node] = 0
    tree.parent[node] = -1
    tree.position[node] = 0
    tree.height[node] = height
    return node


@kernel
def tree_attach(tree: TreeState, node: int, child: int) -> None:
    """Make a label (below height 1) or a node the last child of a node that has room."""
    place = tree.child_count[node]
    tree.children[node, place] = child
    tree.child_count[node] = place + 1
    if tree.height[node] == 1:
        tree.leaf_parent[child] = node
        tree.leaf_position[child] = place
    else:
        tree.parent[child] = node
        tree.position[child] = place


@kernel
def tree_roomiest(tree: TreeState, height: int) -> int:
    """Return the node of this height with the fewest children, the lowest index of equals, -1 if all are full."""
    best = -1
    least = MAXIMUM_CHILDREN
    for node in range(tree.size[NODES]):
        if tree.height[node] == height and tree.child_count[node] < least:
            least = tree.child_count[node]
            best = node
    return best


@kernel
def tree_join(tree: TreeState) -> bool:
    """Give the next label slot a place: the group with most room, else a new group where there is room for one.

    Returns
    -------
    bool
        Whether the root was full, so that a new root stands above the old one.
    """
    label = int(tree.size[LABELS])
    tree.size[LABELS] = label + 1
    root = int(tree.size[ROOT])
    top = int(tree.height[root])
    height = 0
    node = -1
    while node < 0 and height < top:
        height += 1
        node = tree_roomiest(tree, height)
    raised = node < 0
    if raised:
        height = top + 1
        node = tree_add_node(tree, height)
        tree_attach(tree, node, root)
        tree.size[ROOT] = node
    while height > 1:
        height -= 1
        below = tree_add_node(tree, height)
        tree_attach(tree, node, below)
        node = below
    tree_attach(tree, node, label)
    return raised


@kernel
def tree_cluster(tree: TreeState, label: int | np.int64) -> int:
    """Return the top-level cluster of a label: the place below the root of the group it belongs to."""
    root = int(tree.size[ROOT])
    node = int(tree.leaf_parent[label])
    cluster = 0
    while node != root:
        cluster = int(tree.position[node])
        node = int(tree.parent[node])
    return cluster


@kernel
def tree_cluster_count(tree: TreeState) -> int:
    """Return the number of top-level clusters: 0 without labels, 1 where the root holds the labels themselves."""
    root = int(tree.size[ROOT])
    if tree.size[LABELS] == 0:
        return 0
    return 1 if tree.height[root] == 1 else int(tree.child_count[root])
