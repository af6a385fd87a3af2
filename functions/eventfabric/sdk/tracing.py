"""Trace context through the log: from the publisher, in the headers of an event, to the span its handler runs in.

    publish within a span        headers: traceparent, tracestate, unless the caller gave some
    deliver, one event           span `process <stream>`, of the publisher's trace
    deliver, several at once     span `process <stream>`, linked to each publisher's

Uses OpenTelemetry's API, and only if the process has imported it itself: others pay for a look into `sys.modules`. The
format is W3C's, whatever propagator is set: names of headers are letters and digits.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from eventfabric import limits
from eventfabric.errors import said_by
from eventfabric.model import Event, HeaderValue
from eventfabric.ports import Attempt, Handler
from eventfabric.services.delivery.raised import raised_by
from eventfabric.stream_topology import SubscriptionTopology

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from eventfabric.wire.published import Effect

API: Final = "opentelemetry.trace"
"""Module that every user of OpenTelemetry has imported."""
_PARENT, _STATE = "traceparent", "tracestate"


def with_context(headers: Mapping[str, HeaderValue] | None) -> Mapping[str, HeaderValue] | None:
    """Return the headers, with the current span's context if there is one and they have none. Needs the API."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if headers and (_PARENT in headers or len(headers) + 2 > limits.HEADERS_MAX):
        return headers
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    if _PARENT not in carrier:
        return headers
    if len(carrier.get(_STATE, "")) > limits.HEADER_VALUE_CHARACTERS_MAX:
        del carrier[_STATE]  # the specification allows dropping it if there is no room
    return {**(headers or {}), **carrier}


class TracedHandler:
    """A ports.Handler that runs another one in a span of the kind CONSUMER. The span carries no key and no data."""

    def __init__(self, handler: Handler, subscription: SubscriptionTopology) -> None:
        self._handler = handler
        self._stream = subscription.definition.stream
        self._subscription = subscription.name
        self.batch_events_max = handler.batch_events_max

    def attempt(self, events: Sequence[Event], attempt: Attempt) -> "Sequence[Effect]":
        """See ports.Handler."""
        if API not in sys.modules:
            return self._handler.attempt(events, attempt)
        with self._span(events, attempt):
            return self._handler.attempt(events, attempt)

    @contextmanager
    def _span(self, events: Sequence[Event], attempt: Attempt) -> Iterator[None]:
        """Open a span by OpenTelemetry's conventions for messaging, and record in it what the handler raises."""
        from opentelemetry import trace

        parents = [parent for event in events if (parent := _context_of(event)) is not None]
        ambient = trace.get_current_span().get_span_context()
        if len(events) == 1 and parents:
            parent = parents[0]
            links = [trace.Link(ambient)] if ambient.is_valid else []
        else:
            parent = None
            links = [trace.Link(trace.get_current_span(context).get_span_context()) for context in parents]
        attributes: dict[str, str | int] = {
            "messaging.system": "eventfabric",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": self._stream,
            "messaging.destination.subscription.name": self._subscription,
            "messaging.destination.partition.id": str(events[0].lane),
            "eventfabric.attempt": attempt.number,
        }
        if len(events) == 1:
            attributes["messaging.message.id"] = events[0].id or ""
        else:
            attributes["messaging.batch.message_count"] = len(events)
        with trace.get_tracer("eventfabric").start_as_current_span(
            f"process {self._stream}",
            context=parent,
            kind=trace.SpanKind.CONSUMER,
            attributes=attributes,
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except Exception as error:  # whatever the handler raises
                _record(span, error)
                raise


def _record(span: "Span", error: Exception) -> None:
    """Record what a handler raised, as OpenTelemetry would, but let the exception's own code not fail the attempt."""
    from opentelemetry import trace

    try:
        span.record_exception(error)
    except BaseException:  # whatever the exception's class does when it is asked for its text
        span.add_event("exception", {"exception.message": said_by(error)})
    span.set_status(trace.Status(trace.StatusCode.ERROR, f"{raised_by(error).error_type}: {said_by(error)}"))


def _context_of(event: Event) -> "Context | None":
    """Return the context in which the event was published, upon the current one; None if none can be read."""
    from opentelemetry import trace
    from opentelemetry.context import get_current
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if _PARENT not in event.headers:
        return None
    carrier = {name: str(event.headers[name]) for name in (_PARENT, _STATE) if name in event.headers}
    before = get_current()
    extracted = TraceContextTextMapPropagator().extract(carrier, context=before)
    published = trace.get_current_span(extracted).get_span_context()
    return extracted if published.is_valid and published.is_remote else None
