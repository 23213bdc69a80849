"""A candidate tree of label clusters from pair counts, by greedy average linkage.

Source: average linkage (UPGMA), R. R. Sokal and C. D. Michener, "A statistical method for evaluating systematic
relationships", University of Kansas Science Bulletin 38 (1958). The similarity of two groups is the mean Jaccard
similarity over the pairs of their labels. Level by level, the two most similar groups merge while that similarity is
above zero and the merged group has at most 16 children; groups with at most 8 are then packed together by frequency up
to 16; at most 16 groups go under the root.

Up to 16 labels would fit under the root as they are. They are grouped too, so that a small label space has clusters
if the code length is better with them: at most half of the labels a group, and nothing is packed.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.partition.cluster_tree import (
    MAXIMUM_CHILDREN,
    NODES,
    ROOT,
    TreeState,
    empty_tree,
    tree_add_node,
    tree_attach,
)
from streamlearn.learner.partition.pair_counts import PairCountsState, jaccard

FEWEST_LABELS = 4
"""Label spaces below this are not grouped."""


@kernel
def similarity_sums(counts: PairCountsState, labels: int, sums: np.ndarray) -> None:
    """Fill float64[labels, labels] with the similarity of each pair of labels."""
    for a in range(labels):
        sums[a, a] = 0.0
        for b in range(a):
            sums[a, b] = jaccard(counts, a, b)
            sums[b, a] = sums[a, b]


@kernel
def nearest(sums: np.ndarray, width: np.ndarray, kids: np.ndarray, a: int, n: int, most: int) -> tuple[int, float]:
    """Return the group most similar to a that it may merge with (the lowest of equals) and the similarity, or -1, 0.

    Parameters
    ----------
    sums
        float64[n, n], summed similarity over the pairs of labels of two groups.
    width
        float64[n], labels of each group.
    kids
        int32[n], children of each group, 0 for one that has merged into another.
    a
        The group.
    n
        Groups.
    most
        Children that a merged group may have.
    """
    best = -1
    value = 0.0
    for b in range(n):
        if b != a and kids[b] > 0 and kids[a] + kids[b] <= most:
            similarity = sums[a, b] / (width[a] * width[b])
            if similarity > value:
                value = similarity
                best = b
    return best, value


@kernel
def merge_groups(
    sums: np.ndarray,
    width: np.ndarray,
    weight: np.ndarray,
    kids: np.ndarray,
    group: np.ndarray,
    a: int,
    b: int,
    n: int,
) -> None:
    """Merge group b into group a; ``group`` (int32[n]) names the group of each item, ``weight`` is its frequency."""
    for c in range(n):
        sums[a, c] += sums[b, c]
        sums[c, a] = sums[a, c]
        if group[c] == b:
            group[c] = a
    width[a] += width[b]
    weight[a] += weight[b]
    kids[a] += kids[b]
    kids[b] = 0


@kernel
def link(
    sums: np.ndarray,
    width: np.ndarray,
    weight: np.ndarray,
    kids: np.ndarray,
    group: np.ndarray,
    n: int,
    most: int,
    near: np.ndarray,
    value: np.ndarray,
) -> None:
    """Merge the two most similar groups until no two may merge; ties go to the lowest indices.

    Each group remembers its nearest, which changes only for groups that looked at one of the two that merged: ``near``
    int64[n] and ``value`` float64[n] are scratch for that.
    """
    for a in range(n):
        near[a], value[a] = nearest(sums, width, kids, a, n, most)
    while True:
        a = -1
        highest = 0.0
        for c in range(n):
            if kids[c] > 0 and near[c] >= 0 and value[c] > highest:
                highest = value[c]
                a = c
        if a < 0:
            return
        b = near[a]
        merge_groups(sums, width, weight, kids, group, a, b, n)
        for c in range(n):
            if kids[c] == 0:
                continue
            if c == a or near[c] == a or near[c] == b:
                near[c], value[c] = nearest(sums, width, kids, c, n, most)
            elif kids[c] + kids[a] <= most:
                # Rounding can put the mean of two similarities above both.
                similarity = sums[c, a] / (width[c] * width[a])
                if similarity > value[c] or (similarity == value[c] and near[c] > a):
                    near[c] = a
                    value[c] = similarity


@kernel
def pack(
    sums: np.ndarray,
    width: np.ndarray,
    weight: np.ndarray,
    kids: np.ndarray,
    group: np.ndarray,
    n: int,
    waiting: np.ndarray,
) -> None:
    """Merge groups of at most 8 children, the most frequent first, into groups of at most 16.

    ``waiting`` bool[n] is scratch.
    """
    for c in range(n):
        waiting[c] = 0 < kids[c] <= MAXIMUM_CHILDREN // 2
    target = n
    while True:
        best = n
        for c in range(n):
            if waiting[c] and (best == n or weight[c] > weight[best]):
                best = c
        if best == n:
            return
        waiting[best] = False
        if target < n and kids[target] + kids[best] <= MAXIMUM_CHILDREN:
            merge_groups(sums, width, weight, kids, group, target, best, n)
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
    """Make a node of each group, in the order of its first item, children in the order of the items.

    Parameters
    ----------
    tree
        Receives the nodes.
    items
        int64[n], what the groups are made of: labels at height 1, else nodes.
    group
        int32[n], the group of each item.
    n
        Items.
    height
        Height of the new nodes.
    found
        int32[n], filled: the group of each new node, in the order of the nodes.
    node_of
        int64[n], scratch.

    Returns
    -------
    int
        Nodes made.
    """
    for i in range(n):
        node_of[i] = -1
    made = 0
    for i in range(n):
        g = group[i]
        if node_of[g] < 0:
            node_of[g] = tree_add_node(tree, height)
            found[made] = g
            made += 1
        tree_attach(tree, int(node_of[g]), int(items[i]))
    return made


def candidate_tree(counts: PairCountsState, labels: int, capacity: int) -> TreeState:
    """Return the tree that average linkage makes of the counts.

    Parameters
    ----------
    counts
        Decayed counts with room for at least ``labels`` slots.
    labels
        Labels known.
    capacity
        Label slots that the tree has room for, at least ``labels``.
    """
    tree = empty_tree(capacity)
    tree.size[:] = (labels, 0, 0)
    sums = np.empty((labels, labels))
    similarity_sums(counts, labels, sums)
    width = np.ones(labels)
    weight = counts.label_weight[:labels].copy()
    items = np.arange(labels)
    height = 1
    few = FEWEST_LABELS <= labels <= MAXIMUM_CHILDREN
    while few or len(items) > MAXIMUM_CHILDREN:
        n = len(items)
        kids = np.ones(n, np.int32)
        group = np.arange(n, dtype=np.int32)
        place, value = np.empty(n, np.int64), np.empty(n)
        link(sums, width, weight, kids, group, n, n // 2 if few else MAXIMUM_CHILDREN, place, value)
        if not few:
            pack(sums, width, weight, kids, group, n, np.empty(n, np.bool_))
        first = int(tree.size[NODES])
        found = np.empty(n, np.int32)
        found = found[: gather(tree, items, group, n, height, found, place)]
        sums, width, weight = sums[np.ix_(found, found)], width[found], weight[found]
        items = np.arange(first, first + len(found))
        height += 1
        few = False
    root = tree_add_node(tree, height)
    for item in items.tolist():
        tree_attach(tree, root, item)
    tree.size[ROOT] = root
    return tree
