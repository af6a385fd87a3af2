"""Differences between what is declared of a stream, what the definition says, and what is there.

Each comes with what to do about it. Without a definition, Regions are compared with the first of the stream's.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from eventfabric.model import Region
from eventfabric.model.catalogue import State, StreamFacts, SubscriptionFacts
from eventfabric.model.partly_read import readable_of, unread_of
from eventfabric.services.catalogue.changes import MemberChange, differing
from eventfabric.services.catalogue.facts import stream_facts, subscription_facts
from eventfabric.services.operations.declared import Presence, RegionDeclared
from eventfabric.topology import Topology

DEPLOY: Final = "`eventfabric deploy --all`"
_DEPLOY_AGAIN: Final = "`eventfabric deploy --all -c streams_again=$(date +%F)`"
"""Deploy what has not changed: otherwise, CloudFormation would do nothing."""
_RECREATE: Final = "docs/runbook.md, Something that was deployed is gone"
_FIXED: Final = ("lanes", "durability", "owner")
"""Members that a deployment refuses to change, at least for a stream that is in use."""
_STREAM: Final = ("regions", "closing", "retention_days", "express", *_FIXED)
_SUBSCRIPTION: Final = (
    *("handler", "guarantee", "types", "deliver", "region", "start", "publishes", "owner", "contact"),
)

Queues = Mapping[tuple[Region, str], Presence]
"""Presence of each subscription's queue, by Region and name."""


@dataclass(frozen=True, slots=True)
class DeclaredDifference:
    """A difference in one Region, and what to do. `subscription`: whose it is; empty: the stream's."""

    stream: str
    region: Region
    subscription: str
    what: str
    do: str

    def __str__(self) -> str:
        of = f"subscription {self.subscription}" if self.subscription else f"stream {self.stream}"
        return f"{self.region}: {of}: {self.what}: {self.do}"


def queues_to_look_at(
    read: Iterable[RegionDeclared], topology: Topology | None, stream: str
) -> list[tuple[Region, str]]:
    """List the subscriptions, by Region and name, whose queues tell something: if they are or were declared there."""
    return [
        (own.region, name)
        for own in read
        if not (own.is_former or own.error)
        for name in _names(own, topology, stream)
    ]


def differences(
    stream: str, read: Sequence[RegionDeclared], topology: Topology | None, queues: Queues
) -> Iterator[DeclaredDifference]:
    """Yield how the Regions of a stream differ. `topology`: the definition's; None: only the fabric's name is known."""
    for own in read:
        if not own.is_former:
            compared = _Compared(stream, own, _wanted(stream, read, topology), topology, queues)
            yield from compared.of_region()


def _wanted(stream: str, read: Sequence[RegionDeclared], topology: Topology | None) -> StreamFacts | None:
    """Return the facts with which those of the Regions are compared; None: the definition has no such stream."""
    if topology is not None:
        return stream_facts(topology, topology.stream(stream)) if stream in topology.streams else None
    return next((own.declaration.stream for own in read if own.declaration is not None), None)


def _names(own: RegionDeclared, topology: Topology | None, stream: str) -> list[str]:
    declared = readable_of(own.declaration.subscriptions) if own.declaration is not None else {}
    return list(dict.fromkeys([*_defined(topology, stream, own.region), *declared]))


def _defined(topology: Topology | None, stream: str, region: Region) -> dict[str, SubscriptionFacts]:
    """Return what the definition says of the stream's subscriptions in a Region."""
    if topology is None:
        return {}
    own = [known for known in topology.subscriptions_in(region) if known.definition.stream == stream]
    return {known.name: subscription_facts(topology, known) for known in own}


@dataclass(frozen=True)
class _Compared:
    """One Region of a stream, beside what it is compared with."""

    stream: str
    own: RegionDeclared
    wanted: StreamFacts | None
    topology: Topology | None
    queues: Queues

    def of_region(self) -> Iterator[DeclaredDifference]:
        """Yield all that differs in the Region."""
        if self.own.log is Presence.MISSING:
            yield self._difference("", "its table is not there", f"{DEPLOY}, or {_RECREATE}")
            return
        if self.own.ledger is Presence.MISSING:
            yield self._difference("", "the table with its subscriptions' state is not there", _RECREATE)
        if self.own.unreadable is not None:
            yield self._difference("", "its newest declaration cannot be read", str(self.own.unreadable))
            if self.own.declaration is None:
                return
        yield from self._of_stream()
        defined = _defined(self.topology, self.stream, self.own.region)
        subscriptions = self.own.declaration.subscriptions if self.own.declaration is not None else {}
        declared, unread = readable_of(subscriptions), unread_of(subscriptions)
        for name, known in unread.items():
            yield self._difference(name, "its declaration cannot be read", str(known.error))
        for name in _names(self.own, self.topology, self.stream):
            if name in unread:
                continue
            what = self._of_subscription(name, declared.get(name), defined.get(name))
            yield from (self._difference(name, *sentence) for sentence in what)

    def _of_stream(self) -> Iterator[DeclaredDifference]:
        facts = self.own.declaration.stream if self.own.declaration is not None else None
        if facts is None or not facts.is_deployed:
            what = "nothing is declared" if facts is None else "it is declared to be undeployed"
            if self.wanted is not None:
                yield self._difference("", what, DEPLOY)
        elif self.wanted is None:
            what, do = "it is declared, and the definition has no such stream", "put it back, or retire its"
            yield self._difference("", what, f"{do} subscriptions, and {DEPLOY}")
        else:
            against = "the definition" if self.topology is not None else "the stream's first Region"
            for change in differing("", facts, self.wanted, _STREAM):
                yield self._difference("", _sentence(change, against), _remedy(change, against))

    def _of_subscription(
        self, name: str, own: SubscriptionFacts | None, wanted: SubscriptionFacts | None
    ) -> Iterator[tuple[str, str]]:
        """Yield what differs of a subscription, and what to do."""
        queue = self.queues.get((self.own.region, name), Presence.UNKNOWN)
        if own is None:
            yield "it is in the definition, and nothing is declared of it", DEPLOY
        elif own.state is State.RETIRED:
            yield from self._of_retired(name, queue, is_defined=wanted is not None)
        else:
            yield from self._of_living(own, wanted)
        is_gone = queue in (Presence.MISSING, Presence.DENIED)
        if own is not None and own.state.is_rung and is_gone:
            perhaps = "" if queue is Presence.MISSING else ", or has lost its tag"
            yield f"its queue is not there{perhaps}", _RECREATE

    def _of_retired(self, name: str, queue: Presence, *, is_defined: bool) -> Iterator[tuple[str, str]]:
        if is_defined:
            again = f"take it out of the definition; {DEPLOY} begins it anew"
            yield "it is retired, and still in the definition", again
        elif queue is Presence.THERE:
            yield "it is retired, and its queue is still there", f"delete {self._stack(name)}"

    def _of_living(
        self, own: SubscriptionFacts, wanted: SubscriptionFacts | None
    ) -> Iterator[tuple[str, str]]:
        """Yield what differs of a subscription that nobody has retired."""
        retire = f"`eventfabric subscriptions retire {own.name}`"
        if wanted is None and self.topology is not None:
            yield f"it is declared as {own.state}, and not in the definition", f"{retire}, or put it back"
        elif own.state is State.DRAINING:
            yield f"it is declared as {own.state}", f"{retire}, or {_DEPLOY_AGAIN} to keep it"
        elif own.state is not State.ACTIVE:
            yield f"it is declared as {own.state}", f"{DEPLOY}, or {retire}"
        elif wanted is not None:
            for change in differing(own.name, own, wanted, _SUBSCRIPTION):
                yield _sentence(change, "the definition"), DEPLOY

    def _stack(self, name: str) -> str:
        if self.topology is None:
            return f"its stack in {self.own.region}"
        return f"stack {self.topology.stack_name('subscription', self.own.region, subscription=name)}"

    def _difference(self, subscription: str, what: str, do: str) -> DeclaredDifference:
        return DeclaredDifference(self.stream, self.own.region, subscription, what, do)


def _sentence(change: MemberChange, against: str) -> str:
    return f"{change.member} is {_text(change.before)}, and {_text(change.after)} in {against}"


def _text(value: object) -> str:
    return ", ".join(map(str, value)) or "nothing" if isinstance(value, tuple) else repr(value)


def _remedy(change: MemberChange, against: str) -> str:
    if change.member in _FIXED and against == "the definition":
        return f"{_text(change.before)} in the definition; docs/deploy.md says what a deployment refuses"
    return DEPLOY
