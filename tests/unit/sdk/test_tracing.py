"""Trace context in headers, and the spans of handlers."""

import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

from eventfabric import limits
from eventfabric.definition.file import parse_definition
from eventfabric.model import Event, HeaderValue, Write
from eventfabric.ports import Attempt
from eventfabric.sdk.tracing import TracedHandler, with_context
from eventfabric.topology import Topology
from tests.support.spans import exporter, open_span, spans

TOPOLOGY = Topology(
    parse_definition("""
        [fabric]
        name = "shop"
        regions = ["us-east-1"]
        [streams.orders]
        [subscriptions.billing]
        stream = "orders"
        handler = "subscribers.billing:charge"
    """)
)
REMOTE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
REMOTE_TRACE = 0x0AF7651916CD43DD8448EB211C80319C


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    exporter().clear()
    yield
    exporter().clear()


class Doing:
    """A handler that remembers the span it runs in."""

    def __init__(self, error: Exception | None = None, batch_events_max: int = 1) -> None:
        self.batch_events_max = batch_events_max
        self.error = error
        self.contexts: list[trace.SpanContext] = []

    def attempt(self, events: Sequence[Event], attempt: Attempt) -> Sequence[Write]:
        self.contexts.append(trace.get_current_span().get_span_context())
        if self.error is not None:
            raise self.error
        return ()


def event(name: str, headers: dict[str, HeaderValue] | None = None) -> Event:
    return Event(
        id=name, type="Placed", key="customer-17", data={"card": "4111 1111 1111 1111"}, headers=headers
    )


def handled(*events: Event, handler: Doing | None = None) -> ReadableSpan:
    """The span in which a handler was given the events."""
    traced = TracedHandler(handler or Doing(batch_events_max=10), TOPOLOGY.subscription("billing"))
    traced.attempt(events, Attempt("billing", 2, 0))
    [span] = spans()
    return span


def test_headers_get_the_context_of_the_current_span_and_keep_what_they_had() -> None:
    with open_span("checkout") as context:
        headers = with_context({"tenant": "a"})
    assert headers == {
        "tenant": "a",
        "traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}",
    }


def test_a_context_that_the_caller_gave_is_kept() -> None:
    given = {"traceparent": REMOTE}
    with open_span("checkout"):
        assert with_context(given) is given


def test_without_a_span_headers_are_left_alone() -> None:
    assert with_context(None) is None


def test_headers_that_are_full_are_left_alone() -> None:
    full = {f"h{number}": number for number in range(limits.HEADERS_MAX - 1)}
    with open_span("checkout"):
        assert with_context(full) is full


def test_one_event_is_handled_in_the_publishers_trace() -> None:
    handler = Doing()
    span = handled(event("e1", {"traceparent": REMOTE, "tracestate": "vendor=1"}), handler=handler)
    assert span.context is not None
    assert span.parent is not None
    assert (span.context.trace_id, f"{span.parent.span_id:016x}") == (REMOTE_TRACE, REMOTE.split("-")[2])
    assert span.context.trace_state.get("vendor") == "1"
    assert handler.contexts == [span.context]
    assert span.kind is trace.SpanKind.CONSUMER


def test_the_span_that_the_function_runs_in_is_linked() -> None:
    with open_span("invocation") as invocation:
        span = handled(event("e1", {"traceparent": REMOTE}))
    assert [link.context for link in span.links] == [invocation]


def test_several_events_are_handled_in_one_span_that_is_linked_to_each_publisher() -> None:
    with open_span("invocation") as invocation:
        span = handled(
            event("e1", {"traceparent": REMOTE}), event("e2"), event("e3", {"traceparent": REMOTE})
        )
    assert span.parent == invocation
    assert [link.context.trace_id for link in span.links] == [REMOTE_TRACE, REMOTE_TRACE]
    assert span.attributes is not None
    assert span.attributes["messaging.batch.message_count"] == 3
    assert "messaging.message.id" not in span.attributes


def test_the_span_says_what_is_processed_and_neither_key_nor_data() -> None:
    span = handled(event("e1", {"traceparent": REMOTE}))
    assert span.name == "process orders"
    assert dict(span.attributes or {}) == {
        "messaging.system": "eventfabric",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "orders",
        "messaging.destination.subscription.name": "billing",
        "messaging.destination.partition.id": "None",
        "messaging.message.id": "e1",
        "eventfabric.attempt": 2,
    }
    assert not any(private in span.to_json() for private in ("customer-17", "4111 1111"))


@pytest.mark.parametrize("header", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", 7])
def test_a_context_that_cannot_be_read_is_none(header: HeaderValue) -> None:
    span = handled(event("e1", {"traceparent": header}))
    assert span.parent is None


def test_what_a_handler_raises_is_recorded_and_goes_on() -> None:
    error = ValueError("no such card")
    with pytest.raises(ValueError, match="no such card"):
        handled(event("e1"), handler=Doing(error))
    [span] = spans()
    assert span.status.status_code is trace.StatusCode.ERROR
    [recorded] = span.events
    assert recorded.attributes is not None
    assert recorded.attributes["exception.type"] == "ValueError"


def test_a_process_that_does_not_use_opentelemetry_imports_none_of_it() -> None:
    code = """
import sys
import eventfabric.runtime.wiring, eventfabric.sdk.fabric
from eventfabric.ports import Attempt
from eventfabric.sdk.tracing import TracedHandler
from eventfabric.stream_topology import SubscriptionTopology
class Handler:
    batch_events_max = 1
    def attempt(self, events, attempt): return ("written",)
class Definition:
    stream = "orders"
subscription = SubscriptionTopology("shop", "billing", Definition(), ("us-east-1",))
assert TracedHandler(Handler(), subscription).attempt((), Attempt("billing", 1, 0)) == ("written",)
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
