"""Builds a candidate cluster tree from pair counts by greedy average linkage.

Source: average linkage (UPGMA), R. R. Sokal and C. D. Michener, "A statistical method for evaluating systematic
relationships", University of Kansas Science Bulletin 38 (1958). The similarity of two groups is the mean Jaccard
similarity over the pairs of their labels. On each level the two most similar groups merge while that similarity is
above zero and the merged group has at most 16 children. Then groups with at most 8 children are packed together, most
frequent first, up to 16. The groups are the items of the next level, until at most 16 are left for the root.

Up to 16 labels would fit under the root without groups. From 4 labels on they are grouped too, so that a small label
space has clusters if these have the shorter code length: a group has at most half of the labels, and none are packed.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.partition.cluster_tree import (
    MAXIMUM_CHILDREN,
    TreeSize,
    TreeState,
    empty_tree,
    tree_add_node,
    tree_attach,
)
from streamlearn.learner.partition.pair_counts import PairCountsState, jaccard

FEWEST_LABELS = 4
"""Fewer labels than this are not grouped."""


@kernel
def similarity_sums(counts: PairCountsState, labels: int, sums: np.ndarray) -> None:
    """Fill ``sums`` float64[labels, labels] with the similarity of each pair of labels, 0 on the diagonal."""
    for a in range(labels):
        sums[a, a] = 0.0
        for b in range(a):
            sums[a, b] = jaccard(counts, a, b)
            sums[b, a] = sums[a, b]


@kernel
def nearest(
    sums: np.ndarray, n_labels: np.ndarray, n_children: np.ndarray, a: int, n: int, most: int
) -> tuple[int, float]:
    """Return the group most similar to a that may merge with it (ties: the lowest index) and the similarity, or -1, 0.

    Parameters
    ----------
    sums
        float64[n, n], summed similarity over the pairs of labels of two groups.
    n_labels
        float64[n], labels of each group.
    n_children
        int32[n], children of each group, 0 for a group that has merged into another.
    a
        The group.
    n
        Groups.
    most
        Most children of a merged group.
    """
    best = -1
    value = 0.0
    for b in range(n):
        if b != a and n_children[b] > 0 and n_children[a] + n_children[b] <= most:
            similarity = sums[a, b] / (n_labels[a] * n_labels[b])
            if similarity > value:
                value = similarity
                best = b
    return best, value


@kernel
def merge_groups(
    sums: np.ndarray,
    n_labels: np.ndarray,
    weight: np.ndarray,
    n_children: np.ndarray,
    group: np.ndarray,
    a: int,
    b: int,
    n: int,
) -> None:
    """Merge group b into group a.

    ``group`` int32[n] is the group of each item, ``weight`` float64[n] the frequency of each group; the other
    arguments are those of `nearest`.
    """
    for c in range(n):
        sums[a, c] += sums[b, c]
        sums[c, a] = sums[a, c]
        if group[c] == b:
            group[c] = a
    n_labels[a] += n_labels[b]
    weight[a] += weight[b]
    n_children[a] += n_children[b]
    n_children[b] = 0


@kernel
def link(
    sums: np.ndarray,
    n_labels: np.ndarray,
    weight: np.ndarray,
    n_children: np.ndarray,
    group: np.ndarray,
    n: int,
    most: int,
    near: np.ndarray,
    value: np.ndarray,
) -> None:
    """Merge the two most similar groups until no two may merge; ties go to the lowest indices.

    ``near`` int64[n] and ``value`` float64[n] are scratch: the nearest group of each group and its similarity. After a
    merge they are searched again only for the merged group and for groups whose nearest was one of the two.
    """
    for a in range(n):
        near[a], value[a] = nearest(sums, n_labels, n_children, a, n, most)
    while True:
        a = -1
        highest = 0.0
        for c in range(n):
            if n_children[c] > 0 and near[c] >= 0 and value[c] > highest:
                highest = value[c]
                a = c
        if a < 0:
            return
        b = near[a]
        merge_groups(sums, n_labels, weight, n_children, group, a, b, n)
        for c in range(n):
            if n_children[c] == 0:
                continue
            if c == a or near[c] == a or near[c] == b:
                near[c], value[c] = nearest(sums, n_labels, n_children, c, n, most)
            elif n_children[c] + n_children[a] <= most:
                # Rounding can lift the mean of two similarities above both of them.
                similarity = sums[c, a] / (n_labels[c] * n_labels[a])
                if similarity > value[c] or (similarity == value[c] and near[c] > a):
                    near[c] = a
                    value[c] = similarity


@kernel
def pack(
    sums: np.ndarray,
    n_labels: np.ndarray,
    weight: np.ndarray,
    n_children: np.ndarray,
    group: np.ndarray,
    n: int,
    waiting: np.ndarray,
) -> None:
    """Merge groups of at most 8 children, the most frequent first, into groups of at most 16.

    ``waiting`` bool[n] is scratch.
    """
    for c in range(n):
        waiting[c] = 0 < n_children[c] <= MAXIMUM_CHILDREN // 2
    target = n
    while True:
        best = n
        for c in range(n):
            if waiting[c] and (best == n or weight[c] > weight[best]):
                best = c
        if best == n:
            return
        waiting[best] = False
        if target < n and n_children[target] + n_children[best] <= MAXIMUM_CHILDREN:
            merge_groups(sums, n_labels, weight, n_children, group, target, best, n)
        else:
            target = best


@kernel
def gather(
    tree: TreeState,
    items: np.ndarray,
    group: np.ndarray,
    n: int,
    height: int,
    found: np.ndarray,
    node_of: np.ndarray,
) -> int:
    """Add a node for each group: nodes in the order of their first items, children in the order of the items.

    Parameters
    ----------
    tree
        The tree that the nodes are added to.
    items
        int64[n], the children: labels at height 1, else nodes.
    group
        int32[n], the group of each item.
    n
        Items.
    height
        Height of the new nodes.
    found
        int32[n], filled: the group of each new node.
    node_of
        int64[n], scratch.

    Returns
    -------
    int
        Nodes added.
    """
    for i in range(n):
        node_of[i] = -1
    n_nodes = 0
    for i in range(n):
        g = group[i]
        if node_of[g] < 0:
            node_of[g] = tree_add_node(tree, height)
            found[n_nodes] = g
            n_nodes += 1
        tree_attach(tree, int(node_of[g]), int(items[i]))
    return n_nodes


def candidate_tree(counts: PairCountsState, labels: int, capacity: int) -> TreeState:
    """Return the tree that average linkage builds from the counts.

    Parameters
    ----------
    counts
        Decayed counts of at least ``labels`` slots.
    labels
        Labels in the tree.
    capacity
        Label slots to allocate in the tree, at least ``labels``.
    """
    tree = empty_tree(capacity)
    tree.size[:] = (labels, 0, 0)
    sums = np.empty((labels, labels))
    similarity_sums(counts, labels, sums)
    n_labels = np.ones(labels)
    weight = counts.label_weight[:labels].copy()
    items = np.arange(labels)
    height = 1
    few = FEWEST_LABELS <= labels <= MAXIMUM_CHILDREN
    while few or len(items) > MAXIMUM_CHILDREN:
        n = len(items)
        n_children = np.ones(n, np.int32)
        group = np.arange(n, dtype=np.int32)
        near, value = np.empty(n, np.int64), np.empty(n)
        link(sums, n_labels, weight, n_children, group, n, n // 2 if few else MAXIMUM_CHILDREN, near, value)
        if not few:
            pack(sums, n_labels, weight, n_children, group, n, np.empty(n, np.bool_))
        first = int(tree.size[TreeSize.NODES])
        found = np.empty(n, np.int32)
        node_of = near
        found = found[: gather(tree, items, group, n, height, found, node_of)]
        sums, n_labels, weight = sums[np.ix_(found, found)], n_labels[found], weight[found]
        items = np.arange(first, first + len(found))
        height += 1
        few = False
    root = tree_add_node(tree, height)
    for item in items.tolist():
        tree_attach(tree, root, item)
    tree.size[TreeSize.ROOT] = root
    return tree
