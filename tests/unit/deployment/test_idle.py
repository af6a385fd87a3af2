"""The idle month of fabrics of several sizes, in numbers worked out by hand."""

import pytest

from eventfabric.deployment.idle import PASSES_PER_MONTH, PassWork, by_gigabyte, idle_month, pass_work
from eventfabric.deployment.prices import Prices
from tests.unit.deployment.test_cost import topology

TWO = '"us-east-1", "eu-west-1"'


def test_a_pass_reads_marks_tails_standings_and_states() -> None:
    alone = topology(stream="lanes = 8")
    # Marks; tails; a standing; states.
    assert pass_work(alone, alone.streams["orders"], "us-east-1") == PassWork(1 + 8 + 1 + 8, 0, 1)
    two = topology(regions=TWO, stream="lanes = 8")
    # Elsewhere: the standing, and the tails of the other origin.
    assert pass_work(two, two.streams["orders"], "eu-west-1") == PassWork(2 + 16 + 1 + 8, 8 + 1, 2)
    everywhere = topology(regions=TWO, stream="lanes = 8", subscription='deliver = "everywhere"')
    assert pass_work(everywhere, everywhere.streams["orders"], "us-east-1").reads == 2 + 16 + 1 + 16


def test_the_time_of_a_pass_is_that_of_its_reads() -> None:
    assert PassWork(reads=200, far_reads=10).seconds == pytest.approx(1.0 + 0.8)


def test_there_are_twelve_passes_an_hour_in_each_region() -> None:
    assert PASSES_PER_MONTH == 730 * 12
    scheduled = {line.price: line.count for line in idle_month(topology(regions=TWO))}[Prices.SCHEDULE]
    assert scheduled == 2 * PASSES_PER_MONTH


def test_lines_without_a_count_are_left_out_and_free_ones_are_shown() -> None:
    lines = idle_month(topology())
    assert all(line.count for line in lines)
    assert Prices.APPLICATION_SIGNAL not in {line.price for line in lines}
    assert [line.price for line in lines if not line.dollars] == [Prices.TRIGGER_POLL]


def test_logs_are_kept_for_the_days_of_the_definition() -> None:
    kept = {line.price: line.count for line in by_gigabyte(topology())}
    assert kept[Prices.LOG_GIGABYTE_MONTH] == pytest.approx(90 * 24 / 730)
