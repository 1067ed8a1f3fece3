"""The zone and its groups as a tree, for the solvers and the repair of floors.

The certificate numbers the groups by itself (`optimizer.site`): it shares nothing with
what it checks.
"""

from typing import NamedTuple

import numpy as np

from optimizer.checks import Ints
from optimizer.problem import Problem


class GroupTree(NamedTuple):
    """Node 0 is the zone, the others its groups, parents before children.

    ``parent`` (1 + g,) is -1 for the zone, ``leaf`` (n,) the smallest node that holds
    an EV, ``node_of_group`` (g,) the node of each group.
    """

    parent: Ints
    leaf: Ints
    node_of_group: Ints


def group_tree(problem: Problem) -> GroupTree:
    """Return the tree; groups are laminar, so the larger one is the one above."""
    sizes = [group.members.size for group in problem.groups]
    by_size = sorted(range(len(sizes)), key=lambda g: (-sizes[g], g))
    leaf = np.zeros(problem.n_evse, np.int64)
    parent = np.full(1 + len(sizes), -1, np.int64)
    node_of_group = np.zeros(len(sizes), np.int64)
    for node, g in enumerate(by_size, start=1):
        members = problem.groups[g].members
        parent[node] = leaf[members[0]] if members.size else 0
        leaf[members] = node
        node_of_group[g] = node
    return GroupTree(parent, leaf, node_of_group)
