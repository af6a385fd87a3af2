"""`eventfabric subscriptions`: show whether deliveries run and where; pause, resume, replay and retire."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.options import Subscription, grouped
from eventfabric.cli.output import complain, say, show_json, show_table
from eventfabric.cli.replay import replay
from eventfabric.cli.retire import retire
from eventfabric.cli.user import user_name

if TYPE_CHECKING:
    from eventfabric.model import Owner, Standing
    from eventfabric.model.catalogue import State
    from eventfabric.stream_topology import SubscriptionTopology

app = typer.Typer(no_args_is_help=True, help="Show subscriptions; pause, resume, replay and retire them.")
app.command()(replay)
app.command()(retire)


@app.command("list")
@grouped
def list_(
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Show the subscriptions of a Region: their declared state, whether they deliver, why not, since when, and what.

    Example: eventfabric subscriptions list
    """
    operations = connection.operations()
    standings = [
        (subscription, operations.standing(subscription.name), connection.declared.state_of(subscription))
        for stream in connection.streams_as_declared(None, retired=True)
        for subscription in stream.subscriptions
    ]
    if json:
        show_json(
            {own.name: _as_json(own, standing) | {"declared": state} for own, standing, state in standings}
        )
        return
    columns = ("subscription", "declared", "circuit", "since", "by", "reason", "delivers")
    show_table(connection.region, columns, [_row(*known, connection.region) for known in standings])
    for subscription, standing, _ in standings:
        for sentence in _handovers(subscription, standing):
            say(sentence)


def _owners(subscription: "SubscriptionTopology", standing: "Standing") -> "dict[str, Owner | None]":
    from eventfabric.model import Region
    from eventfabric.services.lanes.standing import owner_of

    return {origin: owner_of(subscription, Region(origin), standing) for origin in subscription.regions}


def _as_json(subscription: "SubscriptionTopology", standing: "Standing") -> dict[str, object]:
    owners = {
        origin: owner
        and {
            "region": owner.region,
            "epoch": owner.epoch,
            "since_ms": owner.since_ms,
            "reason": owner.reason,
            "by": owner.by,
        }
        for origin, owner in _owners(subscription, standing).items()
    }
    return {**asdict(standing.circuit), "owners": owners}


def _row(
    subscription: "SubscriptionTopology", standing: "Standing", state: "State | None", region: str
) -> tuple[object, ...]:
    from eventfabric.model.catalogue import State

    declared = "not" if state is None else state.value
    if state is State.RETIRED:
        return subscription.name, declared, "", "", "", "", "nothing"
    circuit, owners = standing.circuit, _owners(subscription, standing)
    own = [origin for origin, owner in owners.items() if owner is None or owner.region == region]
    delivers = "nothing" if not own else "every origin" if len(own) == len(owners) else ", ".join(own)
    since = _time(circuit.since_ms)
    return subscription.name, declared, circuit.state.value, since, circuit.by, circuit.reason, delivers


def _handovers(subscription: "SubscriptionTopology", standing: "Standing") -> Iterator[str]:
    """Yield one line for each origin whose lanes were or must be handed over, however narrow the terminal is."""
    for origin, owner in _owners(subscription, standing).items():
        if owner is not None and owner.epoch:
            home = "again " if owner.region == subscription.owner(origin) else ""
            why = f": {owner.reason}" if owner.reason else ""
            yield (
                f"{subscription.name}: events of {origin} are {home}delivered by {owner.region} "
                f"since {_time(owner.since_ms)}, handover {owner.epoch}{why}"
            )
        elif owner is not None and (wanted := subscription.owner(origin)) not in (None, owner.region):
            yield (
                f"{subscription.name}: events of {origin} are delivered by {owner.region}, which began with them; the "
                f"definition assigns them to {wanted}: `eventfabric failback {wanted}` hands them over"
            )


@app.command()
@grouped
def pause(
    subscription: Subscription,
    *,
    reason: Annotated[str, typer.Option(help="Reason, shown by `subscriptions list`.")] = "",
    connection: Connection,
    json: Json = False,
) -> None:
    """Stop the deliveries of a subscription in a Region until you resume them. Its events wait in the log.

    Example: eventfabric subscriptions pause billing --reason "card provider migrates"
    """
    operations = connection.operations()
    _report_switched(subscription, operations.pause(subscription, reason, by=user_name()), "paused", json)


@app.command()
@grouped
def resume(
    subscription: Subscription,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Resume the deliveries of a subscription that is paused, or whose circuit is open. Every lane is rung.

    Example: eventfabric subscriptions resume billing
    """
    operations = connection.operations()
    _report_switched(subscription, operations.resume(subscription), "resumed", json)


def _report_switched(subscription: str, switched: bool, done: str, as_json: bool) -> None:
    if not switched:
        complain(f"{subscription} is not {done}: somebody else changed it at the same time; try again")
        raise typer.Exit(1)
    if as_json:
        show_json({"subscription": subscription, "state": done})
    else:
        say(f"{subscription} is {done}")


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds") if ms else ""
