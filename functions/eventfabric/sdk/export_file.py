"""Export file: a file that DynamoDB exported, read as a copy of the log for the records of a lane."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from eventfabric import limits
from eventfabric.errors import SettingError
from eventfabric.model import Lane, SequenceNumber
from eventfabric.ports import Page
from eventfabric.wire.export_line import parse_export_line
from eventfabric.wire.keys import PK, SK, Item
from eventfabric.wire.record_item import from_item

_GZIP = b"\x1f\x8b"


class ExportFile:
    """One data file of an export to S3 as DynamoDB JSON, one item a line, plain or under gzip."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(
        self, lane: Lane, start: SequenceNumber, *, records_max: int, before: SequenceNumber | None = None
    ) -> Page:
        """Read the records of a lane: all of them at once, in one pass through the file.

        SettingError, OSError: the file cannot be read, or is not an export. UndecodableRecordError: a record of the
        lane cannot be decoded.
        """
        lines = self._lines(str(lane.origin).encode())
        items = [item for item in lines if item.get(PK) == {"S": str(lane)} and _sequence(item) >= start]
        wanted = [item for item in items if before is None or _sequence(item) < before]
        return Page(tuple(map(from_item, sorted(wanted, key=_sequence))), more=False)

    def _lines(self, mention: bytes) -> Iterator[Item]:
        """Yield the items of all lines that contain `mention`."""
        number = 0
        try:
            with self._open() as file:
                while line := file.readline(limits.EXPORT_LINE_BYTES_MAX + 1):
                    number += 1
                    if len(line) > limits.EXPORT_LINE_BYTES_MAX:
                        raise ValueError(f"more than {limits.EXPORT_LINE_BYTES_MAX:,} bytes")
                    if mention in line:
                        yield parse_export_line(line)
        except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            defect = f"{self._path.name:.40}:{number}: {error!s:.100}"
            raise SettingError(
                "export", defect, 'a file of lines {"Item": {...}}, or such a one under gzip'
            ) from error

    def _open(self) -> BinaryIO:
        with self._path.open("rb") as file:
            is_gzip = file.read(len(_GZIP)) == _GZIP
        return cast(BinaryIO, gzip.open(self._path, "rb")) if is_gzip else self._path.open("rb")


def _sequence(item: Item) -> int:
    """Return the sequence of a record's item; -1, below all of them, for anything else in the table."""
    digits = item.get(SK, {}).get("N", "")
    return int(digits) if isinstance(digits, str) and digits.isdecimal() and len(digits) < 20 else -1
