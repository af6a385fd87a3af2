"""Schemas that a stack registers: those in its function's zip, as the stack was synthesised with them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from eventfabric.contracts.document import SchemaDocument
from eventfabric.contracts.folder import SchemaFolder, digest_of_all
from eventfabric.errors import DeclarationRefusedError, InvalidSchemaError, LastingError, Problem
from eventfabric.ports import Ports
from eventfabric.services.catalogue.schema_comparison import comparison_of
from eventfabric.services.catalogue.schema_lane import SchemaReader
from eventfabric.services.catalogue.schema_push import Registration
from eventfabric.stream_topology import StreamTopology


@dataclass(frozen=True)
class StackRegistration:
    """The schemas of one stream, as a stack registers them in the stream's first Region."""

    stream: StreamTopology
    folder: SchemaFolder | None
    digest: str
    """Digest of the schemas with which the stack was synthesised."""
    ports: Ports
    by: str
    request_id: str
    may_lack_table: bool = False
    """The stream is new to the stack, so its table may not be there yet."""

    def problems(self) -> Iterator[Problem]:
        """Yield why they cannot be registered. PortError, LogError: what is registered cannot be read."""
        documents, problems = self._documents()
        yield from problems
        try:
            registration = self._registration()
            yield from registration.verdict(documents, registration.reader.certain_index()).problems
        except LastingError as error:
            if not (error.is_missing and self.may_lack_table):
                raise

    def register(self, is_over: Callable[[], bool]) -> None:
        """Register what is new of them. DeclarationRefusedError: `is_over`, or the function has other schemas.

        `is_over` is asked before each put. Further errors as Registration.register.
        """
        documents, problems = self._documents()
        if problems:
            raise DeclarationRefusedError(problems)

        def refuse_late() -> None:
            if is_over():
                allowed = "a request that waits for its answer"
                raise DeclarationRefusedError([Problem(f"request {self.request_id}", "answered", allowed)])

        replace(self._registration(), before_put=refuse_late).register(documents)

    def _registration(self) -> Registration:
        ports = self.ports
        return Registration(
            SchemaReader(self.stream, ports.log_of(self.stream)),
            comparison_of(self.stream),
            ports.clock,
            ports.entropy,
            by=self.by,
            request_id=self.request_id,
        )

    def _documents(self) -> tuple[dict[str, SchemaDocument], list[Problem]]:
        """Return the schemas in the zip; if they are not those of the stack, none, and why."""
        where = f"schemas/{self.stream.name}"
        try:
            documents = {} if self.folder is None else self.folder.documents().get(self.stream.name, {})
        except InvalidSchemaError as error:
            return {}, [problem.inside(where) for problem in error.problems]
        if digest_of_all(documents) != self.digest:
            allowed = "those with which the stack was synthesised: deploy again"
            return {}, [Problem(where, "other schemas in the code of the catalogue's function", allowed)]
        return documents, []
