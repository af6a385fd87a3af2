"""Bugs in how seals are passed, each with the load or the test that it makes fail; after those of the model of seals.

The model (`models/seals_bugs.py`) finds what each rule is for. Here are the places at which the product follows them.
"""

from collections.abc import Callable
from typing import Final

from tests.simulation.planting import Bug
from tests.simulation.planting import bug_in_a_condition as bug
from tests.simulation.split_load import SplitLoad
from tests.unit.services.delivery import test_seals as seals
from tests.unit.services.delivery import test_taken_over_trees as trees

_SEALS = "eventfabric.services.delivery.seals"
_STRETCH = "eventfabric.services.delivery.stretch"


def _load(seed: int, *, fault_rate: float = 0.0, loses: bool = False) -> Callable[[], None]:
    def check() -> None:
        load = SplitLoad(seed, fault_rate=fault_rate, loses=loses)
        load.run(200)
        load.check()

    return check


OF_SEALS: list[tuple[Bug, Callable[[], None]]] = [
    (
        bug(
            "a child begins without its parent",
            f"{_SEALS}:has_begun",
            "return cursor.begun is not None and cursor.epoch == epoch",
            "return True",
        ),
        seals.test_a_child_that_has_not_begun_rings_its_parent_and_does_nothing_more,
    ),
    (
        bug(
            "parked keys are left behind a seal",
            f"{_SEALS}:handed_over",
            "if child_of(lane, parked.key, lanes) == child",
            "if False",
        ),
        _load(0),
    ),
    (
        bug(
            "a lane past its seal names no keys",
            f"{_SEALS}:past",
            "cursor.at_rest(),",
            "cursor.at_rest().beside({}),",
        ),
        _load(0, loses=True),
    ),
    (
        bug(
            "a child begins a chain of its own", f"{_SEALS}:begun", "chain=parent.chain", "chain=START.chain"
        ),
        _load(0),
    ),
    (
        bug(
            "a child begins to count anew",
            f"{_SEALS}:begun",
            "sequence=parent.sequence,\n        base=parent.sequence",
            "sequence=START.sequence,\n        base=START.sequence",
        ),
        _load(0),
    ),
    (
        bug(
            "each lane of a tree is taken over by its own doorbell",
            "eventfabric.services.delivery.deliver:Deliverer._in_tree",
            "result = seals.ring_parent(run.context, run.key)",
            "return self._take_over(run)",
        ),
        trees.test_a_childs_doorbell_alone_takes_nothing_over,
    ),
    (
        bug(
            "any cursor of a child that has begun counts",
            f"{_SEALS}:counts",
            "child.begun == parent.past_seal",
            "True",
        ),
        trees.test_a_childs_cursor_counts_only_beneath_the_very_passing_that_began_it,
    ),
    (
        bug(
            "the epoch of a passing tells it from others",
            f"{_SEALS}:counts",
            "child.begun == parent.past_seal",
            "parent.past_seal is not None and child.begun.epoch == parent.past_seal.epoch",
        ),
        trees.test_a_childs_cursor_counts_only_beneath_the_very_passing_that_began_it,
    ),
    (
        bug(
            "the version of a passing tells it from others",
            f"{_SEALS}:counts",
            "child.begun == parent.past_seal",
            "parent.past_seal is not None and child.begun.version == parent.past_seal.version",
        ),
        trees.test_a_childs_cursor_counts_only_beneath_the_very_passing_that_began_it,
    ),
    (
        bug(
            "a child begins at the seal whatever is here of it",
            f"{_SEALS}:give",
            "if heirs:",
            "if False:",
        ),
        trees.test_a_new_owner_goes_on_in_the_children_from_where_they_were,
    ),
    (
        bug(
            "a passing names another version than its own",
            f"{_SEALS}:pass_seal",
            "next_count(read.version)",
            "read.version",
        ),
        seals.test_all_three_cursors_note_the_one_passing,
    ),
    (
        bug(
            "a seal is passed like what nobody wants", f"{_STRETCH}:Stretch._cover", "record.is_seal", "False"
        ),
        _load(0),
    ),
    (
        bug(
            "children are rung with doorbells that repeat others",
            f"{_SEALS}:ring",
            "ANY_TAIL, again=again)",
            "ANY_TAIL)",
        ),
        seals.test_children_are_rung_with_doorbells_that_no_queue_drops,
    ),
    (
        bug(
            "a doorbell of a lane past its seal is a repetition",
            f"{_SEALS}:stand_past",
            "        ready.append(child)\n    if",
            "    if",
        ),
        seals.test_children_are_rung_with_doorbells_that_no_queue_drops,
    ),
    (
        bug(
            "places in a parent's log do not name it",
            f"{_SEALS}:_in_child",
            "replace(parked, waiting=waiting, rest=parked.rest and _named(parked.rest, lane))",
            "parked",
        ),
        _load(0),
    ),
    (
        bug(
            "what waits of a key ends at the seal",
            "eventfabric.services.delivery.waiting:Refill.fill",
            "lane, cursor = place_behind(stretch.seal, self._lane)",
            "break",
        ),
        lambda: seals.TestParkedKeys().test_what_a_key_does_not_list_is_found_across_the_seal(),
    ),
    (
        bug(
            "keys are sought up to the seal above their lane",
            "eventfabric.services.delivery.inherit:_Heir._look_for",
            "lane, cursor = place_behind(stretch.seal, self._lane)",
            "break",
        ),
        trees.test_keys_that_are_named_and_not_here_are_found_in_the_logs_of_lanes_above,
    ),
    (
        bug(
            "a part is no copy of its batch",
            "eventfabric.services.delivery.visited_lane:is_copy",
            "first.lane.is_root and noted.lane.is_root",
            "True",
        ),
        lambda: trees.TestPartsOfBatches().test_where_the_first_copy_is_here_both_parts_are_stepped_over(),
    ),
    (
        bug(
            "a decision about a part is one about its batch",
            f"{_STRETCH}:SteppedOver.takes",
            "lane_of(key, part.origin, self._lanes, part.generation) == part",
            "True",
        ),
        lambda: (
            trees.TestPartsOfBatches().test_of_the_first_copy_only_events_of_parts_that_won_are_stepped_over()
        ),
    ),
]

SIMULATED: Final = [
    Bug(
        "parked keys stay behind",
        "the children of a lane begin without the keys that are parked in it",
        f"{_SEALS}:handed_over",
        "if child_of(lane, parked.key, lanes) == child",
        "if False",
        by="lost_event",
        seed=0,
        profile="splits",
    ),
    Bug(
        "a seal taken for unwanted",
        "a run passes a seal like a record that holds nothing wanted",
        f"{_STRETCH}:Stretch._cover",
        "if record.is_seal:",
        "if False:",
        by="lost_event",
        seed=3,
        profile="splits",
    ),
    Bug(
        "children by themselves",
        "each lane of a tree is taken over by its own doorbell",
        "eventfabric.services.delivery.deliver:Deliverer._in_tree",
        "result = seals.ring_parent(run.context, run.key)",
        "return self._take_over(run)",
        by="stuck_lane",
        seed=12,
        profile="splits",
    ),
    Bug(
        "places without a lane",
        "what a key of a child lists is read in the child's log, where nothing of it stands",
        f"{_SEALS}:_in_child",
        "replace(parked, waiting=waiting, rest=parked.rest and _named(parked.rest, lane))",
        "parked",
        by="innocent_dead_letter",
        seed=11,
        profile="splits",
    ),
    Bug(
        "no names past the seal",
        "the cursor of a lane past its seal names no parked keys, so that a new owner begins its children without them",
        f"{_SEALS}:past",
        "cursor.at_rest(),",
        "cursor.at_rest().beside({}),",
        by="lost_event",
        seed=28,
        profile="splits",
    ),
]
"""Bugs that the simulation of a whole fabric finds, too."""
