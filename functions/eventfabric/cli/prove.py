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
from eventfabric.cli.options import OnlyLane, OnlyStream, grouped
from eventfabric.cli.output import say, show_json, show_table, stderr

if TYPE_CHECKING:
    from eventfabric.model import Intervention
    from eventfabric.model.finding import Finding
    from eventfabric.model.proof import DeclarationsProof, Exempt, LaneProof
    from eventfabric.services.proof.prove import Prover, Watch

_READERS = 8
_COLUMNS = ("subscription", "lane", "from", "up to", "tail", "events", "exceptions", "proven")


@grouped
def prove(
    *,
    subscription: Annotated[
        str | None, typer.Argument(metavar="[SUBSCRIPTION]", help="Name of the subscription. Default: all.")
    ] = None,
    stream: OnlyStream = None,
    lane: OnlyLane = None,
    connection: Connection,
    json: Json = False,
) -> None:
    """Prove, lane by lane, that a subscription handled exactly the log up to its cursor, except the events listed.

    Reads the whole log up to the cursors and computes every link of the chain again, so it finds any record that was
    changed, removed or inserted before a cursor. If the oldest records have expired, it proves what is kept. Without
    --lane, it also proves that what was declared of the streams is unbroken, and the same in each Region that answers.

    Exit codes: 0 everything is proven; 1 something is not proven; 2 wrong arguments; 3 a service gave no answer or
    denied one, so nothing is known; 4 everything is proven, but a lane is stuck: its next event cannot be delivered;
    5 everything that is there is proven, but an operator skipped lost events; 141 the reader of the output has gone.

    Example: eventfabric prove billing --region us-east-1

    Example: eventfabric prove --stream orders --lane us-east-1/0.17 --json
    """
    provers = connection.operations().provers(subscription, stream=stream, lane=lane)
    proofs = [proof for prover in provers for proof in _proofs(prover)]
    declarations = [proof for prover in provers if lane is None for proof in prover.declarations()]
    interventions = [intervention for prover in provers for intervention in prover.interventions()]
    if json:
        shown = _as_json(proofs, declarations, interventions)
        show_json({"region": connection.region, **shown})
    else:
        _show(connection.region, proofs)
        for proof in declarations:
            say(_declarations_sentence(proof))
        for intervention in interventions:
            say(_intervention_sentence(intervention))
    if code := _exit_code(proofs, declarations):
        raise typer.Exit(code)


def _is_proven(proofs: "list[LaneProof]", declarations: "list[DeclarationsProof]") -> bool:
    return all(proof.is_proven for proof in proofs) and all(proof.is_proven for proof in declarations)


def _exit_code(proofs: "list[LaneProof]", declarations: "list[DeclarationsProof]") -> int:
    if not _is_proven(proofs, declarations):
        return NOT_SO
    if any(proof.stuck for proof in proofs):
        return STUCK
    if any(proof.skipped for proof in proofs):
        return SKIPPED
    return 0


def _proofs(prover: "Prover") -> "list[LaneProof]":
    proofs: list[LaneProof] = []
    stopped = Event()

    with _progress(prover) as (tell, advance), ThreadPoolExecutor(_READERS) as readers:

        def watch(events: int) -> None:
            if stopped.is_set():
                raise KeyboardInterrupt
            tell(events)

        try:
            for lane_proofs in readers.map(partial(prover.prove, watch=watch), prover.lanes):
                proofs += lane_proofs
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
        proven_events, lock = 0, Lock()

        def watch(events: int) -> None:
            nonlocal proven_events
            with lock:
                proven_events += events
            bar.update(task, events=proven_events)

        yield watch, partial(bar.advance, task)


def _show(region: str, proofs: "list[LaneProof]") -> None:
    if not proofs:
        say(f"nothing to prove: none of the events that {region} delivers was handled yet")
        return
    show_table(region, _COLUMNS, [_row(proof) for proof in proofs])
    exceptions = [(proof, exempt) for proof in proofs for exempt in proof.exceptions]
    for proof, exempt in exceptions:
        say(_exception_sentence(proof, exempt))
    for sentence in _summary(proofs, exceptions=len(exceptions)):
        say(sentence)


def _summary(proofs: "list[LaneProof]", *, exceptions: int) -> Iterator[str]:
    """Yield one sentence each about what is proven, what was skipped and what is stuck."""
    proven = [proof for proof in proofs if proof.is_proven]
    events = sum(proof.events for proof in proven)
    yield (
        f"{len(proven):,} of {len(proofs):,} lanes proven: exactly the log was handled, {events:,} events, "
        f"exceptions: {exceptions:,}"
    )
    skipped = sum(proof.skipped for proof in proofs)
    if skipped:
        yield f"{skipped:,} events are lost and were skipped: nobody can say if they were handled"
    stuck = [proof for proof in proofs if proof.stuck]
    if stuck:
        behind = sum(proof.waiting for proof in stuck)
        yield f"{len(stuck):,} of {len(proofs):,} lanes stuck: {behind:,} events wait and cannot be delivered"


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


def _intervention_sentence(intervention: "Intervention") -> str:
    place = f"{intervention.lane}@{intervention.sequence}"
    return f"{intervention.kind.value} {place} by {intervention.by}: {intervention.reason}"


def _verdict(proof: "LaneProof") -> str:
    if proof.wrong is not None:
        return f"no, {_finding(proof.wrong)}"
    verdict = "yes"
    if proof.start > proof.begins:
        verdict += (
            ", it began there" if proof.start == proof.cursor.began else ", what was before has expired"
        )
    elif proof.begins:
        verdict += f", it was split off from {proof.lane.parent}"
    if proof.cursor.past_seal is not None:
        verdict += f", and was split into {' and '.join(map(str, proof.lane.children))}"
    if proof.cursor.is_replaying:
        verdict += f"; a replay delivers again up to {proof.cursor.replay_until}"
    if proof.waiting:
        verdict += f"; {proof.waiting:,} events wait, the first since {_time(proof.waits_since_ms)}"
    if proof.stuck is not None:
        verdict += f"; stuck, {_finding(proof.stuck)}"
    return verdict


def _finding(finding: "Finding") -> str:
    return f"{finding.kind.value} at {finding.sequence}: {finding.detail}"


def _time(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _exception_sentence(proof: "LaneProof", exempt: "Exempt") -> str:
    """Describe an exception on one line, however narrow the terminal, so that it can be searched for."""
    from eventfabric.model.proof import ExceptionKind

    place = f"{proof.subscription} {proof.lane}@{exempt.sequence}"
    when = f", {_time(exempt.at_ms)}" if exempt.at_ms else ""
    by = f", by {exempt.by}" if exempt.by else ""
    if exempt.kind is ExceptionKind.SKIPPED:
        return f"except {place}: {exempt.events:,} events lost and skipped, {exempt.why}{when}{by}"
    event = f"event {exempt.event_id or '(expired)'}, key {exempt.key!r}"
    return f"except {place}: {exempt.kind.value}, {exempt.why}{when}{by}; {event}"


def _declarations_sentence(proof: "DeclarationsProof") -> str:
    copies = [
        f"{region} {'gives no answer' if end is None else f'has {end:,}'}"
        for region, end in proof.copies.items()
    ]
    verdict = "proven" if proof.wrong is None else f"not proven, {_finding(proof.wrong)}"
    return ", ".join([f"{proof.lane}: {proof.end:,} declarations {verdict}", *copies])


def _as_json(
    proofs: "list[LaneProof]",
    declarations: "list[DeclarationsProof]",
    interventions: "list[Intervention]",
) -> dict[str, object]:
    return {
        "proven": _is_proven(proofs, declarations),
        "stuck": sum(proof.stuck is not None for proof in proofs),
        "skipped": sum(proof.skipped for proof in proofs),
        "lanes": [_proof_json(proof) for proof in proofs],
        "declarations": [_declarations_json(proof) for proof in declarations],
        "mended": [_intervention_json(intervention) for intervention in interventions],
    }


def _proof_json(proof: "LaneProof") -> dict[str, object]:
    cursor = proof.cursor
    return {
        "stream": proof.stream,
        "subscription": proof.subscription,
        "lane": str(proof.lane),
        "region": proof.region,
        "proven": proof.is_proven,
        "begins": proof.begins,
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
        "wrong": proof.wrong and _finding_json(proof.wrong),
        "stuck": proof.stuck and _finding_json(proof.stuck),
        "exceptions": [_exception_json(exempt) for exempt in proof.exceptions],
    }


def _declarations_json(proof: "DeclarationsProof") -> dict[str, object]:
    return {
        "stream": proof.stream,
        "lane": str(proof.lane),
        "proven": proof.is_proven,
        "up_to": proof.end,
        "copies": dict(proof.copies),
        "wrong": proof.wrong and _finding_json(proof.wrong),
    }


def _finding_json(finding: "Finding") -> dict[str, object]:
    return {"kind": finding.kind.value, "sequence": finding.sequence, "detail": finding.detail}


def _intervention_json(intervention: "Intervention") -> dict[str, object]:
    return {
        "what": intervention.kind.value,
        "lane": str(intervention.lane),
        "sequence": intervention.sequence,
        "by": intervention.by,
        "why": intervention.reason,
        "at_ms": intervention.at_ms,
    }


def _exception_json(exempt: "Exempt") -> dict[str, object]:
    return {
        "kind": exempt.kind.value,
        "sequence": exempt.sequence,
        "event": exempt.event_id,
        "key": exempt.key,
        "why": exempt.why,
        "at_ms": exempt.at_ms,
        "by": exempt.by,
        "events": exempt.events,
    }
