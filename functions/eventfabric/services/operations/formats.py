"""Raise formats: require newer ones of whoever reads or writes a stream, in every Region. There is no way back.

    look     which formats each Region requires, and which those know that are declared there
    check    why they cannot be raised
    raise    declared in the lane of each Region, if nothing stands against it at the lane's end

Readers come first. Writers follow once no producer goes by what it knew before. It may be repeated, and goes on with
the Regions that are left.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from eventfabric.errors import EventFabricError, FormatsRefusedError, Problem
from eventfabric.formats import Formats
from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import Declaration, State, SubscriptionFacts
from eventfabric.ports import Ports
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.services.catalogue.known import FORGOTTEN_SECONDS
from eventfabric.services.catalogue.lane import history, newest
from eventfabric.services.delivery.side_by_side import SideBySide
from eventfabric.services.operations.declared import DeclaredReader, RegionDeclared
from eventfabric.stream_topology import StreamTopology
from eventfabric.topology import Topology
from eventfabric.version import VERSION

_VERBS = ("reads", "writes")


@dataclass
class FormatRaise:
    """A change of the formats that a stream requires. `by`: who raises them. `request_id`: tells it from others."""

    topology: Topology
    stream: StreamTopology
    ports: Ports
    by: str
    request_id: str
    side_by_side: SideBySide
    known: Formats
    """The newest formats that this version knows."""
    unanswered: dict[Region, str] = field(default_factory=dict, repr=False)
    """Regions in which they were not raised, and why."""

    def look(self) -> list[RegionDeclared]:
        """Return what is declared in each Region, as it is read there. Errors as DeclaredReader.read."""
        every = DeclaredReader(self.ports, self.side_by_side).read(
            self.stream, self.stream.definition.regions
        )
        return [own for own in every if not own.is_former]

    def check(self, looks: Sequence[RegionDeclared], wanted: Formats) -> None:
        """Raise FormatsRefusedError with all that keeps these formats from being required. Lower ones are none."""
        problems = list(self._problems(looks, wanted))
        if problems:
            raise FormatsRefusedError(problems)

    def carry_out(self, looks: Sequence[RegionDeclared], wanted: Formats) -> list[Region]:
        """Declare in each Region that these formats are required, and return where they were not before.

        `unanswered` says where that is not known to be declared; whoever raises them again goes on there.
        """
        self.unanswered = {}
        done: list[Region] = []
        for region in (own.region for own in looks if not _requires(own.declaration, wanted)):
            refuse, ports = partial(self._again, region, wanted), self.ports.at(region)
            deployer = Deployer(self.topology, region, ports, self.by, self.request_id, refuse=refuse)
            try:
                deployer.declare_formats(self.stream, wanted)
                done.append(region)
            except EventFabricError as error:  # what is declared elsewhere stays, and this can be repeated
                self.unanswered[region] = str(error)
        return done

    def _again(self, region: Region, wanted: Formats, read: Declaration) -> None:
        """Raise FormatsRefusedError if something was declared since the first look that stands against it."""
        needed = wanted.joined(read.stream.required)
        problems = [*self._problems_in(region, read, wanted), *self._publishing(region, needed)]
        if problems:
            raise FormatsRefusedError(problems)

    def _problems(self, looks: Sequence[RegionDeclared], wanted: Formats) -> Iterator[Problem]:
        numbers = list(self._of_numbers(looks, wanted))
        yield from numbers
        for own in looks if not numbers else ():
            if own.error:
                yield self._problem(
                    own.region, f"nothing that can be read ({own.error})", "every Region to be read"
                )
            elif own.declaration is None:
                yield self._problem(own.region, "nothing declared", f"a deployment with {VERSION} or later")
            else:
                yield from self._problems_in(own.region, own.declaration, wanted)
                yield from self._undeclared(own.region, own.declaration)
                yield from self._publishing(own.region, wanted.joined(own.declaration.stream.required))
                yield from self._too_early(own, own.declaration, wanted)

    def _of_numbers(self, looks: Sequence[RegionDeclared], wanted: Formats) -> Iterator[Problem]:
        """Yield that this version does not know a format, or that it would be lowered."""
        required = [own.declaration.stream.required for own in looks if own.declaration is not None]
        for verb in _VERBS:
            number, known = getattr(wanted, verb), getattr(self.known, verb)
            highest = max((getattr(own, verb) for own in required), default=1)
            if number > known:
                yield Problem(
                    verb, f"format {number}", f"up to {known}, which this version, {VERSION}, knows"
                )
            elif 1 < number < highest:
                yield Problem(
                    verb, f"format {number}", f"{highest} or more, as {highest} is required already"
                )

    def _problems_in(self, region: Region, read: Declaration, wanted: Formats) -> Iterator[Problem]:
        """Yield who is declared in a Region and does not know these formats, and those that are required already."""
        needed = wanted.joined(read.stream.required)
        if read.stream.is_deployed:
            allowed = f"ones of {VERSION} or later: deploy the cell"
            yield from self._lacking(region, "functions of the cell", read.stream.formats, needed, allowed)
        for facts in known_formats(read):
            yield from self._of_subscription(region, facts, needed)

    def _of_subscription(
        self, region: Region, facts: SubscriptionFacts, needed: Formats
    ) -> Iterator[Problem]:
        who = f"subscription {facts.name}, {facts.state}, of version {facts.version or 'unknown'}"
        allowed = f"one of {VERSION} or later: deploy it, or retire it"
        yield from self._lacking(region, who, facts.formats, needed, allowed)

    def _lacking(
        self, region: Region, who: str, formats: Formats, needed: Formats, allowed: str
    ) -> Iterator[Problem]:
        for verb in _VERBS:
            if getattr(formats, verb) < getattr(needed, verb):
                known = getattr(formats, verb)
                yield self._problem(region, f"{who}, which {verb} formats up to {known}", allowed)

    def _undeclared(self, region: Region, read: Declaration) -> Iterator[Problem]:
        """Yield which subscriptions may run a version that declares nothing, and so knows no format but the first."""
        for own in self.topology.subscriptions_in(region):
            if own.definition.stream == self.stream.name and own.name not in read.subscriptions:
                allowed = f"a deployment of it with {VERSION} or later"
                yield self._problem(region, f"subscription {own.name}, which is not declared", allowed)

    def _publishing(self, region: Region, needed: Formats) -> Iterator[Problem]:
        """Yield which subscriptions of other streams publish into this one, and do not know these formats."""
        ports = self.ports.at(region)
        for other in self.topology.streams_in(region):
            lane = DeclarationLane.of(region, StreamName(other.name))
            known = newest(ports.log_of(other), lane) if other.name != self.stream.name else None
            for facts in known_formats(known.declaration) if known is not None else ():
                if self.stream.name in facts.publishes:
                    yield from self._of_subscription(region, facts, needed)

    def _too_early(self, own: RegionDeclared, read: Declaration, wanted: Formats) -> Iterator[Problem]:
        """Yield that writers would come before readers: before these are required, or known to be."""
        if wanted.writes <= read.stream.writes_required:
            return
        number, required = wanted.writes, read.stream.reads_required
        since_ms = self._readers_since_ms(own.region, number)
        seconds = (self.ports.clock.now_ms() - since_ms) // 1000
        if required < number or seconds < FORGOTTEN_SECONDS:
            lately = "" if required < number else f" for only {max(0, seconds)} s"
            yield self._problem(
                own.region,
                f"format {required} required of readers{lately}",
                f"at least {number} for {FORGOTTEN_SECONDS} s in every Region, before it is written",
            )

    def _readers_since_ms(self, region: Region, number: int) -> int:
        """Return the time since which a Region requires a format of readers, or an earlier one that is early enough."""
        lane = DeclarationLane.of(region, StreamName(self.stream.name))
        ports = self.ports.at(region)
        now_ms = since_ms = self.ports.clock.now_ms()
        for read in history(ports.log_of(self.stream), lane):
            if read.stream.reads_required < number:
                break
            since_ms = read.change.at_ms
            if now_ms - since_ms >= 1000 * FORGOTTEN_SECONDS:
                break
        return since_ms

    def _problem(self, region: Region, state: str, allowed: str) -> Problem:
        return Problem(f"{self.stream.name} in {region}", state, allowed)


def known_formats(read: Declaration) -> Iterator[SubscriptionFacts]:
    """Yield the subscriptions whose formats count: those that nobody has retired."""
    return (facts for facts in read.subscriptions.values() if facts.state is not State.RETIRED)


def _requires(read: Declaration | None, wanted: Formats) -> bool:
    """Tell if what is declared requires these formats already."""
    return read is not None and read.stream.required.suffices_for(wanted)
