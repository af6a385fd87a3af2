"""Plans made by hand for what handlers publish, with a bug planted there that random plans hit too seldom."""

from eventfabric.definition.guarantee import Guarantee
from eventfabric.testing.simulation.plan import Conduct, Happening, PlannedEvent, PlannedSubscription, Publish
from eventfabric.testing.simulation.run import simulate
from tests.simulation.checkers.every import failures
from tests.simulation.hand_made import HOME, SUB, plan_of
from tests.simulation.planting import Bug, planted

REST_REPLAYED = Bug(
    "the rest of a key replayed",
    "a replay takes events that wait behind those that a parked key lists for published",
    "eventfabric.model.parked:Parked.holds_new",
    "return rest is not None and not (",
    "return False and not (",
    by="wrong_publish",
    seed=0,
)


def test_a_replay_from_the_midst_of_what_waits_loses_nothing_of_it() -> None:
    """The first of five events of a key is a dead letter. Its key lists two; the last one is replayed."""
    events = [PlannedEvent(f"e{n}", "k", conduct=Conduct(fails=n == 0)) for n in range(5)]
    plan = plan_of(
        PlannedSubscription(SUB, guarantee=Guarantee.EXACTLY_ONCE, attempts=1, publishes=True),
        publishes=(Publish(0.0, 0, tuple(events)),),
        happenings=(Happening(60.0, "replay", HOME, number=4), Happening(120.0, "redrive", HOME)),
        bounds={"PARKED_PLACES_MAX": 2},
        invoices=1,
    )
    assert failures(simulate(plan)) == []
    with planted(REST_REPLAYED):
        assert REST_REPLAYED.by in {verdict.checker for verdict in failures(simulate(plan))}
