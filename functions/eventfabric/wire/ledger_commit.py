"""Commits of the ledger as DynamoDB's own requests, and the meaning of their refusals.

A commit and its race, in time:

    consumer A   read v7 .......................... put v8 if v = 7   refused: the row says v8, token b -> race lost
    consumer B        read v7 ..... put v8 if v = 7   written, reply lost; put again: refused, the row says v8, token b
                                                      and is what this commit put -> it was written after all
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from eventfabric import limits
from eventfabric.errors import RefusedError, StateRefusedError, ThrottledError
from eventfabric.model import (
    CommitOutcome,
    Committed,
    Cursor,
    Decided,
    Decision,
    LaneChange,
    LaneKey,
    LaneState,
    Parked,
    ParkedChange,
    RaceLost,
    Record,
    Region,
    Settled,
    Write,
    WriteRefused,
    next_count,
)
from eventfabric.wire import cursor_item, fields, parked_item, settled_item, won_item
from eventfabric.wire.item_size import item_bytes
from eventfabric.wire.keys import PK, SK, Item, is_cursor, is_parked, is_won, parked_key
from eventfabric.wire.record_puts import actions_of, taken_place
from eventfabric.wire.service_errors import FAILED_CONDITION, NO_REASON, Refusal
from eventfabric.wire.transaction_bounds import Action


class CommitRequest:
    """One commit, ready to be sent as often as it takes, always with the same bytes.

    RefusedError if it is more than one transaction can hold; it is never sent then.
    """

    def __init__(
        self,
        table: str,
        key: LaneKey,
        region: Region,
        read: Cursor,
        moved: Cursor,
        *,
        parked: Sequence[ParkedChange],
        settled: Sequence[Settled],
        token: bytes,
        now_ms: int,
        decided: Sequence[Decided] = (),
        beside: Sequence[LaneChange] = (),
        writes: Sequence[Write] = (),
        records: Sequence[tuple[str, Record]] = (),
        in_order: bool = False,
    ) -> None:
        """`in_order`: the stream has no transactions. See ports.Ledger for the others."""
        roster = read.roster.after(parked) if parked else read.roster
        self.token = token
        self._table = table

        def put(cursor: Cursor, read_version: int) -> dict[str, Any]:
            item = cursor_item.to_item(key, region, cursor, token=token, now_ms=now_ms)
            return self._put(item, read_version)

        version = read.version
        self.announcement: dict[str, Any] | None = None
        # Without transactions the keys are written one by one. The announcement goes first: it fences whoever
        # lost the race, and tells readers that the cursor may not name all keys.
        if in_order and not writes and (parked or decided or settled):
            self.announcement = put(replace(read, version=next_count(version), is_announced=True), version)
            # The announcement raises the version, and the cursor is then put on condition of that version.
            version += 1
        self.stored = replace(moved, version=next_count(version), roster=roster, is_announced=False)
        self.cursor = put(self.stored, version)
        notes = [settled_item.to_item(key, region, decision) for decision in settled]
        assert not (in_order and beside), "several lanes change together only in transactions"
        self.others = self._others(key, region, notes, decided, parked)
        self.others += chain.from_iterable(self._in_lane(change, region, now_ms) for change in beside)
        self.undo = [_without_note(table, note) for note in notes]
        """Deletes of the decisions, to be made if somebody else has changed the parked keys by then."""
        self.effects = actions_of(records, writes)
        """Effects of handlers: the records first, then the writes."""
        self._records_count = len(records)
        if self.others:
            self._check(len(self.effects))

    def _others(
        self,
        key: LaneKey,
        region: Region,
        notes: Sequence[Item],
        decided: Sequence[Decided],
        parked: Sequence[ParkedChange],
    ) -> list[Action]:
        """Return what is written beside the cursor."""
        # Decisions go first: without transactions, a key must not go before the note of who discarded it.
        return [
            *(("Put", {"TableName": self._table, "Item": note}) for note in notes),
            *(("Put", self._put(won_item.to_item(copy, token=self.token), 0)) for copy in decided),
            *(self._change(key, region, change) for change in parked),
        ]

    def _in_lane(self, change: LaneChange, region: Region, now_ms: int) -> Iterator[Action]:
        """Yield what is written of another lane's state."""
        yield from (self._change(change.key, region, parked) for parked in change.parked)
        item = cursor_item.to_item(change.key, region, change.stored, token=self.token, now_ms=now_ms)
        yield "Put", self._put(item, change.read.version)

    @property
    def actions(self) -> list[Action]:
        """All that one transaction has to do; empty if the cursor alone is put."""
        return [*self.effects, *self.others, ("Put", self.cursor)] if self.effects or self.others else []

    def _check(self, effects_count: int) -> None:
        """Refuse what the service would refuse, without a call. The service itself measures what handlers write."""
        actions = effects_count + len(self.others) + 1
        of_state = [*(request for _, request in self.others), self.cursor]
        size = sum(item_bytes(action.get("Item", {})) for action in of_state)
        # The service would refuse it each time, with an error that names neither key nor write.
        if actions > limits.TRANSACTION_ACTIONS_MAX or size > limits.TRANSACTION_BYTES_MAX:
            raise RefusedError(
                "commit",
                f"TransactionTooLarge: {actions} writes of {size:,} bytes, allowed: "
                f"{limits.TRANSACTION_ACTIONS_MAX} of {limits.TRANSACTION_BYTES_MAX:,}",
            )

    def _change(self, key: LaneKey, region: Region, change: ParkedChange) -> Action:
        before, after = change.before, change.after
        read_version = before.version if before else 0
        if after is not None:
            stored = replace(after, version=change.version)
            return "Put", self._put(parked_item.to_item(key, region, stored, token=self.token), read_version)
        assert before is not None, "a change has a before or an after"
        # On condition of its own version as well: without transactions nothing else fences it.
        delete = {"TableName": self._table, "Key": parked_key(key, region, before.id)}
        return "Delete", delete | unchanged(read_version)

    def _put(self, item: Item, read_version: int) -> dict[str, Any]:
        return {"TableName": self._table, "Item": item} | unchanged(read_version)

    def outcome(self, refusals: Sequence[Refusal]) -> CommitOutcome:
        """Return what the cancelled transaction of `actions` means.

        A lost race goes before all else, and a place that is taken before any refusal of the rest. A busy write goes
        before a refused one, since the outcome of the others is known only when it has passed. ThrottledError: the
        state itself, or a place, is busy. StateRefusedError: it cannot be written.
        """
        of_state, of_effects = refusals[len(self.effects) :], refusals[: len(self.effects)]
        of_records, of_writes = of_effects[: self._records_count], of_effects[self._records_count :]
        # Whichever condition failed, of the cursor or of a parked key: somebody else was faster.
        if any(refusal.code == FAILED_CONDITION for refusal in of_state):
            return self.outcome_of_item(of_state[-1].item)
        if (taken := taken_place(of_records)) is not None:
            return taken
        refused_state = [refusal for refusal in (*of_state, *of_records) if refusal.code != NO_REASON]
        _check_lasting(refused_state)
        if refused_state:
            raise ThrottledError("commit", ", ".join(refusal.code for refusal in refusals))
        refused = [
            WriteRefused(index, refusal.code, refusal.message, is_busy=refusal.is_busy)
            for index, refusal in enumerate(of_writes)
            if refusal.code != NO_REASON
        ]
        if not refused:
            raise ThrottledError("commit", "cancelled without a reason")
        return min(refused, key=lambda write: not write.is_busy)

    def outcome_of_item(self, cursor_item: Item | None, *, is_beside_written: bool = False) -> CommitOutcome:
        """Return the outcome if this item stands where the cursor was to be put: another's, or this very commit's."""
        return Committed(self.stored) if wrote(self.cursor, cursor_item) else RaceLost(is_beside_written)


def _check_lasting(refused: Iterable[Refusal]) -> None:
    """Raise a StateRefusedError for the first refusal that no other try can change."""
    for refusal in refused:
        # A record's place that is taken, but not said by what, is read anew.
        if not (refusal.is_busy or refusal.code == FAILED_CONDITION):
            raise StateRefusedError("commit", f"{refusal.code}: {refusal.message}")


def wrote(request: dict[str, Any], item: Item | None) -> bool:
    """Tell if the item in a request's way was written by this very request, whose reply was lost.

    A deletion that finds nothing has taken effect. For an item that was put, its token alone would not tell: a copied
    process may have drawn the same. The time of the write may differ, since a commit without a reply is made again
    later.
    """
    put = request.get("Item")
    if item is None or put is None:
        return put is None and item is None
    return {**item, cursor_item.WRITTEN: None} == {**put, cursor_item.WRITTEN: None}


def _without_note(table: str, note: Item) -> dict[str, Any]:
    # Only this very decision: somebody else may have decided since.
    return {
        "TableName": table,
        "Key": {PK: note[PK], SK: note[SK]},
        "ConditionExpression": "u = :at AND o = :by",
        "ExpressionAttributeValues": {":at": note["u"], ":by": note["o"]},
    }


def unchanged(read_version: int) -> dict[str, Any]:
    """Return the condition that an item is as it was read."""
    # A refusal returns the item that stands there, which saves a read.
    condition: dict[str, Any] = {
        "ConditionExpression": "v = :read" if read_version else "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    if read_version:
        condition["ExpressionAttributeValues"] = {":read": {"N": str(read_version)}}
    return condition


def state_of(items: Iterable[Item], *, is_whole: bool = True) -> LaneState:
    """Decode the state of a lane from its items. UndecodableItemError if one of them cannot be read."""
    cursors: dict[Region, Cursor] = {}
    parked: dict[Region, dict[str, Parked]] = {}
    decisions: set[Decision] = set()
    for item in items:
        region, kind = fields.region_and_kind(item)
        if is_cursor(kind):
            cursors[region] = cursor_item.from_item(item)
            # A reader of all keys needs no roster, and an announced cursor makes the reader read all keys.
            if not (is_whole or cursors[region].is_announced):
                cursor_item.check_roster(item, cursors[region])
        elif is_parked(kind):
            key = parked_item.from_item(item)
            parked.setdefault(region, {})[key.id] = key
        elif is_won(kind):
            decisions.add(won_item.from_item(item))
    return LaneState(cursors, parked, frozenset(decisions), is_whole)
