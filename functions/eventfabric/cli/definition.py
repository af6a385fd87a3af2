"""`eventfabric definition`: check a definition, and print the JSON Schema that editors use."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from eventfabric import limits
from eventfabric.cli.connection import Json
from eventfabric.cli.exit_codes import BAD_INPUT
from eventfabric.cli.output import complain, say, show_json

if TYPE_CHECKING:
    from eventfabric.errors import DefinitionError

app = typer.Typer(no_args_is_help=True, help="Check a definition, or print its JSON Schema.")


@app.command()
def check(
    path: Annotated[
        Path | None,
        typer.Argument(
            help="Definition file. Default: the project's (EVENTFABRIC_DEFINITION, infra/fabric.toml, ...)."
        ),
    ] = None,
    handlers: Annotated[
        bool,
        typer.Option(
            help="Check that the handlers exist and can run as deployed, by reading their source; nothing is run."
        ),
    ] = True,
    json: Json = False,
) -> None:
    """List everything that is wrong with a definition: where, what was found, what is allowed.

    Example: eventfabric definition check infra/fabric.toml
    """
    from eventfabric.definition.circles import circles, published_by_each_region
    from eventfabric.definition.file import schemas_beside
    from eventfabric.definition.schema import full_name
    from eventfabric.deployment.concurrency import shortages
    from eventfabric.deployment.handler_checks import check_before_deployment
    from eventfabric.deployment.needed_schemas import check_schemas, types_without_schemas
    from eventfabric.deployment.quotas import check_quotas, quotas_to_raise
    from eventfabric.errors import DefinitionError
    from eventfabric.settings import definition_at, definition_path

    try:
        path = path or definition_path()
        read = definition_at(path, check_handlers=handlers)
        check_quotas(read, where=str(path))
        if handlers:
            check_before_deployment(path, read)
        schemas = schemas_beside(path, read)
        check_schemas(read, schemas, where=str(path))
    except DefinitionError as error:
        refuse(error, json=json)
    facts: dict[str, Any] = {
        "circles": circles(read),
        "published_by_each_region": published_by_each_region(read),
        "shortages": list(shortages(read)),
        "quotas": list(quotas_to_raise(read)),
        "types_without_schemas": list(types_without_schemas(read, schemas)),
    }
    if json:
        show_json({"problems": [], **facts})
    else:
        warnings = _warnings(**facts)
        say(
            f"{path}: fabric {full_name(read.fabric)}, {len(read.streams)} streams, "
            f"{len(read.subscriptions)} subscriptions, {'with warnings' if warnings else 'nothing wrong'}"
        )
        for warning in warnings:
            say(warning)


def _warnings(
    circles: list[tuple[str, ...]],
    published_by_each_region: list[str],
    shortages: list[str],
    quotas: list[str],
    types_without_schemas: list[str],
) -> list[str]:
    """Say what is allowed, and may surprise."""
    return [
        *(
            f"subscriptions publish in a circle: {', '.join((*circle, circle[0]))}; "
            f"an event goes round until hop {limits.HOPS_MAX}"
            for circle in circles
        ),
        *(
            f'{name} has deliver = "everywhere" and publishes: for each event, every Region publishes, under one id'
            for name in published_by_each_region
        ),
        *shortages,
        *quotas,
        *types_without_schemas,
    ]


def refuse(error: "DefinitionError", *, json: bool) -> NoReturn:
    """Print the problems of a definition, and end the command."""
    if json:
        problems = [{"path": p.path, "found": p.found, "allowed": p.allowed} for p in error.problems]
        show_json({"problems": problems})
    else:
        complain(str(error))
    raise typer.Exit(BAD_INPUT) from error


@app.command()
def schema() -> None:
    """Print the JSON Schema of a definition.

    Example: eventfabric definition schema > fabric.schema.json
    """
    from eventfabric.definition.reference import json_schema

    show_json(json_schema())
