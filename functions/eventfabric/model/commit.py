"""The request of a commit, and its possible outcomes."""

from dataclasses import dataclass, field
from typing import Any

from eventfabric.model.cursor import Cursor, LaneKey
from eventfabric.model.decision import Decision


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a handler's own transaction: `action` is Put, Update, Delete or ConditionCheck, and `request` is the
    DynamoDB request for it in the service's own JSON (TableName, Item or Key, expressions).
    """

    action: str
    request: dict[str, Any] = field(hash=False, repr=False)


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision about a noted batch that a commit writes. `key`: the lane in which the batch may also stand."""

    key: LaneKey
    decision: Decision
    expires_seconds: int
    """Time of expiry, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The commit succeeded: the cursor stands where the commit put it."""

    cursor: Cursor


@dataclass(frozen=True, slots=True)
class RaceLost:
    """Another consumer moved the cursor first.

    `is_beside_written`: in a stream without transactions, everything that this commit writes beside the cursor is
    written; otherwise nothing of it is.
    """

    is_beside_written: bool = False


@dataclass(frozen=True, slots=True)
class WriteRefused:
    """Nothing was written, because DynamoDB refused the write at `index` (for example, its own condition failed).

    `item`: the item that is there, if the write asked for it. `is_busy`: the write was throttled or met another
    transaction, so the same commit may succeed later, and nobody is to blame.
    """

    index: int
    code: str
    message: str
    item: dict[str, dict[str, Any]] | None = field(default=None, compare=False, repr=False)
    is_busy: bool = False


@dataclass(frozen=True, slots=True)
class SameItemTwice:
    """Nothing was written: two writes of the commit touch one item, which a transaction does not allow."""


CommitOutcome = Committed | RaceLost | WriteRefused | SameItemTwice
