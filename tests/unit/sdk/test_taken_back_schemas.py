"""Schemas that were taken back while the handler's upcasters stay: for events of what was taken back, and before."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from eventfabric import Event, upcast
from eventfabric.contracts.document import SchemaDocument, read_schema
from eventfabric.contracts.identity import DATA_SCHEMA, SchemaIdentity
from eventfabric.errors import UnknownVersionError
from eventfabric.sdk.schemas import upcasting_of
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.services.catalogue.schema_push import Registration
from tests.support.memory_fabric import STREAM
from tests.support.schema_folders import written
from tests.support.subscribed_stream import SubscribedStream

TOTAL, CENTS, EUROS = ({"title": title} for title in ("total", "cents", "euros"))


def document(schema: Any) -> SchemaDocument:
    return read_schema(f'{{"title": "{schema["title"]}"}}', where="-")


def handed_out(
    folder: Path | None, registered: list[Any], event_of: Any, data: object, patch: pytest.MonkeyPatch
) -> Any:
    """Return the data of an event as a handler gets it that knows version 2."""
    fabric = SubscribedStream()
    reader = SchemaReader(fabric.stream, fabric.ports().log_of(fabric.stream))
    for number, schema in enumerate(registered):
        by = Registration(
            reader, lambda *_: (), fabric.clock, fabric.entropy, by="ci", request_id=str(number)
        )
        by.register({"placed": document(schema)})
    module = ModuleType("handlers_of_taken_back")

    @upcast("placed", 1, 2)
    def in_cents(data: Any) -> Any:
        return {"cents": round(100 * data["total"])}

    vars(module)["in_cents"] = in_cents
    patch.setitem(sys.modules, module.__name__, module)
    upcasting = upcasting_of(print, f"{module.__name__}:handle", fabric.stream, fabric.ports(), folder)
    assert upcasting is not None
    identity = SchemaIdentity(STREAM, "placed", document(event_of).digest)
    return upcasting(Event(type="placed", key="k", data=data, headers={DATA_SCHEMA: str(identity)})).data


@pytest.mark.parametrize(
    ("own", "registered"),
    [
        (CENTS, [TOTAL, CENTS]),
        (TOTAL, [TOTAL, CENTS, TOTAL]),
        (EUROS, [TOTAL, CENTS, TOTAL]),  # which nobody has registered yet
        (None, [TOTAL, CENTS]),
    ],
)
def test_events_are_upcast_by_their_versions_whichever_schema_was_registered_last(
    own: Any, registered: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = None if own is None else written(tmp_path, {f"{STREAM}/placed": own})
    for schema, data in ((TOTAL, {"total": 1.5}), (CENTS, {"cents": 150})):
        assert handed_out(folder, registered, schema, data, monkeypatch) == {"cents": 150}


@pytest.mark.parametrize("registered", [[], [CENTS]])
def test_a_schema_that_none_came_after_is_what_the_handler_knows(
    registered: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a new stage it has number 1, and in a test none."""
    folder = written(tmp_path, {f"{STREAM}/placed": CENTS})
    assert handed_out(folder, registered, CENTS, {"cents": 150}, monkeypatch) == {"cents": 150}


@pytest.mark.parametrize("own", [CENTS, None])
def test_the_latest_schema_that_is_not_the_functions_own_has_its_number_or_is_waited_for(
    own: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = None if own is None else written(tmp_path, {f"{STREAM}/placed": own})
    assert handed_out(folder, [TOTAL], TOTAL, {"total": 1.5}, monkeypatch) == {"cents": 150}
    with pytest.raises(UnknownVersionError):
        handed_out(folder, [TOTAL], EUROS, {"euros": 1}, monkeypatch)
