"""Codec of the records of steps, in the layout of Powertools Idempotency.

Powertools lets a record be taken over once its `in_progress_expiration` (milliseconds) has passed: it takes a time-out
for proof that the effect did not happen. Here only a `verify` hook or a person decides that, so the time of ours lies
beyond the year 2100. How far beyond tells one attempt's record from another's, so that a begin whose reply was lost
recognises its own. A record that a person released has a time that passed long ago.
"""

from typing import Final

from eventfabric import limits
from eventfabric.model import Region, StepState
from eventfabric.wire import fields
from eventfabric.wire.keys import EXPIRY, Item, step_key

STATUS: Final = "status"
RESULT: Final = "data"
OWNER: Final = "in_progress_expiration"
IN_PROGRESS: Final = "INPROGRESS"
COMPLETED: Final = "COMPLETED"
OWNER_BYTES: Final = limits.STEP_TOKEN_BYTES
RELEASED: Final = 1
"""Owner of a released step: a time that has passed, so that the next attempt takes the record over."""
_YEAR_2100_MS: Final = 4_102_444_800_000
_OWNER_MAX: Final = _YEAR_2100_MS + 2 ** (8 * OWNER_BYTES)


def token_of(random: bytes, now_ms: int) -> bytes:
    """Return the token of an attempt, from OWNER_BYTES random bytes and the time: copied processes have equal bytes."""
    moment = now_ms & ((1 << 8 * OWNER_BYTES) - 1)
    return (int.from_bytes(random) ^ moment).to_bytes(OWNER_BYTES)


def owner_of(token: bytes) -> int:
    """Return the number by which an attempt recognises its record, whenever it looks."""
    return _YEAR_2100_MS + int.from_bytes(token)


def expires_seconds(now_ms: int, retention_seconds: int | None) -> int:
    """Return until when a record is kept if its stream keeps events for that long (None: for ever), since 1970."""
    # Longer than its event: a dead letter is redriven late, and must still find what its steps did.
    kept_seconds = limits.STEP_KEPT_ALWAYS_SECONDS if retention_seconds is None else retention_seconds
    return now_ms // 1000 + kept_seconds + limits.STEP_KEPT_SECONDS


def begun(key: str, region: Region, *, owner: int, expires_seconds: int) -> Item:
    """Encode a step that is about to happen."""
    return {
        **step_key(key, region),
        STATUS: {"S": IN_PROGRESS},
        EXPIRY: {"N": str(expires_seconds)},
        OWNER: {"N": str(owner)},
    }


def released(key: str, region: Region, *, expires_seconds: int) -> Item:
    """Encode a step that an operator has released: it is about to happen, and belongs to nobody."""
    return begun(key, region, owner=RELEASED, expires_seconds=expires_seconds)


def from_item(item: Item) -> StepState:
    """Decode the state of a step. UndecodableItemError if the item is not a step's."""
    status = fields.text(item, STATUS, characters_max=len(IN_PROGRESS))
    if status not in (IN_PROGRESS, COMPLETED):
        fields.refuse(item, STATUS, repr(status), f"{IN_PROGRESS} or {COMPLETED}")
    result = fields.text(item, RESULT, characters_max=limits.ITEM_BYTES_MAX) if RESULT in item else "null"
    return state_of(status, result, fields.whole(item, OWNER, most=_OWNER_MAX) if OWNER in item else 0)


def state_of(status: str, result: str, owner: int) -> StepState:
    """Return the state that a record's fields describe."""
    done = status == COMPLETED
    return StepState(done, result, released=not done and owner == RELEASED)
