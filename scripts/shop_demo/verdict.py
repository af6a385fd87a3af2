"""The verdict on a run: compares the published events with those that each subscription handled. Calls no service."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from eventfabric.definition.guarantee import Guarantee
from eventfabric.model import Event, Lane, Tail
from eventfabric.testing.local.handled import Handled

_DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Place of an event in the log, which identifies it even if ids repeat."""

    lane: Lane
    sequence: int


@dataclass(frozen=True, slots=True)
class Published:
    """An event that `publish` acknowledged. `appended_ms`: when its record was written, in ms since 1970."""

    place: LogPlace
    id: str
    content: Event
    appended_ms: int


@dataclass(frozen=True)
class Decided:
    """Events that a subscription decided not to handle in a Region: dead letters, and what waits behind them."""

    dead: Mapping[LogPlace, str] = field(default_factory=dict)
    """Dead letters, with the type of their error."""
    waiting: frozenset[LogPlace] = frozenset()
    undecided: int = 0
    """Number of dead letters at which no handler failed: these are faults of the fabric."""

    def __contains__(self, place: object) -> bool:
        return place in self.dead or place in self.waiting


@dataclass(frozen=True)
class Row:
    """The results of one subscription in one Region, for the events that it had to deliver there."""

    subscription: str
    region: str
    guarantee: Guarantee
    published: int
    delivered: int
    repeated: int
    missing: int
    unexpected: int
    out_of_order: int
    digest: str
    duplicate_doorbells: int = 0
    lag: int = 0
    dead: Mapping[str, int] = field(default_factory=dict)
    """Number of dead letters for each type of error: decisions of the handler, not problems of the fabric."""
    waiting: int = 0
    """Events that wait in order behind a dead letter of their key."""
    undecided: int = 0
    latencies_ms: Sequence[int] = field(default=(), repr=False)

    @property
    def problems(self) -> list[str]:
        """Descriptions of everything that is wrong."""
        counts = [
            (self.missing, "missing"),
            (self.unexpected, "delivered that it should not have"),
            (0 if self.guarantee.may_repeat else self.repeated, "handled again"),
            (self.out_of_order, "out of order"),
            (self.lag, "not yet behind the cursors"),
            (self.undecided, "dead letters that no handler failed at"),
        ]
        return [f"{self.subscription} in {self.region}: {count} {what}" for count, what in counts if count]


NOTHING_DECIDED = Decided()


def row_of(
    subscription: str,
    region: str,
    *,
    guarantee: Guarantee,
    expected: Iterable[Published],
    handled: Iterable[Handled],
    duplicate_doorbells: int = 0,
    lag: int = 0,
    decided: Decided = NOTHING_DECIDED,
) -> Row:
    """Compare the expected events, which match the subscription's filter and its Region, with those handled.

    Each event is either handled, or decided (dead, or waiting behind a dead one of its key), or missing.
    """
    wanted = {event.place: event for event in expected}
    delivered: set[LogPlace] = set()
    newest: dict[tuple[str, Lane], int] = {}
    ids: defaultdict[str, list[str]] = defaultdict(list)
    latencies: list[int] = []
    repeated = out_of_order = unexpected = 0
    for entry in handled:
        event = entry.event
        assert event.lane is not None, "an event of the log has a lane"
        assert event.sequence is not None, "an event of the log has a sequence"
        place = LogPlace(event.lane, event.sequence)
        if place in delivered:
            repeated += 1
            continue
        delivered.add(place)
        if place not in wanted:
            unexpected += 1
            continue
        run = (event.key, event.lane)
        out_of_order += event.sequence < newest.get(run, -1)
        newest[run] = max(event.sequence, newest.get(run, -1))
        ids[event.key].append(str(event.id))
        latencies.append(entry.at_ms - wanted[place].appended_ms)
    return Row(
        subscription=subscription,
        region=region,
        guarantee=guarantee,
        published=len(wanted),
        delivered=len(delivered),
        repeated=repeated,
        missing=sum(place not in decided for place in wanted.keys() - delivered),
        unexpected=unexpected,
        out_of_order=out_of_order,
        digest=_digest(ids),
        duplicate_doorbells=duplicate_doorbells,
        lag=lag,
        dead=Counter(decided.dead.values()),
        waiting=len(decided.waiting),
        undecided=decided.undecided,
        latencies_ms=latencies,
    )


def _digest(ids: Mapping[str, Sequence[str]]) -> str:
    """Compute a digest of each key's ids in the order of their first handling. Equal for equal deliveries."""
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for key in sorted(ids):
        digest.update("\0".join([key, *ids[key], "\n"]).encode())
    return digest.hexdigest()


def charge_problems(
    expected: Mapping[str, Iterable[str]], charges: Mapping[str, Mapping[str, int]]
) -> list[str]:
    """Describe what is wrong with the charges. A Region must charge an order once for each time it was placed."""
    problems = []
    for region, orders in expected.items():
        wanted, rows = Counter(orders), charges.get(region, {})
        counts = {
            "not charged": sum(rows.get(order, 0) < count for order, count in wanted.items()),
            "charged that nobody placed": len(rows.keys() - wanted.keys()),
            "charged more than once": sum(
                count > wanted[order] for order, count in rows.items() if order in wanted
            ),
        }
        problems += [f"charges in {region}: {count} orders {what}" for what, count in counts.items() if count]
    return problems


def replica_problems(tails: Mapping[str, Mapping[Lane, Tail]]) -> list[str]:
    """Describe each lane whose tail (sequence and chain) is not the same in every Region."""
    regions = list(tails)
    lanes = sorted({lane for of_region in tails.values() for lane in of_region})
    unequal = [
        lane
        for lane in lanes
        if len({(t.sequence, t.chain) if (t := tails[r].get(lane)) else None for r in regions}) > 1
    ]
    return [f"lane {lane}: its log is not the same in {', '.join(regions)}" for lane in unequal]


def percentile(values: Sequence[int], share: float) -> int:
    """Find the value that a share of the values does not exceed; 0 if there are no values."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0
