"""Reader of CloudEvents from a file of JSON lines, one line at a time. A bad line spoils no other."""

from collections.abc import Iterator
from typing import BinaryIO

from eventfabric import limits
from eventfabric.errors import InvalidEventError, MalformedCloudEventError, Problem
from eventfabric.model import Event
from eventfabric.wire.batch import row_bytes
from eventfabric.wire.cloudevent import KeyRule, parse_cloudevent
from eventfabric.wire.payload_codec import stored

_SURELY_FITS_BYTES = limits.RECORD_PAYLOAD_BYTES_MAX // 2
"""Size of a line whose event surely fits: it takes less than its line, but for an id, time or source that is added."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_cloudevents(
    file: BinaryIO, *, name: str, key_rule: KeyRule | None = None
) -> Iterator[tuple[int, Event | MalformedCloudEventError]]:
    """Yield each line that is not blank: its number from 1, and its event or all that is wrong with it.

    Args:
        file: binary, UTF-8, one CloudEvent in JSON on each line; a byte order mark is skipped.
        name: name of the file for the errors, which say `name:line`.
        key_rule: the place of each key, as `KeyRule.parse` reads it; default: partitionkey, else subject.
    """
    number = 0
    while line := file.readline(limits.CLOUDEVENT_LINE_BYTES_MAX + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if len(line) > limits.CLOUDEVENT_LINE_BYTES_MAX:
            _skip_line(file, line)
            size = f"more than {limits.CLOUDEVENT_LINE_BYTES_MAX} bytes"
            problem = Problem("line", size, f"at most {limits.CLOUDEVENT_LINE_BYTES_MAX} bytes")
            yield number, MalformedCloudEventError([problem], where=f"{name}:{number}")
        elif line.strip():
            yield number, _event_of(line, f"{name}:{number}", key_rule)


def _event_of(line: bytes, where: str, key_rule: KeyRule | None) -> Event | MalformedCloudEventError:
    try:
        event = parse_cloudevent(line, where=where, key_rule=key_rule)
        if len(line) > _SURELY_FITS_BYTES:
            row_bytes(stored(event, id="", time=2**62, source=""))
    except InvalidEventError as error:
        problems = [Problem(_on_one_line(p.path), _on_one_line(p.found), p.allowed) for p in error.problems]
        return MalformedCloudEventError(problems, where=where)
    return event


def _on_one_line(text: str) -> str:
    """Escape what does not print: names in the file may hold anything, even line ends and a terminal's commands."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _skip_line(file: BinaryIO, line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = file.readline(limits.CLOUDEVENT_LINE_BYTES_MAX)
