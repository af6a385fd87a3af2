"""Files of CloudEvents: every line for itself, and each bad one named by its place."""

import json
from io import BytesIO
from typing import Any

import pytest

from eventfabric import Event, limits
from eventfabric.errors import MalformedCloudEventError
from eventfabric.sdk.cloudevents_file import read_cloudevents


def line(event_id: str = "1", **attributes: Any) -> bytes:
    """A good line, without its end."""
    cloudevent = {"specversion": "1.0", "id": event_id, "source": "/t", "type": "t", "partitionkey": "k"}
    return json.dumps(cloudevent | attributes).encode()


def read(content: bytes) -> list[tuple[int, str | None]]:
    """Line number and event id, or None for an error that names the line."""
    lines: list[tuple[int, str | None]] = []
    for number, event in read_cloudevents(BytesIO(content), name="in.jsonl"):
        if isinstance(event, MalformedCloudEventError):
            assert str(event).startswith(f"in.jsonl:{number}: ")
            assert str(event).isprintable()
        lines.append((number, event.id if isinstance(event, Event) else None))
    return lines


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n \r\n\t\n", []),
        (line("a"), [(1, "a")]),
        (line("a") + b"\n" + line("b") + b"\n", [(1, "a"), (2, "b")]),
        (line("a") + b"\r\n\r\n" + line("b") + b"\r\n", [(1, "a"), (3, "b")]),
        (b"\xef\xbb\xbf" + line("a") + b"\n", [(1, "a")]),
        (b"\xef\xbb\xbf\n" + line("a"), [(2, "a")]),
    ],
    ids=["empty", "blank", "no end of line", "two", "CRLF", "byte order mark", "mark on a blank line"],
)
def test_good_lines(content: bytes, lines: list[tuple[int, str | None]]) -> None:
    assert read(content) == lines


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"[]",
        b"7",
        b"{}",
        b'"\xff"',
        b'{"id": "\xff"}',
        line(specversion="0.3"),
        line(id=7),
        line(time="yesterday"),
        line(partitionkey=""),
        line(data={"a": 1}, data_base64="YQ=="),
        line(**{"a\nb": "1"}),
        line(**{"\x1b[2J\u2028": "1"}),
        line(time="\n"),
        b"{" + b'"data":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b"[" * 100_000,
    ],
    ids=lambda content: repr(content)[:30],
)
def test_a_bad_line_is_named_and_spoils_no_other(bad: bytes) -> None:
    assert read(line("a") + b"\n" + bad + b"\n" + line("b")) == [(1, "a"), (2, None), (3, "b")]


def test_all_that_is_wrong_with_a_line_is_reported_at_once() -> None:
    ((_, error),) = read_cloudevents(BytesIO(b'{"specversion": "1.0"}'), name="in.jsonl")
    assert isinstance(error, MalformedCloudEventError)
    assert {problem.path for problem in error.problems} == {"partitionkey", "id", "type", "source"}


class Counting(BytesIO):
    """Remembers the most that was ever asked for at once."""

    most = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size > 0
        self.most = max(self.most, size)
        return super().readline(size)


@pytest.mark.parametrize("end", [b"\n" + line("b"), b""])
def test_a_line_too_long_to_be_an_event_is_passed_over_without_being_held_in_memory(end: bytes) -> None:
    file = Counting(line(data="x" * (5 * limits.CLOUDEVENT_LINE_BYTES_MAX)) + end)
    first, *rest = read_cloudevents(file, name="in.jsonl")
    assert isinstance(first[1], MalformedCloudEventError)
    assert [number for number, event in rest if isinstance(event, Event)] == ([2] if end else [])
    assert file.most <= limits.CLOUDEVENT_LINE_BYTES_MAX + 1


def test_a_line_just_at_the_bound_ends_where_it_ends() -> None:
    long = line(data="")
    padded = long + b" " * (limits.CLOUDEVENT_LINE_BYTES_MAX - len(long) - 1)
    assert read(padded + b"\n" + line("b")) == [(1, "1"), (2, "b")]
    assert read(padded + b"  \n" + line("b")) == [(1, None), (2, "b")]


def test_an_event_that_fits_no_record_is_its_lines_error_and_one_that_does_is_none() -> None:
    large = line("a", data="x" * (limits.RECORD_PAYLOAD_BYTES_MAX - 300))
    too_large = line("b", data="x" * limits.RECORD_PAYLOAD_BYTES_MAX)
    assert read(large + b"\n" + too_large + b"\n" + line("c")) == [(1, "a"), (2, None), (3, "c")]
