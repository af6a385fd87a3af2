"""Failovers and retirements in a local fabric, which wait by running it."""

from collections.abc import Callable, Iterable

from eventfabric.errors import DrainError
from eventfabric.ports import Ports
from eventfabric.services.operations.failover import Failover
from eventfabric.services.operations.retire import Retirement
from eventfabric.topology import Topology

Wait = Callable[[float], None]


def hand_over(failovers: Iterable[Failover], wait: Wait, *, drain: bool) -> None:
    """Carry out handovers; `drain`: after the source has finished."""
    for failover in failovers:
        if drain:
            failover.drain(wait)
        failover.hand_over()
        if drain:
            failover.release(wait)


def retire(topology: Topology, name: str, ports: Ports, wait: Wait, *, drain: bool) -> None:
    """End a subscription in every Region. DrainError: that was not possible in all of them."""
    ending = Retirement.of(topology, name, ports, by="local")
    ending.look()
    if drain and not ending.unanswered:
        ending.drain(wait)
    if not ending.unanswered:
        ending.end()
    if ending.unanswered:
        raise DrainError(name, f"no answer of {', '.join(sorted(ending.unanswered))}")
