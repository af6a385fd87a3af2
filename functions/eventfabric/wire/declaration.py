"""Codec of declarations: a record with one event, whose data is the whole declaration as JSON.

Members that have their default value are left out, so that what a producer reads stays small. Members that this version
does not know are kept, so that a later version finds them again after an earlier one has declared something.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import Any, Final, TypeVar

import msgspec

from eventfabric.errors import UndecodableRecordError
from eventfabric.model import Batch, BatchId, Record
from eventfabric.model.catalogue import Declaration, DeclaredChange, StreamFacts, SubscriptionFacts
from eventfabric.wire.batch import batch_of_rows
from eventfabric.wire.payload_codec import unpack

TYPE: Final = "eventfabric.declared"
"""Type of the events in a lane of declarations."""
_JSON: Final = 1
_UNKNOWN: Final = "unknown"

Facts = TypeVar("Facts", StreamFacts, SubscriptionFacts, DeclaredChange)


def batch_of(declaration: Declaration, batch_id: BatchId, *, source: str) -> Batch:
    """Make the batch that declares. RecordBoundsError: it is larger than a record may be."""
    change = declaration.change
    content = msgspec.json.encode(_members(declaration), order="sorted")
    time = change.at_ms * 1000
    return batch_of_rows(
        batch_id, [(change.request_id, TYPE, declaration.stream.name, time, source, {}, _JSON, content)]
    )


def declaration_of(record: Record) -> Declaration:
    """Return what a record declares. UndecodableRecordError: this version cannot read it, or it declares nothing."""
    try:
        [event] = unpack(record)
        members = msgspec.json.decode(event.payload.content, type=dict[str, Any])
        subscriptions = msgspec.convert(members.pop("subscriptions", {}), dict[str, dict[str, Any]])
        return Declaration(
            stream=_facts(StreamFacts, members.pop("stream")),
            subscriptions={
                name: _facts(SubscriptionFacts, {**own, "name": name}) for name, own in subscriptions.items()
            },
            change=_facts(DeclaredChange, members.pop("change")),
            unknown=members,
        )
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        reason = f"is no declaration that this version can read: {error!s:.200}"
        raise UndecodableRecordError(record.lane, record.sequence, reason) from error


def _members(declaration: Declaration) -> dict[str, object]:
    subscriptions = {name: _given(facts) for name, facts in declaration.subscriptions.items()}
    for own in subscriptions.values():
        del own["name"]
    return {
        **declaration.unknown,
        "stream": _given(declaration.stream),
        "subscriptions": subscriptions,
        "change": _given(declaration.change),
    }


def _given(facts: StreamFacts | SubscriptionFacts | DeclaredChange) -> dict[str, object]:
    """Return the members that differ from their default, and those that this version does not know."""
    unknown: Mapping[str, object] = getattr(facts, _UNKNOWN, {})
    known = {own.name: getattr(facts, own.name) for own in fields(facts) if own.name != _UNKNOWN}
    defaults = {own.name: own.default for own in fields(facts) if own.default is not MISSING}
    return {
        **unknown,
        **{name: value for name, value in known.items() if name not in defaults or value != defaults[name]},
    }


def _facts(kind: type[Facts], members: object) -> Facts:
    """Read the members that this version knows, and keep the others. MsgspecError, TypeError."""
    given = msgspec.convert(members, dict[str, Any])
    names = {own.name for own in fields(kind)} - {_UNKNOWN}
    facts = msgspec.convert({name: value for name, value in given.items() if name in names}, kind)
    others = {name: value for name, value in given.items() if name not in names}
    return replace(facts, unknown=others) if others and not isinstance(facts, DeclaredChange) else facts
