"""`eventfabric check`: say all that can be said about a project without an AWS account."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eventfabric.cli.connection import Json
from eventfabric.cli.definition import refuse
from eventfabric.cli.output import complain, say, show_json

if TYPE_CHECKING:
    from eventfabric.definition.schema import Definition


def check(
    path: Annotated[
        Path | None,
        typer.Argument(
            help="Definition file. Default: the project's (EVENTFABRIC_DEFINITION, infra/fabric.toml, ...)."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check a project: its definition, its handlers, and that these can run from the functions' zip, in their roles.

    The zip is put together as for a deployment, so wheels are fetched if a lock or your requirements have changed. With
    the extra infra, Regions are checked, too.

    Example: eventfabric check
    """
    from eventfabric.errors import DefinitionError
    from eventfabric.limits import ZIP_UNPACKED_BYTES_MAX
    from eventfabric.settings import definition_at, definition_path

    try:
        path = path or definition_path()
        definition = definition_at(path, check_handlers=True)
        _check_regions(definition, path)
        size, warnings = _check_zip(definition, path)
    except DefinitionError as error:
        refuse(error, json=json)
    if json:
        show_json({"problems": [], "zip_bytes": size})
    else:
        sizes = f"{size / 1e6:.0f} MB unpacked, of at most {ZIP_UNPACKED_BYTES_MAX / 1e6:.0f}"
        say(
            f"{path}: {len(definition.subscriptions)} subscriptions, whose handlers find in the functions' zip "
            f"what they import ({sizes}), {'with warnings' if warnings else 'nothing wrong'}"
        )


def _check_regions(definition: "Definition", path: Path) -> None:
    """Raise DefinitionError for Regions that the CDK does not know. Without the CDK, all are accepted."""
    if find_spec("aws_cdk") is None:
        return
    from eventfabric.cdk.node import choose_node

    choose_node()
    from eventfabric.cdk.checks import check_regions

    check_regions(definition, where=str(path))


def _check_zip(definition: "Definition", path: Path) -> tuple[int, list[str]]:
    """Put the zip together. Return the size of its content, and the warnings that were shown.

    Raises EventFabricError if it lacks anything.
    """
    from tempfile import TemporaryDirectory

    from eventfabric.cdk.functions_zip import functions_zip
    from eventfabric.cdk.wheels import CACHE
    from eventfabric.definition.file import handler_folder, schemas_beside
    from eventfabric.deployment.concurrency import shortages
    from eventfabric.topology import Topology

    schemas = schemas_beside(path, definition)
    with TemporaryDirectory(prefix="eventfabric-functions-") as folder:
        zips = [
            functions_zip(
                definition,
                functions=handler_folder(path),
                schemas=schemas,
                target=Path(folder, architecture),
                cache=CACHE.expanduser(),
                platform="lambda",
                architecture=architecture,
                where=str(path),
            )
            for architecture in Topology(definition).architectures
        ]
        warnings = [
            *sorted({text for staged in zips for text in staged.warnings.values()}),
            *shortages(definition),
        ]
        for warning in warnings:
            complain(warning)
        return max(staged.size_bytes for staged in zips), warnings
