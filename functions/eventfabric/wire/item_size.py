"""The size of an item as DynamoDB bills and bounds it: attribute names and values, near enough for both."""

from collections.abc import Iterable, Mapping
from typing import Any

from eventfabric.wire.keys import Item


def item_bytes(item: Item) -> int:
    """Names and values of an item, in bytes. What is no item is for DynamoDB to refuse, and has some size here."""
    return sum(_plain_bytes(name) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: object) -> int:
    if not isinstance(value, dict):
        return _plain_bytes(value)
    return sum(_kind_bytes(kind, content) for kind, content in value.items())


def _kind_bytes(kind: object, content: Any) -> int:
    if kind == "N" and isinstance(content, str):
        return len(content) // 2 + 2
    if kind in ("SS", "NS", "BS") and isinstance(content, Iterable):
        return sum(map(_plain_bytes, content))
    if kind == "M" and isinstance(content, Mapping):
        return 3 + len(content) + item_bytes(dict(content))
    if kind == "L" and isinstance(content, Iterable):
        return 3 + sum(1 + _value_bytes(one) for one in content)
    return 1 if kind in ("BOOL", "NULL") else _plain_bytes(content)


def _plain_bytes(content: object) -> int:
    if isinstance(content, str):
        return len(content.encode("utf-8", "surrogatepass"))
    if isinstance(content, bytes | bytearray):
        return len(content)
    return content.nbytes if isinstance(content, memoryview) else 1
