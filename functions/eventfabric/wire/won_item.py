"""Codec of decisions about noted batches as DynamoDB items: `o` the copy that is delivered (noted or other), `w` token
of the write, expiry `expiration`.
"""

from typing import Final

from eventfabric.model import BatchId, Decided, Decision, Lane
from eventfabric.wire import fields
from eventfabric.wire.keys import EXPIRY, SK, Item, won_key

_NOTED: Final = "noted"
_OTHER: Final = "other"
_HEXADECIMAL: Final = frozenset("0123456789abcdef")


def to_item(decided: Decided, *, token: bytes) -> Item:
    """Encode a decision."""
    decision = decided.decision
    item = won_key(decided.key, decision.region, decision.batch_id, decision.part)
    item["o"] = {"S": _NOTED if decision.noted_wins else _OTHER}
    item["w"] = {"B": token}
    # Longer than both copies: without it the other copy, which may come late, would be delivered as well.
    item[EXPIRY] = {"N": str(decided.expires_seconds)}
    return item


def from_item(item: Item) -> Decision:
    """Decode a decision. UndecodableItemError if the item is not one."""
    region, kind = fields.region_and_kind(item)
    digits, _, part = kind.partition("/")[2].partition("/")
    # Lower case only, so that a batch id has one text.
    if len(digits) != 2 * fields.BATCH_ID_BYTES or not set(digits) <= _HEXADECIMAL:
        fields.refuse(item, SK, f"{digits!r:.80}", f"a batch id of {2 * fields.BATCH_ID_BYTES} digits")
    which = fields.text(item, "o", characters_max=len(_NOTED))
    if which not in (_NOTED, _OTHER):
        fields.refuse(item, "o", repr(which), f"{_NOTED} or {_OTHER}")
    return Decision(region, BatchId(bytes.fromhex(digits)), which == _NOTED, _part(item, part))


def _part(item: Item, text: str) -> Lane | None:
    """Parse the noted copy's lane, which is named unless it is the first of its tree."""
    try:
        lane = Lane.parse(text) if text else None
    except ValueError:
        lane = None
    if text and (lane is None or lane.is_root):
        fields.refuse(item, SK, f"{text!r:.80}", "a lane that was split off from another")
    return lane
