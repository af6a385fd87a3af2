"""Messages and events that are not the functions': each fails alone, by its id or with a typed error."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eventfabric.handlers.backfill
import eventfabric.handlers.deliver
import eventfabric.handlers.reconcile
import eventfabric.handlers.relay
import eventfabric.handlers.timer
from eventfabric.errors import EventFabricError
from eventfabric.runtime.wiring import using
from eventfabric.telemetry import Metric
from tests.handlers.test_functions import US, Context, InvokedFunctions
from tests.support.memory_fabric import Counting

HONEST = '{"stream":"orders","origin":"us-east-1","lane":"0.1","tail":1}'
BAD: dict[str, str] = {
    "a stream that is not": '{"stream":"other","origin":"us-east-1","lane":"0.1","tail":1}',
    "an origin that is not": '{"stream":"orders","origin":"mars-north-1","lane":"0.1","tail":1}',
    "a lane beyond the last": '{"stream":"orders","origin":"us-east-1","lane":"0.4","tail":1}',
    "a generation beyond the last": '{"stream":"orders","origin":"us-east-1","lane":"11.1","tail":1}',
    "a lane of 200 digits": '{"stream":"orders","origin":"us-east-1","lane":"0.' + "1" * 200 + '","tail":1}',
    "a tail beyond all": '{"stream":"orders","origin":"us-east-1","lane":"0.1","tail":18446744073709551615}',
    "no JSON": "ring",
    "deep JSON": '{"x":' + "[" * 50_000 + "]" * 50_000 + "}",
}


def message(number: int, body: object = HONEST, **changed: object) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "messageId": f"m{number}",
        "receiptHandle": f"r{number}",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "1"},
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:shop-all-timers",
    }
    return {name: value for name, value in {**whole, **changed}.items() if value is not None}


def failures(answer: Any) -> list[str]:
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def deliver(functions: InvokedFunctions, *messages: dict[str, Any]) -> list[str]:
    with using(functions.runtime("all")):
        return failures(eventfabric.handlers.deliver.handle({"Records": list(messages)}, Context()))


def ring_timers(functions: InvokedFunctions, *messages: dict[str, Any]) -> list[str]:
    with using(functions.runtime(None)):
        return failures(eventfabric.handlers.timer.handle({"Records": list(messages)}, Context()))


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_a_message_that_is_no_doorbell_of_the_subscription_fails_alone_and_is_counted(body: str) -> None:
    telemetry = Counting()
    functions = InvokedFunctions(telemetry=telemetry)
    receipt = functions.fabric.publish("orders", key="a", type="Placed", id="1")
    honest = json.dumps({"stream": "orders", "origin": US, "lane": receipt.lane.local, "tail": 1})
    assert deliver(functions, message(1, body), message(2, honest), message(3, body)) == ["m1", "m3"]
    assert functions.seen == ["1"]
    assert telemetry.totals[Metric.MESSAGES_REFUSED] == 2
    assert ring_timers(functions, message(1, body), message(2, honest)) == ["m1"]
    assert len(functions.queue.bodies) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"receiptHandle": None},
        {"body": None},
        {"body": 7},
        {"attributes": None, "receiptHandle": ""},
        {"attributes": {"ApproximateReceiveCount": "many"}},
        {"attributes": {"ApproximateReceiveCount": "-1"}},
        {"attributes": {"ApproximateReceiveCount": "1" * 10}},
        {"attributes": []},
    ],
    ids=str,
)
def test_a_message_without_what_is_read_of_it_fails_alone(changed: dict[str, Any]) -> None:
    functions = InvokedFunctions()
    receipt = functions.fabric.publish("orders", key="a", type="Placed", id="1")
    honest = json.dumps({"stream": "orders", "origin": US, "lane": receipt.lane.local, "tail": 1})
    assert deliver(functions, message(1, **changed), message(2, honest)) == ["m1"]
    assert functions.seen == ["1"]


def test_a_message_that_says_nothing_of_earlier_ones_is_the_first() -> None:
    functions = InvokedFunctions()
    receipt = functions.fabric.publish("orders", key="a", type="Placed", id="1")
    honest = json.dumps({"stream": "orders", "origin": US, "lane": receipt.lane.local, "tail": 1})
    assert deliver(functions, message(1, honest, attributes=None)) == []
    assert functions.seen == ["1"]


def test_a_timer_of_a_queue_that_is_not_ours_fails_alone() -> None:
    functions = InvokedFunctions()
    strange = message(1, eventSourceARN="arn:aws:sqs:us-east-1:123456789012:other")
    assert ring_timers(functions, strange, message(2), message(3, eventSourceARN=None)) == ["m1", "m3"]


@pytest.mark.parametrize(
    "pk",
    [
        "us-east-1/0." + "9" * 200,
        "9" * 200 + "/0.1",
        "mars-north-1/0.1",
        "us-east-1/11.1",
        "us-east-1/0.4096",
        "lane",
    ],
)
def test_a_lane_in_the_log_that_cannot_be_rung_is_skipped_and_counted_and_the_others_are_rung(
    pk: str,
) -> None:
    telemetry = Counting()
    functions = InvokedFunctions(telemetry=telemetry)
    functions.fabric.publish("orders", key="a", type="Placed", id="1")
    functions.fabric.publish("orders", key="b", type="Placed", id="2")
    spoiled: list[dict[str, Any]] = []

    def spoil(stream_record: dict[str, Any]) -> None:
        if not spoiled:
            stream_record["dynamodb"]["NewImage"]["pk"] = {"S": pk}
            spoiled.append(stream_record)

    assert functions.relay(spoil) == {"batchItemFailures": []}
    assert len(functions.queue.bodies) == 1
    assert telemetry.totals[Metric.STREAM_RECORDS_IGNORED] == 1


def test_records_of_a_table_that_is_not_ours_are_skipped_and_the_others_are_rung() -> None:
    functions = InvokedFunctions()
    functions.fabric.publish("orders", key="a", type="Placed", id="1")
    functions.fabric.publish("orders", key="b", type="Placed", id="2")
    spoiled: list[dict[str, Any]] = []

    def spoil(stream_record: dict[str, Any]) -> None:
        if not spoiled:
            stream_record["eventSourceARN"] = "arn:aws:dynamodb:us-east-1:1:table/other/stream/x"
            spoiled.append(stream_record)

    assert functions.relay(spoil) == {"batchItemFailures": []}
    assert len(functions.queue.bodies) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
MESSAGES = st.dictionaries(
    st.sampled_from(["messageId", "receiptHandle", "body", "attributes", "eventSourceARN"]), JSON, max_size=5
) | st.builds(message, st.integers(0, 9), st.sampled_from([HONEST, *BAD.values()]) | JSON)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "eventName": st.sampled_from(["INSERT", "MODIFY", "REMOVE"]) | JSON,
        "eventSourceARN": st.just("arn:aws:dynamodb:us-east-1:1:table/shop-orders/stream/x") | JSON,
        "dynamodb": JSON
        | st.fixed_dictionaries(
            {},
            optional={
                "SequenceNumber": st.just("1") | JSON,
                "NewImage": JSON
                | st.dictionaries(
                    st.sampled_from(["pk", "sk", "n"]),
                    st.sampled_from([{"S": "us-east-1/0.1"}, {"N": "3"}, {"N": str(2**70)}, {"S": "once/x"}])
                    | JSON,
                ),
            },
        ),
    },
)
STEPS = st.fixed_dictionaries(
    {"action": st.sampled_from(["begin", "plan", "copy", "finish"]) | JSON},
    optional={
        "name": st.just("b1") | JSON,
        "backfill": st.just("b1") | JSON,
        "lane": st.sampled_from(["us-east-1/0.1", "us-east-1/0.9999", "x"]) | JSON,
        "start": st.integers(-1, 2**64) | JSON,
        "more": st.sampled_from(["plan us-east-1/0.1 4", "plan x y", "stored us-east-1/0.1 " + "9" * 5000])
        | JSON,
        "asked": st.fixed_dictionaries(
            {},
            optional={
                "stream": st.just("orders") | JSON,
                "source": st.just(US) | JSON,
                "lanes": st.lists(JSON, max_size=2),
                "workers": JSON,
                "rate": JSON,
                "slice_events": JSON,
            },
        ),
    },
)


def events(records: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return JSON | st.fixed_dictionaries({"Records": st.lists(records, max_size=3) | JSON})


FUNCTIONS: dict[str, tuple[Any, str | None, st.SearchStrategy[Any]]] = {
    "deliver": (eventfabric.handlers.deliver, "all", events(MESSAGES)),
    "timer": (eventfabric.handlers.timer, None, events(MESSAGES)),
    "relay": (eventfabric.handlers.relay, None, events(CHANGES)),
    "reconcile": (eventfabric.handlers.reconcile, None, JSON),
    "backfill": (eventfabric.handlers.backfill, None, JSON | STEPS),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_a_function_is_invoked_with_it_ends_well_or_by_a_typed_error(
    name: str, data: st.DataObject
) -> None:
    function, subscription, drawn = FUNCTIONS[name]
    functions = InvokedFunctions()
    event = data.draw(drawn)
    with using(functions.runtime(subscription)):
        try:
            answer = function.handle(event, Context())
        except EventFabricError:
            return
    named = [failure["itemIdentifier"] for failure in answer.get("batchItemFailures", [])]
    assert all(isinstance(identifier, str) and identifier for identifier in named)
