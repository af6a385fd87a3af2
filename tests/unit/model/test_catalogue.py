"""The catalogue as pure values: which incarnation a deployment has, and what rollbacks and retirements leave."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfabric.formats import Formats
from eventfabric.model import EMPTY_TAIL, Chain, Region, SequenceNumber
from eventfabric.model.catalogue import (
    CatalogueVersion,
    Declaration,
    DeclaredChange,
    State,
    StreamFacts,
    SubscriptionFacts,
    as_elsewhere,
    deployed,
    in_state,
    incarnation_to_deploy,
    redeployed,
    stream_deployed,
)
from tests.support.memory_fabric import AWAY, FAR, HOME

STREAM = StreamFacts(name="orders", regions=(HOME, AWAY), lanes=4)
BILLING = SubscriptionFacts(name="billing", handler="shop:bill")


def change(at_ms: int = 1_000, kind: str = "deployed") -> DeclaredChange:
    return DeclaredChange(
        kind=kind, of="billing", by="stack", request_id=f"r{at_ms}", version="1", at_ms=at_ms
    )


def declaration(**facts: SubscriptionFacts) -> Declaration:
    return Declaration(stream=STREAM, subscriptions=facts, change=change())


def of(state: State, incarnation: int, highest: int) -> Declaration:
    return declaration(billing=replace(BILLING, state=state, incarnation=incarnation, highest=highest))


def deploy(
    read: Declaration, others: Mapping[Region, Declaration] | None = None, at_ms: int = 1
) -> Declaration:
    return deployed(read, others or {}, HOME, BILLING, change(at_ms))


def retire(read: Declaration) -> Declaration:
    retired = in_state(read, "billing", State.RETIRED, change())
    assert retired is not None
    return retired


def test_a_subscription_keeps_its_incarnation_and_time_until_it_is_retired() -> None:
    first = deploy(declaration(), at_ms=5)
    assert first.subscriptions["billing"] == replace(BILLING, since_ms=5)
    gone = in_state(first, "billing", State.UNDEPLOYED, change())
    assert gone is not None
    for before in (first, gone):
        again = deploy(before, at_ms=9).subscriptions["billing"]
        assert (again.state, again.incarnation, again.since_ms) == (State.ACTIVE, 0, 5)
    anew = deploy(retire(first), at_ms=9).subscriptions["billing"]
    assert (anew.state, anew.incarnation, anew.highest, anew.since_ms) == (State.ACTIVE, 1, 1, 9)


def test_regions_that_are_deployed_one_after_the_other_have_the_same_incarnation() -> None:
    old = retire(deploy(declaration()))
    home = deploy(old)
    away = deployed(old, {HOME: home}, AWAY, BILLING, change())
    assert away.subscriptions["billing"].incarnation == home.subscriptions["billing"].incarnation == 1


@pytest.mark.parametrize("state", [State.ACTIVE, State.DRAINING, State.UNDEPLOYED])
def test_where_nobody_retired_it_a_subscription_goes_on_as_it_was_whatever_lives_elsewhere(
    state: State,
) -> None:
    home = deploy(retire(deploy(declaration())))
    away = of(state, 0, 0)  # it could not be reached when the name was retired
    own = deployed(away, {HOME: home}, AWAY, BILLING, change(9)).subscriptions["billing"]
    assert (own.state, own.incarnation, own.since_ms) == (State.ACTIVE, 0, 0)
    later = deployed(retire(away), {HOME: home}, AWAY, BILLING, change(9)).subscriptions["billing"]
    assert (later.incarnation, later.since_ms) == (1, 9)


def test_no_incarnation_is_used_again_that_any_region_knows() -> None:
    back = deployed(of(State.RETIRED, 0, 5), {AWAY: of(State.ACTIVE, 3, 3)}, HOME, BILLING, change())
    assert (back.subscriptions["billing"].incarnation, back.subscriptions["billing"].highest) == (3, 5)
    anew = deployed(of(State.RETIRED, 0, 0), {AWAY: of(State.RETIRED, 2, 4)}, HOME, BILLING, change())
    assert anew.subscriptions["billing"].incarnation == 5
    first = deployed(declaration(), {AWAY: of(State.RETIRED, 0, 2)}, HOME, BILLING, change())
    assert first.subscriptions["billing"].incarnation == 3
    # That Region may be taken out afterwards.
    kept = deployed(of(State.ACTIVE, 0, 0), {AWAY: of(State.RETIRED, 0, 2)}, HOME, BILLING, change())
    assert (kept.subscriptions["billing"].incarnation, kept.subscriptions["billing"].highest) == (0, 2)


def test_only_the_life_that_is_meant_changes_its_state() -> None:
    active = of(State.ACTIVE, 1, 1)
    assert in_state(active, "billing", State.RETIRED, change(), incarnation=0) is None
    assert in_state(active, "billing", State.RETIRED, change(), of=[State.DRAINING]) is None
    ended = in_state(active, "billing", State.RETIRED, change(), incarnation=1, highest=4)
    assert ended is not None
    assert (ended.subscriptions["billing"].state, ended.subscriptions["billing"].highest) == (
        State.RETIRED,
        4,
    )


def test_of_what_is_retired_only_that_is_kept_which_somebody_needs() -> None:
    long = replace(
        BILLING, owner="git/shop", contact="team", version="1", types=("placed",), publishes=("orders",)
    )
    full = deployed(declaration(), {}, HOME, replace(long, unknown={"weight": 3}), change(7))
    kept = retire(full).subscriptions["billing"]
    named = {"types": ("placed",), "since_ms": 7, "state": State.RETIRED, "unknown": {"weight": 3}}
    assert kept == SubscriptionFacts(name="billing", **named)  # type: ignore[arg-type]  # each has its type
    assert redeployed(retire(full), iter([full]), long, change()).subscriptions["billing"] == kept


def test_what_a_later_version_says_of_a_subscription_stays() -> None:
    later = declaration(billing=replace(BILLING, unknown={"weight": 3}))
    other = replace(BILLING, handler="shop:other")
    second = deployed(later, {}, HOME, other, change(2))
    assert second.subscriptions["billing"].unknown == {"weight": 3}
    assert redeployed(second, iter([second, later]), BILLING, change(3)).subscriptions == later.subscriptions


def test_a_region_begins_to_close_when_that_is_in_the_log() -> None:
    first = stream_deployed(None, STREAM, change(1))
    closing = stream_deployed(first, replace(STREAM, closing=(AWAY,)), change(2)).as_of(9)
    assert (closing.stream.closing_since_ms, closing.change.at_ms) == (9, 9)
    again = stream_deployed(closing, replace(STREAM, closing=(AWAY,), express=False), change(11)).as_of(12)
    assert (again.stream.closing_since_ms, again.change.at_ms) == (9, 12)


def test_a_rollback_declares_the_state_before_with_its_incarnation_and_no_incarnation_is_used_again() -> None:
    first = deploy(declaration())
    other = replace(BILLING, handler="shop:other")
    second = deployed(first, {}, HOME, other, change(2))
    back = redeployed(second, iter([second, first]), BILLING, change(3))
    assert back.subscriptions == first.subscriptions
    third = deployed(retire(first), {}, HOME, other, change(4))
    assert third.subscriptions["billing"].incarnation == 1
    ended = redeployed(third, iter([third, retire(first), first]), BILLING, change(5))
    own = ended.subscriptions["billing"]
    assert (own.state, own.incarnation, own.highest) == (State.RETIRED, 0, 1)
    assert deploy(ended).subscriptions["billing"].incarnation == 2
    # What is rolled back to was not the last content of its life.
    late = redeployed(third, iter([third, retire(second), second, first]), BILLING, change(6))
    assert late.subscriptions["billing"].state is State.RETIRED


def test_a_rollback_to_what_was_never_declared_changes_the_content_alone() -> None:
    first = deploy(declaration())
    other = replace(BILLING, handler="shop:other")
    back = redeployed(first, iter([first]), other, change())
    assert back.subscriptions["billing"] == other.standing_as(first.subscriptions["billing"])
    assert redeployed(declaration(), iter(()), other, change()).subscriptions["billing"] == other


@given(st.lists(st.sampled_from(["deploy", "undeploy", "retire", "roll back"]), max_size=12))
def test_no_incarnation_is_ever_taken_by_two_lives_of_a_name(steps: list[str]) -> None:
    read, past, ended = declaration(), list[Declaration](), set[int]()
    for step in steps:
        past.insert(0, read)
        match step:
            case "deploy":
                read = deploy(read)
                assert read.subscriptions["billing"].incarnation not in ended
            case "undeploy":
                read = in_state(read, "billing", State.UNDEPLOYED, change()) or read
            case "retire":
                read = in_state(read, "billing", State.RETIRED, change()) or read
            case _ if read.subscriptions:
                read = redeployed(read, iter(past), BILLING, change())
        own = read.subscriptions.get("billing")
        if own is not None and own.state is State.RETIRED:
            ended.add(own.incarnation)
        assert own is None or own.highest >= own.incarnation


def test_what_is_retired_stays_retired_and_is_never_forgotten() -> None:
    retired = retire(deploy(declaration()))
    assert in_state(retired, "billing", State.UNDEPLOYED, change()) is None
    assert in_state(retired, "unknown", State.RETIRED, change()) is None
    assert list(retired.rung()) == []
    assert [own.name for own in of(State.DRAINING, 0, 0).rung()] == ["billing"]
    assert list(deploy(declaration()).rung()) != []
    assert stream_deployed(retired, STREAM, change()).subscriptions == retired.subscriptions


def test_a_stream_remembers_its_former_regions_and_since_when_others_are_closing() -> None:
    first = stream_deployed(None, STREAM, change(1))
    closing = stream_deployed(first, replace(STREAM, closing=(AWAY,)), change(2))
    assert (closing.stream.closing_since_ms, closing.stream.closing) == (2, (AWAY,))
    again = stream_deployed(closing, replace(STREAM, closing=(AWAY,), express=False), change(3))
    assert again.stream.closing_since_ms == 2
    out = stream_deployed(again, replace(STREAM, regions=(HOME,)), change(4))
    assert (out.stream.former_regions, out.stream.closing) == ((AWAY,), ())
    never = replace(STREAM, regions=(HOME, AWAY, FAR))
    out_again = stream_deployed(
        stream_deployed(stream_deployed(None, never, change()), STREAM, change()),
        replace(STREAM, regions=(HOME,)),
        change(),
    )
    assert out_again.stream.former_regions == (FAR, AWAY)
    back = stream_deployed(out, STREAM, change(5))
    assert back.stream.former_regions == ()
    assert stream_deployed(None, replace(STREAM, closing=(AWAY,)), change(6)).stream.closing_since_ms == 6


def test_a_deployment_never_lowers_a_required_format() -> None:
    raised = stream_deployed(None, replace(STREAM, reads_required=2, writes_required=2), change())
    after = stream_deployed(raised, STREAM, change()).stream
    assert (after.reads_required, after.writes_required) == (2, 2)
    home, away = (
        replace(declaration(), stream=replace(STREAM, reads_required=reads, writes_required=writes))
        for reads, writes in ((3, 1), (2, 2))
    )
    assert as_elsewhere({HOME: home, AWAY: away}, STREAM).required == Formats(3, 2)


def test_a_region_that_joins_inherits_which_regions_the_others_know_to_have_left() -> None:
    away = replace(
        declaration(), stream=replace(STREAM, regions=(AWAY, "eu-north-1"), former_regions=("sa-east-1",))
    )
    joined = as_elsewhere({AWAY: away}, replace(STREAM, regions=(HOME, AWAY)))
    assert joined.former_regions == ("sa-east-1", "eu-north-1")
    again = stream_deployed(declaration(), joined, change())
    assert set(joined.former_regions) <= set(again.stream.former_regions)


def test_a_version_is_read_as_it_was_written_and_knows_an_older_lane() -> None:
    version = CatalogueVersion(SequenceNumber(3), Chain(b"c" * 16))
    assert CatalogueVersion.parse(str(version)) == version
    tail = replace(EMPTY_TAIL, sequence=version.sequence, chain=version.chain)
    assert not version.is_after(tail)
    assert not version.is_after(replace(tail, sequence=SequenceNumber(4), chain=Chain(b"d" * 16)))
    assert version.is_after(replace(tail, sequence=SequenceNumber(2)))
    assert version.is_after(replace(tail, chain=Chain(b"d" * 16)))
    with pytest.raises(ValueError, match="invalid literal"):
        CatalogueVersion.parse("x.00")


def test_the_first_deployment_of_a_name_has_incarnation_0() -> None:
    assert incarnation_to_deploy({}, HOME, "billing") == 0
