"""One line of a DynamoDB export (`{"Item": {...}}`, in the service's own JSON), to the item that it holds."""

from base64 import b64decode
from typing import Any

import msgspec

from eventfabric.wire.keys import Item

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def parse_export_line(line: bytes) -> Item:
    """Read the item of a line; ValueError, with what is wrong, where it holds none."""
    try:
        item = _decode(line).get("Item")
        if not isinstance(item, dict):
            raise ValueError("no attribute named Item")
        return {name: _attribute(value) for name, value in item.items()}
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"not JSON: {error!s:.200}") from error


def _attribute(value: Any) -> dict[str, Any]:
    """Turn an attribute into what a client of DynamoDB hands out: bytes are no text there."""
    if not isinstance(value, dict):
        raise ValueError("an attribute without a type")
    if "B" in value:
        if not isinstance(value["B"], str):
            raise ValueError("bytes that are no text")
        return {"B": b64decode(value["B"], validate=True)}
    return value
