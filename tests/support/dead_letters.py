"""Dead letters, and decisions about them."""

from collections.abc import Callable, Sequence
from typing import Any

from eventfabric.model import Settled
from eventfabric.services.operations.dead_letters import DeadLetters
from eventfabric.testing.memory.faults import Fault, Faults
from tests.support.failing_handlers import (
    Failing,
    drained,
    fabric_of,
    named,
    retry,
)
from tests.support.memory_fabric import LANE, lane
from tests.support.subscribed_stream import SubscribedStream

ONCE = retry(immediate=0, attempts=1)


def mended_fabric(*dead: str, behind: Sequence[str] = (), **settings: Any) -> SubscribedStream:
    """Return a stream with these dead letters, which would be handled by now, events behind them, and `z1` handled."""
    failing = Failing(dict.fromkeys(dead, 99))
    fabric = drained(fabric_of(failing, *named(*dead, *behind, "z1"), **{**ONCE, **settings}))
    failing.times.clear()
    return fabric


def letters_of(fabric: SubscribedStream, faults: Faults) -> DeadLetters:
    """Return the dead letters of the first lane, by ports that fail."""
    return DeadLetters(
        fabric.subscription,
        [lane(0), lane(1)],
        log=fabric.log,
        ledger=faults.ledger(fabric.ledger),
        doorbells=faults.doorbells(fabric.cloud.doorbells(fabric.region)),
        clock=fabric.clock,
    )


def overtaken(*moments: int, by: Callable[[], object]) -> Faults:
    """Return faults that fail nothing, and call `by` just before these commits, counted from 1."""

    def rule(called: str, overall: int, of_name: int) -> Fault | None:
        if called == "ledger.commit" and of_name in moments:
            by()
        return None

    return Faults(rule)


def settled(fabric: SubscribedStream) -> list[Settled]:
    return list(fabric.ledger.settled(fabric.key_of(LANE)))
