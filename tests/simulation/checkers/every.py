"""All checkers, in one file each, named for the anomaly that each looks for. Pure functions of a history."""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from eventfabric.testing.simulation.history import Happened, History
from eventfabric.testing.simulation.history_of_deployments import Retired
from eventfabric.testing.simulation.verdict import Result, Verdict
from tests.simulation.checkers import (
    backfill_gap,
    beyond_grant,
    beyond_its_end,
    blind_sign,
    breaker_attempts,
    cursor_regression,
    duplicate_effect,
    escaped_error,
    false_alarm,
    false_proof,
    far_behind,
    forgotten_subscription,
    forked_catalogue,
    hasty_read,
    held_up_key,
    innocent_dead_letter,
    late_credit,
    lost_event,
    lost_schema,
    neglected_lane,
    petty_grant,
    reordered_key,
    reordered_replay,
    repeated_step,
    replica_divergence,
    reused_incarnation,
    shrunk_grant,
    skipped_sequence,
    slow_recovery,
    stale_catalogue,
    starved_producer,
    stuck_lane,
    undone_decision,
    undue_delay,
    unearned_grant,
    unfit_event,
    unflagged_late,
    ungranted_lane,
    unreported_finding,
    wrong_declaration,
    wrong_publish,
    wrong_registration,
    wrong_schema,
    wrong_skip,
    zombie_commit,
)

_MODULES: Final = (
    lost_event,
    reordered_key,
    duplicate_effect,
    skipped_sequence,
    cursor_regression,
    innocent_dead_letter,
    stuck_lane,
    held_up_key,
    zombie_commit,
    replica_divergence,
    backfill_gap,
    false_alarm,
    false_proof,
    undue_delay,
    undone_decision,
    unflagged_late,
    reordered_replay,
    repeated_step,
    unreported_finding,
    breaker_attempts,
    escaped_error,
    slow_recovery,
    blind_sign,
    far_behind,
    neglected_lane,
    wrong_skip,
    wrong_publish,
    beyond_grant,
    shrunk_grant,
    unearned_grant,
    starved_producer,
    late_credit,
    ungranted_lane,
    hasty_read,
    petty_grant,
)
_OF_DEPLOYMENTS: Final = (
    forked_catalogue,
    stale_catalogue,
    reused_incarnation,
    wrong_declaration,
    forgotten_subscription,
    beyond_its_end,
    wrong_schema,
    wrong_registration,
    lost_schema,
    unfit_event,
)


def _of_what_stays(check: Callable[[History], Verdict]) -> Callable[[History], Verdict]:
    """Return a check of the subscriptions that nobody has retired. No promise holds for the others any more."""

    def checked(history: History) -> Verdict:
        retired = {entry.subscription for entry in history.entries if isinstance(entry, Retired)}
        plan = history.plan
        if retired.isdisjoint(own.name for own in plan.subscriptions):
            return check(history)
        staying = tuple(own for own in plan.subscriptions if own.name not in retired)
        # Something else takes the place of their entries, so that an anomaly's number is that of its entry.
        entries = [
            Happened(at_ms=entry.at_ms, actor=entry.actor, what="of a retired subscription")
            if getattr(entry, "subscription", "") in retired
            else entry
            for entry in history.entries
        ]
        return check(History(replace(plan, subscriptions=staying), entries))

    return checked


CHECKERS: Final[dict[str, Callable[[History], Verdict]]] = {
    **{module.NAME: _of_what_stays(module.check) for module in _MODULES},
    **{module.NAME: module.check for module in _OF_DEPLOYMENTS},
}


def verdicts(history: History) -> list[Verdict]:
    """Return the verdicts of all checkers."""
    return [check(history) for check in CHECKERS.values()]


def failures(history: History) -> list[Verdict]:
    """Return the verdicts that are invalid."""
    return [verdict for verdict in verdicts(history) if verdict.result is Result.INVALID]
