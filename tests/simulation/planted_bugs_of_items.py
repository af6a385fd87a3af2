"""The planted bugs about what somebody else put into tables and queues, and about what services refuse for long."""

from tests.simulation.planting import Bug

OF_ITEMS = [
    Bug(
        "tail believed at once",
        "a lane goes on behind whatever stands last in it",
        "eventfabric.services.lane_end:lane_end",
        "if newer is not None and _continues(newer, older, now_ms):",
        "if newer is not None:",
        by="stuck_lane",
        seed=2,
        profile="spoilt",
    ),
    Bug(
        "one lane ends a pass",
        "reconciliation of a whole Region ends at a record that it cannot read",
        "eventfabric.services.upkeep.reconcile:Reconciler._origin",
        "yield self._unreadable(lane, error)\n            after |=",
        "raise error\n            after |=",
        by="escaped_error",
        seed=0,
        profile="spoilt",
    ),
    Bug(
        "garbage fails its batch",
        "a message that is no doorbell fails all that came with it",
        "eventfabric.runtime.messages:doorbells_of",
        "refuse(record)\n",
        "raise\n",
        by="escaped_error",
        seed=2,
        profile="spoilt",
    ),
    Bug(
        "a strange lane stops the relay",
        "an item of no lane fails the batch of the table's stream in which it comes, each time",
        "eventfabric.runtime.relay:handle",
        "appended = None\n        if",
        "raise\n        if",
        by="held_up_key",
        seed=0,
        profile="spoilt",
    ),
]
