"""Registrations of stacks: none of other schemas than they were synthesised with, none late, none without a table."""

from dataclasses import replace
from pathlib import Path

import pytest

from eventfabric.contracts.folder import SchemaFolder, digest_of_all
from eventfabric.errors import DeclarationRefusedError, LastingError
from eventfabric.model import SchemaLane, StreamName
from eventfabric.ports import Log
from eventfabric.runtime.schema_registration import StackRegistration
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.stream_topology import StreamTopology
from tests.support.memory_fabric import HOME, STREAM, MemoryFabric
from tests.support.subscribed_stream import SubscribedStream

LANE = SchemaLane.of(HOME, StreamName(STREAM))


@pytest.fixture
def fabric() -> MemoryFabric:
    return SubscribedStream()


@pytest.fixture
def registration(fabric: MemoryFabric, tmp_path: Path) -> StackRegistration:
    (tmp_path / STREAM).mkdir()
    (tmp_path / STREAM / "Placed.json").write_text("true")
    folder = SchemaFolder(tmp_path)
    digest = digest_of_all(folder.documents()[STREAM])
    return StackRegistration(fabric.stream, folder, digest, fabric.ports(), by="stack", request_id="r1")


def numbers(fabric: MemoryFabric) -> list[int]:
    index = SchemaReader(fabric.stream, fabric.ports().log_of(fabric.stream)).index()
    return [version.number for version in index.versions("Placed")]


def test_a_request_that_is_over_registers_nothing(
    fabric: MemoryFabric, registration: StackRegistration
) -> None:
    with pytest.raises(DeclarationRefusedError, match="a request that waits for its answer"):
        registration.register(lambda: True)
    assert numbers(fabric) == []
    registration.register(lambda: False)
    assert numbers(fabric) == [1]


def test_a_request_that_is_over_in_between_makes_no_further_put(
    fabric: MemoryFabric, registration: StackRegistration, tmp_path: Path
) -> None:
    for number in range(3):
        (tmp_path / STREAM / f"T{number}.json").write_text('{"description":"%s"}' % (str(number) * 100_000))
    folder = SchemaFolder(tmp_path)
    late = replace(registration, folder=folder, digest=digest_of_all(folder.documents()[STREAM]))
    looks: list[bool] = []

    def is_over() -> bool:
        looks.append(len(looks) > 1)
        return looks[-1]

    with pytest.raises(DeclarationRefusedError, match="a request that waits for its answer"):
        late.register(is_over)
    records = fabric.ports().log_of(fabric.stream).recent(LANE, records_max=9).records
    assert (len(records), looks) == (2, [False, False, True])


def test_a_function_with_other_schemas_registers_nothing(
    fabric: MemoryFabric, registration: StackRegistration
) -> None:
    other = replace(registration, digest="another")
    assert [problem.path for problem in other.problems()] == [f"schemas/{STREAM}"]
    with pytest.raises(DeclarationRefusedError, match="deploy again"):
        other.register(lambda: False)
    assert numbers(fabric) == []


def failing(registration: StackRegistration, error: LastingError) -> StackRegistration:
    def log_of(stream: StreamTopology) -> Log:
        raise error

    return replace(registration, ports=replace(registration.ports, log_of=log_of))


def test_a_table_may_be_missing_only_where_its_stream_is_new(registration: StackRegistration) -> None:
    lacking = failing(registration, LastingError("read", "ResourceNotFoundException", "missing"))
    assert list(replace(lacking, may_lack_table=True).problems()) == []
    with pytest.raises(LastingError):
        list(lacking.problems())


def test_a_right_is_not_missing_because_the_stream_is_new(registration: StackRegistration) -> None:
    denied = failing(registration, LastingError("read", "AccessDeniedException", "denied"))
    with pytest.raises(LastingError):
        list(replace(denied, may_lack_table=True).problems())
