"""Bugs in conditions of passes of reconciliation, each with the test that it makes fail."""

from collections.abc import Callable

from tests.simulation.planting import Bug
from tests.simulation.planting import bug_in_a_condition as bug
from tests.unit.services.reconciliation import test_noted_pass as noted_pass
from tests.unit.services.reconciliation import test_rest as rest

_RECONCILE = "eventfabric.services.reconciliation"

OF_PASSES: list[tuple[Bug, Callable[[], None]]] = [
    (
        bug(
            "the marks of one part are written over those of the others",
            f"{_RECONCILE}.reconcile:Reconciler._check",
            "marks(self._name, part.origin, part=part.name)",
            "marks(self._name, part.origin)",
        ),
        lambda: noted_pass.in_parts(noted_pass.test_the_marks_of_each_part_stay),
    ),
    (
        bug(
            "what was counted before a pass was cut off is forgotten",
            f"{_RECONCILE}.reconcile:Reconciler._begin",
            "Vitals(self._stream, order.resumed.tally)",
            "Vitals(self._stream)",
        ),
        lambda: noted_pass.in_parts(
            noted_pass.test_a_pass_that_is_cut_off_goes_on_where_it_ended_and_counts_everything_once
        ),
    ),
    (
        bug(
            "a part that was checked twice is counted twice",
            f"{_RECONCILE}.reconcile:Reconciler._check",
            "if not self._patience.has_left_lanes:",
            "if True:",
        ),
        lambda: noted_pass.in_parts(noted_pass.test_a_part_that_was_cut_off_is_counted_once),
    ),
    (
        bug(
            "a replay leaves a lane at rest",
            "eventfabric.services.operations.replay:Replay.carry_out",
            "nothing=True",
            "nothing=False",
        ),
        rest.test_a_replay_of_a_lane_at_rest_is_seen_by_the_next_pass,
    ),
]
