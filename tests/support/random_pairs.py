"""Random pairs of schemas, and trials of a pair: documents that a producer may publish, held against the reader."""

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import jsonschema
import jsonschema_rs

from eventfabric.contracts.closing import closed
from tests.support.random_documents import DocumentMaker
from tests.support.random_schemas import SchemaMaker, changed

_TRIES = 4
"""Documents that are made for one that is wanted: not all of them are valid."""


def random_pair(seed: int, *, beyond: bool) -> tuple[Any, Any]:
    """Return a reader's and a writer's schema: mostly one schema before and after a change."""
    random = Random(seed)
    maker = SchemaMaker(random, beyond=beyond)
    first = maker.document()
    second = changed(first, maker) if random.random() < 0.85 else maker.document()
    return (first, second) if random.random() < 0.5 else (second, first)


class PairTrial:
    """One pair of schemas under trial. `published` counts documents that a producer may publish."""

    def __init__(self, reader: Any, writer: Any, seed: int) -> None:
        self.published = 0
        self._maker = DocumentMaker(writer, Random(seed), other=reader)
        self._reader, self._writer, self._closed = (
            jsonschema_rs.Draft202012Validator(schema) for schema in (reader, writer, closed(writer))
        )
        self._second_reader = jsonschema.Draft202012Validator(reader)

    def documents(self, count: int) -> Iterator[Any]:
        """Yield documents that a producer may publish, up to a number."""
        wanted = self.published + count
        for _ in range(count * _TRIES):
            document = json.loads(json.dumps(self._maker.document()))
            if self._closed.is_valid(document) and self._writer.is_valid(document):
                self.published += 1
                yield document
                if self.published == wanted:
                    return

    def is_accepted(self, document: Any) -> bool:
        """Return if the reader accepts a document."""
        return bool(self._reader.is_valid(document))

    def refuted_by(self, count: int, *, second: int = 5) -> Any | None:
        """Return a document that the reader refuses; None if it is none. `second`: for so many, both validators."""
        for index, document in enumerate(self.documents(count)):
            if not self.is_accepted(document):
                return document
            if index < second and not self._second_reader.is_valid(document):
                return document
        return None
