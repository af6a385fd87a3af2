"""Monitoring of a fabric: the declared alarms and objectives, and a dashboard of all that is deployed."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from eventfabric.definition.file import parse_definition
from eventfabric.deployment.alarm_rules import Missing
from eventfabric.deployment.alarms import RUNBOOK, Alarm, alarms_of, anchor, objectives_of
from eventfabric.deployment.dashboard import METRICS_MAX, body_of, metrics_of
from eventfabric.deployment.series import Series
from eventfabric.runtime.metrics import EmfTelemetry
from eventfabric.telemetry import NAMESPACE, Dimension, Metric
from eventfabric.topology import Topology
from infra.app import ROOT
from tests.infra.synthesis import Synthesised, synthesise

ALARM = "AWS::CloudWatch::Alarm"
OBJECTIVE = "AWS::ApplicationSignals::ServiceLevelObjective"
DASHBOARD = "AWS::CloudWatch::Dashboard"
OF_AWS = {
    "AWS/Lambda": (
        {"Errors", "Throttles", "IteratorAge", "RecursiveInvocationsDropped"},
        ("FunctionName",),
    ),
    "AWS/SQS": (
        {
            "ApproximateNumberOfMessagesVisible",
        },
        ("QueueName",),
    ),
    "AWS/DynamoDB": ({"ConsumedWriteCapacityUnits", "ConsumedReadCapacityUnits"}, ("TableName",)),
    "AWS/ApplicationSignals": ({"BurnRate"}, ("SloName", "BurnRateWindowMinutes")),
}
"""AWS's own metrics as documented: names and dimensions."""


def watch(synthesised: Synthesised, region: str) -> str:
    return f"{synthesised.topology.fabric}-watch-{region}"


def made_alarms(synthesised: Synthesised, region: str) -> dict[str, dict[str, Any]]:
    return {
        alarm["AlarmName"]: alarm
        for alarm in synthesised.properties(ALARM, stack=synthesised.watching(region))
    }


def headings() -> set[str]:
    text = (ROOT / RUNBOOK).read_text(encoding="utf-8")
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def emitted(topology: Topology, capsys: pytest.CaptureFixture[str]) -> set[Series]:
    """Every metric of every stream and subscription, as the functions write them."""
    names = {
        Dimension.STREAM: list(topology.streams),
        Dimension.SUBSCRIPTION: list(topology.subscriptions),
    }
    telemetry = EmfTelemetry(fabric=topology.fabric, logger=Logger(service="test"))
    for metric in Metric:
        for name in names.get(metric.dimension, [""]):
            telemetry.add(metric, of=name)
    capsys.readouterr()
    telemetry.flush()
    series = set()
    for line in capsys.readouterr().out.splitlines():
        blob = json.loads(line)
        for directive in blob["_aws"]["CloudWatchMetrics"]:
            for dimensions in directive["Dimensions"]:
                values = tuple((name, blob[name]) for name in dimensions)
                series |= {
                    Series(directive["Namespace"], metric["Name"], values) for metric in directive["Metrics"]
                }
    return series


SEARCH = re.compile(r"SEARCH\('\{([^}]+)\} MetricName=\"(\w+)\" fabric=\"([\w-]+)\"', '(\w+)', 300\)")


def searched(body: dict[str, Any], topology: Topology) -> Iterator[tuple[Series, dict[str, Any]]]:
    """Every metric that a search of a dashboard finds, if all subscriptions have it, with its options."""
    for widget in body["widgets"]:
        for line in widget["properties"].get("metrics", ()):
            if isinstance(line[0], dict):
                asked = SEARCH.fullmatch(line[0]["expression"])
                assert asked is not None, line
                schema, metric, fabric, stat = asked.groups()
                namespace, *dimensions = schema.split(",")
                assert dimensions == ["fabric", "subscription"]
                for own in topology.subscriptions_in(line[0]["region"]):
                    values = (("fabric", fabric), ("subscription", own.name))
                    yield Series(namespace, metric, values), {"stat": stat, "region": line[0]["region"]}


def lines_of(body: dict[str, Any]) -> Iterator[tuple[Series, dict[str, Any]]]:
    """Every metric that a dashboard names, with its options."""
    for widget in body["widgets"]:
        for line in widget["properties"].get("metrics", ()):
            if isinstance(line[0], str):
                *parts, options = line[2:]
                pairs = tuple(zip(parts[::2], parts[1::2], strict=True))
                yield Series(line[0], line[1], pairs), options


def dashboard(synthesised: Synthesised) -> dict[str, Any]:
    [made] = synthesised.properties(DASHBOARD)
    body: dict[str, Any] = json.loads(made["DashboardBody"])
    return body


def test_every_alarm_is_made_as_it_is_declared_and_no_other(synthesised: Synthesised) -> None:
    topology = synthesised.topology
    for region in topology.regions:
        made, declared = made_alarms(synthesised, region), alarms_of(topology, region)
        assert set(made) == {alarm.name for alarm in declared}
        assert len(made) == len(declared), "a name twice"
        for alarm in declared:
            _is_as_declared(made[alarm.name], alarm)
    assert len(synthesised.properties(ALARM)) == sum(len(alarms_of(topology, r)) for r in topology.regions)


def _is_as_declared(made: dict[str, Any], alarm: Alarm) -> None:
    dimensions = tuple((dimension["Name"], dimension["Value"]) for dimension in made["Dimensions"])
    assert Series(made["Namespace"], made["MetricName"], dimensions) == alarm.series
    assert made["Statistic"] == alarm.rule.statistic
    assert made["TreatMissingData"] == alarm.rule.missing
    assert (made["EvaluationPeriods"], made["DatapointsToAlarm"]) == (
        alarm.rule.periods,
        alarm.rule.datapoints,
    )
    assert (made["Period"], made["Threshold"]) == (alarm.rule.period_seconds, alarm.rule.threshold)
    assert made["ComparisonOperator"].startswith("LessThan" if alarm.rule.is_below else "GreaterThan")
    assert made["AlarmDescription"] == alarm.description


def test_each_alarm_says_what_it_means_and_which_section_of_the_runbook_to_open(
    synthesised: Synthesised,
) -> None:
    there = headings()
    for region in synthesised.topology.regions:
        for name, made in made_alarms(synthesised, region).items():
            means, _, link = made["AlarmDescription"].partition(f" See {RUNBOOK}#")
            assert means.endswith("."), name
            assert link in there, f"{name}: {RUNBOOK} has no section #{link}"
            assert len(made["AlarmDescription"]) <= 1024


def test_links_within_the_runbook_lead_somewhere() -> None:
    links = set(re.findall(r"\]\(#([^)]+)\)", (ROOT / RUNBOOK).read_text(encoding="utf-8")))
    assert links - headings() == set()


def test_alarms_and_dashboard_name_only_metrics_that_there_are(
    synthesised: Synthesised, capsys: pytest.CaptureFixture[str]
) -> None:
    topology = synthesised.topology
    ours = emitted(topology, capsys)
    named = [alarm.series for region in topology.regions for alarm in alarms_of(topology, region)]
    named += [
        objective.series for region in topology.regions for objective in objectives_of(topology, region)
    ]
    named += [series for series, _ in lines_of(dashboard(synthesised))]
    named += [series for series, _ in searched(dashboard(synthesised), topology)]
    for series in named:
        if series.namespace == NAMESPACE:
            assert series in ours
        elif series.name == "ReplicationLatency":
            assert tuple(name for name, _ in series.dimensions) == ("TableName", "ReceivingRegion")
        else:
            names, dimensions = OF_AWS[series.namespace]
            assert series.name in names
            assert tuple(name for name, _ in series.dimensions) == dimensions


def test_what_alarms_and_dashboard_are_about_is_deployed(synthesised: Synthesised) -> None:
    topology = synthesised.topology
    kinds = {
        "FunctionName": {
            function["FunctionName"]
            for function in synthesised.properties("AWS::Lambda::Function")
            if function
        },
        "QueueName": {queue["QueueName"] for queue in synthesised.properties("AWS::SQS::Queue")},
        "TableName": {table["TableName"] for table in synthesised.properties("AWS::DynamoDB::GlobalTable")},
        "SloName": {property["Name"] for property in synthesised.properties(OBJECTIVE)},
    }
    named = [alarm.series for region in topology.regions for alarm in alarms_of(topology, region)]
    for series in [*named, *(series for series, _ in lines_of(dashboard(synthesised)))]:
        for name, value in series.dimensions:
            assert name not in kinds or value in kinds[name], series


def test_silence_is_fine_but_for_passes(synthesised: Synthesised) -> None:
    for region in synthesised.topology.regions:
        for alarm in alarms_of(synthesised.topology, region):
            is_of_passes = alarm.series.name == Metric.PASSES_COMPLETED
            assert alarm.rule.missing is (Missing.BAD if is_of_passes else Missing.FINE), alarm.name


def test_the_dashboard_is_one_of_the_home_region_and_shows_every_region(synthesised: Synthesised) -> None:
    topology = synthesised.topology
    [(name, body)] = synthesised.resources(DASHBOARD)
    assert name.startswith(watch(synthesised, topology.home))
    assert body["Properties"]["DashboardName"] == topology.fabric
    lines = list(lines_of(dashboard(synthesised)))
    assert {options["region"] for _, options in lines} == set(topology.regions)
    stats = {options["stat"] for series, options in lines if series.name == Metric.DELIVERY_LATENCY}
    assert stats == {"p50", "p90", "p99"}


def test_widgets_do_not_overlap_and_fit_the_page(synthesised: Synthesised) -> None:
    taken: set[tuple[int, int]] = set()
    for widget in dashboard(synthesised)["widgets"]:
        assert widget["x"] + widget["width"] <= 24
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert taken.isdisjoint(cells)
        taken |= cells


def test_the_dashboard_of_the_largest_fabric_is_within_what_cloudwatch_shows() -> None:
    streams = "".join(f"[streams.t{number}]\n" for number in range(10))
    subscriptions = "".join(
        f'[subscriptions.s{number}]\nstream = "t{number % 10}"\nhandler = "subscribers.any:handle"\n'
        for number in range(100)
    )
    regions = '["us-east-1", "eu-west-1", "us-west-2", "ap-south-1"]'
    largest = Topology(
        parse_definition(f'[fabric]\nname = "many"\nregions = {regions}\n{streams}{subscriptions}')
    )
    body = body_of(largest)
    counts = metrics_of(largest, body)
    named, of_searches = list(lines_of(body)), list(searched(body, largest))
    assert sum(counts) == len(named) + len(of_searches), (
        "each line is counted, and each search by what it may find"
    )
    assert max(counts) <= 500
    assert sum(counts) <= METRICS_MAX
    assert len(counts) <= 500
    assert {series.dimensions for series, _ in of_searches} == {
        (("fabric", "many"), ("subscription", name)) for name in largest.subscriptions
    }


def test_the_samples_objective_is_made_in_both_regions_and_burns_to_an_alarm(shop: Synthesised) -> None:
    for region in shop.topology.regions:
        [made] = shop.properties(OBJECTIVE, stack=shop.watching(region))
        assert made["Name"] == "shop-billing-latency"
        assert made["Goal"] == {
            "AttainmentGoal": 99,
            "Interval": {"RollingInterval": {"Duration": 28, "DurationUnit": "DAY"}},
        }
        [query] = made["Sli"]["SliMetric"]["MetricDataQueries"]
        assert (made["Sli"]["MetricThreshold"], made["Sli"]["ComparisonOperator"]) == (
            1000,
            "LessThanOrEqualTo",
        )
        assert (query["MetricStat"]["Stat"], query["MetricStat"]["Period"]) == ("p99", 60)
        burning = made_alarms(shop, region)["shop-billing-latency-burning"]
        assert burning["Threshold"] == 13.44
        assert {"Name": "SloName", "Value": made["Name"]} in burning["Dimensions"]


def test_no_objective_is_made_where_none_is_declared(wide: Synthesised) -> None:
    assert wide.properties(OBJECTIVE) == []


TOPICS = {region: f"arn:aws:sns:{region}:111122223333:on-call" for region in ("us-east-1", "eu-west-1")}
WITH_TOPICS = f"""
[fabric]
name = "shop"
regions = ["us-east-1", "eu-west-1"]
alarm_actions = {json.dumps(list(TOPICS.values()))}

[streams.orders]

[subscriptions.one]
stream = "orders"
handler = "subscribers.analytics:record"
deliver = "one"
region = "eu-west-1"
slo = {{ latency_ms = 200, on_time_ratio = 0.9, days = 1 }}
"""


@pytest.fixture(scope="module")
def synthesis(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    return synthesise(parse_definition(WITH_TOPICS), Path(tmp_path_factory.mktemp("notified")))


def test_every_alarm_notifies_the_topic_of_its_own_region_when_it_goes_off_and_when_it_is_over(
    synthesis: Synthesised,
) -> None:
    for region, topic in TOPICS.items():
        made = made_alarms(synthesis, region)
        assert made
        for alarm in made.values():
            assert (alarm["AlarmActions"], alarm["OKActions"]) == ([topic], [topic])


def test_without_topics_nobody_is_notified(shop: Synthesised) -> None:
    assert not any(
        "AlarmActions" in property or "OKActions" in property for property in shop.properties(ALARM)
    )


def test_an_objective_is_made_only_where_its_subscription_is_delivered(synthesis: Synthesised) -> None:
    assert synthesis.properties(OBJECTIVE, stack=synthesis.watching("us-east-1")) == []
    [objective] = objectives_of(synthesis.topology, "eu-west-1")
    # A day's budget may burn no faster than at the rate that just lasts; no rate is asked for that cannot be.
    assert (objective.goal_percent, objective.burn_rate_max) == (90.0, 1.0)


def test_a_watch_comes_after_what_it_watches_and_refers_to_nothing_but_names(shop: Synthesised) -> None:
    manifest = json.loads((shop.folder / "manifest.json").read_text())["artifacts"]
    for region in shop.topology.regions:
        assert f"shop-cell-{region}" in manifest[watch(shop, region)]["dependencies"]
        after = manifest[f"shop-Watch-billing-{region}"]["dependencies"]
        assert {f"shop-Subscription-billing-{region}", watch(shop, region)} <= set(after)
        assert f"shop-Watch-shipping-{region}" not in manifest, "a stack without anything in it"
        for stack in shop.watching(region):
            assert "Fn::" not in json.dumps(shop.templates[stack]["Resources"])
