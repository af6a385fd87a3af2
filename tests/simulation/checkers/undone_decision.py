"""Undone decision: an operator was told that a dead letter is decided, and later it is not."""

from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.verdict import Anomaly, Verdict, verdict
from tests.simulation.checkers.facts import Facts, facts_of

NAME = "undone_decision"


def check(of: History) -> Verdict:
    """Check that discarded or edited events are not handed out as they were, and that redriven ones are attempted.

    A redriven event may also still wait for its attempt. A replay hands out again what it names, whatever was decided
    about it. A handover that did not hear of a decision repeats events before it, as it repeats commits; a Region that
    had taken over when the decision was made is bound by it. A Region that had not heard that its lanes were handed
    over decides nothing for the new owner, and may hand out what the new owner has decided.
    """
    facts = facts_of(of)
    decided: dict[tuple[str, str, str, int], tuple[history.Decided, int]] = {}
    owners: dict[tuple[str, str], str] = {}
    anomalies: list[Anomaly] = []
    for number, entry in enumerate(of.entries):
        match entry:
            case history.Decided():
                origin = entry.lane.partition("/")[0]
                if owners.get((entry.subscription, origin), entry.region) != entry.region:
                    continue
                group = facts.group(entry.subscription, entry.region)
                decided[entry.subscription, group, entry.lane, entry.sequence] = (entry, number)
            case history.Happened(what="replay_begins"):
                decided.clear()
            case history.HandedOver(copied=False):
                owners[entry.subscription, entry.origin] = entry.to
                decided = {
                    place: decision_place
                    for place, decision_place in decided.items()
                    if place[0] != entry.subscription
                }  # the new owner may not have heard of them
            case history.KeyChanged(copied=False) if entry.after is not None:
                anomalies += _dead_again(facts, decided, entry, number)
            case history.AttemptBegan() if not entry.replay:
                anomalies += _handed_out_again(facts, decided, entry, number)
            case _:
                pass
    return verdict(NAME, anomalies)


def _hears_of(facts: Facts, decision: history.Decided, region: str) -> bool:
    """Tell if a Region knows of a decision: as a former owner of the lane, it may not."""
    return region == decision.region or facts.plan.durability == "quorum"


def _dead_again(
    facts: Facts,
    decided: dict[tuple[str, str, str, int], tuple[history.Decided, int]],
    entry: history.KeyChanged,
    number: int,
) -> list[Anomaly]:
    """Check that a key that is dead at a decided event has failed since the decision."""
    after, before = entry.after, entry.before
    assert after is not None
    if after.state != "dead":
        return []
    place = (entry.subscription, facts.group(entry.subscription, entry.region), entry.lane, after.waiting[0])
    if place not in decided or not _hears_of(facts, decided[place][0], entry.region):
        return []
    if before is not None and before.state == "dead" and before.waiting[0] == after.waiting[0]:
        return []  # it was dead before
    decision, decision_number = decided[place]
    # Others may attempt it once the decision is written, before the operator hears of that.
    written = max(
        (
            index
            for index, fact in enumerate(facts.entries[:decision_number])
            if isinstance(fact, history.KeyChanged) and fact.actor == decision.actor
        ),
        default=decision_number,
    )
    for fact in facts.entries[written:number]:
        if isinstance(fact, history.AttemptBegan) and after.waiting[0] in {
            event.sequence for event in fact.events
        }:
            return []
    what = f"{entry.subscription}: {entry.lane}@{after.waiting[0]} is dead though it was {decision.action}"
    return [Anomaly(what, number)]


def _handed_out_again(
    facts: Facts,
    decided: dict[tuple[str, str, str, int], tuple[history.Decided, int]],
    entry: history.AttemptBegan,
    number: int,
) -> list[Anomaly]:
    group = facts.group(entry.subscription, entry.region)
    anomalies: list[Anomaly] = []
    for place in entry.events:
        decision, decision_number = decided.get(
            (entry.subscription, group, place.lane, place.sequence), (None, 0)
        )
        if decision is None or decision.action == "redriven" or not _hears_of(facts, decision, entry.region):
            continue
        read_since = any(
            isinstance(fact, history.LaneRead) and fact.actor == entry.actor and fact.lane == place.lane
            for fact in facts.entries[decision_number:number]
        )
        if decision.action == "discarded" and read_since:
            what = f"{entry.subscription} was handed {place.id}, which {decision.actor} had discarded"
            anomalies.append(Anomaly(what, number))
    return anomalies
