"""All ports of one Region over AWS, or over whatever answers at the clients' endpoint."""

from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, cast

from eventfabric.aws.clients import Clients
from eventfabric.aws.doorbells import AwsDoorbells
from eventfabric.aws.ledger import AwsLedger
from eventfabric.aws.log import AwsLog
from eventfabric.aws.system import SystemClock, SystemEntropy
from eventfabric.copies import when_forked
from eventfabric.model import Region
from eventfabric.ports import Clock, Entropy, Outbox, Ports, Steps
from eventfabric.resources import TableTopology, TimerQueueTopology
from eventfabric.stream_topology import StreamTopology, doorbell_queue

if TYPE_CHECKING:
    from eventfabric.rare_ports import Backfills, Credits


class Names(Protocol):
    """Names of a fabric's tables, as its definition or its catalogue has them."""

    @property
    def fabric(self) -> str:
        """The fabric's name with its stage."""
        ...

    @property
    def ledger(self) -> TableTopology:
        """Table of all state that belongs to no quorum stream."""
        ...

    @property
    def streams_without_transactions(self) -> frozenset[str]:
        """Streams whose state is kept without transactions."""
        ...

    def ledger_of(self, stream: str) -> TableTopology:
        """Return the table with the state of a stream's subscriptions."""
        ...


class _Late:
    """A port whose adapter is imported and made with the first call, since few functions need it."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = cache(make)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make(), name)


class _PortsElsewhere:
    """The ports of each Region, made once, whatever threads ask for them at the same time.

    boto3 does not promise that several threads can make clients of one session at the same time, and each
    client takes time and memory.
    """

    def __init__(self, make: Callable[[Region], Ports]) -> None:
        self._make = make
        self._made: dict[Region, Ports] = {}
        self._lock = Lock()
        when_forked(self._renew)

    def _renew(self) -> None:
        self._lock = Lock()

    def __call__(self, region: Region) -> Ports:
        """Return the ports of a Region."""
        with self._lock:
            if region not in self._made:
                self._made[region] = self._make(region)
            return self._made[region]


def aws_ports(
    names: Names, clients: Clients, *, clock: Clock | None = None, entropy: Entropy | None = None
) -> Ports:
    """Return the ports over AWS, or over whatever answers at the clients' endpoint."""
    clock = clock or SystemClock()
    entropy = entropy or SystemEntropy()
    region = Region(clients.region)

    def steps_of(stream: StreamTopology) -> Steps:
        from eventfabric.aws.steps import (
            AwsSteps,
        )  # imports Powertools Idempotency, which few subscriptions need

        return AwsSteps(
            clients.dynamodb,
            names.ledger_of(stream.name).name,
            region,
            retention_seconds=stream.retention_seconds,
            clock=clock,
            entropy=entropy,
        )

    def make_outbox() -> Outbox:
        from eventfabric.aws.outbox import AwsOutbox

        return AwsOutbox(clients.dynamodb)

    def make_backfills() -> "Backfills":
        from eventfabric.aws.backfills import AwsBackfills

        return AwsBackfills(clients.dynamodb, names.ledger.name, region)

    def make_credits() -> "Credits":
        from eventfabric.aws.credits import AwsCredits

        return AwsCredits(clients.dynamodb, lambda name: names.ledger_of(name).name, region)

    ports = Ports(
        clock=clock,
        entropy=entropy,
        log_of=lambda stream: AwsLog(clients.dynamodb, stream.table.name),
        ledger=AwsLedger(
            clients.dynamodb,
            lambda name: names.ledger_of(name).name,
            region,
            clock=clock,
            entropy=entropy,
            in_order=names.streams_without_transactions,
        ),
        outbox=cast(Outbox, _Late(make_outbox)),
        steps_of=steps_of,
        backfills=cast("Backfills", _Late(make_backfills)),
        credits=cast("Credits", _Late(make_credits)),
        at=_PortsElsewhere(
            lambda other: (
                ports
                if other == region
                else aws_ports(names, clients.of(other), clock=clock, entropy=entropy)
            )
        ),
        doorbells=AwsDoorbells(
            clients.sqs,
            lambda name: doorbell_queue(names.fabric, name),
            lambda name: TimerQueueTopology.of(names.fabric).name,
        ),
    )
    return ports
