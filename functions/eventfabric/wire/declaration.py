"""Codec of declarations: a record with one event, whose data is the whole declaration as JSON.

Members that have their default value are left out, so that what a producer reads stays small. Members that this version
does not know are kept, so that a later version finds them again after an earlier one has declared something. So is a
subscription of which this version cannot read a value.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, replace
from re import compile as regex
from typing import Any, Final, TypeVar

import msgspec

from eventfabric import limits
from eventfabric.definition.guarantee import Guarantee
from eventfabric.definition.marks import is_date, is_start
from eventfabric.definition.schema import is_power_of_two
from eventfabric.errors import FormatError, UndecodableRecordError
from eventfabric.formats import OWN_FORMATS
from eventfabric.model import Batch, BatchId, DeclarationLane, Record
from eventfabric.model.catalogue import Declaration, DeclaredChange, StreamFacts, SubscriptionFacts
from eventfabric.model.deprecation import DeprecatedType
from eventfabric.model.partly_read import PartlyRead, Unread, readable_of, unread_of
from eventfabric.wire.batch import batch_of_rows
from eventfabric.wire.payload_codec import unpack

TYPE: Final = "eventfabric.declared"
"""Type of the events in a lane of declarations."""
_JSON: Final = 1
_UNKNOWN: Final = "unknown"
_TIME_MS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999, the last of which a date can be made."""
_NUMBERS: Final = {
    "lanes": (1, limits.LANES_MAX),
    "retention_days": (1, 3650),
    **dict.fromkeys(("reads_required", "writes_required", "reads_max", "writes"), (1, 1_000_000)),
    **dict.fromkeys(
        ("incarnation", "highest", "backpressure_seconds", "backpressure_events_min"), (0, 1_000_000_000)
    ),
    **dict.fromkeys(("closing_since_ms", "since_ms", "at_ms"), (0, _TIME_MS_MAX)),
}
"""Bounds of all numbers, by the member's name."""
_is_name: Final = regex(rf"[a-z][a-z0-9-]{{0,{limits.NAME_CHARACTERS_MAX - 1}}}").fullmatch
_is_region: Final = regex(rf"[a-z0-9-]{{1,{limits.REGION_CHARACTERS_MAX}}}").fullmatch
_WRONG: Final = (msgspec.MsgspecError, KeyError, TypeError, ValueError, RecursionError)

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
    """Return what a record declares. One subscription that cannot be read concerns only that one: see PartlyRead.

    Raises:
        UndecodableRecordError: this version cannot read it, or it declares nothing.
        FormatError: nor is it to, because the stream requires a later version.
    """
    try:
        [event] = unpack(record)
        members = msgspec.json.decode(event.payload.content, type=dict[str, Any])
        stream = _stream(members.pop("stream"), record)
        return Declaration(
            stream=stream,
            subscriptions=_subscriptions(members.pop("subscriptions", {}), record),
            change=_facts(DeclaredChange, members.pop("change")),
            unknown=members,
        )
    except _WRONG as error:
        reason = f"is no declaration that this version can read: {error!s:.200}"
        raise UndecodableRecordError(record.lane, record.sequence, reason) from error


def check_formats(stream: StreamFacts) -> None:
    """Raise FormatError if this version cannot read or write a stream as it is required."""
    required = stream.required
    if OWN_FORMATS.reads < required.reads:
        raise FormatError(stream.name, "read", required.reads, OWN_FORMATS.reads, stream.raised_with)
    if OWN_FORMATS.writes < required.writes:
        raise FormatError(stream.name, "written", required.writes, OWN_FORMATS.writes, stream.raised_with)


def _stream(members: object, record: Record) -> StreamFacts:
    try:
        facts = _facts(StreamFacts, members)
        if not (isinstance(record.lane, DeclarationLane) and facts.name == record.lane.stream):
            raise ValueError(f"name: found {facts.name}, allowed: the stream of its lane")
        if not is_power_of_two(facts.lanes):
            raise ValueError(f"lanes: found {facts.lanes}, allowed: powers of two")
        _check_each("regions", facts.regions, _is_region)
        if not facts.regions:
            raise ValueError("regions: found none, allowed: one or more")
        for own in facts.deprecated:
            _check_each("deprecated", [own.since, *([own.sunset] if own.sunset else ())], is_date)
    except _WRONG:
        # A version that is too old for the stream is told so, whatever else it does not know.
        names = ("reads_required", "writes_required", "raised_with", "name")
        required = {name: members[name] for name in names if isinstance(members, dict) and name in members}
        check_formats(_facts(StreamFacts, {"regions": (), "lanes": 1, **required}))
        raise
    return facts


def _subscriptions(members: object, record: Record) -> Mapping[str, SubscriptionFacts]:
    readable, unread = dict[str, SubscriptionFacts](), dict[str, Unread]()
    for name, own in msgspec.convert(members, dict[str, Any]).items():
        try:
            readable[name] = _subscription(name, own)
        except _WRONG as error:
            reason = f"subscription {name} is declared as this version cannot read it: {error!s:.200}"
            unread[name] = Unread(own, UndecodableRecordError(record.lane, record.sequence, reason))
    return PartlyRead(readable, unread) if unread else readable


def _subscription(name: str, members: object) -> SubscriptionFacts:
    facts = _facts(SubscriptionFacts, {**msgspec.convert(members, dict[str, Any]), "name": name})
    _check_each("name", [name], _is_name)
    _check_each("publishes", facts.publishes, _is_name)
    _check_each("region", [] if facts.region is None else [facts.region], _is_region)
    _check_each("start", [facts.start], is_start)
    Guarantee(facts.guarantee)
    return facts


def _check_each(name: str, texts: Iterable[str], is_allowed: Callable[[str], object]) -> None:
    """Raise ValueError for the first text that is not allowed."""
    for text in texts:
        if not is_allowed(text):
            raise ValueError(f"{name}: found {text!r:.60}")


def _members(declaration: Declaration) -> dict[str, object]:
    subscriptions = {name: _given(facts) for name, facts in readable_of(declaration.subscriptions).items()}
    for own in subscriptions.values():
        del own["name"]
    unread = {name: own.members for name, own in unread_of(declaration.subscriptions).items()}
    return {
        **declaration.unknown,
        "stream": _stream_members(declaration.stream),
        "subscriptions": {**subscriptions, **unread},
        "change": _given(declaration.change),
    }


def _stream_members(facts: StreamFacts) -> dict[str, object]:
    members = _given(facts)
    if facts.deprecated:
        members["deprecated"] = [_given(own) for own in facts.deprecated]
    return members


def _given(facts: StreamFacts | SubscriptionFacts | DeclaredChange | DeprecatedType) -> dict[str, object]:
    """Return the members that differ from their default, and those that this version does not know."""
    unknown: Mapping[str, object] = getattr(facts, _UNKNOWN, {})
    known = {own.name: getattr(facts, own.name) for own in fields(facts) if own.name != _UNKNOWN}
    defaults = {own.name: own.default for own in fields(facts) if own.default is not MISSING}
    return {
        **unknown,
        **{name: value for name, value in known.items() if name not in defaults or value != defaults[name]},
    }


def _facts(kind: type[Facts], members: object) -> Facts:
    """Read the members that this version knows, and keep the others. MsgspecError, TypeError, ValueError."""
    given = msgspec.convert(members, dict[str, Any])
    names = {own.name for own in fields(kind)} - {_UNKNOWN}
    facts = msgspec.convert({name: value for name, value in given.items() if name in names}, kind)
    for name, (least, most) in _NUMBERS.items():
        number = getattr(facts, name, None)
        if number is not None and not least <= number <= most:
            raise ValueError(f"{name}: found {number}, allowed: {least} to {most}")
    others = {name: value for name, value in given.items() if name not in names}
    return replace(facts, unknown=others) if others and not isinstance(facts, DeclaredChange) else facts
