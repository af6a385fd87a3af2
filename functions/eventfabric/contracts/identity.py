"""Identity of a schema in an event: the URI that its attribute `dataschema` holds (CloudEvents 1.0)."""

from re import ASCII
from re import compile as regex
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from eventfabric.contracts.document import DIGEST_CHARACTERS

DATA_SCHEMA: Final = "dataschema"
"""Name of the attribute."""
_URI: Final = regex(rf"eventfabric:([a-z][a-z0-9-]*)/([^/?#]+)/([A-Za-z0-9_-]{{{DIGEST_CHARACTERS}}})", ASCII)


class SchemaIdentity(NamedTuple):
    """The stream and type that a schema is registered for, and the digest of its text."""

    stream: str
    type: str
    digest: str

    def __str__(self) -> str:
        return f"eventfabric:{self.stream}/{quote(self.type, safe='')}/{self.digest}"


def parse_schema_uri(text: object) -> SchemaIdentity | None:
    """Parse the text that `str(identity)` writes; None for anything else, such as the URI of another registry."""
    match = _URI.fullmatch(text) if isinstance(text, str) else None
    return None if match is None else SchemaIdentity(match[1], unquote(match[2]), match[3])
