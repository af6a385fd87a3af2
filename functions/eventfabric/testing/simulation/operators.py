"""Actions of operators while a fabric works, through the API that people use: sdk.operations.

A happening's `what` is the name of a function here, or in happenings.py.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from msgspec.structs import replace

from eventfabric.errors import EventFabricError, QuarantineRefusedError
from eventfabric.model import AtSequence, Event, SequenceNumber, parse_log_lane
from eventfabric.sdk.operations import Operations
from eventfabric.services.operations.dead_letters import DeadLetter
from eventfabric.testing.memory.faults import SimulatedCrash
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.plan import Happening
from eventfabric.testing.simulation.process import Process
from eventfabric.testing.simulation.world import World

_DRAINED: Final = 3
"""Number of a happening (0 to 3) for which a handover first waits for the other Region to finish."""

SET_ASIDE: Final = ("far_tail", "unreadable", "divergence")
"""Findings of lanes with an item that may not belong there."""


def tell(world: World, happening: Happening, outcome: str = "done", *, what: str = "") -> None:
    """Note that the happening took place, and its outcome."""
    about = " ".join(part for part in (happening.region, happening.other) if part)
    world.note(history.Happened, "world", what=what or happening.what, about=about, outcome=outcome)


@contextmanager
def telling(world: World, happening: Happening, outcome: str = "done", *, end: str) -> Iterator[None]:
    """Note that the happening begins and, by another name, that it ends."""
    tell(world, happening, outcome)
    yield
    tell(world, happening, what=end)


@contextmanager
def operator(world: World, happening: Happening) -> Iterator[tuple[Process, Operations]]:
    """Provide a process and the operations for an operator in a Region. An error ends the operator's work only."""
    process = Process(world, f"{happening.what} {happening.region} {world.schedule.steps}", happening.region)
    try:
        yield process, Operations(world.topology, happening.region, process.ports)
    except (EventFabricError, SimulatedCrash) as error:
        tell(world, happening, type(error).__name__)


def redrive(world: World, happening: Happening) -> None:
    """Redrive every dead letter of a subscription."""
    with operator(world, happening) as (process, operations):
        dead = operations.dead_letters(_name(world, happening))
        letters = list(dead.find())
        for letter in letters:
            dead.redrive(letter)
            _decided(process, letter, "redriven")
        tell(world, happening, f"{len(letters)} letters of {_name(world, happening)}")


def discard(world: World, happening: Happening) -> None:
    """Discard a subscription's first dead letter."""
    _discard(world, happening)


def discard_all(world: World, happening: Happening) -> None:
    """Discard a subscription's first dead letter together with everything that waits behind it."""
    _discard(world, happening, all_waiting=True)


def _discard(world: World, happening: Happening, *, all_waiting: bool = False) -> None:
    with operator(world, happening) as (process, operations):
        dead = operations.dead_letters(_name(world, happening))
        letter = next(dead.find(), None)
        if letter is not None:
            dead.discard(letter, all_waiting=all_waiting)
            _decided(process, letter, "discarded")
            tell(world, happening, letter.place)


def decide_paused(world: World, happening: Happening) -> None:
    """Give a Region its lanes back while it is paused, and decide about dead letters before it takes the lanes over."""
    failover(world, replace(happening, region=happening.other, other=happening.region, number=0))
    world.schedule.pause(happening.seconds / 4)
    names = range(len(world.plan.subscriptions))
    for number in names:
        with operator(world, happening) as (_, operations):
            operations.pause(_name(world, replace(happening, number=number)), "simulated")
    failover(world, replace(happening, number=0))
    for number in names:
        decide = (redrive, discard, edit, discard_all)[(happening.number + number) % 4]
        decide(world, replace(happening, number=number))
    world.schedule.pause(happening.seconds / 4)
    for number in names:
        with operator(world, happening) as (_, operations):
            operations.resume(_name(world, replace(happening, number=number)))


def edit(world: World, happening: Happening) -> None:
    """Redrive a subscription's first dead letter with another event in its place."""
    with operator(world, happening) as (process, operations):
        dead = operations.dead_letters(_name(world, happening))
        letter = next(dead.find(), None)
        event = None if letter is None else dead.event(letter)
        if letter is not None and event is not None:
            edited = Event(key=event.key, type=event.type, data={"edited": True})
            dead.redrive(letter, replacement=edited, by="simulated")
            _decided(process, letter, "edited")
            tell(world, happening, letter.place)


def prove(world: World, happening: Happening) -> None:
    """Prove what a subscription handled."""
    with operator(world, happening) as (process, operations):
        for prover in operations.provers(_name(world, happening)):
            for lane in prover.lanes:
                process.tell(history.ProofBegan, region=process.region, lane=str(lane))
                for proof in prover.prove(lane):
                    process.tell(
                        history.Proved,
                        region=process.region,
                        subscription=str(proof.subscription),
                        lane=str(lane),
                        sequence=int(proof.cursor.sequence),
                        wrong=proof.wrong.kind.value if proof.wrong else "",
                    )


def _decided(process: Process, letter: DeadLetter, action: str) -> None:
    """Note that the operator was told that the decision is made."""
    process.tell(
        history.Decided,
        region=process.region,
        subscription=letter.subscription.name,
        lane=str(letter.lane),
        sequence=int(letter.parked.first.sequence),
        action=action,
    )


def replay(world: World, happening: Happening) -> None:
    """Replay a subscription from a sequence on."""
    _replay(world, happening, SequenceNumber(happening.number))


def replay_from_start(world: World, happening: Happening) -> None:
    """Replay a subscription whose cursors are ahead of a table that was created anew."""
    _replay(world, happening, SequenceNumber(0))


def _replay(world: World, happening: Happening, start: SequenceNumber) -> None:
    with operator(world, happening) as (process, operations):
        name = _name(world, happening)
        # Noted first: whatever is handed out again from now on may be due to the replay.
        process.tell(history.Happened, what="replay_begins", about=f"{happening.region} {name}")
        replay_operation = operations.replay(name)
        plans = replay_operation.plan(AtSequence(start))
        for plan in plans:
            replay_operation.carry_out(plan)
        tell(world, happening, f"{name} from {start}")


def pause(world: World, happening: Happening) -> None:
    """Pause a subscription for a while."""
    name = _name(world, happening)
    with operator(world, happening) as (_, operations):
        operations.pause(name, "simulated")
        tell(world, happening, name)
    world.schedule.pause(happening.seconds)
    with operator(world, happening) as (_, operations):
        operations.resume(name)
        tell(world, happening, name, what="resume")


def failover(world: World, happening: Happening) -> None:
    """Take over what another Region delivers. Sometimes drain first, if the other Region answers."""
    with operator(world, happening) as (process, operations):
        tell(world, happening, "begins")
        takeover = operations.failover(happening.other)
        drains = happening.number == _DRAINED and world.reaches(happening.region, happening.other)
        if drains:
            takeover.drain(process.breathe)
        takeover.hand_over("simulated")
        if drains:
            takeover.release(process.breathe)
        tell(world, happening)


def failback(world: World, happening: Happening) -> None:
    """Take back what is a Region's own."""
    with operator(world, happening) as (_, operations):
        tell(world, happening, "begins")
        for takeover in operations.failback():
            takeover.hand_over("simulated")
        tell(world, happening)


def backfill(world: World, happening: Happening) -> None:
    """Copy what a Region's log lacks from another Region's."""
    if world.plan.durability != "replicated":
        return
    with operator(world, happening) as (process, operations):
        process.tell(history.Happened, what="backfill_begins", about=f"{happening.region} {happening.other}")
        report = operations.backfill(
            world.plan.stream, source=happening.other, slice_events=1 + happening.number
        )
        process.tell(
            history.Backfilled,
            region=happening.region,
            source=happening.other,
            state=report.backfill.state.value,
        )


def quarantine(world: World, happening: Happening) -> None:
    """Set aside, as far as allowed, every item that reconciliation reports of the Region's own lanes."""
    reported = {
        (entry.lane, entry.sequence): None
        for entry in world.entries
        if isinstance(entry, history.Found)
        and entry.region == happening.region
        and entry.finding in SET_ASIDE
    }
    with operator(world, happening) as (_, operations):
        way = operations.quarantine(world.plan.stream)
        for lane, sequence in reported:
            with suppress(QuarantineRefusedError):
                way.set_aside(
                    parse_log_lane(lane), SequenceNumber(sequence), by="simulated", reason="as reported"
                )
                tell(world, happening, f"{lane}@{sequence}")


def _name(world: World, happening: Happening) -> str:
    return world.plan.subscriptions[happening.number % len(world.plan.subscriptions)].name


_ALL: Final = (
    redrive,
    discard,
    discard_all,
    edit,
    prove,
    replay,
    pause,
    decide_paused,
    failover,
    failback,
    backfill,
    quarantine,
)
OPERATORS: Final[dict[str, Callable[[World, Happening], None]]] = {
    function.__name__: function for function in _ALL
}
