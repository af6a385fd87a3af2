"""The idle month of fabrics of several sizes, in numbers worked out by hand."""

from dataclasses import astuple

import pytest

from eventfabric.deployment.idle import (
    PASSES_AT_REST,
    PASSES_PER_MONTH,
    PassWork,
    busy_metrics,
    by_gigabyte,
    idle_month,
    pass_work,
)
from eventfabric.deployment.prices import Prices
from eventfabric.services.reconciliation.pass_bounds import REST_SECONDS
from eventfabric.topology import RECONCILE_MINUTES
from tests.unit.deployment.test_alarms import many
from tests.unit.deployment.test_cost import topology

TWO = '"us-east-1", "eu-west-1"'


def test_a_pass_reads_marks_tails_standings_and_states() -> None:
    alone = topology(stream="lanes = 8")
    # Progress; marks; tails; a standing; an hourly look at states, and marks written; declarations and their marks.
    hourly = 1 / PASSES_AT_REST
    assert astuple(pass_work(alone, alone.streams["orders"], "us-east-1")) == pytest.approx(
        (1 + 1 + 8 + 1 + 8 * hourly + 1 + 1 + 2 * hourly, 0, 1 + 2 * hourly)
    )
    two = topology(regions=TWO, stream="lanes = 8")
    # Elsewhere: the standing, the tails of the other origin, and hourly the declarations and schemas of both.
    assert astuple(pass_work(two, two.streams["orders"], "eu-west-1")) == pytest.approx(
        (1 + 2 + 16 + 1 + 8 * hourly + 2 + 2 + 4 * hourly, 8 + 1 + 4 * hourly, 2 + 6 * hourly)
    )
    everywhere = topology(regions=TWO, stream="lanes = 8", subscription='deliver = "everywhere"')
    assert pass_work(everywhere, everywhere.streams["orders"], "us-east-1").reads == pytest.approx(
        1 + 2 + 16 + 1 + 16 * hourly + 2 + 2 + 4 * hourly
    )


@pytest.mark.parametrize(("lanes", "units"), [(64, 0.5), (512, 1), (1024, 1.5)])
def test_a_pass_reads_what_a_subscription_grants_its_producers(lanes: int, units: float) -> None:
    free = topology(stream=f"lanes = {lanes}")
    gated = topology(stream=f"lanes = {lanes}", subscription="backpressure = {}")
    works = [pass_work(own, own.streams["orders"], "us-east-1") for own in (free, gated)]
    assert works[1].reads - works[0].reads == pytest.approx(units)


def test_the_time_of_a_pass_is_that_of_its_reads() -> None:
    assert PassWork(reads=200, far_reads=10).seconds == pytest.approx(1.0 + 0.8)


def test_there_are_twelve_passes_an_hour_in_each_region() -> None:
    assert PASSES_PER_MONTH == 730 * 12
    scheduled = {line.price: line.count for line in idle_month(topology(regions=TWO))}[Prices.SCHEDULE]
    assert scheduled == 2 * PASSES_PER_MONTH


def test_log_groups_under_the_fabrics_key_cost_a_request_a_pass() -> None:
    def requests(**fabric: str) -> float:
        lines = idle_month(topology(regions=TWO, **fabric))
        return sum(line.count for line in lines if line.price is Prices.KEY_REQUEST)

    assert requests(fabric='log_key = "fabric"') - requests() == 2 * PASSES_PER_MONTH


def test_a_busy_month_has_two_metrics_for_each_subscription_and_region_that_delivers() -> None:
    counts = [line.count for line in busy_metrics(many(10, "few"))]
    assert counts == [2 * 10 * 2, 2 * 2, 1 * 2]
    elsewhere = topology(regions=TWO, subscription='deliver = "one"\nregion = "eu-west-1"')
    assert [line.count for line in busy_metrics(elsewhere)] == [2, 2, 2]


def test_lines_without_a_count_are_left_out_and_free_ones_are_shown() -> None:
    lines = idle_month(topology())
    assert all(line.count for line in lines)
    assert Prices.APPLICATION_SIGNAL not in {line.price for line in lines}
    assert [line.price for line in lines if not line.dollars] == [Prices.TRIGGER_POLL]


def test_logs_are_kept_for_the_days_of_the_definition() -> None:
    kept = {line.price: line.count for line in by_gigabyte(topology())}
    assert kept[Prices.LOG_GIGABYTE_MONTH] == pytest.approx(90 * 24 / 730)


@pytest.mark.parametrize(("subscriptions", "dollars_max"), [(10, 20), (100, 120)])
def test_an_idle_fabric_of_two_regions_costs_what_nobody_minds(
    subscriptions: int, dollars_max: float
) -> None:
    lines = idle_month(many(subscriptions, "few"))
    assert dollars_max / 2 < sum(line.dollars for line in lines) <= dollars_max


def test_lanes_rest_for_as_many_passes_as_the_prediction_says() -> None:
    assert PASSES_AT_REST * 60 * RECONCILE_MINUTES == REST_SECONDS
