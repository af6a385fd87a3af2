"""Dead letters, and decisions about them."""

from collections.abc import Callable, Sequence
from typing import Any

from eventfabric.model.parked import Settled
from eventfabric.services.operations.dead_letters import DeadLetters
from eventfabric.testing.memory.faults import Fault, Faults
from tests.support.failing_handlers import (
    Failing,
    drained,
    named,
    retry,
    world_of,
)
from tests.support.memory_fabric import LANE, lane
from tests.support.subscribed_stream import SubscribedStream

ONCE = retry(immediate=0, attempts=1)


def mended_world(*dead: str, behind: Sequence[str] = (), **settings: Any) -> SubscribedStream:
    """Return a stream with these dead letters, which would be handled by now, events behind them, and `z1` handled."""
    failing = Failing(dict.fromkeys(dead, 99))
    world = drained(world_of(failing, *named(*dead, *behind, "z1"), **{**ONCE, **settings}))
    failing.times.clear()
    return world


def letters_of(world: SubscribedStream, faults: Faults) -> DeadLetters:
    """Return the dead letters of the first lane, by ports that fail."""
    return DeadLetters(
        world.subscription,
        [lane(0), lane(1)],
        log=world.log,
        ledger=faults.ledger(world.ledger),
        doorbells=faults.doorbells(world.cloud.doorbells(world.region)),
        clock=world.clock,
    )


def overtaken(*moments: int, by: Callable[[], object]) -> Faults:
    """Return faults that fail nothing, and call `by` just before these commits, counted from 1."""

    def rule(called: str, overall: int, of_name: int) -> Fault | None:
        if called == "ledger.commit" and of_name in moments:
            by()
        return None

    return Faults(rule)


def settled(world: SubscribedStream) -> list[Settled]:
    return list(world.ledger.settled(world.key_of(LANE)))
