"""The planted bugs of passes of reconciliation that go on in another invocation, and that let lanes rest."""

from tests.simulation.planting import Bug

OF_PASSES = [
    Bug(
        "a part is skipped",
        "a pass that goes on leaves out the part that was next",
        "eventfabric.services.reconciliation.reconcile:Reconciler._go_through",
        "parts[number if self._patience.has_left_lanes else number + 1 :]",
        "parts[number + 2 :]",
        by="neglected_lane",
        seed=25,
        profile="parts",
    ),
    Bug(
        "rest whatever comes",
        "a lane that was at rest rests on, though events were appended to it",
        "eventfabric.services.reconciliation.rest:rests",
        "tail.sequence == before.sequence and ",
        "",
        by="neglected_lane",
        seed=32,
        profile="parts",
    ),
    Bug(
        "rest though events wait",
        "a lane rests as long as nothing is appended to it, wherever its cursors stand",
        "eventfabric.services.reconciliation.rest:is_done",
        "and cursor.sequence == look.tail.sequence >= cursor.replay_until",
        "and True",
        by="neglected_lane",
        seed=32,
        profile="parts",
    ),
    Bug(
        "always the last parts",
        "what was left of a pass counts as left when it is done: all later passes begin there",
        "eventfabric.services.reconciliation.noted_pass:NotedPass._end",
        "elif self._stored.part:",
        "elif False:",
        by="neglected_lane",
        seed=30,
        profile="parts",
    ),
]
