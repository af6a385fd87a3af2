"""Check: what a deployment would lose, or take from somebody, by what is declared. It has no effect.

Whoever deploys hears all of it at once, before anything is changed.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from eventfabric.definition.schema import Stream
from eventfabric.errors import LastingError, PortError, Problem, version_needed
from eventfabric.formats import OWN_FORMATS, Formats
from eventfabric.model import EMPTY_TAIL, DeclarationLane, Lane, Region, StreamName
from eventfabric.model.catalogue import (
    Catalogue,
    Declaration,
    Declared,
    State,
    StreamFacts,
    SubscriptionFacts,
    facts_of,
    incarnation_to_deploy,
)
from eventfabric.model.deprecation import day_of
from eventfabric.ports import Log, Ports
from eventfabric.services.catalogue.facts import declared_stream, stream_facts
from eventfabric.services.catalogue.known import FORGOTTEN_SECONDS
from eventfabric.services.catalogue.lane import newest
from eventfabric.services.catalogue.leftovers import not_known
from eventfabric.services.delivery.side_by_side import SideBySide, results_of
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.stream_topology import StreamTopology
from eventfabric.topology import Topology

CLOSING_SECONDS: Final = FORGOTTEN_SECONDS
"""Time for which a Region is closing before it may be taken out: until no producer goes by what it knew before."""

Leftovers = Callable[[StreamTopology, Sequence[SubscriptionFacts], Region], Iterable[Problem]]
"""Yields what is left of a stream, for these subscriptions, that a Region published or has to deliver."""


@dataclass(frozen=True)
class Checker:
    """Check of what a definition would deploy in one Region.

    `leftovers` is asked where a Region is taken out, and so is that Region itself. None: what has come here counts.
    """

    topology: Topology
    region: Region
    ports: Ports
    leftovers: Leftovers | None
    side_by_side: SideBySide
    formats: Formats = OWN_FORMATS
    """The newest formats that the version knows which would be deployed."""
    without_table: Collection[str] = ()
    """Streams whose table may be missing, because it is still to be made, or has left the Region. For all others that
    raises LastingError: DynamoDB also says of a table that is not active that it is missing."""

    def of_stream(self, stream: StreamTopology) -> Iterator[Problem]:
        """Yield what is wrong with a stream, if nobody looks at its subscriptions or at the Regions that it leaves."""
        home = Region(self.topology.first_of(stream))
        catalogue = self.catalogue(stream, dict.fromkeys([self.region, home]))
        facts = stream_facts(self.topology, stream)
        yield from of_owner(catalogue, facts, self.topology)
        yield from of_formats((read.stream for read in catalogue.values()), self.formats)
        yield from of_sunsets(catalogue, facts, self.ports.clock.now_ms())
        own = catalogue.get(self.region)
        if own is not None:
            yield from self._of_lanes(stream, own, facts)
        elif self.region == home:  # others may have been deployed before it, and were compared with nothing
            catalogue = self.catalogue(stream, stream.definition.regions)
        for region, read in catalogue.items():
            if region != self.region:
                yield from of_elsewhere(read.stream, facts, region)

    def of_regions(self, stream: StreamTopology, before: Collection[str] = ()) -> Iterator[Problem]:
        """Yield why the Regions that the definition lacks cannot be taken out of a stream yet.

        `before`: Regions that the stack has given it, whatever another one has declared since.
        """
        own = self._declared(stream, self.region)
        if own is None:
            return
        declared = declared_stream(self.topology.fabric, own.declaration)
        regions = tuple(dict.fromkeys([*declared.definition.regions, *before]))
        was = replace(declared, definition=replace(declared.definition, regions=regions))
        for leaving in map(Region, regions):
            if leaving not in stream.definition.regions:
                is_declared = leaving in declared.definition.regions
                has_left = leaving not in before
                yield from self._of_leaving(was, leaving, is_declared=is_declared, has_left=has_left)

    def _of_leaving(
        self, was: StreamTopology, leaving: Region, *, is_declared: bool, has_left: bool
    ) -> Iterator[Problem]:
        """Yield why a Region cannot be taken out of a stream yet. Of a subscription, what it says itself counts.

        `is_declared`: here, as one of the stream's. If not, and if it declares nothing, only a table came there.
        `has_left`: the stack has taken it out before, but what it has since is not declared yet.
        """
        lost = self.topology.definition.fabric.lost
        others = [region for region in was.definition.regions if region != leaving]
        try:
            there = self._declared(was, leaving, self._ports_in(leaving))
        except PortError as error:
            if not (has_left and isinstance(error, LastingError) and error.is_missing):
                yield not_known(was, leaving, error)
            return
        catalogue = dict(self.catalogue(was, others))
        if there is not None:
            catalogue[leaving] = there.declaration
        early = list[Problem]()
        if is_declared or there is not None:
            early = list(of_closing(catalogue, was, leaving, self.ports.clock.now_ms(), lost=lost))
        yield from early
        if not early and self.leftovers is not None:  # whatever is left now, more may be by then
            yield from self.leftovers(was, list(_not_retired(catalogue)), leaving)

    def _ports_in(self, leaving: Region) -> Ports:
        """Return the ports of a Region that leaves; this one's if nobody asks that Region."""
        lost = self.topology.definition.fabric.lost
        return self.ports if self.leftovers is None or leaving in lost else self.ports.at(leaving)

    def of_subscriptions(
        self, stream: StreamTopology, names: Collection[str], *, among: Collection[str] | None = None
    ) -> Iterator[Problem]:
        """Yield which subscriptions are declared in the Region, are not among `names`, and were not retired.

        `among`: only these are looked at; default: all.
        """
        own = self._declared(stream, self.region)
        for facts in _not_retired({} if own is None else {self.region: own.declaration}):
            if facts.name not in names and (among is None or facts.name in among):
                yield Problem(
                    f"subscriptions.{facts.name}",
                    f"no such subscription, where stream {stream.name} has it as {facts.state} in {self.region}",
                    _retired_before(facts),
                )

    def of_lives(self, stream: StreamTopology, name: str, *, is_new: bool) -> Iterator[Problem]:
        """Yield where an earlier incarnation of a subscription has not been retired than would be deployed, or is.

        What has come here from the other Regions counts, so that the loss of one keeps nobody from deploying. If one
        has declared otherwise a moment ago, both incarnations live, and each goes on: a deployment ends none.

        `is_new`: the subscription is new to its stack; else it goes on as it is declared.
        """
        catalogue = self.catalogue(stream, stream.definition.regions)
        known = facts_of(catalogue, name)
        if self.region in known and not is_new:
            return
        lives = {region: facts for region, facts in known.items() if facts.state is not State.RETIRED}
        deployed = incarnation_to_deploy(catalogue, self.region, name)
        newest = max([deployed, *(facts.incarnation for facts in lives.values())])
        for region, facts in lives.items():
            if facts.incarnation < newest:
                yield Problem(
                    f"subscriptions.{name}",
                    f"a new one, where an earlier one of that name is {facts.state} in {region}",
                    f"one after `eventfabric subscriptions retire {name}` has ended the earlier one in every Region",
                )

    def of_target(self, name: str) -> Iterator[Problem]:
        """Yield that a stream into which a handler publishes requires formats that the version does not know.

        Not every Region of a subscription has all of its targets.
        """
        target = StreamTopology(self.topology.fabric, name, Stream(name=name), ())  # enough to find its table
        read = replace(self, without_table=[name]).catalogue(target, [self.region])
        yield from of_formats((own.stream for own in read.values()), self.formats)

    def of_stream_gone(self, stream: StreamTopology) -> Iterator[Problem]:
        """Yield why a stream that the definition lacks cannot go yet."""
        for region, read in self.catalogue(stream, stream.definition.regions).items():
            for facts in _not_retired({region: read}):
                yield Problem(
                    f"streams.{stream.name}",
                    f"no such stream, where it has subscription {facts.name} as {facts.state} in {region}",
                    _retired_before(facts),
                )

    def catalogue(self, stream: StreamTopology, regions: Iterable[str]) -> Catalogue:
        """Return what these Regions have declared of a stream, as far as it has come here."""
        names = [Region(name) for name in regions]
        calls = [partial(self._declared, stream, region) for region in names]
        known = dict(zip(names, results_of(calls, self.side_by_side), strict=True))
        return {region: read.declaration for region, read in known.items() if read is not None}

    def version(self, stream: StreamTopology) -> str:
        """Return up to where the Region's lane was read, as functions are told; empty if nothing is declared."""
        own = self._declared(stream, self.region)
        return "" if own is None else str(own.version)

    def _declared(
        self, stream: StreamTopology, region: Region, ports: Ports | None = None
    ) -> Declared | None:
        lane = DeclarationLane.of(region, StreamName(stream.name))
        try:
            return newest((ports or self.ports).log_of(stream), lane)
        except LastingError as error:
            if not error.is_missing or stream.name not in self.without_table:
                raise
            return None

    def _of_lanes(self, stream: StreamTopology, own: Declaration, facts: StreamFacts) -> Iterator[Problem]:
        """Yield which of the settings that decide where events are differ, if the stream has any event."""
        different = list(_different(own.stream, facts))
        used = self._used(declared_stream(self.topology.fabric, own)) if different else None
        for key, before, after in different if used is not None else ():
            yield Problem(
                f"streams.{stream.name}.{key}",
                f"{after}, where {before} is declared in {self.region} and lane {used} has events",
                f"{before}, or a stream of another name",
            )

    def _used(self, was: StreamTopology) -> Lane | None:
        """Return a lane of a stream in which something was published."""
        log, lanes = self.ports.log_of(was), lanes_of(was)
        used = results_of([partial(_is_used, log, lane) for lane in lanes], self.side_by_side)
        return next((lane for lane, is_used in zip(lanes, used, strict=True) if is_used), None)


def of_owner(catalogue: Catalogue, facts: StreamFacts, topology: Topology) -> Iterator[Problem]:
    """Yield that somebody else deploys the fabric, who is not named as its former owner."""
    owners = {read.stream.owner: region for region, read in catalogue.items() if read.stream.owner}
    for owner, region in owners.items():
        if owner not in (facts.owner, topology.definition.fabric.former_owner):
            yield Problem(
                "fabric.owner",
                f"{facts.owner!r}, where {owner!r} has declared stream {facts.name} in {region}",
                f"{owner!r}, if you deploy fabric {topology.fabric} for them, or as `former_owner`, if they hand it to "
                "you; or a fabric of another name",
            )


def of_formats(streams: Iterable[StreamFacts], formats: Formats) -> Iterator[Problem]:
    """Yield that the version that would be deployed does not know the formats that a stream requires."""
    for read in streams:
        for verb, required, known in (
            ("reads", read.reads_required, formats.reads),
            ("writes", read.writes_required, formats.writes),
        ):
            if required > known:
                conflict = f"format {required}, where the version that would be deployed {verb} formats up to {known}"
                yield Problem(f"streams.{read.name}", conflict, version_needed(read.raised_with))
                return


def of_sunsets(catalogue: Catalogue, facts: StreamFacts, now_ms: int) -> Iterator[Problem]:
    """Yield which announced ends are brought forward, or come without an announcement to whoever publishes the type."""
    today = day_of(now_ms)
    new = {own.type: own for own in facts.deprecated}
    for region, read in catalogue.items():
        declared = {own.type: own for own in read.stream.deprecated}
        for name, own in new.items():
            before = declared.get(name)
            path = f"streams.{facts.name}.types.{name}.deprecated.sunset"[:200]
            if before is not None and before.sunset:
                if own.sunset and own.sunset < before.sunset:
                    state = f"{own.sunset}, where {before.sunset} is declared in {region}"
                    yield Problem(path, state, f"{before.sunset} or a later day")
            elif own.sunset and own.sunset <= today:
                state = f"{own.sunset}, which has come, and is declared in {region} for the first time"
                yield Problem(path, state, f"a day after {today}")


def of_elsewhere(declared: StreamFacts, facts: StreamFacts, region: Region) -> Iterator[Problem]:
    """Yield what another Region has declared otherwise, and what must be the same in all Regions of a stream."""
    for key, before, after in _different(declared, facts):
        yield Problem(
            f"streams.{facts.name}.{key}",
            f"{after}, where {before} is declared in {region}",
            f"{before}; or deploy {region} before",
        )


def of_closing(
    catalogue: Catalogue, stream: StreamTopology, leaving: Region, now_ms: int, *, lost: Collection[str] = ()
) -> Iterator[Problem]:
    """Yield where a Region is not closing for long enough, so that something may still be published in it.

    That counts in the Region itself, too: its own lane is what its producers go by. `lost`: Regions that are gone for
    good, in which nobody declares anything.
    """
    open_in = []
    for region in map(Region, stream.definition.regions):
        if region in lost:
            continue
        read = catalogue.get(region)
        if read is None or leaving not in read.stream.closing:
            open_in.append(f"not declared as closing in {region}")
        elif now_ms < read.stream.closing_since_ms + 1000 * CLOSING_SECONDS:
            seconds = max(0, now_ms - read.stream.closing_since_ms) // 1000
            open_in.append(f"closing in {region} for only {seconds} s")
    if open_in:
        yield Problem(
            f"streams.{stream.name}.regions",
            f"{leaving} taken out, where it is {', and '.join(open_in)}",
            f"it in `regions` and in `[fabric] closing`, deployed in all Regions {CLOSING_SECONDS} s before",
        )


def _different(before: StreamFacts, after: StreamFacts) -> Iterator[tuple[str, object, object]]:
    if before.lanes != after.lanes:
        yield "lanes", before.lanes, after.lanes
    if before.durability != after.durability:
        yield "durability", before.durability, after.durability


def _not_retired(catalogue: Catalogue) -> Iterator[SubscriptionFacts]:
    """Yield the subscriptions of all Regions that somebody may still wait for, each incarnation once."""
    known = {
        (facts.name, facts.incarnation): facts
        for read in catalogue.values()
        for facts in read.subscriptions.values()
        if facts.state is not State.RETIRED
    }
    return iter(known.values())


def _retired_before(facts: SubscriptionFacts) -> str:
    return f"as before, or after `eventfabric subscriptions retire {facts.name}`"


def _is_used(log: Log, lane: Lane) -> bool:
    return log.tail(lane) != EMPTY_TAIL or log.place(lane) is not None
