"""Concurrency: how a definition shares out the invocations that an account may have at the same time in a Region.

Lambda gives invocations to whoever asks first. So a backlog of one subscription could take them all, and hold up the
relay, timers and reconciliation of every other one. Each queue has a bound, and what is reserved nobody else can take.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from eventfabric import limits
from eventfabric.definition.schema import Definition, Subscription


@dataclass(frozen=True, slots=True)
class Reserve:
    """Concurrent invocations that are reserved for the fabric's own functions in a Region; 0: none are."""

    relay: int
    timer: int = limits.TIMER_CONCURRENCY
    reconcile: int = limits.RECONCILE_CONCURRENCY
    catalogue: int = 10
    """Stacks that check and declare at the same time. Lambda lets others wait for up to five minutes at a time, so with
    fewer a deployment of many stacks would run out of time."""

    @property
    def total(self) -> int:
        """Invocations of all of them."""
        return self.relay + self.timer + self.reconcile + self.catalogue


NOTHING = Reserve(0, 0, 0, 0)


def reserve_of(definition: Definition, region: str) -> Reserve:
    """Return what is reserved for the fabric's own functions: NOTHING if the account's quota does not suffice."""
    reserve = _wanted(definition, region)
    left = _reservable(definition, region) - reserve.total
    return reserve if left >= 0 else NOTHING


def shortages(definition: Definition) -> Iterator[str]:
    """Say for each Region what the account's quota does not suffice for. That is no reason not to deploy."""
    account = definition.fabric.account_concurrency
    for region in definition.fabric.regions:
        reserve = reserve_of(definition, region)
        if reserve == NOTHING:
            wanted, left = _wanted(definition, region).total, max(0, _reservable(definition, region))
            yield (
                f"{region}: nothing is reserved for relay, timer and reconciliation, so a backlog may hold them up: "
                f"they would take {wanted} concurrent invocations, and account_concurrency = {account} leaves {left}"
            )
        shared = account - _reserved(definition, region) - reserve.total
        most = sum(
            _most(definition, own) for own in _in(definition, region) if not own.function.reserved_concurrency
        )
        if most > shared:
            yield (
                f"{region}: all subscriptions together may have {most} concurrent invocations, and the account has "
                f"{shared} for them: backlogs at the same time slow each other down (lower maximum_concurrency, or "
                "raise the quota and account_concurrency)"
            )


def _wanted(definition: Definition, region: str) -> Reserve:
    streams = sum(region in stream.regions for stream in definition.streams.values())
    return Reserve(limits.RELAY_CONCURRENCY * streams)


def _reservable(definition: Definition, region: str) -> int:
    """Return how many invocations of the account may be reserved beside those of the subscriptions."""
    account = definition.fabric.account_concurrency
    return account - limits.UNRESERVED_CONCURRENCY_MIN - _reserved(definition, region)


def _reserved(definition: Definition, region: str) -> int:
    """Return how many invocations the subscriptions of a Region reserve."""
    return sum(own.function.reserved_concurrency or 0 for own in _in(definition, region))


def _in(definition: Definition, region: str) -> Iterator[Subscription]:
    """Yield the subscriptions that have a function in the Region."""
    for subscription in definition.subscriptions.values():
        if region in definition.streams[subscription.stream].regions:
            yield subscription


def _most(definition: Definition, subscription: Subscription) -> int:
    """Return how many invocations a subscription may have: after a failover, it delivers lanes of every Region."""
    stream, pollers = definition.streams[subscription.stream], subscription.function.provisioned_pollers
    lanes = stream.lanes * len(stream.regions)
    most = (
        pollers.maximum * limits.POLLER_INVOCATIONS_MAX if pollers else subscription.function.invocations_max
    )
    return lanes if most is None else min(lanes, most)
