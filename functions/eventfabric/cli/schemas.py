"""`eventfabric schemas`: what the data of events may hold."""

import typer

from eventfabric.cli.schemas_try import try_schemas
from eventfabric.cli.schemas_typed import from_class, types

app = typer.Typer(no_args_is_help=True, help="Schemas of events' data, and typed code for them.")
app.command("from")(from_class)
app.command()(types)
app.command("try")(try_schemas)
