"""`eventfabric queues`: doorbells that no function could answer."""

from typing import Annotated

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.options import grouped
from eventfabric.cli.output import say, show_json

app = typer.Typer(no_args_is_help=True, help="Look at dead-letter queues; redrive them.")


@app.command()
@grouped
def redrive(
    *,
    subscription: Annotated[str | None, typer.Argument(help="Only of this subscription.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what is there; change nothing.")] = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Ring again for the doorbells in dead-letter queues, and empty these. Doorbells carry no events: nothing was lost.

    Example: eventfabric queues redrive billing --dry-run
    """
    names = [subscription] if subscription else list(connection.topology.subscriptions)
    queues = connection.dead_queues()
    counts: dict[str, int] = {}
    for name in names:
        found = connection.topology.subscription(name)
        if connection.region in found.regions:
            counts[name] = queues.count(found) if dry_run else queues.redrive(found)
    if json:
        show_json({"redriven": {} if dry_run else counts, "waiting": counts if dry_run else {}})
        return
    for name, count in counts.items():
        say(f"{name}: {count:,} doorbells {'wait' if dry_run else 'rung again'}")
