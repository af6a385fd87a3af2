"""The idle month counts what the templates create. A resource that it forgets fails, and so does an unknown kind."""

from collections import Counter, defaultdict
from typing import Final

from eventfabric.deployment.idle import (
    PASSES_PER_MONTH,
    QUEUE_POLL_SECONDS,
    QUEUE_POLLERS,
    SIGNALS_PER_PERIOD,
    STREAM_POLLS_PER_SECOND,
    idle_month,
)
from eventfabric.deployment.prices import LAMBDA_SECONDS_PER_MONTH, Prices
from tests.infra.synthesis import Synthesised

PRICED: Final = {
    "AWS::ApplicationSignals::ServiceLevelObjective",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::KMS::Key",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Scheduler::Schedule",
}
"""Kinds that cost something while nothing happens."""
BY_USE: Final = {
    "AWS::DynamoDB::GlobalTable",  # by reads, writes and size
    "AWS::Lambda::Function",  # by invocations and time
    "AWS::Logs::LogGroup",  # by what is written
    "AWS::SQS::Queue",  # by requests: only mappings poll
    "AWS::StepFunctions::StateMachine",  # by transitions
}
FREE: Final = {
    "AWS::CodeDeploy::Application",  # deployments of functions cost nothing
    "AWS::CodeDeploy::DeploymentGroup",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::KMS::Alias",
    "AWS::Lambda::Alias",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Version",
    "AWS::SQS::QueuePolicy",
    "Custom::EventFabricCheck",
    "Custom::EventFabricDeclare",
    "Custom::EventFabricStart",
    "Custom::EventFabricStreamArn",
}


def counted(synthesised: Synthesised) -> dict[Prices, float]:
    counts = defaultdict[Prices, float](float)
    for line in idle_month(synthesised.topology):
        counts[line.price] += line.count
    return counts


def mappings(synthesised: Synthesised) -> Counter[Prices]:
    """Count the mappings by what a poll of their source costs."""
    fifo = {
        name.partition("/")[2]
        for name, queue in synthesised.resources("AWS::SQS::Queue")
        if queue["Properties"].get("FifoQueue")
    }
    sources = [made["EventSourceArn"] for made in synthesised.properties("AWS::Lambda::EventSourceMapping")]
    return Counter(
        Prices.TRIGGER_POLL
        if source.endswith(".StreamArn>")
        else Prices.QUEUE_REQUEST
        if source.endswith(".fifo") or source[1:].removesuffix(".Arn>") in fifo
        else Prices.STANDARD_QUEUE_REQUEST
        for source in sources
    )


def test_every_kind_of_resource_is_priced_or_known_to_be_free(
    shop: Synthesised, wide: Synthesised, tuned: Synthesised
) -> None:
    kinds = {
        body["Type"]
        for synthesised in (shop, wide, tuned)
        for template in synthesised.templates.values()
        for body in template["Resources"].values()
    }
    assert kinds - PRICED - BY_USE - FREE == set()
    assert (PRICED | BY_USE | FREE) - kinds == set(), "a kind that no template has any more"


def test_alarms_are_counted_in_whichever_stack_they_are(tuned: Synthesised) -> None:
    assert counted(tuned)[Prices.ALARM] == len(tuned.properties("AWS::CloudWatch::Alarm"))


def test_what_is_polled_watched_and_kept_is_counted_as_often_as_it_is_created(
    synthesised: Synthesised,
) -> None:
    counts, of = counted(synthesised), synthesised.properties
    queue_polls = LAMBDA_SECONDS_PER_MONTH * QUEUE_POLLERS / QUEUE_POLL_SECONDS
    stream_polls = LAMBDA_SECONDS_PER_MONTH * STREAM_POLLS_PER_SECOND
    polls = {
        Prices.QUEUE_REQUEST: queue_polls,
        Prices.STANDARD_QUEUE_REQUEST: queue_polls,
        Prices.TRIGGER_POLL: stream_polls,
    }
    for price, mapped in mappings(synthesised).items():
        assert counts[price] == mapped * polls[price], price
    assert counts[Prices.ALARM] == sum(
        len(alarm.get("Metrics", [alarm])) for alarm in of("AWS::CloudWatch::Alarm")
    )
    assert counts[Prices.DASHBOARD] == len(of("AWS::CloudWatch::Dashboard"))
    assert counts[Prices.KEY] == len(of("AWS::KMS::Key"))
    assert counts[Prices.SCHEDULE] == PASSES_PER_MONTH * len(of("AWS::Scheduler::Schedule"))
    objectives = len(of("AWS::ApplicationSignals::ServiceLevelObjective"))
    assert (
        counts[Prices.APPLICATION_SIGNAL] == objectives * SIGNALS_PER_PERIOD * LAMBDA_SECONDS_PER_MONTH / 60
    )
