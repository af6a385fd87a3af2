"""`eventfabric steps`: show and settle steps, the effects that handlers have outside DynamoDB."""

import os
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.options import grouped
from eventfabric.cli.output import say, show_json
from eventfabric.errors import InvalidEventError
from eventfabric.stream_topology import name_of_state

if TYPE_CHECKING:
    from eventfabric.model import StepKey, StepState

app = typer.Typer(
    no_args_is_help=True,
    help="Steps: effects outside DynamoDB that a handler makes once. Show them; settle those in doubt.",
)
Subscription = Annotated[str, typer.Argument(help="Name of the subscription whose handler makes the step.")]
EventName = Annotated[
    str, typer.Argument(metavar="EVENT", help="Id of the event, or its place, LANE@SEQUENCE.")
]
Source = Annotated[
    str | None,
    typer.Option(help="Source of the event's id.", show_default="the fabric's own for the stream"),
]
Step = Annotated[str, typer.Argument(help="Name of the step, as the handler gives it to delivery.once().")]


@app.command("show")
@grouped
def show(
    subscription: Subscription,
    event: EventName,
    step: Step,
    *,
    source: Source = None,
    connection: Connection,
    json: Json = False,
) -> None:
    """Show the state of a step: done, in doubt, never begun, or released (it may begin again).

    Example: eventfabric steps show billing 01970c2e-6f0a-7b53-a3a5-3bb0e6c1f3aa charge

    Example: eventfabric steps show billing us-east-1/0.17@42 charge

    Example: eventfabric steps show billing A-1 charge --source /checkout
    """
    operations = connection.operations()
    key = operations.step_key(subscription, event, step, source=source)
    state = operations.step(subscription, key.event_id, step, source=key.source)
    word = _word(state)
    result = msgspec.Raw(state.result.encode()) if state and state.done else None
    if json:
        show_json({**_named(key), "state": word, "result": result})
    else:
        say(
            f"{step} of {key.event_id}: {word}" + (f", result {state.result}" if state and state.done else "")
        )


@app.command("settle")
@grouped
def settle(
    subscription: Subscription,
    event: EventName,
    step: Step,
    happened: Annotated[
        bool,
        typer.Option(
            "--done/--not-done", help="What the other system says: it happened, or not.", show_default=False
        ),
    ],
    *,
    result: Annotated[
        str | None, typer.Option(help="With --done: the value of step.result, as JSON.")
    ] = None,
    source: Source = None,
    connection: Connection,
    json: Json = False,
) -> None:
    """Record whether a step in doubt has happened. Then redrive its dead letter.

    A step is in doubt after the process died in the middle of it. Ask the other system first: the dead letter's
    message contains the idempotency key that it was given.

    Example: eventfabric steps settle billing 01970c2e-6f0a-7b53-a3a5-3bb0e6c1f3aa charge --done --result '"ch_1"'
    """
    from eventfabric.model import checked_json

    value = None
    if result is not None:
        try:
            value = msgspec.Raw(checked_json(os.fsencode(result)))
        except InvalidEventError as error:
            (problem,) = error.problems
            raise typer.BadParameter(f"--result {result!r:.80}: {problem.found}, allowed: JSON") from error
    operations = connection.operations()
    key = operations.step_key(subscription, event, step, source=source)
    operations.settle_step(
        subscription, key.event_id, step, happened=happened, result=value, source=key.source
    )
    if json:
        show_json({**_named(key), "happened": happened})
    else:
        became = "done" if happened else "not done, so it may begin again"
        say(f"{step} of {key.event_id}: {became}; now redrive the event")


def _word(state: "StepState | None") -> str:
    if state is None:
        return "never begun"
    return "done" if state.done else "released" if state.released else "in doubt"


def _named(key: "StepKey") -> dict[str, object]:
    return {
        "subscription": name_of_state(key.subscription),
        "event": key.event_id,
        "source": key.source,
        "step": key.name,
        "key": str(key),
    }
