"""The README's Python runs as it stands there."""

import sys
from collections.abc import Callable
from pathlib import Path
from re import DOTALL, findall
from types import ModuleType
from typing import Any

import pytest

from eventfabric.local import LocalFabric
from eventfabric.testing.idempotency.report import HandlersReport
from subscribers import tables

ROOT = Path(__file__).resolve().parents[2]
BLOCKS: list[str] = findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), DOTALL)


def block(*words: str) -> str:
    """The one block that has these words."""
    found = [text for text in BLOCKS if all(word in text for word in words)]
    assert len(found) == 1
    return found[0]


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the credentials that boto3 finds in a user's environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    monkeypatch.chdir(ROOT)


def test_every_block_is_run_by_a_test_here() -> None:
    assert len(BLOCKS) == 6


@pytest.mark.usefixtures("credentials")
def test_publish(capsys: pytest.CaptureFixture[str]) -> None:
    with LocalFabric(ROOT / "infra/fabric.toml") as fabric:
        tables.make(fabric)
        exec(block("publish_many"), {})
        published = fabric.region("us-east-1")
        assert published.publish("orders", key="customer-17", type="Noted").sequence == 2_002
        fabric.settle(timers=True)
        assert_nothing_is_dead(fabric)
        assert len(fabric.subscription("billing").handled()) == 2_002
    place, sequence = capsys.readouterr().out.splitlines()
    assert place.startswith("us-east-1/0.")
    assert sequence == "1"


@pytest.mark.usefixtures("credentials")
def test_publish_together_and_once() -> None:
    with LocalFabric(ROOT / "infra/fabric.toml") as fabric:
        client = fabric.client("dynamodb", "us-east-1")
        make_table(client, "my-orders")
        tables.make(fabric)
        exec(block("fabric.transaction()"), {})
        assert [item["id"] for item in client.scan(TableName="my-orders")["Items"]] == [{"S": "A-1"}]
        fabric.settle(timers=True)
        assert_nothing_is_dead(fabric)
        assert len(fabric.subscription("billing").handled()) == 2


def assert_nothing_is_dead(fabric: LocalFabric) -> None:
    """The sample's own handlers took all that a reader has published."""
    for name in fabric.topology.subscriptions:
        subscription = fabric.subscription(name)
        dead = [letter.parked.failure.message for letter in subscription.dead_letters()]
        assert (name, dead) == (name, [])
        assert all(proof.is_proven and not proof.exceptions for proof in subscription.prove())


def make_table(client: Any, name: str) -> None:
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )


def test_subscribe() -> None:
    namespace: dict[str, object] = {"__name__": "readme"}
    exec(block("@subscriber", "class Order"), namespace)
    charge = namespace["charge"]
    assert callable(charge)
    with LocalFabric(ROOT / "infra/fabric.toml", handlers={"billing": charge}) as fabric:
        client = fabric.client("dynamodb", "us-east-1")
        make_table(client, "charges")
        order = {"order": "A-1", "total": 2}
        fabric.region("us-east-1").publish("orders", key="c", type="OrderPlaced", data=order)
        while fabric.step():
            pass
        assert [item["id"] for item in client.scan(TableName="charges")["Items"]] == [{"S": "A-1"}]


class Payments:
    """The other side of the README's step: it loses its first reply."""

    def __init__(self) -> None:
        self.charges: dict[str, str] = {}

    def find(self, *, idempotency_key: str) -> str | None:
        return self.charges.get(idempotency_key)

    def charge(self, data: object, *, idempotency_key: str) -> str:
        first = not self.charges
        self.charges[idempotency_key] = f"charge {len(self.charges)}"
        if first:
            raise TimeoutError
        return self.charges[idempotency_key]


def test_step(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = ModuleType("my_shop")
    vars(shop)["payments"] = payments = Payments()
    monkeypatch.setitem(sys.modules, "my_shop", shop)
    namespace: dict[str, object] = {"__name__": "readme"}
    exec(block("delivery.once"), namespace)
    charge_card = namespace["charge_card"]
    assert callable(charge_card)
    with LocalFabric(ROOT / "infra/fabric.toml", handlers={"billing": charge_card}) as fabric:
        client = fabric.client("dynamodb", "us-east-1")
        make_table(client, "receipts")
        fabric.region("us-east-1").publish("orders", key="c", type="OrderPlaced", id="e1")
        fabric.settle(timers=True)
        (receipt,) = client.scan(TableName="receipts")["Items"]
        (key,) = payments.charges
        assert receipt == {"id": {"S": key}, "charge": {"S": "charge 0"}}
    assert key.startswith("orders/billing/step/charge/")
    assert key.endswith("/e1")


def test_test(local_fabric: LocalFabric) -> None:
    namespace: dict[str, object] = {}
    exec(block("local_fabric"), namespace)
    run = namespace["test_an_order_is_charged_once"]
    assert callable(run)
    run(local_fabric)


@pytest.mark.eventfabric_simulation(setup="subscribers.tables:make")
def test_simulate_handlers(
    simulate_handlers: Callable[..., HandlersReport], request: pytest.FixtureRequest
) -> None:
    made: dict[str, Any] = {}
    exec(block("simulate_handlers"), made)
    test = made["test_a_repeated_event_changes_nothing"]
    (mark,) = test.pytestmark
    marked = request.node.get_closest_marker("eventfabric_simulation")
    assert (mark.name, mark.kwargs) == (marked.name, marked.kwargs)
    test(simulate_handlers)
