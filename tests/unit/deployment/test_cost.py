"""Loads and their predicted costs, in numbers worked out by hand."""

import pytest

from eventfabric import limits
from eventfabric.definition.file import parse_definition
from eventfabric.deployment.cost import DECLARED_SECONDS, Load, predict
from eventfabric.deployment.prices import LAMBDA_SECONDS_PER_MONTH, Prices
from eventfabric.errors import WrongRegionError
from eventfabric.services.catalogue.known import CATALOGUE_SECONDS
from eventfabric.topology import Topology

ALONE = Load(1.0, 400.0, handler_seconds=0.0)
"""Records that come one by one, of one event each."""
DECLARED = 1_000 / CATALOGUE_SECONDS
"""Reads of what is declared, by each process, while a thousand such events come."""


def topology(
    *, regions: str = '"us-east-1"', fabric: str = "", stream: str = "", subscription: str = ""
) -> Topology:
    durability = "replicated" if "," in regions else "regional"
    return Topology(
        parse_definition(f"""
            [fabric]
            name = "shop"
            regions = [{regions}]
            {fabric}
            [streams.orders]
            durability = "{durability}"
            {stream}
            [subscriptions.billing]
            stream = "orders"
            handler = "a:b"
            {subscription}
        """)
    )


def counts(of: Topology, load: Load = ALONE) -> dict[str, float]:
    """Return the numbers for a thousand events, by price, without function time."""
    prediction = predict(of, of.streams["orders"], load)
    prices = (Prices.WRITE_UNIT, Prices.READ_UNIT, Prices.QUEUE_REQUEST, Prices.INVOCATION)
    return {price.name: prediction.count(price) / 1_000 for price in prices}


def test_a_record_on_its_own_costs_all_of_its_way() -> None:
    # Put, cursor; state, log, standing; express, relay, received, deleted; relay and deliver. Both, and the producer,
    # read what is declared.
    assert counts(topology()) == {
        "WRITE_UNIT": 2_000,
        "READ_UNIT": pytest.approx(3_000 + 3 * DECLARED),
        "QUEUE_REQUEST": 4_000,
        "INVOCATION": 2_000,
    }


def test_without_express_the_relay_rings_alone() -> None:
    assert counts(topology(stream="express = false"))["QUEUE_REQUEST"] == 3_000


@pytest.mark.parametrize(("event_bytes", "units"), [(904.0, 1), (905.0, 2), (1_928.0, 2), (1_929.0, 3)])
def test_a_record_takes_a_write_unit_a_kibibyte(event_bytes: float, units: int) -> None:
    assert counts(topology(), Load(1.0, event_bytes))["WRITE_UNIT"] == 1_000 * (units + 1)


def test_events_share_what_their_record_costs() -> None:
    assert counts(topology(), Load(100.0, 9.0, events_per_record=100.0)) == {
        name: pytest.approx(count / 100) for name, count in counts(topology()).items()
    }


def test_every_region_keeps_a_copy_and_has_a_relay_that_looks_who_delivers() -> None:
    two = '"us-east-1", "eu-west-1"'
    assert counts(topology(regions=two)) == {
        "WRITE_UNIT": 4_000,
        "READ_UNIT": pytest.approx(4_000 + 4 * DECLARED),
        "QUEUE_REQUEST": 4_000,
        "INVOCATION": 3_000,
    }
    everywhere = counts(topology(regions=two, subscription='deliver = "everywhere"'))
    # Express is the producer's own Region's; the other has all the rest once more.
    assert (everywhere["QUEUE_REQUEST"], everywhere["INVOCATION"]) == (7_000, 4_000)
    assert everywhere["READ_UNIT"] == pytest.approx(6_000 + 5 * DECLARED)


def test_what_goes_together_is_paid_once() -> None:
    load = Load(
        1.0,
        400.0,
        records_per_poll=100.0,
        express_per_request=10.0,
        doorbells_per_batch=10.0,
        records_per_run=2.0,
        runs_per_standing=50.0,
        handler_seconds=0.0,
    )
    assert counts(topology(), load) == pytest.approx(
        {"WRITE_UNIT": 1_500, "READ_UNIT": 1_010 + 10 + 2 * DECLARED, "QUEUE_REQUEST": 300, "INVOCATION": 60}
    )


def test_each_process_reads_what_is_declared_once_a_minute_but_not_more_often_than_it_is_called() -> None:
    assert DECLARED_SECONDS == CATALOGUE_SECONDS
    rare, often = (counts(topology(), Load(rate, 400.0))["READ_UNIT"] for rate in (1e-6, 1_000.0))
    assert rare == 3_000 + 3_000
    # 25 processes deliver 1,000 events a second that take 25 ms each.
    assert often == pytest.approx(3_000 + (2 + 25) / CATALOGUE_SECONDS)


def test_dollars_are_counts_by_prices_and_months_are_of_730_hours() -> None:
    of = topology()
    prediction = predict(of, of.streams["orders"], Load(2.0, 400.0))
    assert prediction.dollars_per_million == pytest.approx(
        sum(line.price.dollars(line.count) for line in prediction.lines)
    )
    assert LAMBDA_SECONDS_PER_MONTH == 730 * 3_600
    assert prediction.dollars_per_month == pytest.approx(
        prediction.dollars_per_million * 2 * 730 * 3_600 / 1e6
    )


def test_function_time_is_of_each_functions_memory() -> None:
    of = topology()
    prediction = predict(of, of.streams["orders"], Load(1.0, 400.0, handler_seconds=0.08))
    by_what = {line.what: line.count for line in prediction.lines if line.price is Prices.FUNCTION_SECOND}
    assert by_what == pytest.approx(
        {"function time in us-east-1": 1e6 * 0.01 / 4, "function time of billing": 1e6 * (0.02 + 0.08) / 2}
    )


def test_function_time_follows_memory_and_architecture() -> None:
    of = topology(subscription='function = { memory_megabytes = 1024, architecture = "x86_64" }')
    prediction = predict(of, of.streams["orders"], Load(1.0, 400.0, handler_seconds=0.08))
    assert prediction.count(Prices.X86_FUNCTION_SECOND) == pytest.approx(1e6 * (0.02 + 0.08))
    assert prediction.count(Prices.FUNCTION_SECOND) == pytest.approx(1e6 * 0.01 / 4)
    assert (
        Prices.X86_FUNCTION_SECOND.value.dollars_per_million
        > Prices.FUNCTION_SECOND.value.dollars_per_million
    )


def test_another_region_than_the_streams_is_refused() -> None:
    of = topology()
    with pytest.raises(WrongRegionError):
        predict(of, of.streams["orders"], ALONE, origin="eu-west-1")


class TestASteadyLoad:
    """Numbers of events that are handled together at a rate."""

    def test_rare_events_go_one_by_one(self) -> None:
        load = Load.steady(1e-6, 256.0, lanes=64)
        together = (
            load.records_per_poll,
            load.express_per_request,
            load.doorbells_per_batch,
            load.records_per_run,
            load.runs_per_standing,
            load.polls_per_standing,
        )
        assert together == pytest.approx((1.0,) * 6, abs=1e-4)

    def test_the_faster_they_come_the_more_go_together_up_to_what_a_request_holds(self) -> None:
        slow, fast, fastest = (Load.steady(rate, 256.0, lanes=64) for rate in (10.0, 500.0, 1e6))
        for name in ("records_per_poll", "express_per_request", "doorbells_per_batch", "records_per_run"):
            assert getattr(slow, name) < getattr(fast, name) <= getattr(fastest, name), name
        assert fastest.records_per_poll == limits.RELAY_BATCH_MAX
        assert fastest.express_per_request == limits.QUEUE_SEND_BATCH_MAX
        assert fastest.doorbells_per_batch == limits.DOORBELL_BATCH_MAX

    def test_batches_make_fewer_records_of_the_same_events(self) -> None:
        load, hundred = (Load.steady(500.0, 256.0, lanes=64, events_per_record=n) for n in (1.0, 100.0))
        assert hundred.records_per_poll < load.records_per_poll
        assert hundred.events_per_record == 100.0

    def test_more_events_never_cost_less_in_all(self) -> None:
        of = topology()
        months = [
            predict(of, of.streams["orders"], Load.steady(rate, 256.0, lanes=64)).dollars_per_month
            for rate in (0.01, 0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0)
        ]
        assert months == sorted(months)


def grants(load: Load, **settings: str) -> float:
    """Return how many grants are written for a million events, of lanes that are equally busy."""
    gated = topology(subscription="backpressure = {}", stream="lanes = 64", **settings)
    lines = predict(gated, gated.streams["orders"], load).lines
    return sum(line.count for line in lines if line.what.endswith("grants written"))


def test_a_busy_lane_is_granted_more_four_times_in_the_seconds_of_its_window() -> None:
    busy = Load.steady(6_400.0, 400.0, lanes=64)
    assert grants(busy) == pytest.approx(64 * 4 / 10 * 1_000_000 / 6_400)
    assert grants(busy, regions='"us-east-1", "eu-west-1"') == pytest.approx(2 * grants(busy))


def test_a_quiet_lane_is_granted_more_for_each_quarter_of_what_it_may_always_be_behind() -> None:
    assert grants(Load.steady(1.0, 400.0, lanes=64)) == pytest.approx(1_000_000 / 4)


def test_no_more_grants_are_written_than_there_are_commits() -> None:
    load = Load(1.0, 400.0, events_per_record=100.0, records_per_run=2.0)
    assert grants(load) == pytest.approx(5_000)


def test_a_subscription_that_holds_nobody_back_writes_no_grants() -> None:
    free = topology(stream="lanes = 64")
    assert not any("grants" in line.what for line in predict(free, free.streams["orders"], ALONE).lines)
