"""Profiles of subscriptions that hold producers back."""

from typing import Final

from tests.simulation.fabric_plans import FabricProfile

OF_CREDITS: Final = (
    FabricProfile(
        "credits",
        "subscriptions that hold producers back falter, and are paused, replayed, handed over, and deployed anew",
        gates=(1, 1, 2),
        regions=(1, 1, 2, 3),
        quorum_share=0.2,
        retention_share=0,
        lanes=(1, 2, 4),
        bad=(0.0, 0.1, 0.4),
        seconds=(60.0, 300.0, 900.0),
        publishes=(20, 30, 40),
        clones_share=0.15,
        faults=(
            *(
                "crash",
                "lost_reply",
                "lost_request",
                "throttle",
                "slow",
                "stale",
                "stall",
                "resend",
                "conflict",
            ),
            *("bell_lost", "bell_late", "bell_kept", "lag"),
        ),
        fault_share=0.25,
        quiet_share=0.2,
        happenings=(1, 2, 4, 6),
        anywhere=(
            *("outage", "outage", "pause", "pause", "replay", "reconcile", "deploy", "redrive", "mend"),
            *("ungate", "ungate", "kill_producers", "open_credits"),
            *("throttled", "no_doorbells", "no_timers", "settings", "edit", "discard"),
        ),
        between=("failover", "failover", "failback", "region_loss", "cut", "silence"),
        copied=(),
        tamper_share=0,
        slowness=(0.5, 1.0, 20.0),
        torn_share=0.2,
    ),
    FabricProfile(
        "falters",
        "subscriptions that hold producers back falter, and no call fails: they are let go on as soon as may be",
        gates=(1, 1, 2),
        regions=(1,),
        quorum_share=0,
        retention_share=0,
        lanes=(1, 2),
        bad=(0.0,),
        seconds=(300.0, 900.0, 1_800.0),
        publishes=(30, 60),
        faults=(),
        happenings=(1, 2, 3, 4),
        anywhere=(
            *("outage", "outage", "pause", "pause", "pause", "replay", "replay", "deploy", "redrive", "mend"),
            *("settings", "kill_producers", "open_credits", "reconcile"),
        ),
        between=(),
        copied=(),
        tamper_share=0,
        slowness=(0.5, 1.0),
    ),
)
