"""Registration of schemas: beside others, without replies, from another Region, and against earlier versions."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from eventfabric.contracts.document import SCHEMA_BYTES_MAX, SchemaDocument
from eventfabric.errors import OutcomeUnknownError, Problem, SchemaRefusedError, UndecodableRecordError
from eventfabric.model import (
    EMPTY_TAIL,
    Intervention,
    SchemaLane,
    SequenceNumber,
    StreamName,
    parse_log_lane,
    record_at,
)
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.services.catalogue.schema_push import Earlier
from eventfabric.testing.memory.faults import Fault, Faults, nth
from tests.support.memory_fabric import HOME, STREAM, MemoryFabric, batch_of, event
from tests.support.schema_registry import FIRST, SECOND, THIRD, index, nothing_fits, registration, schema
from tests.support.subscribed_stream import SubscribedStream

LANE = SchemaLane.of(HOME, StreamName(STREAM))


@pytest.fixture
def fabric() -> MemoryFabric:
    return SubscribedStream()


def test_a_lane_of_schemas_is_known_by_its_text() -> None:
    assert str(LANE) == "@us-east-1/orders/schemas"
    assert parse_log_lane(str(LANE)) == LANE
    with pytest.raises(ValueError, match="not a lane"):
        parse_log_lane("@us-east-1/orders/schema")


def test_versions_are_numbered_in_order_and_keep_their_text(fabric: MemoryFabric) -> None:
    assert {v.number for v in registration(fabric).register({"A": FIRST, "B": FIRST}).values()} == {1}
    fabric.clock.advance(1)
    added = registration(fabric).register({"A": SECOND, "B": FIRST})
    assert {type_: version.number for type_, version in added.items()} == {"A": 2}
    reader = SchemaReader(fabric.stream, fabric.ports().log_of(fabric.stream))
    first, second = reader.index().versions("A")
    assert (first.number, second.number, first.at_ms < second.at_ms) == (1, 2, True)
    assert [reader.document("A", version) for version in (first, second)] == [FIRST, SECOND]
    assert reader.index().version_of("A", FIRST.digest) == first
    assert reader.index().version_of("B", SECOND.digest) is None
    change = reader.index().change
    assert change is not None
    assert (change.by, change.request_id, change.at_ms) == ("ci", "of-ci", second.at_ms)


def test_what_is_registered_is_not_registered_again(fabric: MemoryFabric) -> None:
    registration(fabric).register({"A": FIRST})
    end = fabric.ports().log_of(fabric.stream).tail(LANE)
    assert registration(fabric, compare=nothing_fits).register({"A": FIRST}) == {}
    assert fabric.ports().log_of(fabric.stream).tail(LANE) == end


def test_a_schema_that_comes_back_keeps_its_number_and_is_the_newest(fabric: MemoryFabric) -> None:
    for document in (FIRST, SECOND):
        registration(fabric).register({"A": document})
    # It is compared with nothing: a deployment can be taken back.
    added = registration(fabric, compare=nothing_fits).register({"A": FIRST})
    assert added["A"].number == 1
    known = index(fabric)
    assert [version.number for version in known.versions("A")] == [1, 2]
    assert [version.number for version in known.types["A"]] == [2, 1]
    assert [version.number for version in known.binding("A")] == [2, 1]
    newest, first = known.newest("A"), known.version_of("A", FIRST.digest)
    assert (newest and newest.number, first and first.number) == (1, 1)
    reader = SchemaReader(fabric.stream, fabric.ports().log_of(fabric.stream))
    assert newest is not None
    assert reader.document("A", newest) == FIRST
    [record] = reader.log.recent(LANE, records_max=1).records
    assert record.count == 1  # the index alone: the text is where it was
    assert registration(fabric).register({"A": THIRD})["A"].number == 3


@pytest.mark.parametrize("before", [[], [FIRST, SECOND], [FIRST, SECOND, FIRST, SECOND]])
def test_a_lost_reply_and_another_on_top_register_nothing_again(
    fabric: MemoryFabric, before: list[SchemaDocument]
) -> None:
    log = fabric.ports().log_of(fabric.stream)
    calls = 0

    class Losing(Faults):
        """Lets somebody else register on top of a put whose reply is lost."""

        def call(self, name: str, effect: Callable[[], Any]) -> Any:
            nonlocal calls
            answer = effect()
            if name == "log.append":
                calls += 1
                if calls == 1:
                    registration(fabric, by="other").register({"A": THIRD})
                    raise OutcomeUnknownError("put", "no reply")
            return answer

    for document in before:
        registration(fabric).register({"A": document})
    added = registration(fabric, log=Losing().log(log)).register({"A": FIRST})
    assert added["A"].number == 1
    assert [version.digest for version in index(fabric).types["A"]][-2:] == [FIRST.digest, THIRD.digest]


def test_a_thousand_small_schemas_are_registered_in_records_that_hold_them(fabric: MemoryFabric) -> None:
    many = {f"T{number}": FIRST for number in range(1_000)}
    assert len(registration(fabric).register(many)) == 1_000
    assert index(fabric).count == 1_000


def test_a_text_that_is_lost_keeps_from_registering_only_until_a_person_accepts_that(
    fabric: MemoryFabric,
) -> None:
    registration(fabric).register({"A": FIRST})
    registration(fabric).register({"B": FIRST})
    log = fabric.ports().log_of(fabric.stream)
    log.set_aside(Intervention(LANE, SequenceNumber(0), by="a", reason="spoilt", at_ms=0))
    with pytest.raises(SchemaRefusedError, match="version 1 that cannot be read"):
        registration(fabric).register({"A": SECOND})
    added = registration(fabric, accepted_because="its text is lost").register({"A": SECOND})
    assert (added["A"].number, added["A"].accepted_because) == (2, "its text is lost")


def test_nothing_is_registered_if_one_schema_breaks_others(fabric: MemoryFabric) -> None:
    registration(fabric).register({"A": FIRST})
    with pytest.raises(SchemaRefusedError) as refused:
        registration(fabric, compare=nothing_fits).register({"A": SECOND, "B": FIRST})
    assert [problem.path for problem in refused.value.problems] == ["A"]
    assert index(fabric).types.keys() == {"A"}
    verdict = registration(fabric, compare=nothing_fits).verdict({"A": SECOND, "B": FIRST}, index(fabric))
    assert verdict.problems == list(refused.value.problems)
    assert (verdict.of_types, verdict.of_all) == ({"A": verdict.problems}, [])


def test_a_person_may_accept_what_breaks_others_and_later_versions_begin_there(fabric: MemoryFabric) -> None:
    registration(fabric).register({"A": FIRST})
    strict = registration(fabric, compare=nothing_fits, accepted_because="nobody reads it yet")
    strict.register({"A": SECOND, "B": FIRST})
    known = index(fabric)
    assert [version.accepted_because for version in known.versions("A")] == ["", "nobody reads it yet"]
    assert [version.accepted_because for version in known.versions("B")] == [""]
    assert [version.number for version in known.binding("A")] == [2]
    seen: list[str] = []

    def compare(type_: str, new: SchemaDocument, earlier: Earlier) -> Sequence[Problem]:
        seen.extend(version for version, _ in earlier)
        return ()

    registration(fabric, compare=compare).verdict({"A": THIRD}, index(fabric))
    assert seen == ["version 2"]


@pytest.mark.parametrize("fault", [Fault.LOST_REPLY, Fault.LOST_REQUEST, Fault.THROTTLED])
def test_a_registration_whose_reply_is_lost_gives_one_version(fabric: MemoryFabric, fault: Fault) -> None:
    log = Faults(nth(1, fault, name="log.append")).log(fabric.ports().log_of(fabric.stream))
    added = registration(fabric, log=log, compare=nothing_fits).register({"A": FIRST})
    assert [(type_, version.number) for type_, version in added.items()] == [("A", 1)]
    assert len(index(fabric).versions("A")) == 1


class _Beside:
    """A comparison during which somebody else registers."""

    def __init__(self, fabric: MemoryFabric, other: SchemaDocument, *, refuses: bool) -> None:
        self.fabric, self.other, self.refuses, self.calls = fabric, other, refuses, 0

    def __call__(self, type_: str, new: SchemaDocument, earlier: Earlier) -> Sequence[Problem]:
        self.calls += 1
        if self.calls == 2:  # after the first look, before the put
            registration(self.fabric, by="other").register({type_: self.other})
        if self.refuses and any(document == self.other for _, document in earlier):
            return [Problem(type_, "what the other has registered", "something else")]
        return ()


def test_two_who_register_at_once_are_both_registered_in_an_order(fabric: MemoryFabric) -> None:
    registration(fabric).register({"A": FIRST})
    added = registration(fabric, compare=_Beside(fabric, SECOND, refuses=False)).register({"A": THIRD})
    assert added["A"].number == 3
    assert [v.digest for v in index(fabric).versions("A")] == [d.digest for d in (FIRST, SECOND, THIRD)]


def test_the_later_of_two_hears_why_it_does_not_go_together_with_the_other(fabric: MemoryFabric) -> None:
    registration(fabric).register({"A": FIRST})
    with pytest.raises(SchemaRefusedError, match="what the other has registered"):
        registration(fabric, compare=_Beside(fabric, SECOND, refuses=True)).register({"A": THIRD})
    assert [v.digest for v in index(fabric).versions("A")] == [FIRST.digest, SECOND.digest]


def test_more_schemas_than_a_record_holds_go_into_several(fabric: MemoryFabric) -> None:
    large = {
        f"T{number}": schema('{"description":"%s"}' % (str(number) * (SCHEMA_BYTES_MAX // 2)))
        for number in range(5)
    }
    registration(fabric).register(large)
    known = index(fabric)
    reader = SchemaReader(fabric.stream, fabric.ports().log_of(fabric.stream))
    assert {type_: reader.document(type_, known.versions(type_)[0]) for type_ in large} == large
    assert len({known.versions(type_)[0].sequence for type_ in large}) == 5


def test_each_record_takes_as_many_schemas_as_it_holds(fabric: MemoryFabric) -> None:
    many = {
        f"T{number}": schema('{"description":"%s"}' % (str(number) * (SCHEMA_BYTES_MAX // 4)))
        for number in range(7)
    }
    registration(fabric).register(many)
    known = index(fabric)
    sequences = Counter(known.versions(type_)[0].sequence for type_ in many)
    assert sorted(sequences.values()) == [1, 3, 3]


def test_what_has_another_content_than_its_version_says_is_not_taken_for_it(fabric: MemoryFabric) -> None:
    registration(fabric).register({"A": FIRST})
    [version] = index(fabric).versions("A")
    reader = SchemaReader(fabric.stream, fabric.ports().log_of(fabric.stream))
    with pytest.raises(UndecodableRecordError, match="has no schema"):
        reader.document("A", replace(version, digest=SECOND.digest))
    with pytest.raises(UndecodableRecordError, match="has no schema"):
        reader.document("B", version)


def test_an_item_that_is_no_index_stops_registration_with_a_remedy(fabric: MemoryFabric) -> None:
    log = fabric.ports().log_of(fabric.stream)
    foreign = record_at(EMPTY_TAIL, LANE, batch_of([event("e")], bytes(16)), now_ms=1, retention_seconds=None)
    assert log.append(foreign) is None
    with pytest.raises(UndecodableRecordError, match=r"docs/runbook\.md"):
        registration(fabric).register({"A": FIRST})
