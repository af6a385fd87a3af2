"""Event to CloudEvents 1.0 (JSON format) and back, without loss.

`partitionkey` (the CloudEvents partitioning extension) holds the key; where it is absent, `subject` does. All other
context attributes (subject, dataschema, datacontenttype and the extensions) are the event's headers.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any

import msgspec

from eventfabric.errors import InvalidEventError, MalformedCloudEventError, Problem
from eventfabric.model.event import Event, check_event, stored_time
from eventfabric.model.payload import Kind, Payload, checked_json

_OWN = frozenset({"specversion", "id", "source", "type", "time", "partitionkey", "data", "data_base64"})
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def to_cloudevent(event: Event) -> dict[str, Any]:
    """The CloudEvent, as a dict for a JSON encoder; the event must have id and source (those of the log do)."""
    cloudevent = _attributes(event)
    if event.payload.kind == Kind.JSON:
        cloudevent["data"] = event.data
    return cloudevent


def raw_cloudevent(event: Event) -> dict[str, Any]:
    """The CloudEvent for msgspec's JSON encoder, its data as the JSON text that was published: no number changes."""
    cloudevent = _attributes(event)
    if event.payload.kind == Kind.JSON:
        cloudevent["data"] = msgspec.Raw(event.payload.content)
    return cloudevent


def _attributes(event: Event) -> dict[str, Any]:
    cloudevent: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
    }
    if event.time_text is not None:
        cloudevent["time"] = event.time_text
    cloudevent["partitionkey"] = event.key
    cloudevent.update(event.headers)
    if event.payload.kind == Kind.BINARY:
        cloudevent["data_base64"] = b64encode(event.data).decode()
    return cloudevent


def parse_cloudevent(line: str | bytes, *, where: str = "CloudEvent") -> Event:
    """The event of one CloudEvent in JSON text. MalformedCloudEventError says all that is wrong with it, at `where`."""
    try:
        raw = _decode(line)
        values = {name: msgspec.json.decode(value) for name, value in raw.items() if name != "data"}
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        problem = Problem("line", f"{error}", "one JSON object")
        raise MalformedCloudEventError([problem], where=where) from error
    content = bytes(raw["data"]) if "data" in raw else None
    try:
        if content is not None:
            checked_json(content)
    except InvalidEventError as error:
        raise MalformedCloudEventError(error.problems, where=where) from error
    payload = Payload(Kind.JSON, content) if content is not None and content.strip() != b"null" else None
    return _event(values, payload, where)


def from_cloudevent(cloudevent: Mapping[str, Any], *, where: str = "CloudEvent") -> Event:
    """The event of a CloudEvent that is already a dict. Errors as `parse_cloudevent`."""
    values = {name: value for name, value in cloudevent.items() if name != "data"}
    try:
        payload = Payload.of(cloudevent["data"]) if cloudevent.get("data") is not None else None
    except InvalidEventError as error:
        raise MalformedCloudEventError(error.problems, where=where) from error
    return _event(values, payload, where)


def _event(values: dict[str, Any], payload: Payload | None, where: str) -> Event:
    problems: list[Problem] = []
    if values.get("specversion") != "1.0":
        problems.append(Problem("specversion", repr(values.get("specversion")), "'1.0'"))
    if "data_base64" in values:
        if payload is not None:
            problems.append(Problem("data_base64", "data as well", "one of data and data_base64"))
        payload = _binary(values["data_base64"], problems)
    key = values.get("partitionkey", values.get("subject"))
    if key is None:
        problems.append(
            Problem("partitionkey", "nothing, and no subject", "the key whose order the event belongs to")
        )
        key = "?"
    headers = {name: value for name, value in values.items() if name not in _OWN and value is not None}
    time = _time(values.get("time"), problems)
    event = Event(id=values.get("id"), type=values.get("type", ""), key=key, data=payload, source=values.get("source"),
                  headers=headers, time=time)  # fmt: skip
    try:
        check_event(id=event.id, type=event.type, key=event.key, source=event.source, headers=headers)
    except InvalidEventError as error:
        problems.extend(error.problems)
    if problems:
        raise MalformedCloudEventError(problems, where=where)
    return event


def _time(text: object, problems: list[Problem]) -> str | None:
    if text is None:
        return None
    try:
        if isinstance(text, str):
            stored_time(text)
            return text
        problems.append(Problem("time", f"{text!r:.80}", "RFC 3339 text"))
    except InvalidEventError as error:
        problems.extend(error.problems)
    return None


def _binary(text: object, problems: list[Problem]) -> Payload | None:
    try:
        if isinstance(text, str):
            return Payload(Kind.BINARY, b64decode(text, validate=True))
    except (Base64Error, ValueError):
        pass
    problems.append(Problem("data_base64", f"{text!r:.40}", "Base64 text"))
    return None
