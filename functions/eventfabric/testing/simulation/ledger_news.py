"""Turns the writes of a ledger's items into entries of the history; observer.py does so for all other tables."""

from typing import Any

from eventfabric.model import Cursor, Lane, Parked, Region
from eventfabric.model.credit import Grants
from eventfabric.testing.memory.stream import Change
from eventfabric.testing.simulation import history, history_of_credits
from eventfabric.testing.simulation.history_entry import Entry
from eventfabric.wire import (
    circuit_item,
    credit_item,
    cursor_item,
    owner_item,
    parked_item,
    settled_item,
    won_item,
)
from eventfabric.wire.keys import (
    Item,
    is_circuit,
    is_cursor,
    is_owner,
    is_parked,
    is_won,
    lane_key_of,
    ledger_region_and_kind,
)

News = tuple[type[Entry], dict[str, Any]]
"""Kind and fields of an entry."""


def of_ledger(change: Change, *, shared: bool) -> list[News]:
    """Return what the change of an item says. `shared`: all Regions write the same table."""
    writer, kind = ledger_region_and_kind(change.keys)
    write = _LedgerWrite(change, writer=writer, region=writer if shared else change.region)
    if is_owner(kind):
        return write.owner()
    if is_circuit(kind):
        return write.circuit()
    match write.partition:
        case (_, _, _, _, "settled"):
            return write.settled()
        case (_, _, "credits", _, _):
            return write.credits()
        case (_, _, _, _) if is_won(kind):
            return write.won()
        case (_, _, _, _) if is_cursor(kind):
            return write.cursor()
        case (_, _, _, _) if is_parked(kind):
            return write.parked()
        case _:
            return []


class _LedgerWrite:
    """The write of one item of the ledger, as seen in `region`."""

    def __init__(self, change: Change, *, writer: str, region: str) -> None:
        self.partition = str(change.keys["pk"]["S"]).split("/")
        self._change = change
        self._item = change.new
        self._writer = str(writer)
        self._region = str(region)
        self._copied = self._region != self._writer

    def owner(self) -> list[News]:
        owner = None if self._item is None else owner_item.from_item(self._item)
        if owner is None or not owner.epoch:
            return []  # a first owner takes over from nobody
        handed = {"origin": str(owner.origin), "to": str(owner.region), "epoch": owner.epoch}
        about = {**self._of_subscription, **handed, "since_ms": owner.since_ms, "copied": self._copied}
        return [(history.HandedOver, about)]

    def circuit(self) -> list[News]:
        circuit = None if self._item is None else circuit_item.from_item(self._item)
        if circuit is None or self._copied:
            return []
        about = {**self._of_subscription, "state": circuit.state.value, "probe_ms": circuit.probe_ms}
        return [(history.CircuitSwitched, about)]

    def settled(self) -> list[News]:
        if self._item is None or self._copied:
            return []
        settled = settled_item.from_item(self._item)
        lane = "/".join(self.partition[2:4])
        about = {"lane": lane, "sequence": int(settled.sequence), "action": settled.action}
        if settled.dropped is not None:
            dropped = settled.dropped
            about |= {"key": dropped.key, "dropped": tuple(map(int, dropped.sequences))}
            about |= {"since": int(dropped.since), "until": int(dropped.until)}
        return [(history.Settled, {**self._of_subscription, **about})]

    def credits(self) -> list[News]:
        stream, subscription, _, origin, _ = self.partition
        before, after = (_grants_of(item).get(self._writer, {}) for item in (self._change.old, self._item))
        about = {
            "stream": stream,
            "subscription": subscription,
            "region": self._region,
            "writer": self._writer,
        }
        return [
            (
                history_of_credits.Granted,
                {
                    **about,
                    "lane": str(Lane.numbered(Region(origin), number)),
                    "before": int(before.get(number, -1)),
                    "grant": int(grant),
                    "copied": self._copied,
                },
            )
            for number, grant in after.items()
            if before.get(number) != grant
        ]

    def won(self) -> list[News]:
        if self._item is None:
            return []
        decision = won_item.from_item(self._item)
        about = {"batch": decision.batch_id.hex(), "noted_wins": decision.noted_wins, "copied": self._copied}
        return [(history.CopyDecided, {**self._of_lane, **about})]

    def cursor(self) -> list[News]:
        assert self._item is not None, "a cursor is never deleted"
        before, after = _cursor_of(self._change.old), _cursor_of(self._item)
        about = {"writer": self._writer, "copied": self._copied, "before": before, "after": after}
        return [(history.CursorMoved, {**self._of_lane, **about})]

    def parked(self) -> list[News]:
        before, after = _parked_of(self._change.old), _parked_of(self._item)
        parked = parked_item.from_item(self._item or self._change.old or {})
        about = {"writer": self._writer, "copied": self._copied, "before": before, "after": after}
        return [(history.KeyChanged, {**self._of_lane, "id": parked.id, "key": parked.key, **about})]

    @property
    def _of_subscription(self) -> dict[str, Any]:
        return {"region": self._region, "subscription": self.partition[1]}

    @property
    def _of_lane(self) -> dict[str, Any]:
        key = lane_key_of(self._change.keys)
        return {"region": self._region, "subscription": str(key.subscription), "lane": str(key.lane)}


def _grants_of(item: Item | None) -> dict[str, Grants]:
    return {str(region): grants for region, grants in credit_item.grants_in([item] if item else []).items()}


def _cursor_of(item: Item | None) -> history.CursorStand | None:
    if item is None:
        return None
    cursor: Cursor = cursor_item.from_item(item)
    return history.CursorStand(
        int(cursor.sequence),
        cursor.version,
        cursor.epoch,
        int(cursor.replay_until),
        int(cursor.began),
        cursor.attempting,
        cursor.crashes,
        -1 if cursor.low is None else int(cursor.low.sequence),
        -1 if cursor.credit is None else int(cursor.credit.granted),
        cursor.past_seal is not None,
        cursor.begun is not None,
    )


def _parked_of(item: Item | None) -> history.ParkedStand | None:
    if item is None:
        return None
    parked: Parked = parked_item.from_item(item)
    failure = parked.failure
    return history.ParkedStand(
        parked.state.value,
        tuple(int(place.sequence) for place in parked.waiting),
        parked.version,
        failure.attempts,
        failure.crashes,
        failure.error_type,
        parked.attempting,
        -1 if parked.rest is None else int(parked.rest.sequence),
        parked.key if parked.rest else "",
    )
