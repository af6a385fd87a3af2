"""Ending types: types of a stream whose end is announced, as those who publish them meet that.

They are warned once a process, their events say so, and after the sunset publishing is refused.
"""

from collections.abc import Mapping

from eventfabric import limits
from eventfabric.errors import EndedTypeError, Problem
from eventfabric.model import HeaderValue
from eventfabric.model.deprecation import DeprecatedType
from eventfabric.stream_topology import StreamTopology


class EndingType:
    """A type of a stream whose end is announced. `headers`: what each of its events says about that."""

    __slots__ = ("_end", "_stream", "headers")

    def __init__(self, end: DeprecatedType, stream: str) -> None:
        self._end = end
        self._stream = stream
        self.headers: Mapping[str, HeaderValue] = end.headers(stream)

    def check(self, now_ms: int) -> None:
        """Raise EndedTypeError from the sunset on."""
        if now_ms >= self._end.sunset_ms:
            state = f"{self._end.type!r:.140}, which ended on {self._end.sunset}"
            instead = f"{self._end.use!r:.140}" if self._end.use else "a type that has not ended"
            raise EndedTypeError([Problem("type", state, f"{instead}, in stream {self._stream}")])

    def warn(self) -> None:
        """Warn whoever publishes it, once a process."""
        from eventfabric.deprecations import warn_once

        warn_once(f"publishing to stream {self._stream}: {self._end}")

    def taken(self, headers: Mapping[str, HeaderValue] | None, now_ms: int) -> Mapping[str, HeaderValue]:
        """Return the headers of an event that is published now, and warn of that. EndedTypeError after the sunset."""
        self.check(now_ms)
        self.warn()
        return self.marked(headers)

    def marked(self, headers: Mapping[str, HeaderValue] | None) -> Mapping[str, HeaderValue]:
        """Return headers that say so as well; the others alone, if they are as many as an event may have."""
        if not headers:
            return self.headers
        both = {**headers, **self.headers}
        return both if len(both) <= limits.HEADERS_MAX else headers


def ending_of(stream: StreamTopology, type_: str) -> EndingType | None:
    """Return the announced end of a type in a stream; None: there is none."""
    section = stream.definition.types.get(type_)
    end = None if section is None else section.deprecated
    if end is None:
        return None
    of_type = DeprecatedType(
        type=type_, since=end.since, sunset=end.sunset or "", use=end.use or "", why=end.why or ""
    )
    return EndingType(of_type, stream.name)
