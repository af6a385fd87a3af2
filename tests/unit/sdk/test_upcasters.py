"""Upcasters: chains of them, the events that they change, and whose fault it is when they fail."""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from eventfabric import Delivery, Event, upcast
from eventfabric.contracts.folder import SchemaFolder
from eventfabric.contracts.identity import DATA_SCHEMA, SchemaIdentity
from eventfabric.errors import HandlerError, UnknownVersionError, UpcastError
from eventfabric.ports import Attempt
from eventfabric.sdk.schemas import upcasting_of
from eventfabric.sdk.subscriber import SubscriberHandler
from eventfabric.sdk.upcasters import Upcaster, Upcasting, upcasters_in
from eventfabric.testing.memory.clock import MemoryClock
from tests.support.schema_folders import written
from tests.support.subscribed_stream import SubscribedStream

DIGESTS = {number: f"{number:022}" for number in range(1, 10)}
ATTEMPT = Attempt("billing", 1, 10_000)
SECRET = "opensesame"


def placed(version: int, data: object, type_: str = "Placed") -> Event:
    return naming(SchemaIdentity("orders", type_, DIGESTS[version]) if version else None, data, type_)


def naming(identity: SchemaIdentity | None, data: object, type_: str = "Placed") -> Event:
    headers: Mapping[str, str] = {} if identity is None else {DATA_SCHEMA: str(identity)}
    return Event(type=type_, key="k", id="e1", source="/shop", data=data, headers=headers)


def adding(version: int, to: int, type_: str = "Placed") -> Upcaster[..., Any]:
    @upcast(type_, version, to)
    def add(data: Any) -> Any:
        return [*data, f"{version}-{to}"]

    return add


def numbers(type_: str, digest: str) -> int | None:
    return next((number for number, known in DIGESTS.items() if known == digest and number < 9), None)


def upcasting(*steps: Upcaster[..., Any]) -> Upcasting:
    return Upcasting(steps, numbers, stream="orders")


CHAIN = (adding(0, 1), adding(1, 2), adding(2, 3))


@pytest.mark.parametrize(
    ("version", "data"),
    [(0, ["0-1", "1-2", "2-3"]), (1, ["1-2", "2-3"]), (2, ["2-3"]), (3, []), (4, [])],
)
def test_data_is_brought_to_the_newest_version_that_upcasters_know(version: int, data: object) -> None:
    assert upcasting(*CHAIN)(placed(version, [])).data == data


def test_an_upcaster_may_leap_over_versions_that_others_lead_on_from() -> None:
    leaping = upcasting(adding(0, 2), adding(1, 2))
    assert leaping(placed(0, [])).data == ["0-2"]
    assert leaping(placed(1, [])).data == ["1-2"]


def test_the_event_itself_does_not_change_and_other_types_are_handed_on() -> None:
    event, other = placed(1, []), placed(1, [], "Paid")
    known = upcasting(*CHAIN)(event)
    assert (event.data, known.data, known.payload.decode()) == ([], ["1-2", "2-3"], ["1-2", "2-3"])
    assert (known.id, known.key, known.headers) == (event.id, event.key, event.headers)
    assert upcasting(*CHAIN)(other) is other


def test_a_version_is_looked_up_only_for_types_that_have_upcasters() -> None:
    asked: list[str] = []

    def version_of(type_: str, digest: str) -> int:
        asked.append(type_)
        return 1

    mine = Upcasting(CHAIN, version_of, stream="orders")
    for event in (placed(1, []), placed(1, [], "Paid"), placed(0, [])):
        mine(event)
    assert asked == ["Placed"]


@pytest.mark.parametrize(
    "steps",
    [
        (adding(0, 1), adding(2, 3)),
        (adding(1, 3), adding(3, 4)),
        (adding(1, 2), adding(1, 2)),
        (adding(1, 2), adding(1, 3), adding(2, 3)),
    ],
)
def test_a_gap_and_two_for_one_step_are_refused_at_the_start(steps: tuple[Upcaster[..., Any], ...]) -> None:
    with pytest.raises(HandlerError, match=r"Placed from \d"):
        upcasting(*steps)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(HandlerError, match=r"Placed from 1.*Paid from 2"):
        upcasting(adding(0, 1), adding(2, 3), adding(1, 2, "Paid"), adding(3, 4, "Paid"))


@pytest.mark.parametrize(("version", "to"), [(1, 1), (2, 1), (-1, 0), ("1", 2), (1, 2.0)])
def test_no_upcaster_leads_back_or_round(version: Any, to: Any) -> None:
    with pytest.raises(HandlerError, match="a later one"):
        upcast("Placed", version, to)


async def waits(data: Any) -> Any:
    return data


def yields(data: Any) -> Any:
    yield data


async def waits_and_yields(data: Any) -> Any:
    yield data


class Waiting:
    """A callable object that must be awaited."""

    async def __call__(self, data: Any) -> Any:
        return data


@pytest.mark.parametrize(
    "function",
    [
        *(waits, yields, waits_and_yields, partial(waits), Waiting()),
        *(lambda: None, lambda data, delivery: data, lambda *, data: data, lambda data, *, more: data),
        *(None, "upcasters:up"),
    ],
)
def test_what_cannot_be_called_with_the_data_alone_is_refused_where_it_is_declared(function: Any) -> None:
    with pytest.raises(HandlerError, match="allowed: "):
        upcast("Placed", 0, 1)(function)


@pytest.mark.parametrize(
    "function", [lambda data, more=1: data, lambda *data: data[0], partial(lambda more, data: data, 1), dict]
)
def test_an_upcaster_may_take_more_that_has_a_default(function: Any) -> None:
    assert upcast("Placed", 0, 1)(function)({}) == {}


def test_an_event_at_whose_version_no_upcaster_begins_is_not_guessed_at() -> None:
    with pytest.raises(UpcastError, match="begins at 0"):
        upcasting(adding(1, 2))(placed(0, []))


def test_an_event_of_another_registry_is_from_before_schemas() -> None:
    event = Event(type="Placed", key="k", data=[], headers={DATA_SCHEMA: "https://example.org/placed.json"})
    assert upcasting(*CHAIN)(event).data == ["0-1", "1-2", "2-3"]


@pytest.mark.parametrize("place", [("payments", "Placed"), ("orders", "Paid")])
def test_an_event_of_another_stream_or_type_is_from_before_schemas(place: tuple[str, str]) -> None:
    mine = Upcasting(CHAIN, numbers, stream="orders", is_own=lambda type_, digest: digest == DIGESTS[3])
    for version in (2, 3):
        event = naming(SchemaIdentity(*place, DIGESTS[version]), [])
        assert mine.version(event) == 0
        assert mine(event).data == ["0-1", "1-2", "2-3"]


def test_an_event_of_the_own_schema_is_as_the_handler_knows_it_whatever_its_number() -> None:
    mine = Upcasting(CHAIN, numbers, stream="orders", is_own=lambda *schema: schema == ("Placed", DIGESTS[1]))
    assert mine(placed(1, [])).data == []
    assert mine(placed(2, [])).data == ["2-3"]


def test_a_handler_is_built_with_the_schemas_of_its_stream(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = ModuleType("named")
    vars(module)["step"] = CHAIN[0]
    monkeypatch.setitem(sys.modules, "named", module)
    fabric = SubscribedStream()
    folder = written(tmp_path, {"orders/Placed": {"type": "array"}, "payments/Placed": True})
    known = upcasting_of(print, "named:handle", fabric.stream, fabric.ports(), folder)
    assert known is not None

    def of_folder(stream: str) -> Event:
        document = SchemaFolder(folder).document(stream, "Placed")
        assert document is not None
        headers = {DATA_SCHEMA: str(SchemaIdentity(stream, "Placed", document.digest))}
        return Event(type="Placed", key="k", id="e1", data=[], headers=headers)

    assert known(of_folder("orders")).data == []
    assert known(of_folder("payments")).data == ["0-1"]
    with pytest.raises(UnknownVersionError):
        known(placed(1, []))


def test_a_schema_that_is_not_registered_may_be_so_later() -> None:
    with pytest.raises(UnknownVersionError) as refused:
        upcasting(*CHAIN)(placed(9, []))
    assert refused.value.retryable


def fails(data: Any) -> Any:
    raise ValueError(data)


def leaves(data: Any) -> Any:
    raise SystemExit(data)


@pytest.mark.parametrize(
    "function", [fails, leaves, lambda data: object(), lambda data: {"price": float("nan")}]
)
def test_a_failure_names_the_upcaster_and_no_data(function: Callable[[Any], Any]) -> None:
    with pytest.raises(UpcastError, match="Placed from 0 to 1") as refused:
        upcasting(upcast("Placed", 0, 1)(function))(placed(0, SECRET))
    assert SECRET not in str(refused.value)


def test_upcasters_are_those_that_a_module_defines_or_imports() -> None:
    module, other = ModuleType("handlers"), ModuleType("others")
    vars(module).update(first=CHAIN[0], again=CHAIN[0], second=CHAIN[1], handler=print)
    vars(other).update(second=CHAIN[1])
    assert list(upcasters_in([module, other])) == [CHAIN[0], CHAIN[1]]
    assert CHAIN[0]([]) == ["0-1"]


def test_a_handlers_upcasters_are_in_the_module_that_is_named_and_in_that_where_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def handle(event: Event, delivery: Delivery) -> None:
        """Handle nothing."""

    handle.__module__ = "written"
    for name, step in (("named", CHAIN[0]), ("written", CHAIN[1]), ("neither", CHAIN[2])):
        module = ModuleType(name)
        vars(module)["step"] = step
        monkeypatch.setitem(sys.modules, name, module)
    fabric = SubscribedStream()
    chain = upcasting_of(handle, "named:handle", fabric.stream, fabric.ports())
    assert chain is not None
    assert chain(placed(0, [])).data == ["0-1", "1-2"]
    assert upcasting_of(print, "nowhere:handle", fabric.stream, fabric.ports()) is None


def test_a_handler_sees_one_version_however_it_takes_its_events() -> None:
    seen: list[object] = []

    def by_event(event: Event, delivery: Delivery) -> None:
        assert delivery.event is event
        seen.append(event.data)

    def by_payload(steps: dict[str, list[str]], delivery: Delivery) -> None:
        seen.append(steps)
        assert delivery.event.data == steps

    def by_list(events: list[Event], delivery: Delivery) -> None:
        seen.extend(event.data for event in events)

    @upcast("Placed", 1, 2)
    def named(data: Any) -> Any:
        return {"steps": data}

    for function in (by_event, by_payload, by_list):
        handler = SubscriberHandler(
            function, clock=MemoryClock(0), transactional=False, upcasting=upcasting(named)
        )
        handler.attempt([placed(1, ["a"])], ATTEMPT)
    assert seen == [{"steps": ["a"]}] * 3
