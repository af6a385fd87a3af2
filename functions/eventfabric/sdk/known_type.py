"""Types of events that a producer has published before, so that the next event of a type is encoded without a check."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from eventfabric.model import HeaderValue
from eventfabric.sdk.ending_types import EndingType
from eventfabric.sdk.schemas import check_content
from eventfabric.wire.payload_codec import encode_event

if TYPE_CHECKING:
    from eventfabric.contracts.checks import SchemaCheck

NO_HEADERS: Mapping[str, HeaderValue] = {}
_BARE_BYTES = len(encode_event(("", "", "", 0, "", {}, 0, b"")))


class KnownType:
    """A type whose events were published before. `around_bytes`: most bytes of a row beside its key and content.

    `is_held`: its events are held to a schema, or to an announced end.
    """

    __slots__ = ("around_bytes", "check", "ending", "headers", "is_held", "type")

    def __init__(
        self, type_: str, around_bytes: int, check: "SchemaCheck | None", ending: EndingType | None
    ) -> None:
        self.type = type_
        self.check = check
        self.ending = ending
        self.is_held = check is not None or ending is not None
        of_schema: Mapping[str, HeaderValue] = NO_HEADERS if check is None else check.headers
        self.headers = of_schema if ending is None else ending.marked(of_schema)
        self.around_bytes = around_bytes + len(type_.encode()) + headers_bytes(self.headers)

    def hold(self, content: bytes, now_ms: int) -> None:
        """Raise InvalidEventError if JSON text does not fit the schema; EndedTypeError after the sunset."""
        if self.ending is not None:
            self.ending.check(now_ms)
        if self.check is not None:
            check_content(self.check, content)

    def accepts_all(self, contents: Sequence[bytes], now_ms: int) -> bool:
        """Tell if all JSON texts may be published. EndedTypeError after the sunset."""
        if self.ending is not None:
            self.ending.check(now_ms)
        return self.check is None or self.check.accepts_all(contents)


def headers_bytes(headers: Mapping[str, HeaderValue]) -> int:
    """Return the bytes that headers add to a row without any."""
    return len(encode_event(("", "", "", 0, "", headers, 0, b""))) - _BARE_BYTES if headers else 0
