"""`eventfabric prove`: prove that subscriptions handled exactly the log, and list what they did not handle, and why."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from threading import Event, Lock
from typing import TYPE_CHECKING, Annotated

import typer

from eventfabric.cli.connection import Connection, Json
from eventfabric.cli.exit_codes import NOT_SO, SKIPPED, STUCK
from eventfabric.cli.options import grouped
from eventfabric.cli.output import say, show_json, show_table, stderr

if TYPE_CHECKING:
    from eventfabric.model.proof import Exempt, LaneProof
    from eventfabric.model.record import Intervention
    from eventfabric.services.proof.prove import Prover, Watch

_READERS = 8
_COLUMNS = ("subscription", "lane", "from", "up to", "tail", "events", "exceptions", "proven")


@grouped
def prove(
    *,
    subscription: Annotated[
        str | None, typer.Argument(metavar="[SUBSCRIPTION]", help="Name of the subscription. Default: all.")
    ] = None,
    stream: Annotated[str | None, typer.Option(help="Only this stream.")] = None,
    lane: Annotated[
        str | None, typer.Option("--lane", help="Only this lane, such as us-east-1/0.17.")
    ] = None,
    connection: Connection,
    json: Json = False,
) -> None:
    """Prove, lane by lane, that a subscription handled exactly the log up to its cursor, except the events listed.

    Reads the whole log up to the cursors and computes every link of the chain again, so it finds any record that was
    changed, removed or inserted before a cursor. If the oldest records have expired, it proves what is kept.

    Exit codes: 0 everything is proven; 1 something is not proven; 2 wrong arguments; 3 a service gave no answer or
    denied one, so nothing is known; 4 everything is proven, but a lane is stuck: its next event cannot be delivered;
    5 everything that is there is proven, but an operator skipped lost events; 141 the reader of the output has gone.

    Example: eventfabric prove billing --region us-east-1

    Example: eventfabric prove --stream orders --lane us-east-1/0.17 --json
    """
    provers = connection.operations().provers(subscription, stream=stream, lane=lane)
    proofs: list[LaneProof] = []
    for prover in provers:
        proofs += _proofs(prover)
    interventions = [one for prover in provers for one in prover.interventions()]
    wrong = [proof for proof in proofs if not proof.is_proven]
    if json:
        shown = [_proof_json(proof) for proof in proofs]
        stuck = sum(proof.stuck is not None for proof in proofs)
        found = {
            "proven": not wrong,
            "stuck": stuck,
            "skipped": sum(proof.skipped for proof in proofs),
            "lanes": shown,
            "mended": list(map(_intervention_json, interventions)),
        }
        show_json({"region": connection.region, **found})
    else:
        _show(connection.region, proofs)
        for one in interventions:
            say(f"{one.kind.value} {one.lane}@{one.sequence} by {one.by}: {one.reason}")
    if wrong:
        raise typer.Exit(NOT_SO)
    if any(proof.stuck for proof in proofs):
        raise typer.Exit(STUCK)
    if any(proof.skipped for proof in proofs):
        raise typer.Exit(SKIPPED)


def _proofs(prover: "Prover") -> "list[LaneProof]":
    proofs: list[LaneProof] = []
    stopped = Event()

    with _progress(prover) as (tell, advance), ThreadPoolExecutor(_READERS) as readers:

        def watch(events: int) -> None:
            if stopped.is_set():
                raise KeyboardInterrupt
            tell(events)

        try:
            for found in readers.map(partial(prover.prove, watch=watch), prover.lanes):
                proofs += found
                advance()
        finally:
            stopped.set()  # after an interruption or a failure, the other lanes stop at their next record
    return proofs


@contextmanager
def _progress(prover: "Prover") -> "Iterator[tuple[Watch, partial[None]]]":
    """Show progress on a terminal. Yields two callbacks: for verified events, from any thread, and finished lanes."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    done = TextColumn("lanes, {task.fields[events]:,} events")
    columns = (TextColumn("proving {task.description}"), BarColumn(), MofNCompleteColumn(), done)
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task(prover.stream.name, total=len(prover.lanes), events=0)
        seen, lock = 0, Lock()

        def watch(events: int) -> None:
            nonlocal seen
            with lock:
                seen += events
            bar.update(task, events=seen)

        yield watch, partial(bar.advance, task)


def _show(region: str, proofs: "list[LaneProof]") -> None:
    if not proofs:
        say(f"nothing to prove: none of the events that {region} delivers was handled yet")
        return
    show_table(region, _COLUMNS, [_row(proof) for proof in proofs])
    exceptions = [_sentence(proof, one) for proof in proofs for one in proof.exceptions]
    for sentence in exceptions:
        say(sentence)
    proven = [proof for proof in proofs if proof.is_proven]
    events = sum(proof.events for proof in proven)
    say(
        f"{len(proven):,} of {len(proofs):,} lanes proven: exactly the log was handled, {events:,} events, "
        f"exceptions: {len(exceptions):,}"
    )
    skipped = sum(proof.skipped for proof in proofs)
    if skipped:
        say(f"{skipped:,} events are lost and were skipped: nobody can say if they were handled")
    stuck = [proof for proof in proofs if proof.stuck]
    if stuck:
        behind = sum(proof.waiting for proof in stuck)
        say(f"{len(stuck):,} of {len(proofs):,} lanes stuck: {behind:,} events wait and cannot be delivered")


def _row(proof: "LaneProof") -> tuple[object, ...]:
    return (
        proof.subscription,
        str(proof.lane),
        proof.start,
        proof.cursor.sequence,
        proof.tail,
        proof.events,
        len(proof.exceptions),
        _verdict(proof),
    )


def _intervention_json(one: "Intervention") -> dict[str, object]:
    where = {"what": one.kind.value, "lane": str(one.lane), "sequence": one.sequence}
    return {**where, "by": one.by, "why": one.reason, "at_ms": one.at_ms}


def _verdict(proof: "LaneProof") -> str:
    if proof.wrong is not None:
        return f"no, {proof.wrong.kind.value} at {proof.wrong.sequence}: {proof.wrong.detail}"
    said = "yes"
    if proof.start:
        said += ", it began there" if proof.start == proof.cursor.began else ", what was before has expired"
    if proof.cursor.is_replay:
        said += f"; a replay delivers again up to {proof.cursor.replay_until}"
    if proof.waiting:
        said += f"; {proof.waiting:,} events wait, the first since {_time(proof.waits_since_ms)}"
    if proof.stuck is not None:
        said += f"; stuck, {proof.stuck.kind.value} at {proof.stuck.sequence}: {proof.stuck.detail}"
    return said


def _time(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _sentence(proof: "LaneProof", one: "Exempt") -> str:
    """Describe an exception on one line, however narrow the terminal, so that it can be searched for."""
    from eventfabric.model.proof import ExceptionKind

    when = f", {_time(one.at_ms)}" if one.at_ms else ""
    by = f", by {one.by}" if one.by else ""
    if one.kind is ExceptionKind.SKIPPED:
        where = f"{proof.subscription} {proof.lane}@{one.sequence}"
        return f"except {where}: {one.events:,} events lost and skipped, {one.why}{when}{by}"
    told = f"except {proof.subscription} {proof.lane}@{one.sequence}: {one.kind.value}, {one.why}{when}{by}"
    return f"{told}; event {one.event_id or '(expired)'}, key {one.key!r}"


def _proof_json(proof: "LaneProof") -> dict[str, object]:
    cursor, wrong, stuck = proof.cursor, proof.wrong, proof.stuck
    return {
        "stream": proof.stream,
        "subscription": proof.subscription,
        "lane": str(proof.lane),
        "region": proof.region,
        "proven": proof.is_proven,
        "from": proof.start,
        "bound_from": proof.first,
        "up_to": cursor.sequence,
        "tail": proof.tail,
        "waiting": proof.waiting,
        "waits_since_ms": proof.waits_since_ms or None,
        "events": proof.events,
        "skipped": proof.skipped,
        "began": cursor.began,
        "replay_until": cursor.replay_until or None,
        "wrong": wrong and {"kind": wrong.kind.value, "sequence": wrong.sequence, "detail": wrong.detail},
        "stuck": stuck and {"kind": stuck.kind.value, "sequence": stuck.sequence, "detail": stuck.detail},
        "exceptions": [_exception_json(one) for one in proof.exceptions],
    }


def _exception_json(one: "Exempt") -> dict[str, object]:
    return {
        "kind": one.kind.value,
        "sequence": one.sequence,
        "event": one.event_id,
        "key": one.key,
        "why": one.why,
        "at_ms": one.at_ms,
        "by": one.by,
        "events": one.events,
    }
