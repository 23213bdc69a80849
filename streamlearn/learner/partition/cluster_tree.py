"""The tree of label clusters: a node has at most 16 children, and all labels are equally deep.

Nodes of height 1 hold labels, higher ones hold nodes, up to one root. A new label joins the node of height 1 with the
fewest labels. The top-level clusters are the children of the root; a root that holds labels is one cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.errors import MissingArrayError, SnapshotError
from streamlearn.kernels.compiler import kernel
from streamlearn.state.array_names import CLUSTER_TREE

MAXIMUM_CHILDREN = 16
"""Children of a node, so that a pattern of active children is a bit mask."""


class TreeSize(IntEnum):
    """Fields of `TreeState.size`."""

    LABELS = 0  # label slots in the tree
    NODES = 1  # nodes in use
    ROOT = 2  # index of the root


SIZE_FIELDS = len(TreeSize)


class TreeState(NamedTuple):
    """A tree over the label slots 0 to ``size[LABELS]`` - 1; what lies beyond ``size`` is spare capacity.

    Attributes
    ----------
    size
        int64[SIZE_FIELDS], fields `TreeSize`.
    children
        int32[nodes, MAXIMUM_CHILDREN], label slots where ``height`` is 1, else nodes.
    child_count
        int32[nodes], children in use.
    parent
        int32[nodes], -1 at the root.
    position
        int32[nodes], index among the parent's children.
    height
        int32[nodes], levels above the labels, from 1.
    leaf_parent
        int32[labels], the node that holds the label.
    leaf_position
        int32[labels], index of the label among that node's children.
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
    """Return a tree of one root without labels, with capacity for ``labels`` label slots."""
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
    """Return the most nodes of a tree over this many labels."""
    return labels + MAXIMUM_CHILDREN


def grow_tree(tree: TreeState, labels: int) -> TreeState:
    """Return the same tree with capacity for ``labels`` label slots."""
    grown = empty_tree(labels)
    for old, new in zip(tree, grown, strict=True):
        new[tuple(slice(0, n) for n in old.shape)] = old
    return grown


def tree_arrays(tree: TreeState) -> dict[str, np.ndarray]:
    """Return the arrays of the tree without spare capacity, by the names of `CLUSTER_TREE`."""
    labels, nodes = int(tree.size[TreeSize.LABELS]), int(tree.size[TreeSize.NODES])
    cuts = (SIZE_FIELDS, nodes, nodes, nodes, nodes, nodes, labels, labels)
    return {name: array[:cut] for name, array, cut in zip(CLUSTER_TREE, tree, cuts, strict=True)}


def tree_from_arrays(arrays: Mapping[str, np.ndarray], labels: int) -> TreeState:
    """Return the tree whose `tree_arrays` are given, with capacity for ``labels`` label slots.

    Raises
    ------
    SnapshotError
        If an array is missing or the shapes do not agree with the sizes.
    """
    try:
        given = TreeState(*(arrays[name] for name in CLUSTER_TREE))
    except MissingArrayError:
        raise
    except KeyError as error:
        raise SnapshotError(f"cluster tree: the array {error} is missing from the snapshot") from None
    if given.size.shape != (SIZE_FIELDS,) or not 0 <= given.size[TreeSize.LABELS] <= labels:
        raise SnapshotError(f"cluster tree: sizes {given.size.tolist()} do not fit {labels} labels")
    tree = empty_tree(labels)
    if given.size[TreeSize.NODES] > len(tree.parent):
        raise SnapshotError(f"cluster tree: {given.size[TreeSize.NODES]} nodes are too many for {labels} labels")
    tree.size[:] = given.size
    for (name, array), source in zip(tree_arrays(tree).items(), given, strict=True):
        if source.shape != array.shape:
            raise SnapshotError(f"cluster tree: the array {name!r} should be {array.shape}, found {source.shape}")
        array[...] = source
    return tree


@kernel
def tree_add_node(tree: TreeState, height: int) -> int:
    """Append a node without children and return its index."""
    node = tree.size[TreeSize.NODES]
    tree.size[TreeSize.NODES] = node + 1
    tree.child_count[node] = 0
    tree.parent[node] = -1
    tree.position[node] = 0
    tree.height[node] = height
    return node


@kernel
def tree_attach(tree: TreeState, node: int, child: int) -> None:
    """Append a child to a node that is not full: a label to a node of height 1, else a node."""
    position = tree.child_count[node]
    tree.children[node, position] = child
    tree.child_count[node] = position + 1
    if tree.height[node] == 1:
        tree.leaf_parent[child] = node
        tree.leaf_position[child] = position
    else:
        tree.parent[child] = node
        tree.position[child] = position


@kernel
def tree_roomiest(tree: TreeState, height: int) -> int:
    """Return the node of this height with the fewest children (ties: the lowest index), -1 if all are full."""
    best = -1
    least = MAXIMUM_CHILDREN
    for node in range(tree.size[TreeSize.NODES]):
        if tree.height[node] == height and tree.child_count[node] < least:
            least = tree.child_count[node]
            best = node
    return best


@kernel
def tree_join(tree: TreeState) -> bool:
    """Add the next label slot to the node of height 1 with the fewest labels.

    If all of these are full, new nodes down to height 1 are added below the lowest node that is not full.

    Returns
    -------
    bool
        Whether every node was full, so that there is a new root above the old one.
    """
    label = int(tree.size[TreeSize.LABELS])
    tree.size[TreeSize.LABELS] = label + 1
    root = int(tree.size[TreeSize.ROOT])
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
        tree.size[TreeSize.ROOT] = node
    while height > 1:
        height -= 1
        below = tree_add_node(tree, height)
        tree_attach(tree, node, below)
        node = below
    tree_attach(tree, node, label)
    return raised


@kernel
def tree_cluster(tree: TreeState, label: int | np.int64) -> int:
    """Return the top-level cluster of a label: the position of the root's child above it, 0 if the root holds it."""
    root = int(tree.size[TreeSize.ROOT])
    node = int(tree.leaf_parent[label])
    cluster = 0
    while node != root:
        cluster = int(tree.position[node])
        node = int(tree.parent[node])
    return cluster


@kernel
def tree_cluster_count(tree: TreeState) -> int:
    """Return the number of top-level clusters: 0 without labels, 1 where the root holds the labels themselves."""
    root = int(tree.size[TreeSize.ROOT])
    if tree.size[TreeSize.LABELS] == 0:
        return 0
    return 1 if tree.height[root] == 1 else int(tree.child_count[root])
