"""Codec of events as CloudEvents 1.0 (JSON format), without loss.

`partitionkey` (the CloudEvents partitioning extension) holds the key; if it is absent, `subject` does. A KeyRule
names another place. All other context attributes (subject, dataschema, datacontenttype and the extensions) are the
event's headers.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from re import compile as regex
from typing import Any

import msgspec

from eventfabric.errors import InvalidEventError, MalformedCloudEventError, Problem, SettingError
from eventfabric.model import Event, Kind, Payload, check_event, checked_json, stored_time

_OWN = frozenset({"specversion", "id", "source", "type", "time", "partitionkey", "data", "data_base64"})
_KEY_ATTRIBUTES = ("subject", "id", "source")
_POINTER_CHARACTERS_MAX = 1024
_BAD_ESCAPE = regex(r"~(?![01])")
_INDEX = regex(r"(0|[1-9][0-9]{0,8})")
_ABSENT = object()
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class KeyRule:
    """Rule that takes the key of a CloudEvent from another place than its partitionkey and subject.

    The place is an attribute, or a JSON pointer (RFC 6901) into the data. In the data, text is taken as it is, and an
    integer as its digits.
    """

    attribute: str
    """Name of the attribute; empty if the key is in the data."""
    pointer: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "KeyRule":
        """Parse `subject`, `id`, `source`, or a pointer such as `/order/customer`. SettingError for any other text."""
        if text in _KEY_ATTRIBUTES:
            return cls(text)
        if text.startswith("/") and len(text) <= _POINTER_CHARACTERS_MAX and not _BAD_ESCAPE.search(text):
            names = text[1:].split("/")
            # RFC 6901 asks for this order of replacements: "~01" stands for "~1", and not for "/".
            return cls("", tuple(name.replace("~1", "/").replace("~0", "~") for name in names))
        raise SettingError(
            "key", text, "subject, id, source, or a JSON pointer into data, such as /order/customer"
        )

    def __str__(self) -> str:
        if self.attribute:
            return self.attribute
        return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in self.pointer)

    def key_of(self, values: Mapping[str, Any], payload: Payload | None, problems: list[Problem]) -> str:
        """Return the key; if it is not there, add a problem and return "?"."""
        if self.attribute:
            key = values.get(self.attribute)
            found = "nothing" if key is None else f"{key!r:.80}"
            path, allowed = self.attribute, "text: the key whose order the event belongs to"
        else:
            key, found = self._in_data(payload)
            path, allowed = f"data{self}"[:80], "text or an integer: the key whose order the event belongs to"
        if isinstance(key, str):
            return key
        problems.append(Problem(path, found, allowed))
        return "?"

    def _in_data(self, payload: Payload | None) -> tuple[str | None, str]:
        """Return the key, or None and a description of what stands there."""
        if payload is None or payload.kind != Kind.JSON:
            return None, "no JSON data"
        value = msgspec.json.decode(payload.content)
        for name in self.pointer:
            value = _part(value, name)
            if value is _ABSENT:
                return None, "nothing"
        # True and False are ints in Python, but no keys.
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value), ""
        return value if isinstance(value, str) else None, f"{value!r:.80}"


def _part(value: Any, name: str) -> Any:
    """Return the part of an object or array that has that name or index, or _ABSENT."""
    if isinstance(value, dict):
        return value.get(name, _ABSENT)
    if isinstance(value, list) and _INDEX.fullmatch(name) and int(name) < len(value):
        return value[int(name)]
    return _ABSENT


def raw_cloudevent(event: Event) -> dict[str, Any]:
    """Return the CloudEvent for msgspec's JSON encoder, with the JSON text that was published: no number changes."""
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


def parse_cloudevent(
    line: str | bytes, *, where: str = "CloudEvent", key_rule: KeyRule | None = None
) -> Event:
    """Parse one CloudEvent in JSON text. MalformedCloudEventError says all that is wrong with it, at `where`.

    Its data is kept to the letter. `key_rule`: the place of the key; default: partitionkey, else subject.
    """
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
    # A null in the text is no data, as if the attribute were absent.
    payload = Payload(Kind.JSON, content) if content is not None and content.strip() != b"null" else None
    return _event(values, payload, where, key_rule)


def _event(values: Mapping[str, Any], payload: Payload | None, where: str, key_rule: KeyRule | None) -> Event:
    problems: list[Problem] = []
    if values.get("specversion") != "1.0":
        problems.append(Problem("specversion", repr(values.get("specversion")), "'1.0'"))
    if "data_base64" in values:
        if payload is not None:
            problems.append(Problem("data_base64", "data as well", "one of data and data_base64"))
        payload = _binary(values["data_base64"], problems)
    key = _usual_key(values, problems) if key_rule is None else key_rule.key_of(values, payload, problems)
    # An attribute that is null counts as absent.
    headers = {name: value for name, value in values.items() if name not in _OWN and value is not None}
    time = _time(values.get("time"), problems)
    event = Event(
        id=values.get("id"),
        type=values.get("type", ""),
        key=key,
        data=payload,
        source=values.get("source"),
        headers=headers,
        time=time,
    )
    try:
        check_event(id=event.id, type=event.type, key=event.key, source=event.source, headers=headers)
    except InvalidEventError as error:
        problems.extend(error.problems)
    if problems:
        raise MalformedCloudEventError(problems, where=where)
    return event


def _usual_key(values: Mapping[str, Any], problems: list[Problem]) -> Any:
    """Return the key; if there is none, add a problem and return "?", so that all other problems are found as well."""
    key = values.get("partitionkey", values.get("subject"))
    if key is not None:
        return key
    problems.append(
        Problem("partitionkey", "nothing, and no subject", "the key whose order the event belongs to")
    )
    return "?"


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
