"""OpenTelemetry for tests: one provider a process, since there can be no second, and the spans that ended."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@cache
def exporter() -> InMemorySpanExporter:
    """Return the exporter that receives all spans of the process."""
    memory_exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory_exporter))
    trace.set_tracer_provider(provider)
    return memory_exporter


def spans() -> list[ReadableSpan]:
    """Return the spans of handlers that ended since `exporter().clear()`."""
    return [span for span in exporter().get_finished_spans() if span.name.startswith("process ")]


@contextmanager
def open_span(name: str) -> Iterator[trace.SpanContext]:
    """Open a span of the publisher's own."""
    exporter()
    with trace.get_tracer("tests").start_as_current_span(name) as span:
        yield span.get_span_context()
