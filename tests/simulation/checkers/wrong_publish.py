"""Wrong publish: a handler's event stands in the second stream too often, not at all, or in the wrong order.

Under exactly_once, what is published for an event commits with its effect. At least once, a repeat has the same id. A
replay publishes nothing.
"""

from collections import Counter, defaultdict

from eventfabric.model import Lane, SequenceNumber
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from eventfabric.wire.published import published_id
from tests.simulation.checkers.delivering import Delivering
from tests.simulation.checkers.facts import Facts, facts_of

NAME = "wrong_publish"
_Key = tuple[str, str, str]
"""Subscription, group, and id of the source event."""


class _Chain:
    """Published events, and attempts and effects, of each source event."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.published: defaultdict[_Key, list[int]] = defaultdict(list)
        """Entries, by what they were published for."""
        self.handled: Counter[_Key] = Counter()
        """Number of attempts that ended well, without those of replays."""
        self.effects: Counter[_Key] = Counter()
        self.decided: set[_Key] = set()
        """Events that somebody discarded or edited."""
        self.delivering = Delivering(facts)
        of_place = {place: logged.id for place, logged in facts.logged.items()}
        for number, entry in enumerate(facts.entries):
            self.delivering.feed(entry)
            match entry:
                case history.Published():
                    self.published[self.key(entry, entry.id)].append(number)
                case history.AttemptEnded() if not (entry.error or entry.replay):
                    self.handled.update(self.key(entry, place.id) for place in entry.events)
                case history.EffectMade():
                    self.effects[self.key(entry, entry.id)] += 1
                case history.Settled():
                    self.decided.update(self._settled(entry, of_place))

    def key(self, entry: history.Published | history.EffectMade | history.AttemptEnded, id_: str) -> _Key:
        return entry.subscription, self.facts.group(entry.subscription, entry.region), id_

    def _settled(self, entry: history.Settled, of_place: dict[tuple[str, int], str]) -> list[_Key]:
        group = self.facts.group(entry.subscription, entry.region)
        of_lane = {sequence: id_ for (lane, sequence), id_ in of_place.items() if lane == entry.lane}
        sequences = {entry.sequence, *entry.dropped}
        # Of a whole key that was discarded, every event from there on may be one of it.
        sequences |= {sequence for sequence in of_lane if entry.since <= sequence < entry.until}
        return [
            (entry.subscription, group, of_lane[sequence]) for sequence in sequences if sequence in of_lane
        ]


def check(of: History) -> Verdict:
    """Check what was published for each event: how often, under which id, and in which order."""
    facts = facts_of(of)
    if not of.plan.invoices:
        return verdict(NAME, [])
    chain = _Chain(facts)
    return verdict(NAME, [*_too_often(chain), *_other_ids(chain), *_missing(chain), *_reordered(chain)])


def _too_often(chain: _Chain) -> list[Anomaly]:
    """Check the number of events that were published for each: at most one for each attempt that ended well."""
    anomalies: list[Anomaly] = []
    for key, numbers in chain.published.items():
        subscription = chain.facts.subscriptions[key[0]]
        once = subscription.guarantee.transactional or (subscription.once and key not in chain.decided)
        allowed = min(1, chain.handled[key]) if once else chain.handled[key]
        if len(numbers) > allowed:
            what = f"{key[0]} published {len(numbers)} events for {key[2]}, allowed: {allowed}"
            anomalies.append(Anomaly(what, numbers[-1]))
    return anomalies


def _other_ids(chain: _Chain) -> list[Anomaly]:
    """Check that the id is that of the event's place, at each attempt, unless somebody edited the event."""
    anomalies: list[Anomaly] = []
    stream = chain.facts.plan.stream
    for number, entry in enumerate(chain.facts.entries):
        if not isinstance(entry, history.Published) or chain.key(entry, entry.id) in chain.decided:
            continue
        places = [place for place, logged in chain.facts.logged.items() if logged.id == entry.id]
        ids = {
            published_id(
                entry.subscription, stream, Lane.parse(lane), SequenceNumber(sequence), edit="", name=0
            )
            for lane, sequence in places
        }
        if entry.published not in ids:
            what = f"{entry.subscription} published for {entry.id} as {entry.published}, not by its place"
            anomalies.append(Anomaly(what, number))
    return anomalies


def _missing(chain: _Chain) -> list[Anomaly]:
    """Check that for each event that was handled, something is published in the end."""
    facts, anomalies = chain.facts, list[Anomaly]()
    if facts.end is None or not facts.end.quiet:
        return []
    for subscription, group, lane, sequence in sorted(chain.delivering.handled):
        planned = facts.subscriptions[subscription]
        key = (subscription, group, facts.logged[lane, sequence].id)
        parked = any(
            chain.delivering.waits(region, subscription, lane, sequence) for region in facts.plan.regions
        )
        if key in chain.decided or parked or planned.guarantee.may_lose:
            continue
        # What was first handed out by a replay, since it stands before the beginning, has nothing to publish.
        had_to = chain.handled[key] or planned.start == "earliest"
        if had_to and not chain.published[key]:
            anomalies.append(
                Anomaly(f"{subscription} handled {key[2]} and published nothing", len(facts.entries) - 1)
            )
    return anomalies


def _reordered(chain: _Chain) -> list[Anomaly]:
    """Check that what is published exactly once for the events of a key of a lane has the order of these."""
    facts, anomalies = chain.facts, list[Anomaly]()
    if facts.is_reordered:
        return []
    of_id = {logged.id: logged for logged in facts.logged.values()}
    last: dict[tuple[str, str, str, str], tuple[int, int]] = {}
    by_place = sorted(
        (entry.lane, entry.sequence, number)
        for number, entry in enumerate(facts.entries)
        if isinstance(entry, history.Published)
    )
    for _, _, number in by_place:
        entry = _published(chain, number)
        planned, source = facts.subscriptions[entry.subscription], of_id[entry.id]
        if not planned.guarantee.transactional or planned.order == "none":
            continue
        place = (entry.subscription, entry.lane, source.lane, source.key)
        before, _ = last.get(place, (-1, 0))
        if source.sequence < before:
            what = f"{entry.subscription} published for {entry.id} after a later event of {source.key}"
            anomalies.append(Anomaly(what, number))
        last[place] = (max(before, source.sequence), number)
    return anomalies


def _published(chain: _Chain, number: int) -> history.Published:
    entry = chain.facts.entries[number]
    assert isinstance(entry, history.Published)
    return entry
