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
    topology = connection.topology
    if subscription is None:
        chosen = [one for one in topology.subscriptions.values() if connection.region in one.regions]
    else:
        chosen = [topology.subscription(subscription)]
        topology.stream(chosen[0].definition.stream).check_region(connection.region)
    queues = connection.dead_queues()
    counts = {one.name: queues.count(one) if dry_run else queues.redrive(one) for one in chosen}
    if json:
        show_json({"redriven": {} if dry_run else counts, "waiting": counts if dry_run else {}})
        return
    for name, count in counts.items():
        say(f"{name}: {count:,} doorbells {'wait' if dry_run else 'rung again'}")
