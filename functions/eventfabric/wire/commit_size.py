"""Size of a commit: how much one transaction of the ledger can hold beside the cursor."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from eventfabric import limits
from eventfabric.model import Parked, ParkedChange, Write
from eventfabric.wire.item_size import sent_bytes

# The cursor's own fields in 4 KiB, and the longest roster.
_CURSOR_BYTES_MAX: Final = 4 * 1024 + limits.PARKED_KEYS_MAX * limits.ROSTER_KEY_BYTES_MAX
STATE_BYTES_MAX: Final = _CURSOR_BYTES_MAX + limits.PARKED_BYTES_MAX
"""Most bytes of a lane's state in the commit of one event: the cursor, and the parked key that it leaves."""


@dataclass(frozen=True, slots=True)
class CommitSize:
    """Size of the actions of one commit, besides the cursor: their number, and at most how many bytes they take."""

    actions: int = 0
    bytes: int = 0

    def __add__(self, other: "CommitSize") -> "CommitSize":
        return CommitSize(self.actions + other.actions, self.bytes + other.bytes)

    @property
    def fits(self) -> bool:
        """Tell if one transaction can hold them together with the cursor."""
        return (
            self.actions < limits.TRANSACTION_ACTIONS_MAX
            and self.bytes + _CURSOR_BYTES_MAX <= limits.TRANSACTION_BYTES_MAX
        )


_NOTHING: Final = CommitSize()


def size_of_writes(writes: Sequence[Write]) -> CommitSize:
    """Return the size of a handler's writes: their items, or what they say about items that are there."""
    if not writes:
        return _NOTHING
    return sum((CommitSize(1, sent_bytes(write)) for write in writes), CommitSize())


def size_of_key(parked: Parked) -> CommitSize:
    """Return the largest size of the change of a parked key."""
    return CommitSize(1, limits.PARKED_BYTES_MAX + len(parked.replacement or b""))


def in_commits(changes: Iterable[ParkedChange], *, cursors: int = 1) -> Iterator[list[ParkedChange]]:
    """Split changes of parked keys, in their order, into lists of as many as a commit of so many cursors can hold."""
    beside = CommitSize(cursors - 1, (cursors - 1) * _CURSOR_BYTES_MAX)
    some, size = list[ParkedChange](), beside
    for change in changes:
        key = change.after or change.before
        assert key is not None, "a change has a before or an after"
        more = size_of_key(key)
        if some and not (size + more).fits:
            yield some
            some, size = [], beside
        some.append(change)
        size += more
    if some:
        yield some
