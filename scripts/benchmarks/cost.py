"""Cost: predicted dollars for a million events, next to what alternatives would cost."""

import msgspec

from eventfabric.definition.file import parse_definition
from eventfabric.deployment.cost import Load, predict
from eventfabric.deployment.prices import PRICES_DATE, Prices
from eventfabric.model import uuid7_prefix, uuid7_suffixes
from eventfabric.topology import Topology
from eventfabric.wire.payload_codec import Row, pack
from scripts.benchmarks.measure import Section, Target
from scripts.benchmarks.null_endpoint import REGION
from scripts.benchmarks.publish import DATA_BYTES, payloads

EVENTS_PER_SECOND = 500.0
LANES = 64
HANDLER_SECONDS = 0.005
_FUNCTION_GB = 0.5
_BATCH = 10
"""Maximum number of messages in a request to a queue, and in an invocation of a function."""


def topology(regions: int = 1, lanes: int = LANES) -> Topology:
    """Make the topology of one stream with one subscription."""
    names = [REGION, "eu-west-1", "ap-south-1"][:regions]
    listed = ", ".join(f'"{name}"' for name in names)
    durability = "regional" if regions == 1 else "replicated"
    return Topology(
        parse_definition(f"""
            [fabric]
            name = "bench"
            regions = [{listed}]
            [streams.orders]
            durability = "{durability}"
            lanes = {lanes}
            [subscriptions.all]
            stream = "orders"
            handler = "nobody:nothing"
        """)
    )


def stored_bytes(batch: int) -> float:
    """Compute the bytes that an event of DATA_BYTES takes in a record of `batch` events."""
    encode = msgspec.json.Encoder().encode
    suffixes: list[str] = []
    while len(suffixes) < batch:
        suffixes += uuid7_suffixes(len(suffixes).to_bytes(10, "big"))
    rows: list[Row] = [
        (
            uuid7_prefix(1_790_000_000_000) + suffixes[n],
            "OrderPlaced",
            f"customer-{n % 32}",
            1_790_000_000_000_000 + n,
            "/bench/orders",
            {},
            1,
            encode(data),
        )
        for n, data in enumerate(payloads(batch))
    ]
    return len(pack(rows)) / batch


def ours(batch: int, *, regions: int = 1, lanes: int = LANES, per_second: float = EVENTS_PER_SECOND) -> float:
    """Compute the fabric's dollars for a million events."""
    of = topology(regions, lanes)
    load = Load.steady(
        per_second,
        stored_bytes(batch),
        lanes=lanes,
        events_per_record=float(batch),
        handler_seconds=HANDLER_SECONDS,
    )
    return predict(of, of.streams["orders"], load).dollars_per_million


def _function_dollars(batch: float) -> float:
    """Compute a function's dollars for a million events in batches, with the same handler time for each event."""
    return Prices.INVOCATION.dollars(1e6 / batch) + Prices.FUNCTION_SECOND.dollars(
        1e6 * HANDLER_SECONDS * _FUNCTION_GB
    )


def _idempotency_dollars() -> float:
    """Compute the dollars of Powertools Idempotency for a million events: two writes each, in progress and done."""
    return Prices.WRITE_UNIT.dollars(2e6)


def alternatives() -> dict[str, float]:
    """Compute each alternative's dollars for a million events of 256 bytes to one subscriber that handles each once."""
    queue = Prices.STANDARD_QUEUE_REQUEST
    fifo = Prices.QUEUE_REQUEST.dollars(3e6 / _BATCH)  # sent, received and deleted, ten at once
    function = _function_dollars(_BATCH) + _idempotency_dollars()
    return {
        # A rule sends its target one event at a time.
        "EventBridge + SQS + Powertools Idempotency": Prices.BUS_EVENT.dollars(1e6)
        + queue.dollars(1e6 + 2e6 / _BATCH)
        + function,
        "SNS FIFO + SQS FIFO + Idempotency": Prices.TOPIC_PUBLISH.dollars(1e6)
        + Prices.TOPIC_DELIVERY.dollars(1e6)
        + Prices.QUEUE_REQUEST.dollars(2e6 / _BATCH)
        + function,
        "SQS FIFO + Idempotency": fifo + function,
        "Kinesis + Idempotency": Prices.STREAM_RECORD.dollars(1e6)
        + 0.015 / 3600 * 1e6 / EVENTS_PER_SECOND
        + _function_dollars(100)
        + _idempotency_dollars(),
    }


def bench(*, quick: bool) -> Section:
    """Compute the costs. Nothing is timed, so `quick` changes nothing."""
    others = alternatives()
    bus = others["EventBridge + SQS + Powertools Idempotency"]
    batches = {batch: ours(batch) for batch in (1, 10, 100, 500)}
    table = [["a million events of 256 bytes, one Region, one subscriber", "US dollars", "to EventBridge"]]
    table += [
        [f"eventfabric, records of {batch}", f"{dollars:.3f}", f"{dollars / bus:.3f}"]
        for batch, dollars in batches.items()
    ]
    table += [[name, f"{dollars:.3f}", f"{dollars / bus:.3f}"] for name, dollars in others.items()]
    handler = Prices.FUNCTION_SECOND.dollars(1e6 * HANDLER_SECONDS * _FUNCTION_GB)
    return Section(
        "cost",
        [],
        [
            Target(
                "EventBridge + SQS + Idempotency / records of 100, handler apart",
                (bus - handler) / (batches[100] - handler),
                15,
                "times",
                at_least=True,
            ),
            Target("single events / EventBridge + SQS + Idempotency", batches[1] / bus, 1.1, "times"),
        ],
        [
            f"prices of {PRICES_DATE}, us-east-1, on demand; {EVENTS_PER_SECOND:g} events/s over {LANES} lanes",
            f"{handler:.3f} dollars of each are for the handler's {1000 * HANDLER_SECONDS:g} ms an event",
            f"{DATA_BYTES} bytes of data are stored as {stored_bytes(100):.0f} in records of 100, "
            f"and as {stored_bytes(1):.0f} alone",
        ],
        table,
    )
