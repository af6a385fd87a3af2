"""Checks: schemas of a folder as events are held to them: closed for who publishes, open for who is delivered to."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec

from eventfabric.contracts.closing import closed, closed_suffices
from eventfabric.contracts.document import SchemaDocument
from eventfabric.contracts.folder import SchemaFolder
from eventfabric.contracts.identity import DATA_SCHEMA, SchemaIdentity, parse_schema_uri
from eventfabric.contracts.validator import SchemaValidator
from eventfabric.errors import MissingExtraError, Problem

_KNOWN_MAX = 10_000
"""Most types that are known; of a stream whose types have no end, all but a few have no schema."""
_decode = msgspec.json.Decoder().decode


class SchemaCheck:
    """Check of one type's data by one version of its schema. Threads may share it.

    `headers`: what an event that was checked says about that, in its attribute `dataschema`.
    """

    def __init__(self, document: SchemaDocument, identity: SchemaIdentity, *, is_closed: bool) -> None:
        """`is_closed`: refuse members that the schema does not name, as for whoever publishes. InvalidSchemaError."""
        self.identity = identity
        self.headers: Mapping[str, str] = {DATA_SCHEMA: str(identity)}
        schemas = [document.value]
        if is_closed:
            schemas = [closed(document.value), *([] if closed_suffices(document.value) else schemas)]
        self._validators = [SchemaValidator(schema, where=f"schema of {identity}") for schema in schemas]

    def __repr__(self) -> str:
        return f"SchemaCheck({self.identity})"

    def keeps_other_version(self, headers: Mapping[str, object], replaced: Mapping[str, object]) -> bool:
        """Tell if an event's attributes name another version of the type's schema, as those of the replaced one do."""
        named = parse_schema_uri(headers.get(DATA_SCHEMA))
        if named is None or named == self.identity or named[:2] != self.identity[:2]:
            return False
        return named == parse_schema_uri(replaced.get(DATA_SCHEMA))

    def problems(self, content: bytes) -> list[Problem]:
        """Return the first problems of JSON text, without any value of it. ValueError if it cannot be decoded."""
        value = _decode(content)
        for validator in self._validators:
            if not validator.accepts(value):
                return validator.problems(value)
        return []

    def accepts_all(self, contents: Sequence[bytes]) -> bool:
        """Tell if all JSON texts fit; by few calls, since this runs for every event that is published in bulk."""
        values = _decode(b"[%b]" % b",".join(contents))
        return all(all(map(validator.accepts, values)) for validator in self._validators)


class SchemaChecks:
    """Checks by the schemas of a folder, made as types are met. Threads may share it."""

    def __init__(self, folder: SchemaFolder, *, is_closed: bool) -> None:
        self.folder = folder
        self._is_closed = is_closed
        self._known: dict[tuple[str, str], SchemaCheck | None] = {}
        # Where the first event of some thread imported it, a child that is forked meanwhile would wait for ever: it
        # has Python's lock of that import, and not the thread that holds it.
        with suppress(MissingExtraError):  # whoever meets a type with a schema is told
            self.load()

    def load(self) -> None:
        """Import what checks need. MissingExtraError."""
        SchemaValidator(True)

    def of(self, stream: str, type_: str) -> SchemaCheck | None:
        """Return the check of a type; None if it has no schema. InvalidSchemaError; MissingExtraError."""
        place = stream, type_
        try:
            return self._known[place]
        except KeyError:
            check = self._made(stream, type_)
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[place] = check
            return check

    def _made(self, stream: str, type_: str) -> SchemaCheck | None:
        document = self.folder.document(stream, type_)
        if document is None:
            return None
        identity = SchemaIdentity(stream, type_, document.digest)
        return SchemaCheck(document, identity, is_closed=self._is_closed)
