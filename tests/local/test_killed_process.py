"""An event that kills its process, by the functions that are deployed, in processes that really die.

A server holds tables and queues, a process of its own; a function is another. This process plays Lambda's poller, which
knows of an invocation that died only that it got no answer.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import boto3

from eventfabric import Event, Fabric, Operations, limits
from eventfabric.aws.clients import Clients
from eventfabric.aws.region import aws_ports
from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import to_json
from eventfabric.model import Doorbell, Lane, SequenceNumber, StreamName
from eventfabric.sdk.bundle import Receipt
from eventfabric.services.operations.dead_letters import DeadLetter
from eventfabric.testing.local.clock import RunningClock
from eventfabric.testing.local.invoke import LocalFunction
from eventfabric.testing.local.pumps import QueuePump
from eventfabric.topology import Topology
from tests.local.deadly_handler import DEADLY, EXIT_CODE, HANDLED_FILE
from tests.local.function_process import FunctionProcess, ProcessDiedError
from tests.support.command_line import local_up

US = "us-east-1"
DEFINITION = (
    '[fabric]\nname = "shop"\nregions = ["us-east-1"]\n[streams.orders]\nlanes = 8\n'
    '[subscriptions.all]\nstream = "orders"\nhandler = "tests.local.deadly_handler:handle"\n'
)
POISON = "poison"
EVENTS, KEYS = 1_000, 100
INVOCATIONS_MAX = 200


class Impatient:
    """A function whose doorbells come again at once after it died: nobody waits for their visibility here."""

    def __init__(self, function: FunctionProcess, clients: Clients, queue_name: str) -> None:
        self._function = function
        self._sqs = clients.sqs
        self._url = clients.sqs.get_queue_url(QueueName=queue_name)["QueueUrl"]

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._function.invoke(event)
        except ProcessDiedError:
            # Those that the function answered before it died are refused here, and gone.
            self._sqs.change_message_visibility_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(n), "ReceiptHandle": record["receiptHandle"], "VisibilityTimeout": 0}
                    for n, record in enumerate(event["Records"])
                ],
            )
            raise


@dataclass
class ServedRegion:
    """One Region in a server, the deliver function of its one subscription, and what that handled."""

    topology: Topology
    clients: Clients
    fabric: Fabric
    operations: Operations
    function: FunctionProcess
    pump: QueuePump
    file: Path

    def publish(self, events: list[Event]) -> list[Receipt]:
        """Publish, and ring for the lanes as the relay does."""
        receipts = self.fabric.publish_many("orders", events)
        tails: dict[Lane, int] = {}
        for receipt in receipts:
            tails[receipt.lane] = max(receipt.sequence + 1, tails.get(receipt.lane, 0))
        bells = [Doorbell(StreamName("orders"), lane, SequenceNumber(tail)) for lane, tail in tails.items()]
        ports = aws_ports(self.topology, self.clients)
        assert ports.doorbells.ring("all", bells) == []
        return receipts

    def deliver(self) -> None:
        """Invoke until no doorbell is left."""
        for _ in range(INVOCATIONS_MAX):
            if not self.pump.step():
                return
            assert set(self.function.exits) <= {EXIT_CODE}
        raise AssertionError("doorbells come for ever")

    def handled(self) -> list[str]:
        return self.file.read_text(encoding="utf-8").splitlines()

    def dead(self) -> list[DeadLetter]:
        return list(self.operations.dead_letters("all").find())

    def messages(self) -> dict[str, int]:
        """Return the number of messages in each queue, including those in flight and delayed."""
        subscription = self.topology.subscription("all")
        queues = (subscription.queue, subscription.timers)
        counts = {}
        for name in [name for queue in queues for name in (queue.name, queue.dead_letter_name)]:
            url = self.clients.sqs.get_queue_url(QueueName=name)["QueueUrl"]
            of_queue = self.clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
            counts[name] = sum(
                int(value)
                for attribute, value in of_queue["Attributes"].items()
                if attribute.startswith("ApproximateNumberOfMessages")
            )
        return counts


@contextmanager
def served_region(folder: Path) -> Iterator[ServedRegion]:
    toml, resolved = folder / "fabric.toml", folder / "fabric.json"
    toml.write_text(DEFINITION, encoding="utf-8")
    topology = Topology(parse_definition(DEFINITION))
    resolved.write_bytes(to_json(topology.definition))
    session = boto3.Session("local", "local", region_name=US)
    with ExitStack() as stack:
        url = stack.enter_context(local_up(folder, "--no-deliver", "--definition", str(toml)))
        file = folder / "handled"
        function = FunctionProcess(
            topology.deliver_function("all", US),
            definition=resolved,
            endpoint_url=url,
            log=folder / "function.log",
            environment={HANDLED_FILE: str(file)},
        )
        stack.enter_context(function)
        clients = Clients(US, session=session, endpoint_url=url)
        queue = topology.subscription("all").queue.name
        # A pump does nothing with a function but invoke it.
        impatient = cast(LocalFunction, Impatient(function, clients, queue))
        yield ServedRegion(
            topology,
            clients,
            Fabric.from_definition(toml, region=US, session=session, endpoint_url=url),
            Operations.from_definition(toml, region=US, session=session, endpoint_url=url),
            function,
            QueuePump(impatient, clients, queue, RunningClock()),
            file,
        )


def events_of_many_keys_and_one_poison() -> list[Event]:
    """1,000 events. Those of the poison's key stand before and behind it; so do other keys' of its lane."""
    poison, per_key = EVENTS // 2, EVENTS // KEYS
    return [
        Event(
            id=str(number),
            key=POISON if abs(number - poison) < per_key // 2 else f"k{number % KEYS}",
            type="Placed",
            data=DEADLY if number == poison else number,
        )
        for number in range(EVENTS)
    ]


def first_handled(region: ServedRegion) -> dict[str, list[str]]:
    """Return the ids of handled events by key, in the order in which each was first handled."""
    keys = {str(event.id): event.key for event in events_of_many_keys_and_one_poison()}
    by_key = defaultdict(list)
    for event_id in dict.fromkeys(region.handled()):
        by_key[keys[event_id]].append(event_id)
    return by_key


def test_an_event_that_kills_its_process_is_dead__and_no_other_is(tmp_path: Path) -> None:
    events = events_of_many_keys_and_one_poison()
    by_key = defaultdict(list)
    for event in events:
        by_key[event.key].append(str(event.id))
    (poison,) = (str(event.id) for event in events if event.data == DEADLY)
    of_poison = by_key[POISON]
    before, behind = of_poison[: of_poison.index(poison)], of_poison[of_poison.index(poison) + 1 :]
    assert before
    assert behind
    with served_region(tmp_path) as region:
        receipts = {receipt.event_id: receipt for receipt in region.publish(events)}
        receipt = receipts[poison]
        assert len({event.key for event in events if receipts[str(event.id)].lane == receipt.lane}) > 1
        region.deliver()

        assert region.function.exits == [EXIT_CODE] * (2 + limits.CRASHES_MAX)  # the first two blame nobody
        (letter,) = region.dead()
        failure, waiting = letter.parked.failure, letter.parked.waiting
        assert (failure.event_id, letter.lane, waiting[0].sequence) == (
            poison,
            receipt.lane,
            receipt.sequence,
        )
        assert (failure.error_type, failure.crashes, failure.attempts) == ("Crashed", limits.CRASHES_MAX, 0)
        assert [place.sequence for place in waiting[1:]] == [receipts[id_].sequence for id_ in behind]
        assert first_handled(region) == {**by_key, POISON: before}
        # Only what the first two deaths left uncommitted is handled again, once for each: those runs are not careful.
        times = Counter(region.handled())
        again = [receipts[time] for time in times if times[time] > 1]
        assert all(earlier.lane == receipt.lane and earlier.sequence < receipt.sequence for earlier in again)
        assert max(times.values()) <= 3
        assert set(region.messages().values()) == {0}

        edited = Event(key=POISON, type="Placed", data="harmless")
        region.operations.dead_letters("all").redrive(letter, replacement=edited)
        region.deliver()
        assert region.dead() == []
        assert first_handled(region) == by_key
        assert len(region.function.exits) == 2 + limits.CRASHES_MAX
        assert set(region.messages().values()) == {0}
