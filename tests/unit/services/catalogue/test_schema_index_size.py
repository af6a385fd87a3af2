"""Indexes that no record has room for: refused is only what is new, in whichever Region it is registered."""

import pytest

from eventfabric.errors import SchemaRefusedError
from tests.support.memory_fabric import AWAY, HOME, MemoryFabric
from tests.support.schema_registry import FIRST, SECOND, THIRD, in_regions, index, registration
from tests.support.subscribed_stream import SubscribedStream

FULL = dict.fromkeys((f"{number:0128}" for number in range(500)), FIRST)
NEW = dict.fromkeys((f"new{number:0125}" for number in range(200)), FIRST)


@pytest.fixture
def fabric() -> MemoryFabric:
    return SubscribedStream()


def test_an_index_that_no_record_holds_is_refused_before_anything_is_registered(fabric: MemoryFabric) -> None:
    for attempt in (registration(fabric).check, registration(fabric).register):
        with pytest.raises(SchemaRefusedError, match="the index of all versions"):
            attempt({**FULL, **NEW})
    accepting = registration(fabric, accepted_because="it must go")
    with pytest.raises(SchemaRefusedError, match="the index of all versions"):
        accepting.register({**FULL, **NEW})
    assert index(fabric).count == 0


def test_a_full_index_refuses_what_is_new_and_nothing_that_it_has(fabric: MemoryFabric) -> None:
    registration(fabric).register(FULL)
    registration(fabric).check(FULL)
    with pytest.raises(SchemaRefusedError, match="the index of all versions"):
        registration(fabric).check(NEW)
    fabric.cloud.replicate()
    moved = in_regions(fabric.topology, AWAY, HOME)
    for documents in (FULL, {}):
        registration(fabric, region=AWAY, topology=moved).check(documents)


def test_what_comes_and_goes_is_never_refused_for_its_size(
    fabric: MemoryFabric, monkeypatch: pytest.MonkeyPatch
) -> None:
    for document in (FIRST, SECOND):
        registration(fabric).register({"A": document})
    monkeypatch.setattr("eventfabric.services.catalogue.schema_push.INDEX_BYTES_MAX", 1)
    for document in (FIRST, SECOND) * 3:
        registration(fabric).register({"A": document})
    assert index(fabric).count == 8
    with pytest.raises(SchemaRefusedError, match="the index of all versions"):
        registration(fabric).register({"A": THIRD})
