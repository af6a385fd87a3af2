"""Decisions about dead letters where no transaction writes them at once: any request may fail or meet another."""

from collections.abc import Callable

import pytest

from eventfabric.model import ParkedChange, RaceLost, Settled
from eventfabric.services.operations.dead_letters import DeadLetter, DeadLetters
from eventfabric.services.proof.prove import Prover
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash
from eventfabric.testing.memory.requests import Requests
from tests.support.failing_handlers import (
    Failing,
    dead_letters,
    drained,
    fabric_of,
    named,
    retry,
    the_dead_letter,
)
from tests.support.memory_fabric import HOME, LANE
from tests.support.subscribed_stream import SubscribedStream

Decide = Callable[[DeadLetters, DeadLetter], None]
DECISIONS: dict[str, Decide] = {
    "redriven": lambda letters, letter: letters.redrive(letter),
    "discarded": lambda letters, letter: letters.discard(letter),
    "all discarded": lambda letters, letter: letters.discard(letter, all_waiting=True),
}


def fabric_with_a_dead_letter() -> SubscribedStream:
    fabric = fabric_of(
        Failing({"a1": 1}), *named("a1", "b1"), durability="quorum", **retry(immediate=0, attempts=1)
    )
    fabric.deliver()
    return fabric


def deciding(fabric: SubscribedStream, faults: Faults) -> DeadLetters:
    """The dead letters of the fabric, through requests that fail so."""
    return DeadLetters(
        fabric.subscription,
        [LANE],
        log=fabric.log,
        clock=fabric.clock,
        ledger=fabric.cloud.ledger(HOME, requests=Requests(faults)),
        doorbells=fabric.cloud.doorbells(HOME),
    )


def settled(fabric: SubscribedStream) -> list[Settled]:
    return list(fabric.ledger.settled(fabric.key_of(LANE)))


def exceptions(fabric: SubscribedStream) -> tuple[int, list[str]]:
    """Return how many lanes a proof finds wrong, and its exceptions."""
    prover = Prover(fabric.stream, [fabric.subscription], fabric.ports())
    proofs = [proof for lane in prover.lanes for proof in prover.prove(lane)]
    return sum(bool(proof.wrong) for proof in proofs), [
        f"{exemption.kind.value} {exemption.sequence}" for proof in proofs for exemption in proof.exceptions
    ]


@pytest.mark.parametrize("decision", ["discarded", "all discarded"])
@pytest.mark.parametrize("puts", [1, 2, 3, 4])
def test_a_discard_that_dies_half_way_leaves_a_dead_letter_or_the_note_of_it(
    decision: str, puts: int
) -> None:
    fabric = fabric_with_a_dead_letter()
    dies = Faults(
        lambda name, number, of_name: Fault.CRASH_BEFORE if (name, of_name) == ("put", puts) else None
    )
    with pytest.raises(SimulatedCrash):
        DECISIONS[decision](deciding(fabric, dies), the_dead_letter(fabric))
    is_dead = bool(list(dead_letters(fabric).find()))
    assert is_dead or [decision.action for decision in settled(fabric)] == ["discarded"]
    assert exceptions(fabric) == (0, ["dead 0" if is_dead else "discarded 0"])
    assert "a1" not in drained(fabric).recorder.ids()


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_decision_that_meets_a_delivery_half_way_is_done_and_rung(decision: str) -> None:
    fabric = fabric_with_a_dead_letter()
    letter = the_dead_letter(fabric)
    fabric.put(*named("c1"))

    def delivers(name: str, number: int, of_name: int) -> Fault | None:
        """Just before the cursor's put, the function delivers c1."""
        if (name, of_name) == ("put", 3 if decision == "redriven" else 4):
            fabric.deliver()
        return None

    DECISIONS[decision](deciding(fabric, Faults(delivers)), letter)
    assert fabric.queue.receive(10)
    assert fabric.parked() == {}
    assert fabric.recorder.ids() == (["b1", "a1", "c1"] if decision == "redriven" else ["b1", "c1"])
    assert [decision.action for decision in settled(fabric)] == (
        [] if decision == "redriven" else ["discarded"]
    )


def test_a_decision_that_loses_its_race_leaves_no_note() -> None:
    fabric = fabric_with_a_dead_letter()
    ledger, key, letter = fabric.ledger, fabric.key_of(LANE), the_dead_letter(fabric)
    read = ledger.state(key)
    dead_letters(fabric).redrive(letter)
    note = Settled(letter.parked.first.sequence, "discarded", letter.parked.failure, 17, "somebody")
    change = ParkedChange(letter.parked, None)
    cursor = read.cursor(HOME)
    assert ledger.commit(key, cursor, cursor, parked=[change], settled=[note]) == RaceLost()
    assert settled(fabric) == []


@pytest.mark.parametrize("decision", ["discarded", "all discarded"])
@pytest.mark.parametrize("puts", [1, 2, 3, 4])
def test_a_discard_of_which_one_reply_is_lost_is_done_and_noted(decision: str, puts: int) -> None:
    fabric = fabric_with_a_dead_letter()
    lost = Faults(
        lambda name, number, of_name: Fault.LOST_REPLY if (name, of_name) == ("put", puts) else None
    )
    DECISIONS[decision](deciding(fabric, lost), the_dead_letter(fabric))
    assert list(dead_letters(fabric).find()) == []
    assert [decision.action for decision in settled(fabric)] == ["discarded"]
    assert exceptions(fabric) == (0, ["discarded 0"])
    assert "a1" not in drained(fabric).recorder.ids()
