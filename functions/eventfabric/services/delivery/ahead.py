"""Attempts ahead: several events of a stretch at the same time, while no key has more than one of its own under way.

    log order    a1 b1 a2 c1 b2 ...            side by side   a1, a2     each chain in order; after a failure
                                                              b1, b2     the rest of its key is left alone
                                                              c1
What came of them is gone through in the order of the log afterwards, as if each had been attempted there and then.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from functools import partial
from typing import TypeAlias

from eventfabric.model.commit import Write
from eventfabric.services.delivery.context import SideBySide
from eventfabric.services.delivery.endings import OutOfTime
from eventfabric.services.delivery.retry import Failed

Tried: TypeAlias = Seq[Write] | Failed | OutOfTime


def attempt_ahead(
    chain_of: Mapping[int, str],
    attempt: Callable[[int], Tried],
    side_by_side: SideBySide,
    *,
    on_failure: bool,
) -> dict[int, Tried]:
    """What attempts came to, by the index of their event; of a chain, up to what failed or found no time left.

    Args:
        chain_of: the events to attempt, by index, in order: which chain each is of.
        attempt: attempts the event of an index.
        side_by_side: makes the calls of chains.
        on_failure: whether a chain goes on behind an event that failed.
    """
    found: dict[int, Tried] = {}

    def run(chain: Seq[int]) -> None:
        for index in chain:
            tried = found[index] = attempt(index)
            if isinstance(tried, OutOfTime) or (isinstance(tried, Failed) and not on_failure):
                return

    chains = defaultdict[str, list[int]](list)
    for index, name in chain_of.items():
        chains[name].append(index)
    calls = [partial(run, chain) for chain in chains.values()]
    if len(calls) == 1:
        calls[0]()
    elif calls:
        side_by_side(calls)
    return found
