"""Owns what a commit is asked for and what can come of it."""

from dataclasses import dataclass, field
from typing import Any

from eventfabric.model.cursor import Cursor, LaneKey
from eventfabric.model.decision import Decision


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a handler's own transaction: `action` is Put, Update, Delete or ConditionCheck, `request` the
    DynamoDB request of it in the service's own JSON (TableName, Item or Key, expressions).
    """

    action: str
    request: dict[str, Any] = field(hash=False, repr=False)


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision about a noted batch that a commit writes; `key`: the lane in which the batch may also stand."""

    key: LaneKey
    decision: Decision
    expires_seconds: int
    """Since 1970."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The cursor stands where the commit put it."""

    cursor: Cursor


@dataclass(frozen=True, slots=True)
class RaceLost:
    """Somebody else moved the cursor first.

    `is_beside_written`: in a stream without transactions, all that this commit writes beside the cursor stands; else
    nothing of it does.
    """

    is_beside_written: bool = False


@dataclass(frozen=True, slots=True)
class WriteRefused:
    """Nothing was written, because DynamoDB refused the write at `index` (its own condition failed, for one).

    `item`: what stands there, where the write asked for it. `is_busy`: it was throttled, or met
    another transaction: the same may go through later, and nobody is to blame.
    """

    index: int
    code: str
    message: str
    item: dict[str, dict[str, Any]] | None = field(default=None, compare=False, repr=False)
    is_busy: bool = False


@dataclass(frozen=True, slots=True)
class SameItemTwice:
    """Nothing was written: two writes of the commit touch one item, which a transaction cannot do."""


CommitOutcome = Committed | RaceLost | WriteRefused | SameItemTwice
