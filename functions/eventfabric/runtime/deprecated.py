"""Deprecated: events of deprecated types that a Region's producers publish, counted by source, whoever they are.

The relay sees every record that is appended in its Region, of producers of any version and language. So a type's owner
learns who still publishes it, and not only the producer, which is warned in its own process.
"""

from base64 import b64decode
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from eventfabric.model import Region
from eventfabric.stream_topology import StreamTopology
from eventfabric.telemetry import LogEvent, Metric, Telemetry
from eventfabric.wire.envelopes import envelopes_in
from eventfabric.wire.stream_record import RecordNews

SOURCES_MAX: Final = 20
"""Most sources and types that one invocation names; events of others are counted alone."""


class DeprecatedEvents:
    """Events of deprecated types in one invocation of the relay."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._counts: dict[str, Counter[tuple[str, str]]] = {}

    def see(self, stream: StreamTopology, news: RecordNews, stream_record: Mapping[str, Any]) -> None:
        """Count what a record holds of deprecated types, if it was appended in this Region. Fails on no content."""
        deprecated = [name for name, section in stream.definition.types.items() if section.deprecated]
        if news.lane.origin != self._region or not news.types or news.types.isdisjoint(deprecated):
            return
        counts = self._counts.setdefault(stream.name, Counter())
        try:
            image = stream_record["dynamodb"]["NewImage"]
            payload = image["d"]["B"]
            content = payload if isinstance(payload, bytes) else b64decode(payload)
            envelopes = envelopes_in(content, int(image["n"]["N"]))
        except (LookupError, TypeError, ValueError, msgspec.MsgspecError):
            return  # what cannot be read stops its lane, and is reported there
        counts.update((own.type, own.source) for own in envelopes if own.type in deprecated)

    def tell(self, telemetry: Telemetry) -> None:
        """Report what was counted, and who published it."""
        for stream, counts in self._counts.items():
            telemetry.add(Metric.EVENTS_DEPRECATED, counts.total(), of=stream)
            for (type_, source), count in counts.most_common(SOURCES_MAX):
                telemetry.tell(LogEvent.DEPRECATED, stream=stream, type=type_, source=source, events=count)
