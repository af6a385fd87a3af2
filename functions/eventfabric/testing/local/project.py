"""Project of a local fabric: its definition, and the schemas beside that, if it is a file."""

from os import PathLike

from eventfabric.contracts.folder import SchemaFolder
from eventfabric.definition.schema import Definition
from eventfabric.settings import definition_at


def with_schemas(definition: Definition | str | PathLike[str]) -> tuple[Definition, SchemaFolder | None]:
    """Return a definition, read if it is a file, and the folder of schemas beside that file. DefinitionError."""
    if isinstance(definition, Definition):
        return definition, None
    return definition_at(definition), SchemaFolder.beside(definition)
