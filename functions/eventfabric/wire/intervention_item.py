"""What an operator did to a lane, to DynamoDB item and back: `qb` by whom, `qw` why, `qt` milliseconds since 1970.

Of an item that was set aside it also holds all that stood there; its expiry, if it has one, goes with it. The sort key
is the sequence, and for other kinds 10^16 or a multiple of that more: of each kind, one a sequence is on record.
"""

from typing import Final

from eventfabric import limits
from eventfabric.errors import UndecodableItemError
from eventfabric.model.identity import Lane, Sequence
from eventfabric.model.record import Intervention, InterventionKind
from eventfabric.wire import fields
from eventfabric.wire.item_size import item_bytes
from eventfabric.wire.keys import SK, Item, intervention_key

ATTRIBUTES: Final = (SK, "qb", "qw", "qt")
"""What tells of an intervention; the rest of an item is what stood there."""
_KINDS: Final = (InterventionKind.SET_ASIDE, InterventionKind.RESTORED, InterventionKind.SKIPPED)
_APART: Final = 10**16
"""Above every sequence: what lies between the sort keys of two kinds."""
assert _APART > limits.SEQUENCE_MAX


def to_item(intervention: Intervention, stood: Item | None = None) -> Item:
    """The item of an intervention, with what stood there, whatever that holds, as far as both fit into one item."""
    number = _APART * _KINDS.index(intervention.kind) + intervention.sequence
    about: Item = {
        "qb": {"S": intervention.by},
        "qw": {"S": intervention.reason},
        "qt": {"N": str(intervention.at_ms)},
        **intervention_key(intervention.lane, number),
    }
    kept = {name: value for name, value in (stood or {}).items() if name not in about}
    if item_bytes(kept) + item_bytes(about) > limits.ITEM_BYTES_MAX:
        # No record is so large. It must not be impossible to set aside, for it would stop its lane for good.
        largest = max(kept, key=lambda name: item_bytes({name: kept[name]}))
        size = item_bytes({largest: kept.pop(largest)})
        about["qw"] = {"S": f"{intervention.reason}; without attribute {largest!r:.40} of {size:,} bytes"}
        while item_bytes(kept) + item_bytes(about) > limits.ITEM_BYTES_MAX:
            del kept[max(kept, key=lambda name: item_bytes({name: kept[name]}))]
    return {**kept, **about}


def from_item(item: Item, lane: Lane) -> Intervention:
    """What an operator did; with the field that cannot be read as the reason, where there is one."""
    try:
        number = fields.whole(item, SK, most=_APART * len(_KINDS) - 1)
        return Intervention(
            lane,
            Sequence(number % _APART),
            by=fields.text(item, "qb", characters_max=limits.ITEM_BYTES_MAX),
            reason=fields.text(item, "qw", characters_max=limits.ITEM_BYTES_MAX),
            at_ms=fields.milliseconds(item, "qt"),
            kind=_KINDS[number // _APART],
        )
    except UndecodableItemError as error:  # it concerns nobody who delivers, and stays listed
        return Intervention(lane, Sequence(0), by="?", reason=str(error), at_ms=0)
