"""`eventfabric queues`: redrive doorbells that no function could answer."""

from collections.abc import Mapping
from typing import Annotated

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.options import grouped
from eventfabric.cli.output import complain, say, show_json

app = typer.Typer(
    no_args_is_help=True,
    help="Dead-letter queues, which hold doorbells (and no events) that no function could answer.",
)


@app.command()
@grouped
def redrive(
    *,
    subscription: Annotated[
        str | None, typer.Argument(help="Only the queues of this subscription. Default: all.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the doorbells; change nothing.")] = False,
    connection: Connection,
    json: Json = False,
) -> None:
    """Ring again for every doorbell in dead-letter queues, and empty the queues.

    Doorbells carry no events, so no event was lost. Fix first what kept the function from answering them.

    Example: eventfabric queues redrive billing --dry-run
    """
    chosen = connection.subscriptions(subscription)
    queues = connection.dead_queues()
    rung = {} if dry_run else queues.redrive(chosen)
    redriven = {} if dry_run else {subscription.name: rung[subscription.name] for subscription in chosen}
    waiting = {subscription.name: queues.count(subscription) for subscription in chosen}
    timers = queues.count_timers(connection.topology) if chosen else 0
    if json:
        show_json({"redriven": redriven, "waiting": waiting, "timers_waiting": timers})
    else:
        _show(redriven, waiting, timers)
    if not dry_run and (timers or any(waiting.values())):
        complain(
            "messages are left that just arrived, or are not doorbells: run this again in 30 seconds, and look at what "
            "stays in the queue"
        )


def _show(redriven: Mapping[str, int], waiting: Mapping[str, int], timers: int) -> None:
    """Show what was rung again, if anything was to be, and what is left."""
    for name, left in waiting.items():
        rung = f"{redriven[name]:,} doorbells rung again, " if name in redriven else ""
        say(f"{name}: {rung}{left:,} left (approximately)")
    say(f"timers of all subscriptions: {timers:,} left (approximately)")
