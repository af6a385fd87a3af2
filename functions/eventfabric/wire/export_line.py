"""Parser of a line of a DynamoDB export, `{"Item": {...}}` in the service's own JSON."""

from base64 import b64decode
from typing import Any

import msgspec

from eventfabric.wire.keys import Item

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def parse_export_line(line: bytes) -> Item:
    """Parse the item of a line. ValueError says what is wrong if it holds none."""
    try:
        item = _decode(line).get("Item")
        if not isinstance(item, dict):
            raise ValueError("no attribute named Item")
        return {name: _attribute(value) for name, value in item.items()}
    # An export is a file that anybody may hand in: whatever it holds ends as one kind of error.
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"not JSON: {error!s:.200}") from error


def _attribute(value: Any) -> dict[str, Any]:
    """Return an attribute as a client of DynamoDB does: bytes as bytes, which are Base64 text in an export."""
    if not isinstance(value, dict):
        raise ValueError("an attribute without a type")
    if "B" in value:
        if not isinstance(value["B"], str):
            raise ValueError("bytes that are no text")
        return {"B": b64decode(value["B"], validate=True)}
    return value
