"""Differences between what is declared of a stream, what the definition says, and what is there.

Each comes with what to do about it. Without a definition, Regions are compared with the first of the stream's.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from eventfabric.model import Region
from eventfabric.model.catalogue import Catalogue, State, StreamFacts, SubscriptionFacts
from eventfabric.model.partly_read import readable_of, unread_of
from eventfabric.services.catalogue.changes import differing
from eventfabric.services.catalogue.facts import stream_facts, subscription_facts
from eventfabric.services.operations import remedies
from eventfabric.services.operations.declared import Presence, RegionDeclared
from eventfabric.services.operations.remedies import DEPLOY, DEPLOY_AGAIN, GONE
from eventfabric.topology import Topology

_STREAM: Final = (
    "regions",
    "closing",
    "retention_days",
    "express",
    "requires_schemas",
    "lanes",
    "durability",
    "owner",
    "deprecated",
)
_SUBSCRIPTION: Final = (
    *("handler", "guarantee", "types", "deliver", "region", "start", "publishes", "owner", "contact"),
    *("backpressure_seconds", "backpressure_events_min", "holds_while_paused"),
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
    catalogue = {own.region: own.declaration for own in read if own.declaration and not own.is_former}
    wanted = _wanted(stream, read, topology)
    for own in read:
        if not own.is_former:
            yield from _Compared(stream, own, wanted, topology, queues, catalogue).of_region()


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
    catalogue: Catalogue
    """Declarations of all Regions, as far as they are known."""

    def of_region(self) -> Iterator[DeclaredDifference]:
        """Yield all that differs in the Region. What has one cause is one difference."""
        if self.own.unreadable is not None:
            yield self._difference("", "its newest declaration cannot be read", str(self.own.unreadable))
        if self.topology is not None and self.wanted is None:
            yield from self._of_stream_gone()
        elif self.topology is not None and self.wanted and self.own.region not in self.wanted.regions:
            fabric = self.topology.definition.fabric
            do = remedies.of_leaving([self.own.region], fabric, self._closing())
            yield self._difference("", "the Region is not in the definition any more", do)
        elif self.own.log is Presence.MISSING:
            others = [read.stream for read in self.catalogue.values()]
            do = remedies.of_table(self.own.region, others)
            yield self._difference("", "its table is not there", do)
        else:
            yield from self._of_what_is_there()

    def _of_what_is_there(self) -> Iterator[DeclaredDifference]:
        if self.own.ledger is Presence.MISSING:
            yield self._difference("", "the table with its subscriptions' state is not there", GONE)
        if self.own.unreadable is not None and self.own.declaration is None:
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
            yield from (self._difference(name, *own) for own in what)

    def _of_stream_gone(self) -> Iterator[DeclaredDifference]:
        """Yield that the definition has no such stream, unless all that was declared of it has ended."""
        read = self.own.declaration
        known = readable_of(read.subscriptions).values() if read is not None else ()
        living = [facts.name for facts in known if facts.state is not State.RETIRED]
        what = "it is declared, and the definition has no such stream"
        if living:
            do = f"put it back, and retire its subscriptions first ({', '.join(living)}): {remedies.STREAM_LESS}"
            yield self._difference("", what, do)
        elif read is not None and read.stream.is_deployed:
            yield self._difference("", what, f"put it back, or {DEPLOY}: {remedies.STREAM_LESS}")

    def _of_stream(self) -> Iterator[DeclaredDifference]:
        facts = self.own.declaration.stream if self.own.declaration is not None else None
        if facts is None or not facts.is_deployed:
            what = "nothing is declared" if facts is None else "it is declared to be undeployed"
            yield self._difference("", what, DEPLOY_AGAIN)
        elif self.wanted is not None:
            for change in differing("", facts, self.wanted, _STREAM):
                if self.topology is None:
                    against, do = "the stream's first Region", DEPLOY
                else:
                    fabric, against = self.topology.definition.fabric, "the definition"
                    do = remedies.of_stream(change, fabric, self._closing())
                yield self._difference("", remedies.sentence(change, against), do)

    def _of_subscription(
        self, name: str, own: SubscriptionFacts | None, wanted: SubscriptionFacts | None
    ) -> Iterator[tuple[str, str]]:
        """Yield what differs of a subscription, and what to do."""
        queue = self.queues.get((self.own.region, name), Presence.UNKNOWN)
        if own is None:
            yield "it is in the definition, and nothing is declared of it", DEPLOY_AGAIN
        elif own.state is State.RETIRED:
            yield from self._of_retired(own, queue, is_defined=wanted is not None)
        else:
            yield from self._of_living(own, wanted)
        is_gone = queue in (Presence.MISSING, Presence.DENIED)
        if own is not None and own.state.is_rung and is_gone:
            perhaps = "" if queue is Presence.MISSING else ", or has lost its tag"
            yield f"its queue is not there{perhaps}", GONE

    def _of_retired(
        self, own: SubscriptionFacts, queue: Presence, *, is_defined: bool
    ) -> Iterator[tuple[str, str]]:
        """Yield what remains to be done after a subscription was retired."""
        living = list(self._living_elsewhere(own)) if is_defined else []  # else it differs there
        if living:
            retire = f"`eventfabric subscriptions retire {own.name}` again, until every Region has answered"
            yield f"it is retired, and not in {', '.join(living)}", retire
        elif is_defined:
            first = (
                "" if queue is Presence.MISSING else f"delete {self._stack(own.name)} in every Region, and "
            )
            again = f"take it out of the definition, or begin it anew: {first}{DEPLOY}"
            yield "it is retired, and still in the definition", again
        elif queue is Presence.THERE:
            yield "it is retired, and its queue is still there", f"delete {self._stack(own.name)}"

    def _of_living(
        self, own: SubscriptionFacts, wanted: SubscriptionFacts | None
    ) -> Iterator[tuple[str, str]]:
        """Yield what differs of a subscription that nobody has retired."""
        retire = f"`eventfabric subscriptions retire {own.name}`"
        if wanted is None and self.topology is not None:
            moved = self.topology.subscriptions.get(own.name)
            where, do = "not in the definition", f"{retire}, or put it back"
            if moved is not None:  # the command would look for it in its new stream
                where = f"the definition has it with stream {moved.definition.stream}"
                do = f"put it back, and retire it before it moves: {remedies.MOVED}"
            yield f"it is declared as {own.state}, and {where}", do
        elif own.state is State.DRAINING:
            go_on = f"`eventfabric subscriptions retire {own.name} --drain` goes on with that"
            yield (
                f"it is declared as {own.state}",
                f"{go_on}, and {DEPLOY_AGAIN} calls it off: {remedies.DRAIN}",
            )
        elif own.state is not State.ACTIVE:
            yield f"it is declared as {own.state}", f"{DEPLOY}, or {retire}"
        elif wanted is not None:
            yield from self._of_settings(own, wanted)

    def _of_settings(self, own: SubscriptionFacts, wanted: SubscriptionFacts) -> Iterator[tuple[str, str]]:
        """Yield which settings the definition has otherwise. Another Region goes with another `deliver`."""
        members = [name for name in _SUBSCRIPTION if name != "owner" or not self._has_another_owner]
        if own.deliver != wanted.deliver:
            members.remove("region")
        for change in differing(own.name, own, wanted, members):
            yield remedies.sentence(change, "the definition"), remedies.of_subscription(change)

    def _living_elsewhere(self, own: SubscriptionFacts) -> Iterator[Region]:
        """Yield the Regions, among those that a command reaches, in which nobody has ended what is retired here."""
        for region, read in self.catalogue.items():
            facts = readable_of(read.subscriptions).get(own.name)
            is_ended = facts is None or facts.state is State.RETIRED or facts.incarnation > own.incarnation
            if not is_ended and (self.wanted is None or region in self.wanted.regions):
                yield region

    @property
    def _has_another_owner(self) -> bool:
        """The stream's difference says it, for its subscriptions as well."""
        read = self.own.declaration
        return read is not None and self.wanted is not None and read.stream.owner != self.wanted.owner

    def _closing(self) -> set[str]:
        return {region for read in self.catalogue.values() for region in read.stream.closing}

    def _stack(self, name: str) -> str:
        if self.topology is None:
            return f"its stack in {self.own.region}"
        return f"stack {self.topology.stack_name('subscription', self.own.region, subscription=name)}"

    def _difference(self, subscription: str, what: str, do: str) -> DeclaredDifference:
        return DeclaredDifference(self.stream, self.own.region, subscription, what, do)
