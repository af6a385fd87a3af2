"""Trees of lanes, as those who meet seals know them."""

import itertools
from typing import Final

from eventfabric.model import (
    EMPTY_TAIL,
    Generation,
    Lane,
    LaneIndex,
    Region,
    Tail,
    lane_of,
    seal_at,
    tail_behind,
)
from eventfabric.services.lanes.tree import LaneTree

US: Final = Region("us-east-1")
LANES: Final = 4
KEYS: Final = [f"key {number}" for number in range(200)]


def lane(generation: int, index: int) -> Lane:
    return Lane(US, Generation(generation), LaneIndex(index))


def end_of(lane: Lane, tail: Tail = EMPTY_TAIL) -> Tail:
    return seal_at(tail, lane, now_ms=5).tail


def split(*lanes: Lane) -> LaneTree:
    tree = LaneTree(US, LANES)
    for parent in lanes:
        tree.learn(parent, end_of(parent))
    return tree


def test_where_nothing_was_split_each_key_is_in_its_root() -> None:
    tree = LaneTree(US, LANES)
    assert not tree
    for key in KEYS:
        root = lane_of(key, US, LANES)
        assert tree.lane_of(key) == root
        assert tree.path(key) == [root]
        assert tree.leaves(root) == [root]
        assert tree.start(root) == EMPTY_TAIL


def test_a_tail_that_is_no_seals_teaches_nothing() -> None:
    tree = LaneTree(US, LANES)
    tree.learn(lane(0, 1), tail_behind(end_of(lane(0, 1))))
    assert not tree
    assert not tree.is_split(lane(0, 1))
    assert tree.end(lane(0, 1)) is None


def test_keys_of_a_split_lane_are_in_its_children_and_no_others_moved() -> None:
    tree = split(lane(0, 1), lane(1, 3))
    leaves = {(0, 0), (0, 2), (0, 3), (1, 2), (2, 6), (2, 7)}
    assert {(leaf.generation, leaf.index) for leaf in map(tree.lane_of, KEYS)} == leaves
    for key in KEYS:
        root = lane_of(key, US, LANES)
        assert tree.lane_of(key) in tree.leaves(root)
        assert tree.lane_of(key).root == root
        path = tree.path(key)
        assert path[0] == root
        assert path[-1] == tree.lane_of(key)
        assert all(child in parent.children for parent, child in itertools.pairwise(path))


def test_leaves_come_in_the_order_of_their_keys() -> None:
    tree = split(lane(0, 1), lane(1, 3))
    assert tree.leaves(lane(0, 1)) == [lane(1, 2), lane(2, 6), lane(2, 7)]


def test_a_child_begins_behind_the_seal_if_that_was_met() -> None:
    tree = split(lane(0, 1))
    start = tree.start(lane(1, 2))
    assert start == end_of(lane(0, 1))
    assert start is not None
    assert not start.is_sealed
    assert tree.start(lane(1, 4)) is None
