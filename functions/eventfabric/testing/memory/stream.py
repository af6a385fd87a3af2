"""A table's stream: changes are in order for each item and not across items; unconfirmed ones come again.

Owns no table. A reader decides, through a chooser, which item's next change it sees next.
"""

from base64 import b64encode
from bisect import insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eventfabric.wire.keys import Item

Chooser = Callable[[int], int]
"""Picks one of `count` choices: takes the count, and returns a number from 0 to count - 1."""


def first(count: int) -> int:
    """Choose the first: keep to the order of arrival."""
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
        """SequenceNumber of the change in the stream."""
        return f"{self.number:021d}"

    def event(self) -> dict[str, Any]:
        """Return the change in the form in which Lambda passes it to a function: binary values in Base64."""
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

    def reader(self, *, of: Callable[[Change], bool] | None = None) -> "StreamReader":
        """Return a reader that starts at the beginning, like TRIM_HORIZON. `of`: selects what it sees at all."""
        return StreamReader(self, of)


class StreamReader:
    """One reader of a stream. Invariant: an item's changes are shown in order, none before the earlier ones."""

    def __init__(self, stream: MemoryStream, of: Callable[[Change], bool] | None = None) -> None:
        self._stream = stream
        self._of = of
        self._seen = 0
        self._pending: list[Change] = []

    @property
    def pending(self) -> list[Change]:
        """Changes that are not confirmed yet."""
        changes = self._stream.changes
        if self._seen < len(changes):
            new, self._seen = changes[self._seen :], len(changes)
            self._pending += new if self._of is None else filter(self._of, new)
        return self._pending

    def take(
        self, count: int, choose: Chooser = first, *, only: Callable[[Change], bool] | None = None
    ) -> list[Change]:
        """Return up to `count` changes, pending until they are confirmed. The chooser may permute them across items."""
        of_item: dict[tuple[Any, ...], deque[Change]] = {}
        for change in self.pending:
            if only is None or only(change):
                queued = of_item.get(change.key)
                if queued is None:
                    of_item[change.key] = deque((change,))
                else:
                    queued.append(change)
        # The next change of each item, in the order of the stream.
        heads = [(changes[0].number, changes) for changes in of_item.values()]
        taken: list[Change] = []
        while heads and len(taken) < count:
            _, changes = heads.pop(choose(len(heads)))
            taken.append(changes.popleft())
            if changes:
                insort(heads, (changes[0].number, changes))
        return taken

    def confirm(self, batch: list[Change], *, failed_from: str | None = None) -> None:
        """Confirm a batch. The changes from position `failed_from` on are not confirmed, and come again."""
        confirmed: set[int] = set()
        for change in batch:
            if failed_from is not None and change.position == failed_from:
                break
            confirmed.add(change.number)
        if confirmed:
            self._pending = [change for change in self._pending if change.number not in confirmed]


def _in_json(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {name: inner if isinstance(inner, str) else _in_json(inner) for name, inner in value.items()}
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return [_in_json(inner) for inner in value] if isinstance(value, list) else value
