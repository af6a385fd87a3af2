"""Codec of credit items: one attribute for each lane of a slice, named by the lane's place in it, with its grant."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from eventfabric import limits
from eventfabric.errors import UndecodableItemError
from eventfabric.model import LaneKey, Region, SequenceNumber
from eventfabric.model.credit import Grants
from eventfabric.wire import fields
from eventfabric.wire.keys import CREDIT_SLICE_LANES, SK, Item, credit_key


def raising(key: LaneKey, region: Region, grant: SequenceNumber) -> dict[str, Any]:
    """Return the request that sets a lane's grant, if that is more than the stored one.

    Functions that deliver other lanes of the slice change only their own attributes, and nobody has to read first.
    """
    return {
        "Key": credit_key(key, region),
        "UpdateExpression": "SET #l = :g",
        "ConditionExpression": "attribute_not_exists(#l) OR #l < :g",
        "ExpressionAttributeNames": {"#l": _name(key)},
        "ExpressionAttributeValues": {":g": {"N": str(grant)}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def grant_in(key: LaneKey, item: Item) -> SequenceNumber:
    """Return what an item grants in a lane. UndecodableItemError."""
    return fields.sequence(item, _name(key))


def grants_in(items: Iterable[Item]) -> dict[Region, Grants]:
    """Return what each Region grants by these items. Slots that cannot be read grant nothing."""
    grants: dict[Region, dict[int, SequenceNumber]] = {}
    for item in items:
        with suppress(UndecodableItemError):
            region, first = _region_and_first(item)
            of_region = grants.setdefault(region, {})
            # A later version may keep more beside the grants.
            for offset in range(CREDIT_SLICE_LANES):
                with suppress(UndecodableItemError):
                    if str(offset) in item:
                        of_region[first + offset] = fields.sequence(item, str(offset))
    return dict(grants)


def _region_and_first(item: Item) -> tuple[Region, int]:
    """Return the Region that wrote an item, and the first lane of its slice."""
    region, number = fields.region_and_kind(item)
    if not (number.isascii() and number.isdigit() and len(number) <= len(str(limits.LANES_MAX))):
        fields.refuse(item, SK, f"{number!r:.80}", "<region>/<slice of the lanes>")
    return region, int(number) * CREDIT_SLICE_LANES


def _name(key: LaneKey) -> str:
    return str(key.lane.number % CREDIT_SLICE_LANES)
