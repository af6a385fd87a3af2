"""A table's stream: order holds per item and nowhere else; what a reader did not confirm comes again.

Owns no table. Whoever reads decides, through a chooser, which item's next change shows up next.
"""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eventfabric.wire.keys import Item

Chooser = Callable[[int], int]
"""Picks one of so many: a number from 0 up to, not including, the argument."""


def first(count: int) -> int:
    """The chooser that keeps to the order of arrival."""
    return 0


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one item. `by_expiry`: the service removed it, in the Region of this stream."""

    number: int
    at_ms: int
    key: tuple[Any, ...]
    keys: Item
    old: Item | None
    new: Item | None
    table: str
    region: str
    by_expiry: bool = False

    @property
    def position(self) -> str:
        """The stream's SequenceNumber."""
        return f"{self.number:021d}"

    def event(self) -> dict[str, Any]:
        """The change as Lambda gets it: binary values in Base64."""
        name = "REMOVE" if self.new is None else "INSERT" if self.old is None else "MODIFY"
        change: dict[str, Any] = {
            "ApproximateCreationDateTime": self.at_ms // 1000,
            "Keys": _in_json(self.keys),
            "SequenceNumber": self.position,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        }
        if self.new is not None:
            change["NewImage"] = _in_json(self.new)
        if self.old is not None:
            change["OldImage"] = _in_json(self.old)
        return {
            "eventID": f"{self.region}-{self.table}-{self.number}",
            "eventName": name,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": self.region,
            "dynamodb": change,
            "eventSourceARN": f"arn:aws:dynamodb:{self.region}:000000000000:table/{self.table}/stream/0",
        }


class MemoryStream:
    """All changes of one table."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def reader(self) -> "StreamReader":
        """A reader from the beginning on, as TRIM_HORIZON."""
        return StreamReader(self)


class StreamReader:
    """One reader of a stream. Invariant: of one item it shows no change before an earlier one is confirmed or shown."""

    def __init__(self, stream: MemoryStream) -> None:
        self._stream = stream
        self._seen = 0
        self._pending: list[Change] = []

    @property
    def pending(self) -> list[Change]:
        """What is not confirmed yet."""
        self._pending += self._stream.changes[self._seen :]
        self._seen = len(self._stream.changes)
        return self._pending

    def take(
        self, count: int, choose: Chooser = first, *, only: Callable[[Change], bool] = lambda _: True
    ) -> list[Change]:
        """Up to `count` changes in an order that the chooser may permute across items; they stay until confirmed."""
        waiting = [change for change in self.pending if only(change)]
        taken: list[Change] = []
        while waiting and len(taken) < count:
            items = list(dict.fromkeys(change.key for change in waiting))
            chosen = items[choose(len(items))]
            change = next(change for change in waiting if change.key == chosen)
            waiting.remove(change)
            taken.append(change)
        return taken

    def confirm(self, batch: list[Change], *, failed_from: str | None = None) -> None:
        """The batch is done, but for what stands in it from the position `failed_from` on: that comes again."""
        for change in batch:
            if change.position == failed_from:
                return
            self._pending.remove(change)


def _in_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, dict):
        return {name: _in_json(inner) for name, inner in value.items()}
    return [_in_json(inner) for inner in value] if isinstance(value, list) else value
