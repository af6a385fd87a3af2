"""Steps that are in doubt, and the people who settle them: in a local fabric, and by the command line."""

import pytest

from eventfabric import Delivery, Event, Fabric
from eventfabric.aws.clients import Clients
from eventfabric.aws.steps import AwsSteps
from eventfabric.aws.system import SystemClock, SystemEntropy
from eventfabric.errors import NotUnknownError, SettingError, UnsettledStepError
from eventfabric.model import Region, StepKey, StreamName, SubscriptionName
from eventfabric.testing.local.fabric import LocalFabric
from tests.local.test_local_handlers import US, definition
from tests.support.command_line import DEFINITION, CommandLine
from tests.support.messages import TextWith, missing_from


class Payments:
    """Another side, and a handler that exits in the middle of its first charge."""

    def __init__(self) -> None:
        self.charges: list[str] = []
        self.receipts: list[str] = []
        self.exits = True

    def handle(self, event: Event, delivery: Delivery) -> None:
        with delivery.once("charge") as step:
            if not step.done:
                self.charges.append(step.key)
                if self.exits:
                    self.exits = False
                    raise SystemExit
                step.result = f"receipt {len(self.charges)}"
        self.receipts.append(step.result)


@pytest.mark.parametrize("happened", [True, False], ids=["done", "not done"])
def test_a_step_in_doubt_is_a_dead_letter_until_somebody_settles_it(happened: bool) -> None:
    payments = Payments()
    with LocalFabric(definition(), handlers={"all": payments.handle}) as fabric:
        receipt = fabric.region(US).publish("orders", key="a", type="Placed")
        fabric.region(US).publish("orders", key="b", type="Placed")
        fabric.settle()
        billing = fabric.subscription("all")
        (letter,) = billing.dead_letters()
        assert letter.parked.failure.error_type == "eventfabric.errors:UnknownStepError"
        assert (len(payments.charges), payments.receipts) == (2, ["receipt 2"])

        with pytest.raises(UnsettledStepError, match="steps settle"):
            billing.redrive()
        fabric.settle()
        assert billing.dead_letters() == [letter]
        with pytest.raises(SettingError, match="result"):
            billing.settle_step(US, receipt.event_id, "charge", happened=False, result="x")
        billing.settle_step(
            US, receipt.event_id, "charge", happened=happened, result="theirs" if happened else None
        )
        with pytest.raises(NotUnknownError, match="is done" if happened else "never began"):
            billing.settle_step(US, receipt.event_id, "charge", happened=True)
        billing.redrive()
        fabric.settle()
        assert billing.dead_letters() == []
        assert payments.receipts[1:] == ["theirs" if happened else "receipt 3"]
        assert len(set(payments.charges)) == 2


@pytest.fixture
def steps(cli: CommandLine, endpoint: str) -> AwsSteps:
    clients = Clients("us-east-1", endpoint_url=endpoint)
    return AwsSteps(
        clients.dynamodb,
        "shop-ledger",
        Region("us-east-1"),
        retention_seconds=None,
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )


def test_a_step_is_shown_and_settled_by_hand(cli: CommandLine, steps: AwsSteps, endpoint: str) -> None:
    step, options = ("billing", "e 1", "charge"), ("--endpoint-url", endpoint)
    assert cli.run("steps", "show", *step, *options).out == TextWith("charge", "e 1", "never begun")
    steps.begin(StepKey(StreamName("orders"), SubscriptionName("billing"), "charge", "/shop/orders", "e 1"))
    assert cli.run("steps", "show", *step, *options, "--json").json["state"] == "in doubt"
    settled = cli.run(
        "steps", "settle", *step, "--done", "--result", '{"id": "ch_1", "fee": 0.10}', *options, "--json"
    )
    assert settled.json == {
        "subscription": "billing",
        "event": "e 1",
        "source": "/shop/orders",
        "step": "charge",
        "happened": True,
        "key": str(
            StepKey(StreamName("orders"), SubscriptionName("billing"), "charge", "/shop/orders", "e 1")
        ),
    }
    shown = cli.run("steps", "show", *step, *options, "--json").json
    assert (shown["state"], shown["result"]) == ("done", {"id": "ch_1", "fee": 0.1})
    assert cli.run("steps", "show", *step, *options).out == TextWith(
        "charge", "e 1", "done", '{"id": "ch_1", "fee": 0.10}'
    )
    assert "is done" in cli.refused("steps", "settle", *step, "--not-done", *options, code=1)


def test_a_step_that_did_not_happen_may_begin_again(cli: CommandLine, steps: AwsSteps, endpoint: str) -> None:
    key = StepKey(StreamName("orders"), SubscriptionName("billing"), "charge", "/checkout", "e2")
    steps.begin(key)
    result = cli.run(
        "steps",
        "settle",
        "billing",
        "e2",
        "charge",
        "--not-done",
        "--source",
        "/checkout",
        "--endpoint-url",
        endpoint,
    )
    assert (result.code, missing_from(result.out, "charge of e2", "not done")) == (0, [])
    assert steps.look(key) is None


def test_a_step_is_known_by_the_place_of_its_event(cli: CommandLine, steps: AwsSteps, endpoint: str) -> None:
    fabric = Fabric.from_definition(DEFINITION, region="us-east-1", endpoint_url=endpoint)
    for source in ("/till", "/web"):
        receipt = fabric.publish("orders", key=source, type="OrderPlaced", id="1", source=source)
        key = StepKey(StreamName("orders"), SubscriptionName("billing"), "charge", source, "1")
        steps.begin(key)
        steps.finish(key, f'"{source}"')
        place = f"{receipt.lane}@{receipt.sequence}"
        shown = cli.run(
            "steps", "show", "billing", place, "charge", "--endpoint-url", endpoint, "--json"
        ).json
        assert (shown["event"], shown["source"], shown["result"]) == ("1", source, source)
        by_id = cli.run(
            "show", "1", "--source", source, "--stream", "orders", "--endpoint-url", endpoint, "--json"
        )
        assert by_id.json["sequence"] == receipt.sequence
        assert by_id.json["event"]["source"] == source
    refused = cli.refused(
        "show", "1", "--source", "/x", "--stream", "orders", "--endpoint-url", endpoint, code=1
    )
    assert "holds no event 1 of source /x" in refused


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("show", "billing", "us-east-1/0.0@999999", "charge"), 2, "event: found 'us-east-1/0.0@999999'"),
        (("show", "billing", "", "charge"), 2, "event: found"),
        (("show", "billing", "\udcff", "charge"), 2, "event: found"),
        (("show", "billing", "e" * 129, "charge"), 2, "event: found"),
        (("show", "billing", "e", "a/b"), 2, "step: found 'a/b', allowed: 1 to 64"),
        (("show", "nobody", "e", "charge"), 2, "no subscription is named 'nobody'"),
        (("settle", "billing", "e", "charge"), 2, "--done"),
        (("settle", "billing", "e", "charge", "--done"), 1, "never began"),
        (("settle", "billing", "e", "charge", "--done", "--result", "{"), 2, "allowed: JSON"),
        (("settle", "billing", "e", "charge", "--not-done", "--result", "1"), 2, "result: found '1'"),
    ],
    ids=[
        "nothing there",
        "no id",
        "no UTF-8",
        "long id",
        "name",
        "subscription",
        "neither",
        "never begun",
        "no JSON",
        "result of nothing",
    ],
)
def test_wrong_input_is_refused(
    cli: CommandLine, endpoint: str, arguments: tuple[str, ...], code: int, complaint: str
) -> None:
    assert complaint in cli.refused("steps", *arguments, "--endpoint-url", endpoint, code=code)
