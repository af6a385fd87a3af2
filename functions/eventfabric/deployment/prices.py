"""AWS's prices for everything that the fabric uses, with date and sources. On demand, us-east-1, US dollars.

Other Regions differ by up to about half. Free tiers, savings plans and enterprise discounts are not considered.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

PRICES_DATE: Final = "2026-11"
LAMBDA_SECONDS_PER_MONTH: Final = 730 * 3600


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for a million units. `source` is AWS's page with the price."""

    unit: str
    dollars_per_million: float
    source: str


class Prices(Enum):
    """Everything that AWS charges for, and the prices of alternatives to compare with."""

    WRITE_UNIT = Price("write unit", 0.625, "aws.amazon.com/dynamodb/pricing/on-demand")
    """1 KiB written to a table, charged in each Region that has it; a transaction costs twice as much."""
    READ_UNIT = Price("read unit", 0.125, "aws.amazon.com/dynamodb/pricing/on-demand")
    """4 KiB read with strong consistency."""
    QUEUE_REQUEST = Price("queue request", 0.50, "aws.amazon.com/sqs/pricing")
    """A request to a FIFO queue that sends, receives or deletes up to ten messages, of 64 KiB together."""
    INVOCATION = Price("invocation", 0.20, "aws.amazon.com/lambda/pricing")
    FUNCTION_SECOND = Price("GB-second", 13.3334, "aws.amazon.com/lambda/pricing")
    """A second of a function on arm64, for each GB of its memory."""
    X86_FUNCTION_SECOND = Price("GB-second (x86)", 16.6667, "aws.amazon.com/lambda/pricing")
    BUS_EVENT = Price("bus event", 1.00, "aws.amazon.com/eventbridge/pricing")
    """EventBridge: a custom event of up to 64 KiB."""
    STANDARD_QUEUE_REQUEST = Price("standard queue request", 0.40, "aws.amazon.com/sqs/pricing")
    STREAM_RECORD = Price("25 KiB put", 0.014, "aws.amazon.com/kinesis/data-streams/pricing")
    """Kinesis, provisioned: a payload unit put. Each shard costs 0.015 dollars an hour in addition."""
    TOPIC_PUBLISH = Price("topic publish", 0.30, "aws.amazon.com/sns/pricing")
    """SNS FIFO: a message published. Each delivery of it costs TOPIC_DELIVERY in addition."""
    TOPIC_DELIVERY = Price("topic delivery", 0.01, "aws.amazon.com/sns/pricing")

    METRIC = Price("metric and month", 300_000, "aws.amazon.com/cloudwatch/pricing")
    """CloudWatch: a series of values, paid for the hours in which it gets any."""
    ALARM = Price("metric of an alarm and month", 100_000, "aws.amazon.com/cloudwatch/pricing")
    """CloudWatch, standard resolution: a formula is paid for each metric in it. Composite ones: 0.50."""
    DASHBOARD = Price("dashboard and month", 3_000_000, "aws.amazon.com/cloudwatch/pricing")
    """CloudWatch. An account has three free ones, but only of up to 50 metrics each."""
    APPLICATION_SIGNAL = Price("application signal", 1.50, "aws.amazon.com/cloudwatch/pricing")
    """CloudWatch: an objective makes two signals in each of its periods."""
    LOG_GIGABYTE = Price("GB of logs", 500_000, "aws.amazon.com/cloudwatch/pricing")
    """CloudWatch Logs: ingested, of the standard class."""
    LOG_GIGABYTE_MONTH = Price("GB of logs and month", 30_000, "aws.amazon.com/cloudwatch/pricing")
    """CloudWatch Logs: stored. What is stored is compressed, to some 15%; that is not considered."""
    KEY = Price("key and month", 1_000_000, "aws.amazon.com/kms/pricing")
    """KMS: each key in each Region; one more dollar after its first and after its second yearly rotation."""
    KEY_REQUEST = Price("key request", 3.00, "aws.amazon.com/kms/pricing")
    SCHEDULE = Price("scheduled invocation", 1.00, "aws.amazon.com/eventbridge/pricing")
    TRIGGER_POLL = Price("stream poll by Lambda", 0.0, "aws.amazon.com/dynamodb/pricing/on-demand")
    """GetRecords of a table's stream, as a trigger's mapping calls it. Other readers pay 0.20 for a million."""
    TABLE_GIGABYTE_MONTH = Price(
        "GB of a table and month", 250_000, "aws.amazon.com/dynamodb/pricing/on-demand"
    )
    RECOVERY_GIGABYTE_MONTH = Price(
        "GB of a table's recovery and month", 200_000, "aws.amazon.com/dynamodb/pricing/on-demand"
    )
    """Point-in-time recovery, by the size of the table."""

    @staticmethod
    def function_second(architecture: str) -> "Prices":
        """Return the price of a function's time on an architecture."""
        return Prices.FUNCTION_SECOND if architecture == "arm64" else Prices.X86_FUNCTION_SECOND

    @property
    def unit(self) -> str:
        """Name of one unit."""
        return self.value.unit

    def dollars(self, count: float) -> float:
        """Price of so many units."""
        return count * self.value.dollars_per_million / 1_000_000
