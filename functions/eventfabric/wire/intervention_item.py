"""Codec of operators' interventions as DynamoDB items: `qb` by whom, `qw` why, `qt` milliseconds since 1970.

If an item was set aside, its intervention also holds all attributes of that item, including an expiry. The sort key is
the sequence, plus 10^16 or a multiple of that for other kinds: of each kind, one intervention a sequence is kept.
"""

from typing import Final

from eventfabric import limits
from eventfabric.errors import UndecodableItemError
from eventfabric.model import Intervention, InterventionKind, Lane, SequenceNumber
from eventfabric.wire import fields
from eventfabric.wire.item_size import item_bytes
from eventfabric.wire.keys import SK, Item, intervention_key

ATTRIBUTES: Final = (SK, "qb", "qw", "qt")
"""Attributes of the intervention itself. All others of an item are what stood there."""
_KINDS: Final = (
    InterventionKind.SET_ASIDE,
    InterventionKind.RESTORED,
    InterventionKind.SKIPPED,
    InterventionKind.SPLIT,
)
_APART: Final = 10**16
"""Distance between the sort keys of two kinds, larger than every sequence."""
assert _APART > limits.SEQUENCE_MAX


def to_item(intervention: Intervention, stood: Item | None = None) -> Item:
    """Encode an intervention, with all that stood there, whatever it is, as far as both fit into one item."""
    number = _APART * _KINDS.index(intervention.kind) + intervention.sequence
    about: Item = {
        "qb": {"S": intervention.by},
        "qw": {"S": intervention.reason},
        "qt": {"N": str(intervention.at_ms)},
        **intervention_key(intervention.lane, number),
    }
    # A skip that is set aside has attributes of the same names; those of this intervention count.
    rest = {name: value for name, value in (stood or {}).items() if name not in about}
    if item_bytes(rest) + item_bytes(about) > limits.ITEM_BYTES_MAX:
        # No record is so large. But it must be possible to set such an item aside, or it would stop its lane
        # for good.
        largest = max(rest, key=lambda name: item_bytes({name: rest[name]}))
        size = item_bytes({largest: rest.pop(largest)})
        about["qw"] = {"S": f"{intervention.reason}; without attribute {largest!r:.40} of {size:,} bytes"}
        while item_bytes(rest) + item_bytes(about) > limits.ITEM_BYTES_MAX:
            del rest[max(rest, key=lambda name: item_bytes({name: rest[name]}))]
    return {**rest, **about}


def from_item(item: Item, lane: Lane) -> Intervention:
    """Decode an intervention. If a field cannot be read, the error stands as the reason."""
    try:
        number = fields.whole(item, SK, most=_APART * len(_KINDS) - 1)
        return Intervention(
            lane,
            SequenceNumber(number % _APART),
            by=fields.text(item, "qb", characters_max=limits.ITEM_BYTES_MAX),
            reason=fields.text(item, "qw", characters_max=limits.ITEM_BYTES_MAX),
            at_ms=fields.milliseconds(item, "qt"),
            kind=_KINDS[number // _APART],
        )
    except UndecodableItemError as error:  # no delivery depends on it, and it stays listed
        return Intervention(lane, SequenceNumber(0), by="?", reason=str(error), at_ms=0)
