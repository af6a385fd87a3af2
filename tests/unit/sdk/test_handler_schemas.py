"""Schemas at a handler: what it publishes is held to them, and what it is given if its subscription asks for it."""

from pathlib import Path
from typing import Any

import pytest

from eventfabric import Delivery, Event
from eventfabric.contracts.identity import parse_schema_uri
from eventfabric.definition.schema import Subscription
from eventfabric.errors import InvalidEventError, SettingError, UnfitPayloadError
from eventfabric.model import (
    GENERATION_FIRST,
    HOPS,
    HeaderValue,
    Kind,
    Lane,
    LaneIndex,
    ParkedState,
    Payload,
    Region,
    SequenceNumber,
    StreamName,
)
from eventfabric.ports import Attempt
from eventfabric.sdk.publications import Publications
from eventfabric.sdk.schemas import validation_of
from eventfabric.sdk.subscriber import SubscriberHandler
from eventfabric.testing.memory.clock import MemoryClock
from eventfabric.wire.published import Published
from tests.support.memory_fabric import HOME, STREAM
from tests.support.schema_folders import PLACED, checks, written
from tests.support.subscribed_stream import SubscribedStream, topology

INVOICES = "invoices"
ATTEMPT = Attempt("billing", 1, 10_000)
LANE = Lane(Region(HOME), GENERATION_FIRST, LaneIndex(0))
SECRET = "opensesame"


def given(type_: str, data: object, number: int = 0) -> Event:
    content = (f"e{number}", type_, "k", 0, "/shop", dict[str, HeaderValue](), Payload.of(data))
    return Event.from_log(content, LANE, SequenceNumber(number))


def published(
    folder: Path, schemas: dict[str, Any], data: object, *, in_transaction: bool = False
) -> Published:
    target = topology(others=f"[streams.{INVOICES}]").stream(INVOICES)
    publications = Publications(
        "billing",
        StreamName(STREAM),
        [target],
        region=Region(HOME),
        clock=MemoryClock(4_000),
        may_repeat=True,
        schemas=checks(folder, schemas),
    )

    def bill(event: Event, delivery: Delivery) -> None:
        publisher = delivery.transaction if in_transaction else delivery
        publisher.publish(INVOICES, key="k", type="placed", data=data)

    handler = SubscriberHandler(
        bill, clock=MemoryClock(4_000), transactional=in_transaction, publications=publications
    )
    [effect] = handler.attempt([given("placed", {})], ATTEMPT)
    assert isinstance(effect, Published)
    return effect


@pytest.mark.parametrize("in_transaction", [False, True])
def test_what_a_handler_publishes_is_held_to_its_schema(tmp_path: Path, in_transaction: bool) -> None:
    schemas = {f"{INVOICES}/placed": PLACED}
    effect = published(tmp_path, schemas, {"order": "A"}, in_transaction=in_transaction)
    headers = dict(effect.row[5])
    identity = parse_schema_uri(headers.pop("dataschema"))
    assert identity is not None
    assert (identity.stream, identity.type, headers) == (INVOICES, "placed", {HOPS: 1})
    for data in ({"order": SECRET, "more": SECRET}, b"bytes", None):
        with pytest.raises(InvalidEventError) as refused:
            published(tmp_path, schemas, data, in_transaction=in_transaction)
        assert SECRET not in str(refused.value)


def test_what_a_handler_publishes_of_another_type_is_left_as_it_is(tmp_path: Path) -> None:
    assert published(tmp_path, {f"{STREAM}/placed": False}, b"bytes").row[5] == {HOPS: 1}


class Handling:
    """A handler that notes what it was given, of a subscription that validates."""

    def __init__(self, folder: Path, *, validate: bool = True) -> None:
        own = Subscription(name="billing", stream=STREAM, handler="any.module:handle", validate=validate)
        self.events: list[Event] = []

        def note(events: list[Event], delivery: Delivery) -> None:
            self.events += events

        self.handler = SubscriberHandler(
            note,
            clock=MemoryClock(4_000),
            transactional=False,
            validate=validation_of(own, folder),
        )

    def attempt(self, *events: Event) -> None:
        self.handler.attempt(events, ATTEMPT)


def test_an_event_that_does_not_fit_reaches_no_handler(tmp_path: Path) -> None:
    handling = Handling(written(tmp_path, {f"{STREAM}/placed": PLACED}))
    handling.attempt(given("placed", {"order": "A"}))
    with pytest.raises(UnfitPayloadError) as refused:
        handling.attempt(given("placed", {"order": 1, "card": SECRET}, 7))
    assert refused.value.event_id == "e7"
    assert [problem.path for problem in refused.value.problems] == ["data/order"]
    assert SECRET not in str(refused.value)
    assert len(handling.events) == 1


def test_members_that_the_schema_does_not_name_are_no_readers_business(tmp_path: Path) -> None:
    handling = Handling(written(tmp_path, {f"{STREAM}/placed": PLACED}))
    handling.attempt(given("placed", {"order": "A", "since": "later"}))
    assert len(handling.events) == 1


@pytest.mark.parametrize("data", [None, b"\x00"])
def test_no_data_is_null_and_bytes_fit_no_schema(tmp_path: Path, data: object) -> None:
    schemas = written(tmp_path, {f"{STREAM}/placed": {"type": "null"}, f"{STREAM}/any": True})
    handling = Handling(schemas)
    handling.attempt(given("other", data), given("any", None))
    if data is None:
        handling.attempt(given("placed", data))
        return
    for type_ in ("placed", "any"):
        with pytest.raises(UnfitPayloadError):
            handling.attempt(given(type_, data))


@pytest.mark.parametrize("text", [b"{", b"[" * 100_000, b"\xff"])
def test_text_of_others_that_is_no_json_fits_no_schema(tmp_path: Path, text: bytes) -> None:
    handling = Handling(written(tmp_path, {f"{STREAM}/any": True}))
    content = ("e0", "any", "k", 0, "/shop", dict[str, HeaderValue](), Payload(Kind.JSON, text))
    with pytest.raises(UnfitPayloadError) as refused:
        handling.attempt(Event.from_log(content, LANE, SequenceNumber(0)))
    assert [problem.path for problem in refused.value.problems] == ["data"]


def test_without_the_key_nothing_is_validated(tmp_path: Path) -> None:
    handling = Handling(written(tmp_path, {f"{STREAM}/placed": False}), validate=False)
    handling.attempt(given("placed", {}))
    assert len(handling.events) == 1


def test_a_function_without_the_schemas_by_which_it_validates_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", written(tmp_path / "schemas", {f"{INVOICES}/placed": True})):
        with pytest.raises(SettingError, match=r"subscriptions\.billing\.validate"):
            Handling(folder)


def test_a_misfit_is_a_dead_letter_at_once_and_no_other_event_is_to_blame(tmp_path: Path) -> None:
    folder = written(tmp_path, {f"{STREAM}/placed": PLACED})
    fabric = SubscribedStream(lanes=1, validate=True)
    handled: list[str] = []

    def charge(events: list[Event], delivery: Delivery) -> None:
        handled.extend(str(event.id) for event in events)

    validate = validation_of(fabric.subscription.definition, folder)
    handler = SubscriberHandler(charge, clock=fabric.clock, transactional=False, validate=validate)
    datas: list[dict[str, object]] = [{"order": "A"}, {"order": 1}, {"order": "C"}]
    fabric.producer().publish_many(
        STREAM, [Event(id=f"e{n}", key=f"k{n}", type="placed", data=data) for n, data in enumerate(datas)]
    )
    fabric.deliver(by=fabric.deliverer(handler=handler))
    assert sorted(handled) == ["e0", "e2"]
    [parked] = fabric.parked(LANE).values()
    assert (parked.state, parked.key, parked.failure.attempts) == (ParkedState.DEAD, "k1", 1)
    assert "data/order" in parked.failure.message
