"""Events as a producer has encoded them: with equal attributes, field by field, and not yet in a record."""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import TypeAlias

import msgspec

from eventfabric.model import HeaderValue, LaneIndex
from eventfabric.wire.payload_codec import Attributes, Row

_HEADER_MEMORY_BYTES = 240
"""Most memory that a header needs beside its bytes: two objects, and its place in a dict."""

Place: TypeAlias = tuple[LaneIndex, str, int]
"""Place of a key: its lane, the key itself, and the number of its bytes."""
_key_bytes_of: Callable[[Place], int] = itemgetter(2)


class Encoded(msgspec.Struct, frozen=True):
    """Events with equal attributes, encoded field by field.

    In a record, each takes at most the bytes of its key and its content, and `around_bytes`.
    """

    attributes: Attributes
    around_bytes: int
    places: Sequence[Place]
    ids: Sequence[str]
    contents: Sequence[bytes]
    size_bytes: int
    """Most bytes that they take of records."""
    beside_bytes: int = 0
    """Memory that they need beside what every event does: headers, and text that is wide in memory."""

    @classmethod
    def of(
        cls,
        attributes: Attributes,
        around_bytes: int,
        places: Sequence[Place],
        ids: Sequence[str],
        contents: Sequence[bytes],
    ) -> "Encoded":
        """Make encoded events, and count the bytes that they take."""
        keys_bytes = sum(map(_key_bytes_of, places))
        size_bytes = sum(map(len, contents)) + keys_bytes + len(ids) * around_bytes
        return cls(attributes, around_bytes, places, ids, contents, size_bytes)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Encoded({len(self.ids)} events, {self.size_bytes:,} bytes)"

    def halves(self) -> "tuple[Encoded, Encoded]":
        """Return the first half and the rest, of two events or more."""
        middle = len(self.ids) // 2
        return self._part(slice(middle)), self._part(slice(middle, None))

    def _part(self, part: slice) -> "Encoded":
        return Encoded.of(
            self.attributes, self.around_bytes, self.places[part], self.ids[part], self.contents[part]
        )

    def row(self) -> Row:
        """Return the row of a single event."""
        (id_,), ((_, key, _),), (content,) = self.ids, self.places, self.contents
        type_, time, source, headers, kind = self.attributes
        return id_, type_, key, time, source, headers, kind, content


def beside_bytes_of(texts: tuple[str, ...], headers: Mapping[str, HeaderValue]) -> int:
    """Return the memory for an event's headers, and for text that is wide in memory."""
    wide = [text for text in (*texts, *headers.values()) if isinstance(text, str) and not text.isascii()]
    return _HEADER_MEMORY_BYTES * len(headers) + 2 * len("".join(wide).encode())
