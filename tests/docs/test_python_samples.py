"""The Python of every page runs as it stands there, on a local fabric of the sample's definition."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from eventfabric import Delivery, Event
from eventfabric.definition.file import parse_definition, read_definition
from eventfabric.local import LocalFabric
from eventfabric.ports import Attempt
from eventfabric.sdk.subscriber import SubscriberHandler
from eventfabric.sdk.upcasters import Upcaster, Upcasting
from eventfabric.testing.idempotency.report import HandlersReport
from eventfabric.testing.local.clock import LocalClock
from infra.app import WHEELS
from subscribers import tables
from subscribers.billing import CardRefused
from tests.docs.pages import blocks, living_pages
from tests.docs.test_house_style import ROOT, name_of
from tests.infra.synthesis import Synthesised, declare, new_app
from tests.support.command_line import local_up
from tests.support.schema_folders import written

DEFINITION = ROOT / "infra/fabric.toml"
HOME = "us-east-1"
SERVER = "http://127.0.0.1:4599"


@dataclass(frozen=True)
class Sample:
    """The one Python block of a page that has certain words."""

    page: str
    words: str

    def is_in(self, text: str) -> bool:
        return self.words in text

    def run(self, *, endpoint: str = "") -> dict[str, Any]:
        """Run it as a module, at a server's endpoint instead of the one it names; returns what it defines."""
        (text,) = (text for text in blocks(ROOT / self.page, "python") if self.is_in(text))
        if endpoint:
            text = text.replace(SERVER, endpoint)
        defined: dict[str, Any] = {"__name__": "sample"}
        exec(compile(text, self.page, "exec"), defined)
        return defined


SAMPLES: list[Sample] = []
"""Samples that tests of this file run."""


def runs(page: str, words: str) -> pytest.MarkDecorator:
    """Hand a test the sample that it runs."""
    SAMPLES.append(Sample(page, words))
    return pytest.mark.parametrize("sample", [SAMPLES[-1]], ids=[page])


@pytest.mark.parametrize("page", living_pages(), ids=name_of)
def test_every_python_block_is_run_by_one_test_here(page: Path) -> None:
    known = [sample for sample in SAMPLES if sample.page == name_of(page)]
    there = blocks(page, "python")
    assert [text for text in there if sum(sample.is_in(text) for sample in known) != 1] == []
    assert len(there) == len(known)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what a user's program finds: credentials, and the definition in the folder that it runs in."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    monkeypatch.chdir(ROOT)


@pytest.fixture
def shop(account: None) -> Iterator[LocalFabric]:
    with LocalFabric(DEFINITION) as fabric:
        tables.make(fabric)
        yield fabric


def assert_handled(fabric: LocalFabric, **counts: int) -> None:
    """Settle, and hold how many events each of these subscriptions has handled, and that it refused none."""
    fabric.settle(timers=True)
    assert {name: len(fabric.subscription(name).handled()) for name in counts} == counts
    for name in counts:
        proofs = fabric.subscription(name).prove()
        assert [exception for proof in proofs for exception in proof.exceptions] == []
        assert all(proof.is_proven for proof in proofs)


def make_table(fabric: LocalFabric, name: str) -> None:
    fabric.client("dynamodb", HOME).create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )


def rows(fabric: LocalFabric, table: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = fabric.client("dynamodb", HOME).scan(TableName=table)["Items"]
    return items


@runs("README.md", "receipt = fabric.publish")
def test_publish(sample: Sample, shop: LocalFabric, capsys: pytest.CaptureFixture[str]) -> None:
    sample.run()
    lane, sequence, event_id = capsys.readouterr().out.split()
    assert (lane.startswith("us-east-1/0."), sequence, len(event_id)) == (True, "0", 36)
    assert_handled(shop, billing=1)


@runs("docs/publish.md", "receipt = fabric.publish(\n")
def test_publish_one_event(sample: Sample, shop: LocalFabric, capsys: pytest.CaptureFixture[str]) -> None:
    sample.run()
    assert capsys.readouterr().out.split()[1] == "0"
    assert_handled(shop, shipping=1)


@runs("docs/publish.md", "publish_many")
def test_publish_many_events(sample: Sample, shop: LocalFabric, capsys: pytest.CaptureFixture[str]) -> None:
    sample.run()
    assert capsys.readouterr().out == "0\n"
    assert_handled(shop, shipping=201)


@runs("docs/publish.md", 'schemas="contracts/schemas"')
def test_publish_what_does_not_fit_a_schema(
    sample: Sample,
    shop: LocalFabric,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    order = {"properties": {"order": {"type": "string"}, "cents": {"type": "integer"}}}
    written(tmp_path / "contracts/schemas", {"orders/OrderPlaced": order})
    monkeypatch.chdir(tmp_path)
    sample.run()
    printed = "".join(f"    # {line}" for line in capsys.readouterr().out.splitlines(keepends=True))
    assert printed in next(text for text in blocks(ROOT / sample.page, "python") if sample.is_in(text))


@runs("docs/publish.md", "AsyncFabric")
def test_publish_from_asyncio(sample: Sample, shop: LocalFabric, capsys: pytest.CaptureFixture[str]) -> None:
    sample.run()
    assert capsys.readouterr().out == "1\n"
    assert_handled(shop, shipping=2)


@runs("docs/publish.md", "fabric.transaction()")
def test_publish_together_with_a_write(sample: Sample, shop: LocalFabric) -> None:
    make_table(shop, "my-orders")
    sample.run()
    assert rows(shop, "my-orders") == [{"id": {"S": "A-1"}}]
    assert_handled(shop, billing=1)


@runs("docs/publish.md", "once=True")
def test_publish_once(sample: Sample, shop: LocalFabric) -> None:
    sample.run()
    assert_handled(shop, shipping=1)


@runs("docs/publish.md", "BackpressureError")
def test_publish_to_a_lane_that_may_be_held_back(sample: Sample, shop: LocalFabric) -> None:
    sample.run()
    assert_handled(shop, shipping=1)


@runs("docs/regions.md", "failover=")
def test_publish_with_a_region_to_turn_to(sample: Sample, shop: LocalFabric) -> None:
    sample.run()
    assert_handled(shop, shipping=1, analytics=4)


@runs("docs/deploy.md", "EventFabric(")
def test_deploy_in_an_app_of_ones_own(sample: Sample, account: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from eventfabric.cdk import EventFabric  # before a test makes the CDK's library start another Node

    monkeypatch.setattr(sys.modules[EventFabric.__module__], "CACHE", WHEELS)
    folder = Path(sample.run()["app"].outdir)
    [template] = folder.glob("assembly-*/*Web*.template.json")
    assert "table/shop-orders" in template.read_text()


@runs("docs/deploy.md", "allow_interfaces(")
def test_keep_the_rights_of_functions_that_leave_a_vpc(sample: Sample, tmp_path: Path) -> None:
    app = new_app(tmp_path / "cdk.out")
    fabric = declare(app, read_definition(DEFINITION), tmp_path / "code")
    extend = sample.run()["extend"]
    extend(fabric)
    app.synth()  # the AwsSolutions rules let it pass
    templates = Synthesised(read_definition(DEFINITION), tmp_path / "cdk.out")
    policies = templates.properties("AWS::IAM::Policy", stack=templates.running(HOME))
    allowed = sum("ec2:DeleteNetworkInterface" in json.dumps(policy) for policy in policies)
    assert allowed == sum(HOME in regions for regions in fabric.functions.values())


@runs("docs/testing.md", "endpoint_url=")
def test_publish_to_a_server(sample: Sample, tmp_path: Path, account: None) -> None:
    with local_up(tmp_path, "--no-deliver") as endpoint:
        fabric = sample.run(endpoint=endpoint)["fabric"]
        assert fabric.publish("orders", key="customer-17", type="PaymentReceived").sequence == 1


@runs("README.md", "def charge(")
def test_subscribe(sample: Sample) -> None:
    handlers = {"billing": sample.run()["charge"]}
    with LocalFabric(DEFINITION, handlers=handlers) as fabric:
        make_table(fabric, "charges")
        order = {"order": "A-1", "total_cents": 2}
        fabric.region(HOME).publish("orders", key="c", type="OrderPlaced", data=order)
        fabric.settle()
        assert rows(fabric, "charges") == [{"id": {"S": "A-1"}, "cents": {"N": "2"}}]


@runs("docs/subscribe.md", "def send_receipt(")
def test_subscribe_to_events(sample: Sample, capsys: pytest.CaptureFixture[str]) -> None:
    handlers = {"shipping": sample.run()["send_receipt"]}
    with LocalFabric(DEFINITION, handlers=handlers) as fabric:
        fabric.region(HOME).publish("orders", key="c", type="PaymentReceived", data={"order": "A-1"})
        fabric.settle()
    assert capsys.readouterr().out == "c PaymentReceived A-1\n"


@runs("docs/subscribe.md", "def count(")
def test_subscribe_in_a_transaction(sample: Sample) -> None:
    handlers = {"billing": sample.run()["count"]}
    with LocalFabric(DEFINITION, handlers=handlers) as fabric:
        make_table(fabric, "totals")
        for number in range(3):
            order = {"order": f"A-{number}", "total_cents": 5}
            fabric.region(HOME).publish("orders", key="c", type="OrderPlaced", data=order)
        fabric.settle()
        assert rows(fabric, "totals") == [{"id": {"S": "all"}, "cents": {"N": "15"}}]


CHAIN = """
[fabric]
name = "shop"
regions = ["us-east-1"]
[streams.orders]
durability = "regional"
[streams.invoices]
durability = "regional"
[subscriptions.billing]
stream = "orders"
handler = "subscribers.billing:bill"
guarantee = "exactly_once"
publishes = ["invoices"]
[subscriptions.mailing]
stream = "invoices"
handler = "subscribers.mailing:mail"
"""


@runs("docs/subscribe.md", "def bill(")
def test_subscribe_and_publish(sample: Sample) -> None:
    mailed: list[Any] = []

    def mail(event: Event, delivery: Delivery) -> None:
        mailed.append((event.key, event.type, event.data))

    handlers = {"billing": sample.run()["bill"], "mailing": mail}
    with LocalFabric(parse_definition(CHAIN), handlers=handlers) as fabric:
        make_table(fabric, "bills")
        fabric.region(HOME).publish("orders", key="c", type="OrderPlaced", id="e1", data={"order": "A-1"})
        fabric.settle()
        assert rows(fabric, "bills") == [{"id": {"S": "e1"}}]
    assert mailed == [("c", "InvoiceCreated", {"order": "A-1"})]


class Payments:
    """The other side of the page's step: it loses its first reply."""

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


@runs("docs/subscribe.md", "delivery.once")
def test_subscribe_with_a_step(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    my_shop = ModuleType("my_shop")
    vars(my_shop)["payments"] = payments = Payments()
    monkeypatch.setitem(sys.modules, "my_shop", my_shop)
    handlers = {"billing": sample.run()["charge_card"]}
    with LocalFabric(DEFINITION, handlers=handlers) as fabric:
        make_table(fabric, "receipts")
        fabric.region(HOME).publish("orders", key="c", type="OrderPlaced", id="e1")
        fabric.settle(timers=True)
        (key,) = payments.charges
        assert rows(fabric, "receipts") == [{"id": {"S": key}, "charge": {"S": "charge 0"}}]
    assert key.startswith("orders/billing/step/charge/")
    assert key.endswith("/e1")


@runs("docs/regions.md", "@move.late")
def test_subscribe_to_late_events(sample: Sample) -> None:
    with LocalFabric(DEFINITION, handlers={"shipping": sample.run()["move"]}) as fabric:
        tables.make(fabric)
        fabric.region(HOME).publish("orders", key="a", type="PaymentReceived")
        fabric.settle()
        assert len(fabric.subscription("shipping").handled()) == 1


class ProviderTimeoutError(CardRefused):
    """Permanent by the sample's definition: the event is a dead letter at once."""


@runs("docs/failures.md", "operations.dead_letters")
def test_redrive(sample: Sample, account: None) -> None:
    errors: dict[str, type[Exception]] = {"a": ProviderTimeoutError, "b": CardRefused}

    def refuse(event: Event, delivery: Delivery) -> None:
        if delivery.attempt == 1:
            raise errors[event.key]

    with LocalFabric(DEFINITION, handlers={"billing": refuse}) as fabric:
        for key in errors:
            fabric.region(HOME).publish("orders", key=key, type="OrderPlaced")
        fabric.settle()
        sample.run()
        fabric.settle()
        (left,) = fabric.subscription("billing").dead_letters()
        assert left.parked.key == "b"


@runs("docs/contracts.md", "OpenEnum")
def test_contracts_of_open_enums(sample: Sample) -> None:
    status = sample.run()["Status"]
    values = [(value, value.is_known) for value in (status.PAID, status("refunded"))]
    assert values == [("paid", True), ("refunded", False)]


@runs("docs/contracts.md", "@upcast")
def test_contracts_of_old_events(sample: Sample, capsys: pytest.CaptureFixture[str]) -> None:
    defined = sample.run()
    steps = [value for value in defined.values() if isinstance(value, Upcaster)]
    handler = SubscriberHandler(
        defined["charge"],
        clock=LocalClock(),
        transactional=False,
        upcasting=Upcasting(steps, version_of=lambda type_, digest: None, stream="orders"),
    )
    event = Event(type="OrderPlaced", key="k", data={"id": "order-1", "total": 19.9})
    handler.attempt([event], Attempt("billing", 1, 0))
    assert capsys.readouterr().out == "1990 EUR\n"


@runs("docs/testing.md", "local_fabric:")
def test_test(sample: Sample, local_fabric: LocalFabric) -> None:
    sample.run()["test_an_order_is_charged_once"](local_fabric)


@runs("docs/testing.md", "simulate_handlers")
@pytest.mark.eventfabric_simulation(setup="subscribers.tables:make")
def test_simulate_handlers(
    sample: Sample, simulate_handlers: Callable[..., HandlersReport], request: pytest.FixtureRequest
) -> None:
    test = sample.run()["test_a_repeated_event_changes_nothing"]
    (mark,) = test.pytestmark
    marked = request.node.get_closest_marker("eventfabric_simulation")
    assert (mark.name, mark.kwargs) == (marked.name, marked.kwargs)
    test(simulate_handlers)
