"""Somebody's own handlers under faults: what is not idempotent is found, with a short schedule, and nothing else is."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from moto import mock_aws

from eventfabric import Delivery, subscriber
from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import Definition
from eventfabric.errors import HandlerError, HandlersFailError, SettingError, UnknownNameError
from eventfabric.model import Event
from eventfabric.testing.idempotency.handling import Tokens
from eventfabric.testing.idempotency.hunting import run_here
from eventfabric.testing.idempotency.report import HandlersReport
from eventfabric.testing.idempotency.trials import STUCK, HandlerTrials
from eventfabric.testing.idempotency.workload import WAYS
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.acting import acting, effect
from eventfabric.testing.simulation.kept import keep
from eventfabric.testing.simulation.plan import Conduct, Happening, Plan, PlannedEvent, Publish
from tests.simulation import wrong_handlers
from tests.simulation.wrong_handlers import RIGHT, WRONG

SEEDS_MAX = 50
RIGHT_SEEDS = 15
EVENTS = [
    Event(id=f"s{number}", key=f"k{number % 5}", type="placed" if number % 3 else "paid", data={"n": number})
    for number in range(30)
]


def definition(guarantee: str = "at_least_once", *, regions: int = 1, more: str = "") -> Definition:
    names = ("us-east-1", "eu-west-1")[:regions]
    return parse_definition(f"""
        [fabric]
        name = "own"
        regions = {json.dumps(names)}
        [streams.orders]
        durability = "{"replicated" if regions > 1 else "regional"}"
        [subscriptions.taker]
        stream = "orders"
        handler = "nowhere:function"
        guarantee = "{guarantee}"
        {more}
    """)


def trials(handler: Callable[..., Any], guarantee: str = "at_least_once", **how: Any) -> HandlerTrials:
    return HandlerTrials(
        definition(guarantee, **how), events=EVENTS, handlers={"taker": handler}, setup=wrong_handlers.make
    )


@cache
def first_found(name: str) -> tuple[int, frozenset[str]]:
    """The seeds that a wrong handler took, and what is wrong. Two tests ask."""
    outcomes = map(trials(WRONG[name][0]).try_seed, range(SEEDS_MAX))
    for seeds, outcome in enumerate(outcomes, 1):
        assert not outcome.error, outcome.error
        if outcome.signature:
            return seeds, outcome.signature
    return SEEDS_MAX + 1, frozenset()


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_handlers_effect_is_found_and_named(name: str) -> None:
    seeds, signatures = first_found(name)
    assert WRONG[name][1] in signatures, f"{seeds} seeds found {sorted(signatures)}"
    assert all(signature.startswith("taker: ") for signature in signatures)


def test_half_of_the_wrong_handlers_are_found_within_ten_seeds() -> None:
    assert median(first_found(name)[0] for name in WRONG) <= 10


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_handler_is_not_blamed(name: str) -> None:
    of = trials(RIGHT[name], regions=2)
    outcomes = [of.try_seed(seed) for seed in range(RIGHT_SEEDS)]
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    assert {outcome.seed: sorted(outcome.signature) for outcome in outcomes if outcome.signature} == {}
    assert any(outcome.tally.happenings.get("attempt repeated: taker") for outcome in outcomes)


@pytest.mark.parametrize("guarantee", ["exactly_once"])
def test_what_commits_with_the_cursor_may_add_up(guarantee: str) -> None:
    of = trials(wrong_handlers.adds_up_in_the_transaction, guarantee, regions=2)
    outcomes = [of.try_seed(seed) for seed in range(RIGHT_SEEDS)]
    assert {
        outcome.seed: sorted(outcome.signature) for outcome in outcomes if outcome.signature or outcome.error
    } == {}
    assert any(
        verdict.checker == "taker: dynamodb rows: n" for outcome in outcomes for verdict in outcome.verdicts
    )


def test_a_replay_is_found_only_by_who_asks_for_it() -> None:
    def signatures(*, replay: bool) -> set[str]:
        of = HandlerTrials(
            definition("exactly_once"),
            events=EVENTS,
            setup=wrong_handlers.make,
            replay=replay,
            handlers={"taker": wrong_handlers.adds_up_in_the_transaction},
        )
        return set().union(*(of.try_seed(seed).signature for seed in range(RIGHT_SEEDS)))

    assert signatures(replay=False) == set()
    assert signatures(replay=True) == {"taker: dynamodb rows: n"}


def test_at_most_once_may_lose_an_effect_and_repeats_none() -> None:
    right = (RIGHT["puts_by_the_events_id"], RIGHT["charges_by_key"], wrong_handlers.calls_without_a_key)
    for handler in right:
        of = trials(handler, "at_most_once")
        outcomes = [of.try_seed(seed) for seed in range(RIGHT_SEEDS)]
        assert {
            outcome.seed: sorted(outcome.signature)
            for outcome in outcomes
            if outcome.signature or outcome.error
        } == {}


def test_the_same_seed_gives_the_same_history_twice() -> None:
    of = trials(wrong_handlers.adds_up)
    plan = of.plan(3)
    assert of.tried(plan)[1].encode() == of.tried(plan)[1].encode()


def test_what_is_found_is_shrunk_printed_and_drawn(tmp_path: Path) -> None:
    report = run_here(trials(wrong_handlers.adds_up), range(10), out=tmp_path)
    assert report.found == ["taker: dynamodb rows: n"]
    with pytest.raises(AssertionError) as raised:
        report.check()
    (kept_failure,) = report.kept_failures
    message = str(raised.value)
    assert "n of k" in message
    assert "without faults" in message
    assert "time 2" in message
    assert len(kept_failure.history.plan.events if kept_failure.history else ()) == 1
    assert kept_failure.picture.read_text(encoding="utf-8").count("UpdateItem rows") >= 2
    plan = msgspec.json.decode(kept_failure.plan.read_bytes(), type=Plan)
    assert "taker: dynamodb rows: n" in trials(wrong_handlers.adds_up).tried(plan)[0].signature
    shown = report.as_json()
    assert shown["found"] == report.found
    (drawn,) = [failure for failure in shown["failures"] if "plan" in failure]
    assert drawn["seed"] == kept_failure.seed
    assert drawn["schedule"]
    assert shown["effects"]["taker: dynamodb rows: n"]["differs"] >= 1
    assert shown["repeated"]["taker"] > 0


def test_nothing_found_is_no_error(tmp_path: Path) -> None:
    report = run_here(trials(wrong_handlers.puts_by_the_events_id), range(5), out=tmp_path)
    report.check()
    assert (report.found, report.kept_failures, list(tmp_path.iterdir())) == ([], [], [])


def test_a_handler_that_fails_without_faults_is_reported_before_anything_is_tried(tmp_path: Path) -> None:
    of = trials(wrong_handlers.fails)
    with pytest.raises(
        HandlersFailError, match=r"taker: its handler raises ValueError for event e\d+ .*no such order"
    ):
        run_here(of, range(3), out=tmp_path)


def test_a_crash_between_two_calls_is_tried_too() -> None:
    """The second of two effects is lost with the process, and the first made again."""
    planned_event = PlannedEvent("e1", "k1", "placed", Conduct(crashes=1), {"n": 1})
    of = trials(wrong_handlers.steps_without_verify_and_twice)
    base = msgspec.structs.replace(
        of.plan(1), happenings=(), rates={}, publishes=(Publish(0.0, 0, (planned_event,), "one"),)
    )
    reasons = {
        entry.reason
        for seed in range(12)
        for entry in of.tried(msgspec.structs.replace(base, seed=seed))[1].entries
        if isinstance(entry, history.Crashed)
    }
    assert reasons == {
        "crashed in its handler of e1, before charge",
        "crashed when its handler had handled e1",
    }


def test_a_queue_knows_a_deduplication_id_for_five_minutes_only() -> None:
    class Time:
        ms = 0

        def now_ms(self) -> int:
            return self.ms

    fabric: Any = SimpleNamespace(time=Time())
    tokens = Tokens(fabric)
    assert not tokens.knows("sqs SendMessage", "t", 300_000)
    fabric.time.ms = 299_999
    assert tokens.knows("sqs SendMessage", "t", 300_000)
    fabric.time.ms = 300_000
    assert not tokens.knows("sqs SendMessage", "t", 300_000)
    assert not tokens.knows("charge", "t", 0)
    fabric.time.ms = 10**12
    assert tokens.knows("charge", "t", 0)
    assert not tokens.knows("charge", None, 0)


def test_an_effect_outside_of_any_simulation_is_nothing() -> None:
    effect("charge", key="k")
    assert acting.get() is None


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"events": []}, SettingError, "events for subscription taker"),
        ({"subscriptions": ["nobody"]}, UnknownNameError, "nobody"),
        ({"handlers": {"nobody": print}}, UnknownNameError, "nobody"),
        ({"handlers": {}}, HandlerError, "nowhere"),
        ({"setup": "nowhere:make"}, HandlerError, "setup 'nowhere:make'"),
    ],
)
def test_what_cannot_be_tried_is_refused_at_once(
    how: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments: dict[str, Any] = {"events": EVENTS, "handlers": {"taker": print}, **how}
    with pytest.raises(error, match=message):
        HandlerTrials(definition(), **arguments)


def test_a_plan_of_other_handlers_is_refused() -> None:
    of = trials(wrong_handlers.adds_up)
    plan = of.plan(1)
    of.check_plan(plan)
    with pytest.raises(SettingError, match="allowed"):
        of.check_plan(msgspec.structs.replace(plan, profile="default"))
    with pytest.raises(UnknownNameError, match="events"):
        of.check_plan(msgspec.structs.replace(plan, stream="events"))
    other = msgspec.structs.replace(plan.subscriptions[0], name="giver")
    with pytest.raises(SettingError, match="giver"):
        of.check_plan(msgspec.structs.replace(plan, subscriptions=(other,)))


def test_a_plan_with_regions_that_the_stream_no_longer_has_is_refused() -> None:
    wider = trials(wrong_handlers.adds_up, regions=2).plan(1)
    of = trials(wrong_handlers.adds_up)
    with pytest.raises(SettingError, match="plan: found 'Region eu-west-1', allowed: Regions us-east-1"):
        of.check_plan(wider)
    elsewhere = Happening(1.0, "region_loss", "us-east-1", "ap-south-1")
    for changed in ({"producers": ("ap-south-1",)}, {"happenings": (elsewhere,)}):
        with pytest.raises(SettingError, match="Region ap-south-1"):
            of.check_plan(msgspec.structs.replace(of.plan(1), **changed))


def test_a_seed_that_breaks_the_simulation_is_reported_and_others_go_on(tmp_path: Path) -> None:
    calls = 0

    def make(outside: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ZeroDivisionError
        wrong_handlers.make(outside)

    right = {"taker": wrong_handlers.puts_by_the_events_id}
    of = HandlerTrials(definition(), events=EVENTS, handlers=right, setup=make)
    report = run_here(of, range(2), out=tmp_path)
    (failure,) = report.summary.failures
    assert failure.broke == "HandlersFailError in _set_up"
    assert (report.summary.seeds, report.found) == (2, ["HandlersFailError in _set_up"])
    # It does not show again, and is kept as it was.
    (kept_failure,) = report.kept_failures
    assert msgspec.json.decode(kept_failure.plan.read_bytes(), type=Plan) == of.plan(0)


def test_a_lane_that_never_drains_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventfabric.testing.simulation.run.DRAIN_STEPS_MAX", 3)
    outcome = trials(wrong_handlers.adds_up).try_seed(0)
    assert outcome.signature == {STUCK}


def test_shrinking_keeps_the_events_as_they_are(tmp_path: Path) -> None:
    of = trials(wrong_handlers.sends)
    seed = next(seed for seed in range(SEEDS_MAX) if of.try_seed(seed).signature)
    kept_failure = keep(of.try_seed(seed), of.plan(seed), tmp_path, shrinks=True, trial=of.tried, ways=WAYS)
    plan = msgspec.json.decode(kept_failure.plan.read_bytes(), type=Plan)
    sample = {(event.key, event.type, event.data["n"]) for event in EVENTS}
    assert {(event.key, event.type, event.data["n"]) for event in plan.events.values()} <= sample
    assert plan.size < of.plan(seed).size


@pytest.mark.eventfabric_simulation(setup="subscribers.tables:make")
def test_the_marker_tries_the_projects_own_handlers(
    simulate_handlers: Callable[..., HandlersReport],
) -> None:
    report = simulate_handlers(range(8))
    report.check()
    assert sum(report.repeated.values()) > 0


@pytest.mark.eventfabric_simulation(
    definition=definition(),
    events=EVENTS,
    setup=wrong_handlers.make,
    handlers={"taker": wrong_handlers.sends},
)
def test_the_marker_takes_handlers_of_a_test(simulate_handlers: Callable[..., HandlersReport]) -> None:
    with pytest.raises(AssertionError, match="sqs SendMessage mails"):
        simulate_handlers(range(10)).check()


@pytest.mark.eventfabric_simulation("other.toml", setpu="subscribers.tables:make")
@pytest.mark.eventfabric("other.toml", handler=print)
@pytest.mark.parametrize(
    ("fixture", "message"),
    [
        ("simulate_handlers", "'other.toml', setpu.*keywords only, of definition, events, handlers, setup"),
        ("local_fabric", "'other.toml', handler.*keywords only, of definition, handlers"),
    ],
)
def test_a_marker_of_what_nobody_takes_is_reported(
    request: pytest.FixtureRequest, fixture: str, message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        request.getfixturevalue(fixture)


def test_a_repetition_that_makes_a_handler_fail_for_good_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A circuit that stays open is tried again for ever: sooner given up, it says the same.
    monkeypatch.setattr("eventfabric.testing.simulation.run.DRAIN_STEPS_MAX", 5_000)
    of = trials(wrong_handlers.refuses_a_repetition)
    signatures = [signature for seed in range(10) if (signature := of.try_seed(seed).signature)]
    # Where nothing else comes, the circuit stays open for it; else it is dead.
    assert {"taker: dead letter"} <= set().union(*signatures) <= {"taker: dead letter", STUCK}


def test_trying_handlers_leaves_them_as_they_are() -> None:
    handler = wrong_handlers.with_late
    before = (handler.function, handler.when_late and handler.when_late.function, handler.batch)
    of = HandlerTrials(
        definition(more='on_late = "reconcile"'),
        events=EVENTS,
        handlers={"taker": handler},
        setup=wrong_handlers.make,
    )
    for seed in range(3):
        assert of.try_seed(seed).signature == frozenset()
    assert (handler.function, handler.when_late and handler.when_late.function, handler.batch) == before


def test_handlers_find_the_samples_source_time_and_headers(tmp_path: Path) -> None:
    samples: list[tuple[str | None, str, dict[str, Any]]] = []

    @subscriber
    def take(event: Event, delivery: Delivery) -> None:
        assert event.time is not None
        samples.append((event.source, event.time.isoformat(), dict(event.headers)))

    sample = [
        Event(
            id="s",
            key="k",
            type="placed",
            source="/shop",
            time="2026-01-05T08:00:06+00:00",
            headers={"tenant": "t1"},
        )
    ]
    run_here(
        HandlerTrials(definition(), events=sample, handlers={"taker": take}), range(1), out=tmp_path
    ).check()
    assert {sample[:2] for sample in samples} == {("/shop", "2026-01-05T08:00:06+00:00")}
    assert all(sample[2]["tenant"] == "t1" for sample in samples)


def test_an_event_without_a_time_has_the_same_in_each_run(tmp_path: Path) -> None:
    @subscriber
    def take(event: Event, delivery: Delivery) -> None:
        assert event.time is not None
        wrong_handlers.notes(event, at=event.time.isoformat())

    sample = [Event(id="s", key="k", type="placed")]
    of = HandlerTrials(definition(), events=sample, handlers={"taker": take}, setup=wrong_handlers.make)
    report = run_here(of, range(20), out=tmp_path)
    report.check()
    (same,) = [same for name, same, _, _ in report.effects if name.endswith(": at")]
    assert same > 0


def test_under_another_mock_nothing_is_tried(tmp_path: Path) -> None:
    with mock_aws(), pytest.raises(HandlersFailError, match="mock_aws is active"):
        run_here(trials(wrong_handlers.adds_up), range(1), out=tmp_path)
