"""Comparison of a type's new schema with earlier versions, as far as the stream has promised that they go together."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from eventfabric.contracts.differ import differences
from eventfabric.contracts.difference import SchemaDifference
from eventfabric.contracts.document import SchemaDocument
from eventfabric.contracts.folder import file_name_of
from eventfabric.definition.sections import Compatibility
from eventfabric.errors import Problem
from eventfabric.services.catalogue.schema_push import Compare, Earlier
from eventfabric.stream_topology import StreamTopology


def comparison_of(stream: StreamTopology) -> Compare:
    """Return what compares the schemas of a stream's types with their earlier versions, by its definition."""
    return partial(_problems, stream)


def _problems(stream: StreamTopology, type_: str, new: SchemaDocument, earlier: Earlier) -> Sequence[Problem]:
    promise = stream.definition.compatibility_of(type_)
    if promise is Compatibility.NONE:
        return ()
    compared = earlier if promise.is_transitive else earlier[-1:]
    where = f"schemas/{stream.name}/{file_name_of(type_)}"
    return [problem for version, old in compared for problem in _between(promise, where, new, version, old)]


def _between(
    promise: Compatibility, where: str, new: SchemaDocument, version: str, old: SchemaDocument
) -> Iterator[Problem]:
    """Yield why a new schema and a version do not go together, in the directions that are promised."""
    places = where, f"{version} of {where}"
    if promise.reads_earlier:
        because = f"events of {version} must be read ({promise})"
        yield from (_problem(own, because, *places) for own in differences(new.value, old.value))
    if promise.is_read_earlier:
        because = f"readers of {version} go on ({promise})"
        for own in differences(old.value, new.value):
            remedy = f"as in {version}, or narrower; or a type of its own for what is new"
            yield replace(_problem(own, because, *reversed(places)), allowed=remedy)


def _problem(difference: SchemaDifference, because: str, reader: str, writer: str) -> Problem:
    where = writer if difference.is_in_writer else reader
    verdict = "undecided: " if difference.is_undecided else ""
    return Problem(
        f"{where}#{difference.pointer}", f"{verdict}{difference.rule}; {because}", difference.remedy
    )
