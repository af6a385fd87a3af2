"""`eventfabric simulate`: find effects of your own handlers that are not idempotent."""

import os
import time
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventfabric.cli.connection import Definition, Json
from eventfabric.cli.options import path_option
from eventfabric.cli.output import complain, say, show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventfabric.testing.idempotency.project import Project
    from eventfabric.testing.idempotency.report import HandlersReport

OUT = Path("build/simulation")
_SEEDS = "0..199"
_CORES = os.cpu_count() or 1


Events = Annotated[
    Path | None,
    typer.Option(
        help="File of CloudEvents to publish, one JSON object a line. Default: sample/events.jsonl beside the "
        "definition."
    ),
]
Setup = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:FUNCTION",
        help="Function to call before each run, with an object that has `regions` and `client(service, region)`, to "
        "create your own tables.",
    ),
]
Only = Annotated[
    list[str] | None, typer.Option(help="Only this subscription. May be repeated. Default: all.")
]
Seeds = Annotated[
    str | None, typer.Option(metavar="A..B", help=f"Range of seeds to try, both included. Default: {_SEEDS}.")
]
Minutes = Annotated[
    float | None,
    typer.Option(
        min=0.01, help="Start no new seed after so many minutes. With it, `--seeds A..` needs no end."
    ),
]
Jobs = Annotated[int, typer.Option(min=1, help="Number of processes. Default: one for each core.")]
Failover = Annotated[
    bool,
    typer.Option(
        "--failover", help="Also hand lanes over between Regions. That may repeat effects of any guarantee."
    ),
]
Replay = Annotated[
    bool,
    typer.Option(
        "--replay", help="Also replay. That repeats effects unless handlers check delivery.is_replay."
    ),
]
SeedSeconds = Annotated[
    float, typer.Option(min=1.0, help="Give up a seed, or the run without faults, after so many seconds.")
]
KeptPlan = Annotated[
    Path | None, typer.Option(help="Run the plan in this file again, which an earlier run kept.")
]
Out = Annotated[Path, path_option("--out", help="Folder in which failures are kept, each with its picture.")]
Shrink = Annotated[bool, typer.Option(help="Look for a shorter schedule that shows the failure.")]


def simulate(
    *,
    events: Events = None,
    setup: Setup = None,
    subscription: Only = None,
    seeds: Seeds = None,
    minutes: Minutes = None,
    seed_seconds: SeedSeconds = 300.0,
    jobs: Jobs = _CORES,
    failover: Failover = False,
    replay: Replay = False,
    plan: KeptPlan = None,
    out: Out = OUT,
    shrink: Shrink = True,
    definition: Definition = None,
    json: Json = False,
) -> None:
    """Run your handlers under crashes, lost replies and repeated doorbells, to find effects that are not idempotent.

    The whole fabric runs in memory, and calls to AWS go to moto. Calls by any other means are really made: replace
    them by fakes, which report each effect to eventfabric.simulation.effect. Each run is compared with runs of the
    same events without faults: what the handlers called, and what is in their tables and buckets.

    Exit codes: 0 no effect differs; 1 one does; 2 nothing was tried: wrong arguments, or handlers fail without faults.

    Example: eventfabric simulate --definition infra/fabric.toml --setup subscribers.tables:make

    Example: eventfabric simulate --subscription shipping --seeds 0.. --minutes 10 --json
    """
    from eventfabric.settings import definition_at, definition_path
    from eventfabric.testing.idempotency.project import Project

    path = definition or definition_path()
    definition_at(path)  # report its problems before those of what depends on it
    sample, subscriptions = str(_sample(events, path)), tuple(subscription or ())
    project = Project(str(path), sample, setup, subscriptions, failover=failover, replay=replay)
    if plan is not None and (seeds is not None or minutes is not None):
        raise typer.BadParameter("--plan runs one plan: no --seeds, no --minutes")
    with _nothing_tried():
        out.mkdir(parents=True, exist_ok=True)
        if plan is not None:
            report = _replayed(project, plan, out, seed_seconds)
        else:
            report = _hunted(project, seeds, minutes, seed_seconds, jobs=jobs, out=out, shrinks=shrink)
    report.command = _as_given(
        definition, events, setup, subscription, failover=failover, replay=replay, out=out
    )
    if json:
        show_json(report.as_json())
    else:
        _show(report)
    if report.found:
        raise typer.Exit(1)
    if report.interrupted:
        raise typer.Exit(130)


@contextmanager
def _nothing_tried() -> "Iterator[None]":
    """Report handlers that fail without faults, and files that cannot be read or written; exit with 2."""
    from eventfabric.errors import HandlerError, HandlersFailError

    try:
        yield
    except (HandlerError, HandlersFailError) as error:
        complain(str(error))
        raise typer.Exit(2) from error
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}")
        raise typer.Exit(2) from error


def _as_given(
    definition: Path | None,
    events: Path | None,
    setup: str | None,
    subscription: list[str] | None,
    *,
    failover: bool,
    replay: bool,
    out: Path,
) -> tuple[str, ...]:
    """Put together the command that runs a plan again with the same options."""
    subscriptions = [("--subscription", name) for name in subscription or ()]
    valued = [("--definition", definition), ("--events", events), ("--setup", setup), *subscriptions]
    valued.append(("--out", out if out != OUT else None))
    flags = [name for name, is_set in (("--failover", failover), ("--replay", replay)) if is_set]
    words = [word for name, value in valued if value is not None for word in (name, str(value))]
    return ("eventfabric", "simulate", *words, *flags)


def _sample(events: Path | None, definition: Path) -> Path:
    from eventfabric.testing.idempotency.trials import SAMPLE

    path, whose = (events, "") if events else (definition.parent / SAMPLE, ", which is the default")
    if not path.is_file():
        allowed = "allowed: CloudEvents in JSON, a line each"
        raise typer.BadParameter(f"--events: found no file {path}{whose}; {allowed}")
    return path


def _hunted(
    project: "Project",
    seeds: str | None,
    minutes: float | None,
    seconds_max: float,
    *,
    jobs: int,
    out: Path,
    shrinks: bool,
) -> "HandlersReport":
    from eventfabric.cli.seed_progress import progress
    from eventfabric.testing.idempotency.hunting import run_in_processes
    from eventfabric.testing.simulation.hunt import seed_range
    from eventfabric.testing.simulation.worker import ends_in_order

    try:
        first, last = seed_range(seeds or ("0.." if minutes is not None else _SEEDS))
    except ValueError as error:
        raise typer.BadParameter(f"--seeds: {error}") from error
    if last is None and minutes is None:
        raise typer.BadParameter(f"--seeds: {seeds!r} has no end, allowed: with --minutes")
    ends = None if minutes is None else time.monotonic() + 60 * minutes
    wanted = count(first) if last is None else range(first, last + 1)
    total = None if last is None else last - first + 1
    with progress(total, jobs=jobs, profile="handlers") as shown, ends_in_order():
        return run_in_processes(
            project,
            wanted,
            jobs=jobs,
            out=out,
            shrinks=shrinks,
            shown=shown,
            seconds_max=seconds_max,
            stop=lambda: ends is not None and time.monotonic() >= ends,
        )


def _replayed(project: "Project", path: Path, out: Path, seconds_max: float) -> "HandlersReport":
    import msgspec

    from eventfabric.testing.idempotency.hunting import replay
    from eventfabric.testing.simulation.plan import Plan
    from eventfabric.testing.simulation.worker import ends_in_order

    try:
        plan = msgspec.json.decode(path.read_bytes(), type=Plan)
    except msgspec.MsgspecError as error:
        raise typer.BadParameter(f"--plan: {path} is no plan: {error}") from error
    with ends_in_order():
        return replay(project, plan, out=out, seconds_max=seconds_max)


def _show(report: "HandlersReport") -> None:
    rows: list[tuple[Any, ...]] = [
        (name, same, differs, unknown, _verdict(name, same, differs, unknown))
        for name, same, differs, unknown in report.effects
    ]
    show_table(
        "Effects, number of seeds", ("effect", "same as without faults", "different", "cannot tell", ""), rows
    )
    say(
        "attempts that repeated an earlier one: "
        + ", ".join(f"{name} {times:,}" for name, times in report.repeated.items())
    )
    judged = [effect for effect, same, differs, _ in report.effects if same + differs]
    owners = {name for effect in judged for name in _owners(effect)}
    for name in report.names:
        if name not in owners:
            say(f"{name}: no effect was judged, so nothing is known about it")
    for line in report.lines():
        say(line)
    say(
        f"{report.summary.seeds} seeds in {report.summary.seconds:.1f} s, {len(report.summary.failures)} failed"
    )


def _owners(effect: str) -> list[str]:
    return effect.partition(":")[0].split(" and ")


def _verdict(name: str, same: int, differs: int, unknown: int) -> str:
    if differs and ": " not in name:
        return "NEVER ENDS"
    if differs:
        return "NOT IDEMPOTENT"
    judgement = "idempotent, where it could be judged" if unknown else "idempotent, as far as could be seen"
    return judgement if same else "not judged"
