"""A definition's settings for alarms and objectives, and those that are refused."""

import pytest

from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import from_json, to_json
from eventfabric.definition.sections import Slo
from eventfabric.errors import DefinitionError, Problem
from tests.support.messages import TextWith

FABRIC = '[fabric]\nname = "shop"\nregions = ["us-east-1", "eu-west-1"]\n'
STREAM = "[streams.orders]\n"
SUBSCRIPTION = '[subscriptions.billing]\nstream = "orders"\nhandler = "subscribers.billing:charge"\n'
HERE, THERE = (f"arn:aws:sns:{region}:111122223333:on-call" for region in ("us-east-1", "eu-west-1"))


def with_topics(*topics: str) -> str:
    return FABRIC + f"alarm_actions = [{', '.join(map(repr, topics))}]\n" + STREAM


def with_slo(text: str) -> str:
    return FABRIC + STREAM + SUBSCRIPTION + f"[subscriptions.billing.slo]\n{text}\n"


def problem(text: str) -> Problem:
    with pytest.raises(DefinitionError) as caught:
        parse_definition(text)
    [sole_problem] = caught.value.problems
    return sole_problem


def test_nobody_is_notified_of_alarms_and_no_objective_is_set_unless_the_definition_says_so() -> None:
    definition = parse_definition(FABRIC + STREAM + SUBSCRIPTION)
    assert definition.fabric.alarm_actions == ()
    assert definition.subscriptions["billing"].slo is None


def test_topics_of_every_region_are_taken_and_ship_with_the_code() -> None:
    definition = parse_definition(with_topics(HERE, THERE))
    assert definition.fabric.alarm_actions == (HERE, THERE)
    assert from_json(to_json(definition)) == definition


def test_a_region_whose_alarms_would_tell_nobody_is_refused() -> None:
    allowed = TextWith("none at all", "each Region")
    assert problem(with_topics(HERE)) == Problem(
        "fabric.alarm_actions", TextWith("none in eu-west-1"), allowed
    )


def test_a_topic_of_another_region_is_refused_for_no_alarm_could_tell_it() -> None:
    elsewhere = HERE.replace("us-east-1", "ap-south-1")
    allowed = TextWith("topic", "us-east-1, eu-west-1")
    assert problem(with_topics(HERE, THERE, elsewhere)) == Problem(
        "fabric.alarm_actions[2]", f'"{elsewhere}"', allowed
    )


@pytest.mark.parametrize("topic", [f"{HERE}.fifo", "on-call", HERE.replace("sns", "sqs")])
def test_what_is_no_topic_is_refused(topic: str) -> None:
    refused = problem(with_topics(topic, THERE))
    assert (refused.path, refused.found) == ("fabric.alarm_actions[0]", f'"{topic}"')
    assert "SNS topic" in refused.allowed


def test_an_objective_needs_a_latency_and_has_defaults_for_the_rest() -> None:
    definition = parse_definition(with_slo("latency_ms = 500"))
    assert definition.subscriptions["billing"].slo == Slo(latency_ms=500, on_time_ratio=0.99, days=28)
    assert from_json(to_json(definition)) == definition
    assert problem(with_slo("days = 7")) == Problem(
        "subscriptions.billing.slo.latency_ms", "nothing", TextWith("whole number", "1 to 86400000")
    )


@pytest.mark.parametrize(
    ("text", "key", "allowed"),
    [
        ("latency_ms = 0", "latency_ms", ["whole number", "1 to 86400000"]),
        ("latency_ms = 500\non_time_ratio = 1.0", "on_time_ratio", ["number", "0.5 to 0.9999"]),
        ("latency_ms = 500\ndays = 91", "days", ["whole number", "1 to 90"]),
        ("latency_ms = 500\nweeks = 4", "weeks", ["latency_ms, on_time_ratio, days"]),
    ],
)
def test_an_objective_that_cannot_be_is_refused(text: str, key: str, allowed: list[str]) -> None:
    refused = problem(with_slo(text))
    assert (refused.path, refused.allowed) == (f"subscriptions.billing.slo.{key}", TextWith(*allowed))
