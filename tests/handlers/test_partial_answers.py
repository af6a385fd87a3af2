"""Answers of the deliver function to several messages of one lane."""

import json

from eventfabric.model import Doorbell, SequenceNumber, StreamName
from tests.handlers.test_functions import US, InvokedFunctions


def test_every_message_of_a_lane_that_cannot_go_on_comes_again() -> None:
    functions = InvokedFunctions()
    receipts = [functions.fabric.publish("orders", key="a", type="Placed") for _ in range(3)]
    table = functions.cloud.regions[US].table("shop-orders")
    (record,) = [item for item in table.items if item["sk"]["N"] == "2"]
    table.write("Put", {"Item": {**record, "d": {"B": b"?"}}})
    bells = [Doorbell(StreamName("orders"), receipts[0].lane, SequenceNumber(tail)) for tail in (1, 3, 2)]
    functions.cloud.doorbells(US).ring("all", bells)
    assert [json.loads(body)["tail"] for body in functions.deliver()] == [1, 3, 2]
    assert len(functions.seen) == 2


def test_of_several_doorbells_of_a_lane_the_highest_tail_counts() -> None:
    functions = InvokedFunctions()
    first = functions.fabric.publish("orders", key="a", type="Placed", id="1")
    functions.relay()
    functions.deliver()
    for number in (2, 3):
        functions.fabric.publish("orders", key="a", type="Placed", id=str(number))
    bells = [Doorbell(StreamName("orders"), first.lane, SequenceNumber(tail), again=1) for tail in (1, 3, 1)]
    functions.cloud.doorbells(US).ring("all", bells)
    assert functions.deliver() == []
    assert functions.seen == ["1", "2", "3"]
