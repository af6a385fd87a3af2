"""The size of an item as DynamoDB bills and bounds it: attribute names and values, near enough for both."""

from typing import Any

from eventfabric.wire.keys import Item


def item_bytes(item: Item) -> int:
    """Names and values of an item, in bytes."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: dict[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "N":
        return len(content) // 2 + 2
    if kind in ("SS", "NS", "BS"):
        return sum(len(part) if isinstance(part, bytes) else len(part.encode()) for part in content)
    if kind == "M":
        return 3 + item_bytes(content)
    if kind == "L":
        return 3 + sum(_value_bytes(inner) for inner in content)
    if kind in ("BOOL", "NULL"):
        return 1
    return len(content) if isinstance(content, bytes) else len(content.encode())
