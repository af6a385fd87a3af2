"""`eventfabric subscriptions`: whether deliveries run; pause and resume them by hand; replay."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.options import grouped
from eventfabric.cli.output import complain, say, show_json, show_table
from eventfabric.cli.replay import replay

app = typer.Typer(no_args_is_help=True, help="Look at subscriptions; pause, resume and replay them.")
app.command()(replay)

Subscription = Annotated[str, typer.Argument(help="Name of the subscription.")]


@app.command("list")
@grouped
def list_(
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Show which subscriptions deliver in a Region, and which do not, and why.

    Example: eventfabric subscriptions list
    """
    operations = connection.operations()
    circuits = {
        name: operations.circuit(name)
        for name, subscription in connection.topology.subscriptions.items()
        if connection.region in subscription.regions
    }
    if json:
        show_json({name: asdict(circuit) for name, circuit in circuits.items()})
        return
    rows = [
        (name, circuit.state.value, _time(circuit.since_ms), circuit.reason)
        for name, circuit in circuits.items()
    ]
    show_table(connection.region, ("subscription", "circuit", "since", "reason"), rows)


@app.command()
@grouped
def pause(
    subscription: Subscription,
    *,
    reason: Annotated[str, typer.Option(help="Why; shown by `subscriptions list`.")] = "",
    connection: Connection,
    json: Json = False,
) -> None:
    """Stop the deliveries of a subscription in a Region until `resume`. Its events wait in the log.

    Example: eventfabric subscriptions pause billing --reason "card provider migrates"
    """
    operations = connection.operations()
    _told(subscription, operations.pause(subscription, reason), "paused", json)


@app.command()
@grouped
def resume(
    subscription: Subscription,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Let the deliveries of a subscription go on, paused or with an open circuit; every lane is rung.

    Example: eventfabric subscriptions resume billing
    """
    operations = connection.operations()
    _told(subscription, operations.resume(subscription), "resumed", json)


def _told(subscription: str, switched: bool, done: str, as_json: bool) -> None:
    if not switched:
        complain(f"{subscription} is not {done}: somebody else switched it at the same time; try again")
        raise typer.Exit(1)
    if as_json:
        show_json({"subscription": subscription, "state": done})
    else:
        say(f"{subscription} is {done}")


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds") if ms else ""
