"""Catalogue: what is deployed of a stream in each of its Regions, as it was declared there.

A Region declares in a lane of its own. Each declaration is whole: it says all that is declared in the Region by then.
So the newest one is enough to read, and those before it are the history. Nothing that was declared is left out of a
later one: a subscription that has gone stays in it as retired or undeployed.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from eventfabric.definition.schema import Deliver, Durability
from eventfabric.definition.sections import Backpressure, WhilePaused
from eventfabric.errors import LogError
from eventfabric.formats import Formats
from eventfabric.model.deprecation import DeprecatedType
from eventfabric.model.identity import Chain, Region, SequenceNumber
from eventfabric.model.partly_read import readable_of, with_facts
from eventfabric.model.record import Tail


class State(StrEnum):
    """A subscription's state in one Region. Its value is how a declaration has it."""

    ACTIVE = "active"
    DRAINING = "draining"
    """It is being retired: what was published before is still delivered."""
    RETIRED = "retired"
    """An operator has ended it. Nothing is delivered, and a subscription that takes the name begins anew."""
    UNDEPLOYED = "undeployed"
    """Its stack was deleted, and nobody has retired it. If it is deployed again, it goes on where it was."""

    @property
    def is_rung(self) -> bool:
        """Doorbells are rung for it."""
        return self in (State.ACTIVE, State.DRAINING)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFacts:
    """A stream, as it is deployed in a Region. Times are in milliseconds since 1970."""

    name: str
    regions: tuple[str, ...]
    lanes: int
    durability: Durability = "replicated"
    retention_days: int | None = None
    express: bool = True
    requires_schemas: bool = False
    """Events of a type without a schema are refused where they are published."""
    closing: tuple[str, ...] = ()
    """Regions in which nothing is published any more, because they will be taken out."""
    closing_since_ms: int = 0
    """Time since which no further Region is closing."""
    former_regions: tuple[str, ...] = ()
    """Regions that the stream was in once, and is no more."""
    owner: str = ""
    """Who may deploy the fabric; empty: nobody has said so."""
    reads_required: int = 1
    """Format that everything that reads the stream must be able to read."""
    writes_required: int = 1
    """Format in which everything that writes must write."""
    raised_with: str = ""
    """Version of this library with which these were raised last."""
    reads_max: int = 1
    """Newest format that the Region's own functions read, such as that of reconciliation."""
    writes: int = 1
    """Newest format that they write."""
    is_deployed: bool = True
    deprecated: tuple[DeprecatedType, ...] = ()
    """Types whose end is announced, in the order of their names."""
    unknown: Mapping[str, object] = field(default_factory=dict, repr=False)
    """Further members, of a later version; they stay as they are."""

    @property
    def required(self) -> Formats:
        """The formats that are required of whoever reads and writes the stream."""
        return Formats(self.reads_required, self.writes_required)

    @property
    def formats(self) -> Formats:
        """The newest formats that the Region's own functions know."""
        return Formats(self.reads_max, self.writes)

    def requiring(self, formats: Formats, *, raised_with: str) -> "StreamFacts":
        """Return these facts with other formats that are required."""
        return replace(
            self, reads_required=formats.reads, writes_required=formats.writes, raised_with=raised_with
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionFacts:
    """A subscription, as it is deployed in a Region. Times are in milliseconds since 1970."""

    name: str
    state: State = State.ACTIVE
    incarnation: int = 0
    """Number of times that the name was taken anew. It is in the keys of the subscription's state."""
    highest: int = 0
    """Highest incarnation that the name ever had in this Region, so that none is used again."""
    since_ms: int = 0
    """Time at which this incarnation was declared first."""
    owner: str = ""
    contact: str = ""
    handler: str = ""
    guarantee: str = "at_least_once"
    types: tuple[str, ...] | None = None
    deliver: Deliver = "origin"
    region: str | None = None
    start: str = "earliest"
    publishes: tuple[str, ...] = ()
    backpressure_seconds: int = 0
    """Seconds by which producers may be ahead of it; 0: it holds nobody back."""
    backpressure_events_min: int = 16
    """Events by which they may always be ahead in a lane."""
    holds_while_paused: bool = False
    """They are held back while it is paused, too."""
    reads_max: int = 1
    """Newest format that its function reads."""
    writes: int = 1
    """Newest format that its function writes."""
    version: str = ""
    """Version of this library that its function runs."""
    unknown: Mapping[str, object] = field(default_factory=dict, repr=False)
    """Further members, of a later version; they stay as they are."""

    @property
    def formats(self) -> Formats:
        """The newest formats that its function knows."""
        return Formats(self.reads_max, self.writes)

    @property
    def backpressure(self) -> Backpressure | None:
        """How far producers may be ahead of it; None: as far as they get, as ever once it is not active any more."""
        if not self.backpressure_seconds or self.state is not State.ACTIVE:
            return None
        return Backpressure(
            seconds=self.backpressure_seconds,
            events_min=self.backpressure_events_min,
            while_paused=WhilePaused.HOLD if self.holds_while_paused else WhilePaused.PASS,
        )

    def standing_as(self, other: "SubscriptionFacts") -> "SubscriptionFacts":
        """Return what this says of the subscription, with the state, incarnation and time that another says.

        So are members of a later version, which a definition of this one cannot say.
        """
        return replace(
            self,
            state=other.state,
            incarnation=other.incarnation,
            highest=other.highest,
            since_ms=other.since_ms,
            unknown=other.unknown,
        )

    def retired(self) -> "SubscriptionFacts":
        """Return what is kept for good of a subscription that was retired: what its keys are, and what it was to get.

        Proofs of what it has handled need that. Each declaration has all names that ever were.
        """
        return SubscriptionFacts(
            name=self.name,
            state=State.RETIRED,
            incarnation=self.incarnation,
            highest=self.highest,
            since_ms=self.since_ms,
            guarantee=self.guarantee,
            types=self.types,
            deliver=self.deliver,
            region=self.region,
            start=self.start,
            unknown=self.unknown,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredChange:
    """A change of what is declared: who made which, when, and with which version of this library."""

    kind: str
    of: str = ""
    """Name of the subscription that was changed; empty: the stream."""
    by: str
    """Whoever made it: the ARN of a stack or of a principal."""
    request_id: str
    """Id of the request. A request that comes again changes nothing more."""
    version: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """All that is declared of a stream in one Region, and the change that made it so."""

    stream: StreamFacts
    subscriptions: Mapping[str, SubscriptionFacts] = field(default_factory=dict)
    """All of them, by name. Of one that a later version declared, a look-up may raise: see PartlyRead."""
    change: DeclaredChange
    unknown: Mapping[str, object] = field(default_factory=dict, repr=False)
    """Further members, of a later version; they stay as they are."""

    def with_subscription(self, facts: SubscriptionFacts, change: DeclaredChange) -> "Declaration":
        """Return the declaration with another content for one subscription."""
        subscriptions = with_facts(self.subscriptions, facts.name, facts)
        return replace(self, subscriptions=subscriptions, change=change)

    def with_stream(self, facts: StreamFacts, change: DeclaredChange) -> "Declaration":
        """Return the declaration with another content for the stream."""
        return replace(self, stream=facts, change=change)

    def as_of(self, time_ms: int) -> "Declaration":
        """Return the declaration as of a time, in milliseconds since 1970: that of its record, not of its request.

        A Region that begins to close does so then, because no producer knows of it before.
        """
        began = self.stream.closing_since_ms == self.change.at_ms
        stream = replace(self.stream, closing_since_ms=time_ms) if began else self.stream
        return replace(self, stream=stream, change=replace(self.change, at_ms=time_ms))

    def rung(self) -> Iterator[SubscriptionFacts]:
        """Yield the subscriptions for which doorbells are rung, of those that this version can read."""
        return (facts for facts in readable_of(self.subscriptions).values() if facts.state.is_rung)


@dataclass(frozen=True, slots=True)
class CatalogueVersion:
    """The place up to which a lane of declarations was read. `str(version)` is its form in an environment."""

    sequence: SequenceNumber
    chain: Chain

    def __str__(self) -> str:
        return f"{self.sequence}.{self.chain.hex()}"

    @classmethod
    def parse(cls, text: str) -> "CatalogueVersion":
        """Parse the text that `str(version)` wrote. ValueError for anything else."""
        sequence, _, chain = text.partition(".")
        return cls(SequenceNumber(int(sequence)), Chain(bytes.fromhex(chain)))

    def is_after(self, tail: Tail) -> bool:
        """Tell if a lane that ends at `tail` cannot be the one that was read: it lacks a part, or has another one."""
        return tail.sequence < self.sequence or (tail.sequence == self.sequence and tail.chain != self.chain)


@dataclass(frozen=True, slots=True)
class Declared:
    """The newest declaration of a Region, and the tail of its lane."""

    declaration: Declaration
    tail: Tail
    unreadable: LogError | None = None
    """Why the one after it, which is the newest, cannot be read; None: it is the newest."""

    @property
    def version(self) -> CatalogueVersion:
        """The place up to which the lane was read."""
        return CatalogueVersion(self.tail.sequence, self.tail.chain)


Catalogue = Mapping[Region, Declaration]
"""The newest declarations of a stream's Regions. Each is about its own Region, so their order does not matter."""


def facts_of(catalogue: Catalogue, name: str) -> dict[Region, SubscriptionFacts]:
    """Return what each Region declares of a subscription, of those that know it."""
    return {
        region: declaration.subscriptions[name]
        for region, declaration in catalogue.items()
        if name in declaration.subscriptions
    }


def incarnation_to_deploy(catalogue: Catalogue, region: Region, name: str) -> int:
    """Return the incarnation with which a subscription is deployed in a Region.

    It keeps its incarnation there until it is retired there. The next one is the same in all Regions, though they are
    deployed one after the other: whoever comes later takes that of those before.
    """
    known = facts_of(catalogue, name)
    own = known.get(region)
    if own is not None and own.state is not State.RETIRED:
        return own.incarnation
    newest = max(
        (facts.incarnation for facts in known.values() if facts.state is not State.RETIRED), default=-1
    )
    if newest > (-1 if own is None else own.incarnation):
        return newest
    return highest_of(catalogue, name) + 1


def highest_of(catalogue: Catalogue, name: str) -> int:
    """Return the highest incarnation that a subscription ever had in any Region; -1: none knows it."""
    return max((facts.highest for facts in facts_of(catalogue, name).values()), default=-1)


def deployed(
    read: Declaration, catalogue: Catalogue, region: Region, facts: SubscriptionFacts, change: DeclaredChange
) -> Declaration:
    """Return the declaration after a subscription was deployed. `facts`: without incarnation, time and state."""
    own = read.subscriptions.get(facts.name)
    known = {**catalogue, region: read}
    incarnation = incarnation_to_deploy(known, region, facts.name)
    is_new = own is None or own.incarnation != incarnation
    return read.with_subscription(
        replace(
            facts,
            state=State.ACTIVE,
            incarnation=incarnation,
            highest=max(incarnation, highest_of(known, facts.name)),
            since_ms=change.at_ms if is_new or own is None else own.since_ms,
            unknown=facts.unknown if own is None else own.unknown,
        ),
        change,
    )


def redeployed(
    read: Declaration, history: Iterator[Declaration], facts: SubscriptionFacts, change: DeclaredChange
) -> Declaration:
    """Return the declaration after a rollback: the state in which these facts were declared last, before all others.

    What was retired meanwhile stays retired, and the highest incarnation stays, so that none is used again.
    `history`: declarations of the Region, newest first.
    """
    own = read.subscriptions.get(facts.name)
    earlier = (known.subscriptions.get(facts.name) for known in history)
    before = next((known for known in earlier if known and known == facts.standing_as(known)), own)
    if own is None or before is None:
        return read.with_subscription(facts, change)
    standing = facts.standing_as(replace(before, highest=max(before.highest, own.highest)))
    # The incarnation went up because the one before was retired, whatever stands in its last declaration.
    if own.state is State.RETIRED or before.incarnation < own.incarnation:
        standing = standing.retired()
    return read.with_subscription(standing, change)


def stream_deployed(read: Declaration | None, facts: StreamFacts, change: DeclaredChange) -> Declaration:
    """Return the declaration after a stream was deployed. `facts`: without what only earlier declarations know."""
    if read is None:
        since_ms = change.at_ms if facts.closing else 0
        return Declaration(stream=replace(facts, closing_since_ms=since_ms), change=change)
    before = read.stream
    is_as_before = set(facts.closing) <= set(before.closing)
    left = dict.fromkeys([*before.former_regions, *facts.former_regions, *before.regions])
    joined = before.required.joined(facts.required)
    return read.with_stream(
        replace(
            facts.requiring(joined, raised_with=facts.raised_with or before.raised_with),
            closing_since_ms=before.closing_since_ms if is_as_before else change.at_ms,
            former_regions=tuple(region for region in left if region not in facts.regions),
            unknown={**before.unknown, **facts.unknown},
        ),
        change,
    )


def as_elsewhere(catalogue: Catalogue, facts: StreamFacts) -> StreamFacts:
    """Return a stream's facts for a Region that joins others: with the formats required there, and former Regions."""
    former = dict.fromkeys(facts.former_regions)
    for read in catalogue.values():
        former |= dict.fromkeys((*read.stream.former_regions, *read.stream.regions))
        if not facts.required.suffices_for(read.stream.required):
            joined = facts.required.joined(read.stream.required)
            facts = facts.requiring(joined, raised_with=read.stream.raised_with)
    return replace(facts, former_regions=tuple(own for own in former if own not in facts.regions))


def formats_raised(read: Declaration, formats: Formats, change: DeclaredChange) -> Declaration:
    """Return the declaration that requires these formats of whoever reads and writes. None is ever lowered."""
    if read.stream.required.suffices_for(formats):
        return read
    joined = read.stream.required.joined(formats)
    return read.with_stream(read.stream.requiring(joined, raised_with=change.version), change)


def in_state(
    read: Declaration,
    name: str,
    state: State,
    change: DeclaredChange,
    *,
    of: Collection[State] = tuple(State),
    incarnation: int | None = None,
    highest: int = 0,
) -> Declaration | None:
    """Return the declaration with a subscription in another state; None: nothing changes.

    A retired subscription stays retired: its stack is deleted afterwards. `of`: states that are left for the new one.
    `incarnation`: the only one that is meant. `highest`: the highest that any Region knows of.
    """
    own = read.subscriptions.get(name)
    if own is None or own.state in (state, State.RETIRED) or own.state not in of:
        return None
    if incarnation not in (None, own.incarnation):
        return None
    facts = replace(own, state=state, highest=max(own.highest, highest))
    return read.with_subscription(facts.retired() if state is State.RETIRED else facts, change)
