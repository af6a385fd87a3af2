"""Document: one JSON Schema as it is registered, in canonical text, and known by the digest of that text."""

import json
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, NoReturn

from eventfabric.contracts.keywords import JsonSchema as JsonSchema
from eventfabric.contracts.lint import SCHEMA_DEPTH_MAX, schema_problems
from eventfabric.errors import InvalidSchemaError, Problem

SCHEMA_BYTES_MAX: Final = 128 * 1024
"""Most bytes of a schema's canonical text: a record of the log holds it beside an index of all versions."""
_DIGEST_BYTES: Final = 16
_KINDS: Final[Mapping[type, str]] = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    type(None): "null",
}
DIGEST_CHARACTERS: Final = 22
"""Length of a digest: 16 bytes in base64url, without padding."""


@dataclass(frozen=True)
class SchemaDocument:
    """One JSON Schema. Equal schemas have equal text, whatever their spaces and the order of their members were.

    `content`: canonical JSON text in UTF-8, with sorted names and without spaces.
    """

    content: bytes = field(repr=False)
    digest: str = field(init=False)
    """The first 16 bytes of the text's SHA-256, in base64url. Whoever has it knows the very schema."""
    value: JsonSchema = field(init=False, repr=False, compare=False)
    """The schema, decoded. It is shared: nobody changes it."""

    def __post_init__(self) -> None:
        # Not by cached_property: Python 3.11 holds a lock meanwhile, for which a child forked then waits for ever.
        object.__setattr__(self, "digest", digest_of(self.content))
        object.__setattr__(self, "value", json.loads(self.content))


def digest_of(content: bytes) -> str:
    """Return the digest of a schema's canonical text."""
    return urlsafe_b64encode(sha256(content).digest()[:_DIGEST_BYTES]).decode().rstrip("=")


def read_schema(text: str | bytes, *, where: str) -> SchemaDocument:
    """Read a schema. InvalidSchemaError lists everything for which it may not be registered, at `where`."""
    document = read_unchecked(text, where=where)
    problems = [
        Problem(f"#{problem.path}", problem.found, problem.allowed)
        for problem in schema_problems(document.value)
    ]
    if problems:
        raise InvalidSchemaError(problems, where=where)
    return document


def read_unchecked(text: str | bytes, *, where: str) -> SchemaDocument:
    """Read a schema of which no keyword is checked. InvalidSchemaError: it is not JSON, or too large."""
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
        content = json.dumps(
            value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
        ).encode()
    except RecursionError:
        _refuse(where, "lists and objects too deep to be read", f"at most {SCHEMA_DEPTH_MAX} levels")
    except ValueError as error:  # also of text that is not in UTF-8, and of surrogates
        _refuse(where, f"no JSON ({error!s:.200})", "one JSON Schema, in UTF-8")
    if not isinstance(value, dict | bool):
        _refuse(where, _KINDS.get(type(value), "no schema"), "an object, true or false")
    if len(content) > SCHEMA_BYTES_MAX:
        _refuse(where, f"{len(content):,} bytes", f"at most {SCHEMA_BYTES_MAX:,}")
    return SchemaDocument(content)


def _object(members: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object. ValueError if a name is in it twice, since readers would disagree about its value."""
    value = dict(members)
    if len(value) != len(members):
        twice = next(name for name, count in Counter(name for name, _ in members).items() if count > 1)
        raise ValueError(f"the name {twice!r:.80} twice in an object")
    return value


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number in JSON")


def _refuse(where: str, state: str, allowed: str) -> NoReturn:
    raise InvalidSchemaError([Problem("schema", state, allowed)], where=where)
