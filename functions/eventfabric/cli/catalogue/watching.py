"""Watching: an observation of a stream from the command line, with its cost, its progress, and an end at any time."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from eventfabric.cli.output import complain, left_out, stderr
from eventfabric.errors import LogError, UndecodableItemError

if TYPE_CHECKING:
    from eventfabric.cli.connection import Connection
    from eventfabric.services.operations.observation import Observation
    from eventfabric.stream_topology import StreamTopology

Last = Annotated[
    int, typer.Option("--last", min=1, max=10_000_000, help="Newest records to read in each lane, at most.")
]
Since = Annotated[
    str | None,
    typer.Option("--since", help="Time after which records are read, such as 2026-11-01T00:00:00Z."),
]
ReadUnits = Annotated[
    float | None, typer.Option("--read-units", min=0, help="Read units that may be used up for each stream.")
]
LAST_DEFAULT = 1_000


@dataclass(frozen=True)
class LogReach:
    """Options that say how much of the log is read."""

    last: int
    since_ms: int
    read_units: float | None

    @classmethod
    def of(cls, last: Last = LAST_DEFAULT, since: Since = None, read_units: ReadUnits = None) -> "LogReach":
        """Make it from the options. Raises typer.BadParameter."""
        from eventfabric.definition.marks import parse_time_ms

        since_ms = 0 if since is None else parse_time_ms(since)
        if since_ms is None:
            raise typer.BadParameter(f"--since: {since!r:.60}, allowed: an RFC 3339 time with a zone")
        return cls(last, since_ms, read_units)


@dataclass(frozen=True)
class Watched:
    """A stream that was observed. `unread`: number of its parts that could not be read."""

    stream: "StreamTopology"
    observation: "Observation"
    unread: int
    is_interrupted: bool


def watched(connection: "Connection", stream: "StreamTopology", reach: LogReach) -> Watched:
    """Observe a stream; say first what that costs. Ctrl-C ends it, and what was seen by then is returned."""
    from eventfabric.services.lanes.standing import lanes_of
    from eventfabric.services.operations.observation import Extent, Observation

    unlimited = float("inf") if reach.read_units is None else reach.read_units
    extent = Extent(records_max=reach.last, since_ms=reach.since_ms, read_units_max=unlimited)
    log = connection.ports().log_of(stream)
    unread: list[LogError | UndecodableItemError] = []

    def tell(error: LogError | UndecodableItemError) -> None:
        unread.append(error)
        left_out(error)

    observation = Observation(log, lanes_of(stream), extent, tell)
    is_interrupted = False
    try:
        _run(observation, stream.name)
    except KeyboardInterrupt:
        is_interrupted = True
        complain(f"{stream.name}: interrupted; this is what was read by then")
    return Watched(stream, observation, len(unread), is_interrupted)


def _run(observation: "Observation", name: str) -> None:
    from rich.progress import track

    quiet = not stderr.is_terminal
    lanes = len(observation.lanes)
    for _ in track(
        observation.look(),
        f"{name}: newest records",
        total=lanes,
        console=stderr,
        transient=True,
        disable=quiet,
    ):
        pass
    expected = observation.read_units_to_come
    if expected:
        before = f"after {observation.read_units:,.1f} for the newest records"
        stderr.print(f"{name}: about {expected:,.1f} more read units, {before}", soft_wrap=True)
    pages = observation.read()
    for _ in track(pages, f"{name}: pages", console=stderr, transient=True, disable=quiet):
        pass


def extent_sentence(result: Watched, *, now_ms: int) -> str:
    """Return in words what was read of a stream."""
    observation = result.observation
    if observation.is_whole:
        reach = "all that is kept"
    else:
        reach = f"since {moment(observation.since_ms(now_ms=now_ms))} in every lane"
    ended = "" if observation.is_done else "; not all that was asked for"
    return (
        f"{result.stream.name}: read {reach}{ended} (events: {observation.events:,}, records: {observation.records:,}, "
        f"read units: {observation.read_units:,.1f})"
    )


def moment(time_ms: int) -> str:
    """Return a time as text; empty for 0, which stands for none."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds") if time_ms else ""
