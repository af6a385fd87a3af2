"""Settings of functions in the local fabric: environment, memory and time-outs."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import Definition
from eventfabric.runtime import deliver
from eventfabric.testing.local.fabric import LocalFabric
from eventfabric.testing.local.invoke import LocalContext

US = "us-east-1"
KEYS = """
timeout_seconds = {timeout}
memory_megabytes = 1024
environment = {{ CURRENCY = "EUR", PLACE = "fabric" }}
"""
MODULE = """
import os
CURRENCY = os.environ["CURRENCY"]
HANDLED = []


def handle(event, delivery):
    HANDLED.append((CURRENCY, os.environ["PLACE"]))
"""


def definition(handler: str = "subscribers.any:handle", *, timeout_seconds: int = 60) -> Definition:
    return parse_definition(f"""
        [fabric]
        name = "shop"
        stage = "dev"
        regions = ["{US}"]
        [functions]
        {KEYS.format(timeout=timeout_seconds)}
        [streams.orders]
        lanes = 1
        [subscriptions.all]
        stream = "orders"
        handler = "{handler}"
        function.environment.PLACE = "own"
    """)


def test_a_handlers_module_sees_the_environment_when_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "handler_of_environment.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    with LocalFabric(definition("handler_of_environment:handle")) as fabric:
        fabric.region(US).publish("orders", key="a", type="Placed")
        fabric.settle()
        assert "CURRENCY" not in os.environ
    module = sys.modules.pop("handler_of_environment")
    assert module.HANDLED == [("EUR", "own")]


def test_a_doorbell_stays_invisible_for_six_times_the_time_out() -> None:
    with LocalFabric(definition(timeout_seconds=30)) as fabric:
        client = fabric.client("sqs", US)
        url = client.get_queue_url(QueueName="shop_dev-all.fifo")["QueueUrl"]
        attributes = client.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
        assert attributes["Attributes"]["VisibilityTimeout"] == "180"


def test_a_function_has_the_time_and_memory_that_the_definition_says(monkeypatch: pytest.MonkeyPatch) -> None:
    contexts: list[LocalContext] = []

    def handle(event: dict[str, Any], context: LocalContext) -> dict[str, Any]:
        contexts.append(context)
        assert context.get_remaining_time_in_millis() == 45_000
        return {"batchItemFailures": []}

    monkeypatch.setattr(deliver, "handle", handle)
    with LocalFabric(
        definition(timeout_seconds=45), handlers={"all": lambda event, delivery: None}
    ) as fabric:
        fabric.region(US).publish("orders", key="a", type="Placed")
        fabric.settle()
    assert {context.memory_limit_in_mb for context in contexts} == {1024}
    assert {context.function_name for context in contexts} == {"shop_dev-all"}
