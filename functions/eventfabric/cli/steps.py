"""`eventfabric steps`: effects outside that nobody knows the outcome of."""

from typing import Annotated

import msgspec
import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.options import grouped
from eventfabric.cli.output import say, show_json

app = typer.Typer(no_args_is_help=True, help="Look at the steps of handlers; settle those that are in doubt.")
Subscription = Annotated[str, typer.Argument(help="Whose step it is.")]
EventId = Annotated[str, typer.Argument(help="The id of the event.")]
Step = Annotated[str, typer.Argument(help="The name that the handler gave to delivery.once().")]


@app.command("show")
@grouped
def show(
    subscription: Subscription,
    event_id: EventId,
    step: Step,
    *,
    connection: Connection,
    json: Json = False,
) -> None:
    """Say whether a step happened: done, in doubt, or never begun.

    Example: eventfabric steps show billing 01970c2e-6f0a-7b53-a3a5-3bb0e6c1f3aa charge
    """
    state = connection.operations().step(subscription, event_id, step)
    word = "never begun" if state is None else "done" if state.done else "in doubt"
    result = msgspec.json.decode(state.result) if state and state.done else None
    if json:
        show_json(
            {"subscription": subscription, "event": event_id, "step": step, "state": word, "result": result}
        )
    else:
        say(f"{step} of {event_id}: {word}" + (f", result {state.result}" if state and state.done else ""))


@app.command("settle")
@grouped
def settle(
    subscription: Subscription,
    event_id: EventId,
    step: Step,
    happened: Annotated[
        bool, typer.Option("--done/--not-done", help="Whether the other side has it.", show_default=False)
    ],
    *,
    result: Annotated[
        str | None, typer.Option(help="What step.result is to be, as JSON (with --done).")
    ] = None,
    connection: Connection,
    json: Json = False,
) -> None:
    """Say whether a step that is in doubt happened. Then redrive its dead letter.

    Example: eventfabric steps settle billing 01970c2e-6f0a-7b53-a3a5-3bb0e6c1f3aa charge --done --result '"ch_1"'
    """
    try:
        value = None if result is None else msgspec.json.decode(result)
    except msgspec.DecodeError as error:
        raise typer.BadParameter(f"--result {result!r:.80}: {error}, allowed: JSON") from error
    operations = connection.operations()
    operations.settle_step(subscription, event_id, step, happened=happened, result=value)
    if json:
        show_json({"subscription": subscription, "event": event_id, "step": step, "happened": happened})
    else:
        say(
            f"{step} of {event_id}: {'done' if happened else 'not done, it may begin again'}; redrive the event now"
        )
