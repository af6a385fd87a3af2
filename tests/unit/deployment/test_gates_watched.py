"""Subscriptions that hold producers back are watched: an alarm and graphs, and none where nobody is held back."""

from typing import Any

import pytest

from eventfabric.definition.file import parse_definition
from eventfabric.deployment.alarms import alarms_of
from eventfabric.deployment.dashboard import body_of
from eventfabric.telemetry import Metric
from eventfabric.topology import Topology

GATE = "backpressure = {}"


def topology(alarms: str, *settings: str) -> Topology:
    """Return a fabric of a stream with a subscription for each of the settings, and of a stream with none."""
    subscriptions = "".join(
        f'[subscriptions.own-{number}]\nstream = "orders"\nhandler = "a.b:c"\n{own}\n'
        for number, own in enumerate(settings)
    )
    return Topology(
        parse_definition(
            f'[fabric]\nname = "shop"\nalarms = "{alarms}"\nregions = ["us-east-1", "eu-west-1"]\n'
            f"[streams.orders]\n[streams.others]\n{subscriptions}"
        )
    )


def held_back(fabric: Topology) -> list[str]:
    return [alarm.name for alarm in alarms_of(fabric, "us-east-1") if alarm.name.endswith("-held-back")]


def graphed(fabric: Topology, metric: Metric) -> list[Any]:
    """Return the lines of the dashboard that show a metric."""
    widgets = body_of(fabric)["widgets"]
    lines = [line for widget in widgets for line in widget["properties"].get("metrics", ())]
    return [line for line in lines if metric in line]


def test_one_alarm_is_for_all_of_them_or_each_has_its_own() -> None:
    assert held_back(topology("few", GATE, GATE, "")) == ["shop-held-back"]
    assert held_back(topology("all", GATE, GATE, "")) == ["shop-own-0-held-back", "shop-own-1-held-back"]


@pytest.mark.parametrize("alarms", ["few", "all"])
def test_there_is_none_where_nobody_is_held_back(alarms: str) -> None:
    fabric = topology(alarms, "")
    assert held_back(fabric) == []
    assert graphed(fabric, Metric.CREDIT_SHORT) == graphed(fabric, Metric.CREDIT_SHORT_SECONDS) == []


def test_the_dashboard_shows_the_streams_that_are_gated_in_each_region() -> None:
    fabric = topology("few", GATE, "")
    assert [(line[5], line[6]["region"]) for line in graphed(fabric, Metric.CREDIT_SHORT)] == [
        ("orders", "us-east-1"),
        ("orders", "eu-west-1"),
    ]
    assert len(graphed(fabric, Metric.CREDIT_SHORT_SECONDS)) == 2
