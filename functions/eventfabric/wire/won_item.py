"""A decision about a noted batch to DynamoDB item and back: which copy is delivered `o` (noted or other), token of the
write `w`, expiry `expiration`.
"""

from typing import Final

from eventfabric.model.commit import Decided
from eventfabric.model.decision import Decision
from eventfabric.model.identity import BatchId
from eventfabric.wire.keys import SK, Item, ledger_region_and_kind, won_key
from eventfabric.wire.step_item import EXPIRY

_NOTED: Final = "noted"
_OTHER: Final = "other"


def to_item(decided: Decided, *, token: bytes) -> Item:
    """The item of a decision."""
    decision = decided.decision
    item = won_key(decided.key, decision.region, decision.batch_id)
    item["o"] = {"S": _NOTED if decision.noted_wins else _OTHER}
    item["w"] = {"B": token}
    item[EXPIRY] = {"N": str(decided.expires_seconds)}
    return item


def from_item(item: Item) -> Decision:
    """The decision of an item; KeyError or ValueError where it is not one."""
    region, _ = ledger_region_and_kind(item)
    batch_id = BatchId(bytes.fromhex(item[SK]["S"].rpartition("/")[2]))
    return Decision(region, batch_id, item["o"]["S"] == _NOTED)
