"""Size of an item by DynamoDB's rules for bills and bounds: attribute names and values, near enough for both."""

from collections.abc import Iterable, Mapping
from typing import Any

from eventfabric.model import Write
from eventfabric.wire.keys import Item


def item_bytes(item: Item) -> int:
    """Return the bytes of an item's names and values. A malformed item has some size here; DynamoDB will refuse it."""
    size = 0
    for name, value in item.items():
        size += _plain_bytes(name) + _value_bytes(value)
    return size


def sent_bytes(write: Write) -> int:
    """Return the bytes of an item that are sent; 0 if the request lacks what it must have: the service will say so."""
    # All that is known: an update does not send the rest of its item.
    names = ("Key", "ExpressionAttributeValues") if write.action == "Update" else ("Item", "Key")
    parts = (write.request.get(name) for name in names)
    return sum(item_bytes(part) for part in parts if isinstance(part, dict))


def _value_bytes(value: object) -> int:
    if not isinstance(value, dict):
        return _plain_bytes(value)
    size = 0
    for kind, content in value.items():
        size += _plain_bytes(content) if kind in ("S", "B") else _kind_bytes(kind, content)
    return size


def _kind_bytes(kind: object, content: Any) -> int:
    if kind == "N" and isinstance(content, str):
        # Two digits a byte, with some room for sign and exponent.
        return len(content) // 2 + 2
    if kind in ("SS", "NS", "BS") and isinstance(content, Iterable):
        return sum(map(_plain_bytes, content))
    # A list or map costs 3 bytes, and each element 1 more.
    if kind == "M" and isinstance(content, Mapping):
        return 3 + len(content) + item_bytes(dict(content))
    if kind == "L" and isinstance(content, Iterable):
        return 3 + sum(1 + _value_bytes(value) for value in content)
    return 1 if kind in ("BOOL", "NULL") else _plain_bytes(content)


def _plain_bytes(content: object) -> int:
    if isinstance(content, str):
        # Text without UTF-8 has a size here, too; DynamoDB will refuse it.
        return len(content) if content.isascii() else len(content.encode("utf-8", "surrogatepass"))
    if isinstance(content, bytes | bytearray):
        return len(content)
    return content.nbytes if isinstance(content, memoryview) else 1
