"""Attempts ahead: several events of a stretch are attempted at the same time, but never two events of one key.

    log order    a1 b1 a2 c1 b2 ...            side by side   a1, a2     each chain in order; after a failure
                                                              b1, b2     the rest of its key is left alone
                                                              c1

The outcomes are then handled in the order of the log, as if each event had been attempted in its turn.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from eventfabric.services.delivery.endings import OutOfTime
from eventfabric.services.delivery.retry import Failed
from eventfabric.services.delivery.side_by_side import SideBySide
from eventfabric.wire.published import Effect

AttemptOutcome: TypeAlias = Sequence[Effect] | Failed | OutOfTime


def attempt_ahead(
    chain_of: Mapping[int, str],
    attempt: Callable[[int], AttemptOutcome],
    side_by_side: SideBySide,
    *,
    on_failure: bool,
) -> dict[int, AttemptOutcome]:
    """Attempt events, and return the outcomes by index: of a chain, up to the event that failed or found no time left.

    Args:
        chain_of: the chain to which each event belongs, by the event's index, in order.
        attempt: attempts the event of an index.
        side_by_side: calls the chains at the same time.
        on_failure: True if a chain goes on after an event that failed.
    """
    outcomes: dict[int, AttemptOutcome] = {}

    def run(chain: Sequence[int]) -> None:
        for index in chain:
            outcome = outcomes[index] = attempt(index)
            # What fails is parked in its turn, and later events of its
            # key wait behind it: none may be attempted before.
            if isinstance(outcome, OutOfTime) or (isinstance(outcome, Failed) and not on_failure):
                return

    chains = defaultdict[str, list[int]](list)
    for index, name in chain_of.items():
        chains[name].append(index)
    calls = [partial(run, chain) for chain in chains.values()]
    # A single chain gains nothing from a thread, and starting one is not free.
    if len(calls) == 1:
        calls[0]()
    elif calls:
        side_by_side(calls)
    return outcomes
