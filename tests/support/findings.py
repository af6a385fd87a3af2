"""Findings as tests expect them: every field but the wording, of which only the facts count."""

from eventfabric.model import Lane, Region, SequenceNumber, StreamName, SubscriptionName
from eventfabric.model.finding import Finding, FindingKind
from tests.support.memory_fabric import HOME, LANE, STREAM
from tests.support.messages import TextWith
from tests.support.subscribed_stream import SUBSCRIPTION


def finding(
    kind: FindingKind,
    sequence: int,
    *facts: object,
    stream: str = STREAM,
    subscription: str | None = SUBSCRIPTION,
    lane: Lane = LANE,
    region: Region = HOME,
    is_repaired: bool = False,
) -> Finding:
    """Build a finding whose detail equals any text with these facts. `subscription`: None for one about the log."""
    return Finding(
        kind,
        StreamName(stream),
        lane,
        region,
        SequenceNumber(sequence),
        TextWith(*facts),
        SubscriptionName(subscription) if subscription else None,
        is_repaired,
    )
