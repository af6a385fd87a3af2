"""`eventfabric scale`: what keeps a subscription from delivering faster now, and what would help."""

from typing import TYPE_CHECKING, Annotated

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.options import Subscription, grouped
from eventfabric.cli.output import complain, left_out, say, show_json, show_table
from eventfabric.errors import PortError

if TYPE_CHECKING:
    from eventfabric.model.function_figures import FunctionFigures
    from eventfabric.services.operations.scaling import Diagnosis, Figures

_READERS = 16

app = typer.Typer(no_args_is_help=True, help="Say why a subscription does not deliver faster.")


@app.command()
@grouped
def explain(
    subscription: Subscription,
    *,
    seconds: Annotated[
        float, typer.Option("--for", min=0, max=300, help="Seconds between the two looks at its lanes.")
    ] = 10.0,
    connection: Connection,
    json: Json = False,
) -> None:
    """Name the bottleneck of a subscription in one Region, by figures that are shown, and what would help.

    Looks at its lanes twice, and asks CloudWatch for its function. The length of its queue says nothing: doorbells of a
    lane become one. Changes nothing.

    Example: eventfabric scale explain billing

    Example: eventfabric scale explain billing --for 60 --json
    """
    from eventfabric.runtime.threads import Threads
    from eventfabric.services.operations.scaling import diagnose
    from eventfabric.services.operations.scaling_looks import ScaleLooks

    topology = connection.declared.subscription(subscription)
    stream = connection.stream(topology.definition.stream)
    looks = ScaleLooks(
        topology,
        stream,
        ports=connection.ports(),
        account=connection.topology.definition.fabric.account_concurrency,
        side_by_side=Threads(_READERS),
        unreadable=left_out,
    )
    figures = looks.figures(wait_seconds=seconds, watched=_watched(connection, subscription))
    diagnosis = diagnose(figures)
    if json:
        show_json({"region": connection.region, **_as_json(figures), **_diagnosis_as_json(diagnosis)})
    else:
        _show(connection.region, figures, diagnosis)


def _watched(connection: Connection, subscription: str) -> "FunctionFigures":
    """Ask CloudWatch; if it does not answer, that is said, and the rest goes on."""
    from eventfabric.model.function_figures import FunctionFigures

    try:
        return connection.function_figures(subscription)
    except PortError as error:
        complain(f"the function's figures are not known: {error}")
        return FunctionFigures()


def _rows(figures: "Figures") -> list[tuple[str, str]]:
    load, watched = figures.load, figures.watched
    budget = figures.budget_percent
    used = "no objective" if budget is None else f"{budget:,.0f}% of the objective"
    return [
        ("events that wait", f"{figures.waiting:,}"),
        ("oldest", f"{figures.oldest_seconds:,.0f} s, {used}"),
        ("appended, handled", f"{figures.arrived:,.1f}, {figures.handled:,.1f} a second"),
        ("lanes", f"{figures.lanes:,}, {figures.lagging:,} lag, {figures.moving:,} of these move"),
        ("most in one lane", f"{figures.lane_share:.0%}, {figures.lane}" if figures.lane else "-"),
        (
            "packing there",
            f"{load.sample.events_a_record:.1f} events a record, {load.records:,.1f} records a second",
        ),
        ("most of one key there", f"{load.sample.key_share:.0%}"),
        ("keys retried", f"{figures.retried:,}"),
        ("circuit", figures.circuit.value),
        (
            "attempts at once",
            f"{_known(watched.limit)} of {figures.attempts_max}, concurrency = {figures.concurrency}",
        ),
        ("invocations", f"{_known(watched.invocations)} of {figures.invocations_max:,}"),
        ("refused by Lambda", _known(watched.throttles)),
    ]


def _known(value: float | None) -> str:
    return "not known" if value is None else f"{value:,.0f}"


def _show(region: str, figures: "Figures", diagnosis: "Diagnosis") -> None:
    title = f"{figures.subscription} in {region}, over {figures.seconds:,.0f} s"
    show_table(title, ("figure", "value"), _rows(figures))
    say(f"bottleneck: {diagnosis.bottleneck.value} ({diagnosis.because})")
    for number, lever in enumerate(diagnosis.levers, 1):
        say(f"{number}. {lever.change}")
        say(f"   brings {lever.brings}; costs {lever.costs}")


def _as_json(figures: "Figures") -> dict[str, object]:
    load, watched = figures.load, figures.watched
    return {
        "subscription": figures.subscription,
        "seconds": round(figures.seconds, 3),
        "circuit": figures.circuit.value,
        "waiting": figures.waiting,
        "oldest_seconds": round(figures.oldest_seconds, 3),
        "latency_budget_used_percent": figures.budget_percent,
        "appended_per_second": round(figures.arrived, 3),
        "handled_per_second": round(figures.handled, 3),
        "lanes": {"delivered": figures.lanes, "lagging": figures.lagging, "moving": figures.moving},
        "lane": {
            "name": figures.lane,
            "share": round(figures.lane_share, 3),
            "events_a_record": round(load.sample.events_a_record, 2),
            "records_per_second": round(load.records, 2),
            "write_units_per_second": round(load.units, 2),
            "key_share": round(load.sample.key_share, 3),
        },
        "keys_retried": figures.retried,
        "attempts": {
            "concurrency": figures.concurrency,
            "most": figures.attempts_max,
            "limit": watched.limit,
        },
        "invocations": {
            "used": watched.invocations,
            "most": figures.invocations_max,
            "refused": watched.throttles,
            "account": figures.account,
        },
    }


def _diagnosis_as_json(diagnosis: "Diagnosis") -> dict[str, object]:
    levers = [
        {"change": lever.change, "brings": lever.brings, "costs": lever.costs} for lever in diagnosis.levers
    ]
    return {"bottleneck": diagnosis.bottleneck.value, "because": diagnosis.because, "levers": levers}
