"""Turns the changes of tables into entries of the history: what is true, whatever callers were answered."""

from dataclasses import replace
from typing import Any

from eventfabric.model.cursor import Cursor
from eventfabric.model.parked import Parked
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

EFFECTS = "effects"
"""Table in which handlers of exactly-once subscriptions count their effects. `id` is subscription/event."""
FOREIGN = "foreign"
"""Attribute that marks what the fabric did not write. No decoder looks at it."""
Told = tuple[type[history.Entry], dict[str, Any]]


def is_foreign(item: Item | None) -> bool:
    """Tell if somebody else put this item there, or changed it."""
    return item is not None and FOREIGN in item


class Observer:
    """Reads what is new in one table. `shared`: all Regions write the same table, so nothing in it is a copy."""

    def __init__(self, table: MemoryTable, kind: str, *, shared: bool) -> None:
        self.table = table
        self._kind = kind
        self._shared = shared
        self._seen = 0
        self._own: dict[tuple[Any, ...], Item] = {}
        """The fabric's last version of each item that somebody else has overwritten since."""
        self.is_foreign_news = False
        """Set by `news`: somebody else changed something, which is not reported."""

    def news(self) -> list[Told]:
        """Return the changes since the last call, parked keys before the cursor that was written with them."""
        changes = self.table.stream.changes
        self.is_foreign_news = False
        if len(changes) == self._seen:
            return []
        new, self._seen = changes[self._seen :], len(changes)
        told: list[Told] = []
        for change in new:
            if is_foreign(change.old) or is_foreign(change.new):
                self.is_foreign_news = True
                own = self._own_part(change)
                if own is None:
                    continue
                change = own
            match self._kind:
                case "log":
                    told += self._of_log(change)
                case "ledger":
                    told += self._of_ledger(change)
                case _:
                    told += _of_effects(change)
        return told

    def _own_part(self, change: Change) -> Change | None:
        """Return the change from the fabric's last version to its new one; None if only others changed the item."""
        if is_foreign(change.new):
            if change.old is not None and not is_foreign(change.old):
                self._own[change.key] = change.old
            return None
        before = self._own.pop(change.key, None)
        return None if before == change.new else replace(change, old=before)

    def _of_log(self, change: Change) -> list[Told]:
        if not is_record(change.keys):
            return []
        lane = str(change.keys["pk"]["S"])
        if change.new is None:
            sequence, count = int(change.keys["sk"]["N"]), int((change.old or {})["n"]["N"])
            about = {"region": change.region, "lane": lane, "sequence": sequence, "count": count}
            return [(history.Removed, about)]
        if (
            change.old is not None
            and change.old.get("d") == change.new.get("d")
            and change.old["c"] == change.new["c"]
        ):
            return []  # only its expiry was postponed
        record = record_item.from_item(change.new)
        events = unpack(record)
        copied = not self._shared and region_of_log_item(change.keys) != change.region
        return [
            (
                history.Appended,
                {
                    "region": change.region,
                    "lane": lane,
                    "sequence": int(record.sequence),
                    "ids": tuple(str(one.id) for one in events),
                    "keys": tuple(one.key for one in events),
                    "types": tuple(one.type for one in events),
                    "chain": record.chain.hex(),
                    "batch": record.batch_id.hex(),
                    "note": str(record.note.lane) if record.note else "",
                    "copied": copied,
                    "time": int(record.time),
                    "skipped": record.count if record.is_skip else 0,
                },
            )
        ]

    def _of_ledger(self, change: Change) -> list[Told]:
        writer, kind = ledger_region_and_kind(change.keys)
        region = str(writer) if self._shared else change.region
        copied = not self._shared and str(writer) != change.region
        item = change.new
        if item is not None and (is_owner(kind) or is_circuit(kind)):
            return _of_standing(kind, item, region=region, copied=copied)
        parts = str(change.keys["pk"]["S"]).split("/")
        if len(parts) == 5 and parts[4] == "settled" and item is not None and not copied:
            settled = settled_item.from_item(item)
            where = {"region": region, "subscription": parts[1], "lane": f"{parts[2]}/{parts[3]}"}
            told = {**where, "sequence": int(settled.sequence), "action": settled.action}
            if settled.dropped is not None:
                dropped = settled.dropped
                told |= {"key": dropped.key, "dropped": tuple(map(int, dropped.sequences))}
                told |= {"since": int(dropped.since), "until": int(dropped.until)}
            return [(history.Settled, told)]
        if len(parts) != 4 or not (is_cursor(kind) or is_parked(kind) or is_won(kind)):
            return []
        key = lane_key_of(change.keys)
        place = {"region": region, "subscription": str(key.subscription), "lane": str(key.lane)}
        if is_won(kind):
            if item is None:
                return []
            decision = won_item.from_item(item)
            return [
                (
                    history.CopyDecided,
                    {
                        **place,
                        "batch": decision.batch_id.hex(),
                        "noted_wins": decision.noted_wins,
                        "copied": copied,
                    },
                )
            ]
        about: dict[str, Any] = {**place, "writer": str(writer), "copied": copied}
        if is_cursor(kind):
            assert item is not None, "a cursor is never deleted"
            before = _cursor_of(change.old)
            return [(history.CursorMoved, {**about, "before": before, "after": _cursor_of(item)})]
        found = parked_item.from_item(item or change.old or {})
        changed = {
            "id": found.id,
            "key": found.key,
            "before": _parked_of(change.old),
            "after": _parked_of(item),
        }
        return [(history.KeyChanged, {**about, **changed})]


def _of_standing(kind: str, item: Item, *, region: str, copied: bool) -> list[Told]:
    about = {"region": region, "subscription": _subscription_of(item)}
    if is_circuit(kind):
        circuit = circuit_item.from_item(item)
        switched = {**about, "state": circuit.state.value, "probe_ms": circuit.probe_ms}
        return [] if copied else [(history.CircuitSwitched, switched)]
    owner = owner_item.from_item(item)
    if not owner.epoch:
        return []  # a first owner takes over from nobody
    handed = {"origin": str(owner.origin), "to": str(owner.region), "epoch": owner.epoch}
    return [(history.HandedOver, {**about, **handed, "since_ms": owner.since_ms, "copied": copied})]


def _subscription_of(item: Item) -> str:
    return str(item["pk"]["S"]).split("/")[1]


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


def _of_effects(change: Change) -> list[Told]:
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
