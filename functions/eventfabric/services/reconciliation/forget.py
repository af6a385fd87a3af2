"""Forget: drop handlers' texts about events that have expired. A key that stays dead keeps only its failure's names."""

from collections.abc import Iterable
from dataclasses import replace

from eventfabric.model import Committed, LaneKey, Parked, ParkedChange, ParkedState
from eventfabric.ports import Ledger
from eventfabric.services.reconciliation.look import Look
from eventfabric.wire.commit_size import in_commits


def are_forgotten(parked_keys: Iterable[Parked], *, retention_seconds: int, now_ms: int) -> list[Parked]:
    """Select the dead keys whose texts are older than their stream keeps events."""
    # An event was appended before it last failed, so it has expired if that was so long ago.
    oldest_ms = now_ms - 1000 * retention_seconds
    return [
        parked
        for parked in parked_keys
        if parked.state is ParkedState.DEAD
        and parked.failure.has_texts
        and parked.failure.last_ms < oldest_ms
    ]


def forget(key: LaneKey, look: Look, old: Iterable[Parked], *, ledger: Ledger) -> bool:
    """Drop the texts of these keys. Return False if the lane moved meanwhile: the next pass comes to them again."""
    cursor, stored = look.cursor, dict(look.state.parked.get(ledger.region, {}))
    changes = [
        ParkedChange(parked, replace(parked, failure=parked.failure.without_texts())) for parked in old
    ]
    for part in in_commits(changes):
        # At the cursor's version, as every change of a lane: what a person decided meanwhile is not undone.
        outcome = ledger.commit(key, cursor, cursor.beside_after(cursor, stored, part), parked=part)
        if not isinstance(outcome, Committed):
            return False
        cursor = outcome.cursor
        for change in part:
            if change.after is not None:
                stored[change.after.id] = replace(change.after, version=change.version)
    return True
