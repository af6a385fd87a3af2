"""Turns the changes of tables into entries of the history: what is true, whatever callers were answered."""

from dataclasses import replace
from typing import Any

from eventfabric.testing.memory.stream import Change
from eventfabric.testing.memory.table import MemoryTable
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.ledger_news import News, of_ledger
from eventfabric.wire import record_item
from eventfabric.wire.keys import Item, is_declaration, is_record, region_of_log_item
from eventfabric.wire.payload_codec import unpack

INVOICES = "invoices"
"""Stream into which handlers publish."""
BILLED = "billed"
"""Type of what they publish: `of` an event, `by` a subscription."""
EFFECTS = "effects"
"""Table in which handlers of exactly-once subscriptions count their effects. `id` is subscription/event."""
FOREIGN = "foreign"
"""Attribute that marks what the fabric did not write. No decoder looks at it."""


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
        """Set by `news`: something changed that is not reported, by somebody else or by a deployment."""

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
                    news += of_ledger(change, shared=self._shared)
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
        if is_declaration(change.keys):
            self.is_foreign_news = True
            return []
        if not is_record(change.keys):
            return []
        where = {"region": change.region, "lane": str(change.keys["pk"]["S"])}
        if change.new is None:
            return [(history.Removed, where | _removed(change))]
        if change.old is not None and _is_same_record(change.old, change.new):
            return []  # only its expiry was postponed
        copied = not self._shared and region_of_log_item(change.keys) != change.region
        return [(history.Appended, where | _appended(change.new) | {"copied": copied})]


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
        "is_seal": record.is_seal,
    }


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
