"""Costs of backpressure for producers, counted: none where nobody holds them back, else a few reads."""

import json
import subprocess
import sys
from math import ceil
from typing import Any

import pytest

from eventfabric import Fabric
from eventfabric.aws.clients import Clients
from eventfabric.aws.credits import AwsCredits
from eventfabric.aws.region import aws_ports
from eventfabric.definition.file import parse_definition
from eventfabric.errors import BackpressureError
from eventfabric.model import (
    GENERATION_FIRST,
    Lane,
    LaneIndex,
    Region,
    SequenceNumber,
    StreamName,
    SubscriptionName,
)
from eventfabric.services.publishing.credits import Gate, KnownCredits
from eventfabric.testing.memory.clock import MemoryClock
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.topology import Topology
from eventfabric.wire.item_size import item_bytes
from scripts.benchmarks.null_endpoint import REGION, NullEndpoint, session

HERE = Region(REGION)
SLICE = 64
TAIL = SequenceNumber(1_234_567)
NOTHING = b'{"Items":[],"Count":0}'


class Requests:
    """Requests that an endpoint got, as it got them. `granted`: items of what is granted, by their partition key."""

    def __init__(self, granted: dict[str, list[dict[str, Any]]] | None = None) -> None:
        self.bodies: list[bytes] = []
        self.read_units = 0.0
        self._granted = granted or {}

    def __call__(self, body: bytes) -> bytes:
        self.bodies.append(body)
        values = json.loads(body).get("ExpressionAttributeValues", {})
        items = self._granted.get(values.get(":pk", {}).get("S", ""), [])
        if not items:
            return NOTHING
        # Eventually consistent: half a unit for each 4 KiB.
        self.read_units += ceil(sum(map(item_bytes, items)) / 4096) / 2
        return json.dumps({"Items": items, "Count": len(items)}).encode()


def requests_of(subscription: str, *, obeys: bool) -> list[bytes]:
    """Publish in each way to a stream with one subscription. `obeys`: by a fabric that knows of credits."""
    requests, endpoint, clients = Requests(), NullEndpoint(), Clients(REGION, session=session())
    endpoint.attach(clients.dynamodb, requests)
    endpoint.attach(clients.sqs, b'{"QueueUrl":"https://none/","Successful":[],"Failed":[]}')
    topology = Topology(
        parse_definition(
            f'[fabric]\nname = "shop"\nregions = ["{REGION}"]\n[streams.orders]\nlanes = 1\n'
            f'[subscriptions.billing]\nstream = "orders"\nhandler = "a:b"\n{subscription}'
        )
    )
    clock, entropy = MemoryClock(), SeededEntropy(1)
    ports = aws_ports(topology, clients, clock=clock, entropy=entropy)
    fabric = Fabric(
        topology,
        REGION,
        log_of=lambda stream, region: ports.log_of(stream),
        clock=clock,
        entropy=entropy,
        outbox=ports.outbox,
        credits_of=(lambda region: ports.credits) if obeys else None,
        parallel_lanes=0,
    )
    for number in range(3):
        fabric.publish("orders", key="k", type="Placed", id=f"e{number}")
        fabric.publish("orders", key="k", type="Placed", id=f"o{number}", once=True)
    with fabric.publisher("orders") as publisher:
        for number in range(2_000):
            publisher.publish(key="k", type="Placed", id=f"p{number}")
    with fabric.transaction() as transaction:
        transaction.put("theirs", {"id": "1"})
        transaction.publish("orders", key="k", type="Placed", id="t")
    return requests.bodies


def test_a_stream_that_nobody_gates_costs_no_call_and_no_byte_more() -> None:
    assert requests_of("", obeys=True) == requests_of("", obeys=False)


def test_a_gate_costs_one_query_before_the_first_append_and_then_none_while_there_is_credit() -> None:
    plain, gated = (requests_of("backpressure = {}", obeys=obeys) for obeys in (False, True))
    more = [body for body in gated if b"/credits/" in body]
    assert len(more) == 1
    assert [body for body in gated if body not in more] == plain


def test_what_only_gates_need_is_imported_for_no_other_stream() -> None:
    code = (
        "import sys; from tests.performance.test_credit_costs import requests_of; "
        "own = ('publishing.credits', 'aws.credits'); "
        "[sys.modules.pop(name) for name in list(sys.modules) if name.endswith(own)]; "
        "requests_of('', obeys=True); "
        "print([name for name in sys.modules if name.endswith(own)])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("lanes", [1, 64, 448, 512, 1024])
def test_lanes_without_credit_read_half_a_unit_a_second_at_most_however_many_they_are(lanes: int) -> None:
    slots = {str(number): {"N": str(TAIL)} for number in range(min(lanes, SLICE))}
    pk = {"S": f"orders/billing/credits/{REGION}/0"}
    items = [{"pk": pk, "sk": {"S": f"{REGION}/{number}"}, **slots} for number in range(ceil(lanes / SLICE))]
    requests, endpoint, clients = (
        Requests({pk["S"]: items}),
        NullEndpoint(),
        Clients(REGION, session=session()),
    )
    endpoint.attach(clients.dynamodb, requests)
    clock = MemoryClock()
    known = KnownCredits(
        AwsCredits(clients.dynamodb, lambda stream: "shop-ledger", HERE),
        StreamName("orders"),
        HERE,
        gates=lambda: (Gate(SubscriptionName("billing")),),
        clock=clock,
        entropy=SeededEntropy(1),
    )
    seconds = 60
    for _ in range(4 * seconds):
        for index in {0, lanes // 2, lanes - 1}:
            with pytest.raises(BackpressureError):
                known.fitting(
                    Lane(HERE, GENERATION_FIRST, LaneIndex(index)), 1, TAIL, is_atomic=False, is_alone=True
                )
        clock.advance(0.25)
    assert 0 < requests.read_units <= 0.5 * (seconds + 1)
    assert 1 < len(requests.bodies) <= seconds + 1
