"""`eventfabric queues`: doorbells that no function could answer."""

from typing import Annotated

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.options import grouped
from eventfabric.cli.output import complain, say, show_json

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
    redriven = {} if dry_run else {one.name: queues.redrive(one) for one in chosen}
    waiting = {one.name: queues.count(one) for one in chosen}
    if json:
        show_json({"redriven": redriven, "waiting": waiting})
    else:
        for name, left in waiting.items():
            rung = "" if dry_run else f"{redriven[name]:,} doorbells rung again, "
            say(f"{name}: {rung}{left:,} {'doorbells wait' if dry_run else 'left, about'}")
    if not dry_run and any(waiting.values()):
        complain(
            "what is left is no doorbell, or just came: run it again in half a minute, and look at what stays"
        )
