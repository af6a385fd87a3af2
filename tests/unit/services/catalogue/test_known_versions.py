"""Versions as a process knows them: read once, and again for a schema that is new, at most once a minute."""

from collections.abc import Iterator

import pytest

from eventfabric.errors import PortError, RefusedError, UndecodableRecordError
from eventfabric.model import Region, SequenceNumber
from eventfabric.model.schema_index import SchemaIndex, SchemaVersion
from eventfabric.services.catalogue.known import CATALOGUE_SECONDS, PAUSE_SECONDS
from eventfabric.services.catalogue.known_versions import KnownVersions
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.testing.memory.clock import MemoryClock


class Reads(SchemaReader):
    """A reader of what a test registers, which counts its reads."""

    def __init__(self) -> None:
        self.name = "orders"  # type: ignore[assignment]  # its text is enough
        self.registered_digests: list[str] = []
        self.count = 0
        self.failures: Iterator[Exception] = iter(())

    def index(self) -> SchemaIndex:
        self.count += 1
        failure = next(self.failures, None)
        if failure is not None:
            raise failure
        index = SchemaIndex()
        for number, digest in enumerate(self.registered_digests, 1):
            version = SchemaVersion(
                number=number, digest=digest, region=Region("us-east-1"), sequence=SequenceNumber(0), at_ms=0
            )
            index = index.with_schema("Placed", version)
        return index


@pytest.fixture
def reads() -> Reads:
    return Reads()


@pytest.fixture
def clock() -> MemoryClock:
    return MemoryClock(1_000_000)


def test_versions_are_read_when_one_is_asked_for_and_then_known(reads: Reads, clock: MemoryClock) -> None:
    known = KnownVersions(reads, clock)
    assert reads.count == 0
    reads.registered_digests = ["a", "b"]
    assert [known.number_of("Placed", digest) for digest in "abab"] == [1, 2, 1, 2]
    assert reads.count == 1


def test_a_new_schema_is_looked_for_soon_but_not_for_each_event(reads: Reads, clock: MemoryClock) -> None:
    known = KnownVersions(reads, clock)
    reads.registered_digests = ["a"]
    assert [known.number_of("Placed", "b"), known.number_of("Placed", "b")] == [None, None]
    reads.registered_digests = ["a", "b"]
    assert (known.number_of("Placed", "b"), reads.count) == (None, 1)
    clock.advance(PAUSE_SECONDS)
    assert (known.number_of("Placed", "b"), known.number_of("Placed", "a"), reads.count) == (2, 1, 2)


def test_a_schema_that_nobody_registers_is_looked_for_once_a_minute(reads: Reads, clock: MemoryClock) -> None:
    known = KnownVersions(reads, clock)
    known.number_of("Placed", "b")
    clock.advance(CATALOGUE_SECONDS)
    known.number_of("Placed", "b")
    for _ in range(5):
        clock.advance(CATALOGUE_SECONDS / 6)
        known.number_of("Placed", "b")
    assert reads.count == 2
    clock.advance(CATALOGUE_SECONDS / 6)
    known.number_of("Placed", "b")
    assert reads.count == 3


def test_a_read_that_fails_is_made_again_and_what_is_known_holds(reads: Reads, clock: MemoryClock) -> None:
    known = KnownVersions(reads, clock)
    reads.registered_digests = ["a"]
    reads.failures = iter([RefusedError("read", "busy")])
    with pytest.raises(PortError):
        known.number_of("Placed", "a")
    clock.advance(PAUSE_SECONDS)
    assert known.number_of("Placed", "a") == 1
    clock.advance(CATALOGUE_SECONDS)
    reads.failures = iter([RefusedError("read", "busy")] * 2)
    with pytest.raises(PortError):
        known.number_of("Placed", "b")
    assert (known.number_of("Placed", "a"), reads.count) == (1, 3)


@pytest.mark.parametrize(
    "failure",
    [
        RefusedError("read", "busy"),
        UndecodableRecordError("@us-east-1/orders/schemas", 0, "of another format"),
    ],
)
def test_while_reads_fail_they_pause_and_events_of_schemas_that_are_not_known_fail(
    reads: Reads, clock: MemoryClock, failure: Exception
) -> None:
    known = KnownVersions(reads, clock)
    reads.registered_digests = ["a"]
    reads.failures = iter([failure] * 2)
    for count in (1, 2):
        for digest in "aba":
            with pytest.raises(PortError):
                known.number_of("Placed", digest)
        assert reads.count == count
        clock.advance(PAUSE_SECONDS)
    assert [known.number_of("Placed", digest) for digest in "ab"] == [1, None]
    assert reads.count == 3


def test_the_latest_version_has_none_after_it_and_one_that_nobody_registered_is_after_all(
    reads: Reads, clock: MemoryClock
) -> None:
    known = KnownVersions(reads, clock)
    reads.registered_digests = ["a", "b", "a"]
    assert [known.is_latest("Placed", digest) for digest in "abc"] == [False, True, True]
    reads.registered_digests = ["a", "b", "a", "c"]
    clock.advance(CATALOGUE_SECONDS)
    assert known.number_of("Placed", "c") == 3
    assert [known.is_latest("Placed", digest) for digest in "abc"] == [False, False, True]


def test_an_index_that_cannot_be_read_is_no_events_fault(reads: Reads, clock: MemoryClock) -> None:
    reads.failures = iter([UndecodableRecordError("@us-east-1/orders/schemas", 0, "of another format")])
    with pytest.raises(PortError, match="another format"):
        KnownVersions(reads, clock).number_of("Placed", "a")


def test_of_digests_that_nobody_registers_a_bounded_number_is_remembered(
    reads: Reads, clock: MemoryClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventfabric.services.catalogue.known_versions._UNKNOWN_MAX", 3)
    known = KnownVersions(reads, clock)
    assert {known.number_of("Placed", str(number)) for number in range(10)} == {None}
    assert len(known._unknown) <= 3
