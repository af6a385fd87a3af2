"""Turns the changes of tables into entries of the history: what is true, whatever callers were answered."""

from dataclasses import replace
from typing import Any

from eventfabric.model import Cursor, Parked
from eventfabric.testing.memory.stream import Change
from eventfabric.testing.memory.table import MemoryTable
from eventfabric.testing.simulation import history
from eventfabric.wire import (
    circuit_item,
    cursor_item,
    owner_item,
    parked_item,
    record_item,
    settled_item,
    won_item,
)
from eventfabric.wire.keys import (
    Item,
    is_circuit,
    is_cursor,
    is_owner,
    is_parked,
    is_record,
    is_won,
    lane_key_of,
    ledger_region_and_kind,
    region_of_log_item,
)
from eventfabric.wire.payload_codec import unpack

INVOICES = "invoices"
"""Stream into which handlers publish."""
BILLED = "billed"
"""Type of what they publish: `of` an event, `by` a subscription."""
EFFECTS = "effects"
"""Table in which handlers of exactly-once subscriptions count their effects. `id` is subscription/event."""
FOREIGN = "foreign"
"""Attribute that marks what the fabric did not write. No decoder looks at it."""
News = tuple[type[history.Entry], dict[str, Any]]


def is_foreign(item: Item | None) -> bool:
    """Tell if somebody else put this item there, or changed it."""
    return item is not None and FOREIGN in item


class Observer:
    """Reads what is new in one table. `shared`: all Regions write the same table, so nothing in it is a copy."""

    def __init__(self, table: MemoryTable, kind: str, *, shared: bool) -> None:
        self.table = table
        self._kind = kind
        self._shared = shared
        self.changes = table.stream.changes
        self.seen = 0
        """How many of the changes `news` has returned."""
        self._own: dict[tuple[Any, ...], Item] = {}
        """The fabric's last version of each item that somebody else has overwritten since."""
        self.is_foreign_news = False
        """Set by `news`: somebody else changed something, which is not reported."""

    def news(self) -> list[News]:
        """Return the changes since the last call, parked keys before the cursor that was written with them."""
        self.is_foreign_news = False
        new, self.seen = self.changes[self.seen :], len(self.changes)
        news: list[News] = []
        for change in new:
            if is_foreign(change.old) or is_foreign(change.new):
                self.is_foreign_news = True
                own = self._own_part(change)
                if own is None:
                    continue
                change = own
            match self._kind:
                case "log":
                    news += self._of_log(change)
                case "invoices":
                    news += _of_invoices(change)
                case "ledger":
                    news += self._of_ledger(change)
                case _:
                    news += _of_effects(change)
        return news

    def _own_part(self, change: Change) -> Change | None:
        """Return the change from the fabric's last version to its new one; None if only others changed the item."""
        if is_foreign(change.new):
            if change.old is not None and not is_foreign(change.old):
                self._own[change.key] = change.old
            return None
        before = self._own.pop(change.key, None)
        return None if before == change.new else replace(change, old=before)

    def _of_log(self, change: Change) -> list[News]:
        if not is_record(change.keys):
            return []
        where = {"region": change.region, "lane": str(change.keys["pk"]["S"])}
        if change.new is None:
            return [(history.Removed, where | _removed(change))]
        if change.old is not None and _is_same_record(change.old, change.new):
            return []  # only its expiry was postponed
        copied = not self._shared and region_of_log_item(change.keys) != change.region
        return [(history.Appended, where | _appended(change.new) | {"copied": copied})]

    def _of_ledger(self, change: Change) -> list[News]:
        writer, kind = ledger_region_and_kind(change.keys)
        region = writer if self._shared else change.region
        write = _LedgerWrite(kind, change, writer=writer, region=region)
        if is_owner(kind):
            return write.owner()
        if is_circuit(kind):
            return write.circuit()
        match write.partition:
            case (_, _, _, _, "settled"):
                return write.settled()
            case (_, _, _, _) if is_won(kind):
                return write.won()
            case (_, _, _, _) if is_cursor(kind):
                return write.cursor()
            case (_, _, _, _) if is_parked(kind):
                return write.parked()
            case _:
                return []


def _is_same_record(old: Item, new: Item) -> bool:
    return bool(old.get("d") == new.get("d") and old["c"] == new["c"])


def _removed(change: Change) -> dict[str, Any]:
    return {"sequence": int(change.keys["sk"]["N"]), "count": int((change.old or {})["n"]["N"])}


def _appended(item: Item) -> dict[str, Any]:
    record = record_item.from_item(item)
    events = unpack(record)
    return {
        "sequence": int(record.sequence),
        "ids": tuple(str(event.id) for event in events),
        "keys": tuple(event.key for event in events),
        "types": tuple(event.type for event in events),
        "chain": record.chain.hex(),
        "batch": record.batch_id.hex(),
        "note": str(record.note.lane) if record.note else "",
        "time": int(record.time),
        "skipped": record.count if record.is_skip else 0,
    }


class _LedgerWrite:
    """The write of one item of the ledger, as seen in `region`."""

    def __init__(self, kind: str, change: Change, *, writer: str, region: str) -> None:
        self.partition = str(change.keys["pk"]["S"]).split("/")
        self._kind = kind
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


def _of_effects(change: Change) -> list[News]:
    if change.new is None or "n" not in change.new:
        return []
    subscription, _, id_ = str(change.new["id"]["S"]).partition("/")
    count = int(change.new["n"]["N"])
    return [
        (
            history.EffectMade,
            {"region": change.region, "subscription": subscription, "id": id_, "count": count},
        )
    ]


def _of_invoices(change: Change) -> list[News]:
    """Report events that handlers published, where they were appended."""
    copied = region_of_log_item(change.keys) != change.region
    if change.new is None or change.old is not None or copied or not is_record(change.keys):
        return []
    record, news = record_item.from_item(change.new), list[News]()
    for event in unpack(record):
        if event.type == BILLED:
            about = {"region": change.region, "subscription": event.data["by"], "id": event.data["of"]}
            where = {"lane": str(record.lane), "sequence": int(event.sequence or 0)}
            news.append((history.Published, {**about, **where, "published": str(event.id)}))
    return news
