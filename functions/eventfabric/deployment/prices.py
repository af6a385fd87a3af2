"""What AWS charges for what the fabric uses: one table, dated, with its sources. On demand, us-east-1, US dollars.

Other Regions differ by up to about half; nothing here knows of free tiers, savings plans or enterprise discounts.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

PRICES_DATE: Final = "2026-11"
LAMBDA_SECONDS_PER_MONTH: Final = 730 * 3600


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for a million of something; `source`: where AWS says so."""

    unit: str
    dollars_per_million: float
    source: str


class Prices(Enum):
    """Everything that is paid for."""

    WRITE_UNIT = Price("write unit", 0.625, "aws.amazon.com/dynamodb/pricing/on-demand")
    """1 KiB put into a table, in each Region that has it; twice that in a transaction."""
    READ_UNIT = Price("read unit", 0.125, "aws.amazon.com/dynamodb/pricing/on-demand")
    """4 KiB read consistently."""
    QUEUE_REQUEST = Price("queue request", 0.50, "aws.amazon.com/sqs/pricing")
    """Of a FIFO queue: up to ten messages of 64 KiB together sent, received or deleted."""
    INVOCATION = Price("invocation", 0.20, "aws.amazon.com/lambda/pricing")
    FUNCTION_SECOND = Price("GB-second", 13.3334, "aws.amazon.com/lambda/pricing")
    """Of a function on arm64, and of each GB of its memory."""
    BUS_EVENT = Price("bus event", 1.00, "aws.amazon.com/eventbridge/pricing")
    """EventBridge: a custom event of up to 64 KiB."""
    STANDARD_QUEUE_REQUEST = Price("standard queue request", 0.40, "aws.amazon.com/sqs/pricing")
    STREAM_RECORD = Price("25 KiB put", 0.014, "aws.amazon.com/kinesis/data-streams/pricing")
    """Kinesis, provisioned: a payload unit put; its shards cost 0.015 dollars an hour each."""
    TOPIC_PUBLISH = Price("topic publish", 0.30, "aws.amazon.com/sns/pricing")
    """SNS FIFO: a message published; the deliveries of one cost TOPIC_DELIVERY."""
    TOPIC_DELIVERY = Price("topic delivery", 0.01, "aws.amazon.com/sns/pricing")

    @property
    def unit(self) -> str:
        """What one of it is."""
        return self.value.unit

    def dollars(self, count: float) -> float:
        """For so many."""
        return count * self.value.dollars_per_million / 1_000_000
