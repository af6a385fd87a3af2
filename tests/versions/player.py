"""Producers and functions of one version, for one turn: takes stored state and commands, and prints the state after.

Run as a script, with one version of the library on the path. It belongs to that version: for an earlier one, the player
of its commit is run. Between players goes only what AWS would keep: items of tables, messages of queues, the time.
"""

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from io import StringIO
from logging import WARNING, StreamHandler, getLogger
from os import getpid
from pathlib import Path
from re import search
from typing import Any, Final

from aws_lambda_powertools import Logger

import eventfabric
from eventfabric import Delivery, Event, Fabric, Operations
from eventfabric.definition.file import parse_definition
from eventfabric.errors import EventFabricError
from eventfabric.formats import OWN_FORMATS, Formats
from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.ports import Log
from eventfabric.runtime import deliver, reconcile, relay, timer
from eventfabric.runtime.declared import DeclaredHere
from eventfabric.runtime.wiring import Runtime, using
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.catalogue.formats import format_checked
from eventfabric.services.catalogue.lane import newest
from eventfabric.services.catalogue.streams import DeclaredStreams
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.services.operations.dead_letters import DeadLetters
from eventfabric.services.operations.failover import Failover
from eventfabric.services.operations.formats import FormatRaise
from eventfabric.stream_topology import StreamTopology
from eventfabric.telemetry import NoTelemetry
from eventfabric.testing.local.invoke import LocalContext
from eventfabric.testing.memory.clock import MemoryClock
from eventfabric.testing.memory.cloud import MemoryCloud
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.memory.queue import MemoryTimers
from eventfabric.testing.memory.stream import Change, StreamReader
from eventfabric.topology import Topology

State = dict[str, Any]
Command = list[Any]
EFFECTS: Final = "effects"
_BYTES: Final = "$bytes"
_SAID: Final = StringIO()
# One that is kept, by its name, writes where it first wrote: in the process that this one is a copy of.
_LOGGER: Final = Logger(service=f"player {getpid()}", stream=_SAID, level=WARNING, serialize_stacktrace=False)
_ROUNDS_MAX: Final = 1_000
_ROUND_SECONDS: Final = 30


class Player:
    """A fabric in memory that goes on where another player stopped."""

    def __init__(self, state: State, *, by: str, seed: int) -> None:
        self.by = by
        self.topology = Topology(parse_definition(state["definition"]))
        self.clock = MemoryClock(state["now_ms"])
        self.entropy = SeededEntropy(seed)
        self.cloud = MemoryCloud(self.topology, clock=self.clock, entropy=self.entropy)
        self.handled: list[list[Any]] = state["handled"]
        self.reports: list[Any] = state["reports"]
        self.broken: list[str] = []
        for region in self.cloud.regions.values():
            region.create_table(EFFECTS, key_names=("id",))
        self._load(state)
        self._readers = self._readers_of_logs()

    def _load(self, state: State) -> None:
        for name, region in self.cloud.regions.items():
            for table, items in state["tables"].get(name, {}).items():
                for item in items:
                    region.table(table).write("Put", {"TableName": table, "Item": item})
            for queue, messages in state["queues"].get(name, {}).items():
                for body, group, deduplication_id in messages:
                    region.queues[queue].send(body, group=group, deduplication_id=deduplication_id)
            for timers, delayed in state["timers"].get(name, {}).items():
                for body, due_ms in delayed:
                    seconds = max(0, (due_ms - self.clock.now_ms()) // 1000)
                    # Queues of an earlier version are there until the functions are new.
                    region.timers.setdefault(timers, MemoryTimers(timers, clock=self.clock)).send(
                        body, delay_seconds=seconds
                    )
        self.cloud.replicate()

    def _readers_of_logs(self) -> dict[tuple[str, str], StreamReader]:
        """Return readers of what is written from now on: all before was relayed by the player that wrote it."""
        readers = {}
        for stream in self.topology.streams.values():
            for region in stream.definition.regions:
                reader = self.cloud.log_table(stream.name, region).stream.reader()
                reader.confirm(reader.pending)
                readers[region, stream.name] = reader
        return readers

    def state(self, definition: str) -> State:
        """Return what is stored, after replication and relay have done their work."""
        self._relay()
        regions = self.cloud.regions.items()
        return {
            "definition": definition,
            "now_ms": self.clock.now_ms(),
            "handled": self.handled,
            "reports": self.reports,
            "tables": {
                name: {table.name: table.items for table in region.tables.values()}
                for name, region in regions
            },
            "queues": {
                name: {
                    queue.name: [[m.body, m.group, m.deduplication_id] for m in queue._messages]
                    for queue in region.queues.values()
                }
                for name, region in regions
            },
            "timers": {
                name: {
                    timers.name: [[waiting.body, waiting.visible_ms] for waiting in timers._timers]
                    for timers in region.timers.values()
                }
                for name, region in regions
            },
        }

    def play(self, command: Command) -> None:
        """Carry out a command: the name of a method of this class, and its arguments."""
        name, *arguments = command
        getattr(self, name)(*arguments)

    def wait(self, seconds: int) -> None:
        """Let time go by."""
        self.clock.advance(seconds)

    def breaks(self, *types: str) -> None:
        """Let handlers fail for events of these types, in this turn."""
        self.broken = list(types)

    def publish(self, region: str, events: list[list[str]], once: bool = False) -> None:
        """Publish events, each an id, a key and a type, one by one; `once` takes the first of those with an id."""
        lane = DeclarationLane.of(Region(region), StreamName("orders"))
        if newest(self.cloud.log("orders", region), lane) is None:
            self.deploy(region)

        def log_of(stream: StreamTopology, name: Region) -> Log:
            return self.cloud.log(stream.name, name)

        fabric = Fabric(
            DeclaredStreams(self.topology.fabric, [Region(region)], log_of=log_of, clock=self.clock),
            region,
            log_of=log_of,
            clock=self.clock,
            entropy=self.entropy,
            outbox=self.cloud.outbox(region),
            parallel_lanes=0,
        )
        for identifier, key, type_ in events:
            data = {"event": identifier}
            receipt = fabric.publish("orders", key=key, type=type_, id=identifier, data=data, once=once)
            self.reports.append(["published", identifier, str(receipt.lane), int(receipt.sequence)])
        self._relay()

    def deploy(self, region: str) -> None:
        """Declare all that is deployed in a Region, as of this version."""
        ports, request = self.cloud.ports(region), f"{self.by} in {region}"
        declare_all(Deployer(self.topology, Region(region), ports, by=self.by, request_id=request))
        self.cloud.replicate()

    def raise_formats(self, reads: int, writes: int) -> None:
        """Raise what is required of readers and writers."""
        ports, stream = self.cloud.ports(self.topology.home), self.topology.stream("orders")
        request = f"{reads}/{writes} by {self.by}"
        own = FormatRaise(self.topology, stream, ports, self.by, request, one_after_another, OWN_FORMATS)
        looks, wanted = own.look(), Formats(reads, writes)
        own.check(looks, wanted)
        self.reports.append(["raised", own.carry_out(looks, wanted)])

    def tries(self, part: str, command: Command) -> None:
        """Note what a command does: how many records, doorbells and handled events there are more, and its refusal."""
        before, raised = self._counts(), ""
        _SAID.seek(0)
        _SAID.truncate()
        try:
            self.play(command)
        except EventFabricError as error:
            raised = str(error)
        done = {name: count - before[name] for name, count in self._counts().items()}
        said = search(r"stream orders is [^\n]+ or later", raised or _SAID.getvalue())
        self.reports.append(["tried", part, done, raised if said is None else said[0]])

    def _counts(self) -> dict[str, int]:
        regions = self.cloud.regions
        logs = [self.cloud.log_table("orders", name).items for name in regions]
        queues = [len(queue) for region in regions.values() for queue in region.queues.values()]
        return {"records": sum(map(len, logs)), "doorbells": sum(queues), "handled": len(self.handled)}

    def relay(self, region: str) -> None:
        """Relay all that was ever written in a Region."""
        for stream in self.topology.streams.values():
            self._relay_all(region, self.cloud.log_table(stream.name, region).stream.reader().pending)

    def lose(self, region: str, origin: str) -> None:
        """Lose all records of an origin in a Region."""
        table = self.cloud.log_table("orders", region)
        for item in table.items:
            if item["pk"]["S"].startswith(f"{origin}/"):
                key = {name: item[name] for name in ("pk", "sk")}
                table.write("Delete", {"TableName": table.name, "Key": key})

    def copy(self, source: str, target: str) -> None:
        """Copy what a Region lacks from another."""
        ports = format_checked(self.cloud.ports(target))
        Operations(self.topology, target, ports).backfill("orders", source=source)

    def deliver(self, region: str, subscription: str, batches: int) -> None:
        """Let the subscription's function take so many batches, of one doorbell each."""
        for _ in range(batches):
            self._deliver(region, subscription, 1)

    def settle(self) -> None:
        """Let everything run until nothing is left to do, retries included."""
        for _ in range(_ROUNDS_MAX):
            self._relay()
            delivered = [
                self._deliver(region, subscription.name, 10)
                for subscription in self.topology.subscriptions.values()
                for region in subscription.regions
            ]
            timed = [
                self._time(name, timers)
                for name, region in self.cloud.regions.items()
                for timers in region.timers.values()
            ]
            if any(delivered) or any(timed):
                continue
            if not self._waits():
                return
            self.clock.advance(_ROUND_SECONDS)
        raise AssertionError("the queues do not drain")

    def fail_over(self, source: str, target: str) -> None:
        """Hand over what one Region delivers to another."""
        ports = self.cloud.ports(target)
        failover = Failover(self.topology, source=Region(source), target=Region(target), ports=ports)
        self.reports.append(["handed over", len(failover.hand_over("turns"))])
        self.cloud.replicate()

    def redrive(self, region: str, subscription: str) -> None:
        """Let every dead letter be attempted again."""
        own = self.topology.subscription(subscription)
        letters = DeadLetters(
            own,
            lanes_of(self.topology.stream(own.definition.stream)),
            log=self.cloud.log(own.definition.stream, region),
            ledger=self.cloud.ledger(region),
            doorbells=self.cloud.doorbells(region),
            clock=self.clock,
        )
        dead = list(letters.find())
        for letter in dead:
            letters.redrive(letter, by="turns")
        self.reports.append(["redriven", len(dead)])

    def reconcile(self, region: str) -> None:
        """Note what a full pass of reconciliation finds."""
        findings = self._invoke(reconcile.handle, {"full": True}, region, None)["findings"]
        self.reports.append(["findings", findings])

    def _relay(self) -> None:
        self.cloud.replicate()
        for (region, _), reader in self._readers.items():
            while batch := reader.take(100):
                self._relay_all(region, batch)
                reader.confirm(batch)

    def _relay_all(self, region: str, changes: Sequence[Change]) -> None:
        event = {"Records": [change.event() for change in changes]}
        assert self._invoke(relay.handle, event, region, None) == {"batchItemFailures": []}

    def _deliver(self, region: str, subscription: str, count: int) -> int:
        queue = self.cloud.queue(subscription, region)
        messages = queue.receive(count)
        if messages:
            event = {"Records": [message.event() for message in messages]}
            answer = self._invoke(deliver.handle, event, region, subscription)
            failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
            for message in messages:
                if message.message_id not in failed:
                    queue.delete(message.receipt_handle)
            self.cloud.replicate()
        return len(messages)

    def _time(self, region: str, timers: MemoryTimers) -> bool:
        received = timers.receive()
        if received is None:
            return False
        record = {**received.event(), "eventSourceARN": f"arn:aws:sqs:::{timers.name}"}
        assert self._invoke(timer.handle, {"Records": [record]}, region, None) == {"batchItemFailures": []}
        timers.delete(received.receipt_handle)
        return True

    def _waits(self) -> bool:
        """Tell if a doorbell or a timer comes later."""
        regions = self.cloud.regions.values()
        dead = {s.queue.dead_letter_name for s in self.topology.subscriptions.values()}
        waiting = [
            len(queue) for region in regions for queue in region.queues.values() if queue.name not in dead
        ]
        return any(waiting) or any(len(timers) for region in regions for timers in region.timers.values())

    def _invoke(
        self, entry: Callable[[Any, Any], Any], event: dict[str, Any], region: str, subscription: str | None
    ) -> Any:
        """Invoke a function of a process that has just started."""
        ports = self.cloud.ports(region)
        runtime = Runtime(
            topology=self.topology,
            region=Region(region),
            subscription=subscription,
            ports=ports,
            declared=DeclaredHere(Region(region), ports),
            telemetry=NoTelemetry(),
            logger=_LOGGER,
            handlers={} if subscription is None else {subscription: self._handler(subscription, region)},
        )
        context = LocalContext("player", self.clock, self.clock.now_ms() + 100_000, "turn")
        with using(runtime):
            return entry(event, context)

    def _handler(self, subscription: str, region: str) -> Callable[[Event, Delivery], None]:
        def billing(event: Event, delivery: Delivery) -> None:
            if event.type in self.broken:
                raise ValueError(f"{event.type} is broken")
            delivery.transaction.put(
                EFFECTS, {"id": event.id, "by": self.by}, condition="attribute_not_exists(id)"
            )
            self._note(subscription, region, event)

        def audit(event: Event, delivery: Delivery) -> None:
            with delivery.once("send") as step:
                if not step.done:
                    step.result = self.by
                    self._note(subscription, region, event)
            if (
                event.type in self.broken
            ):  # so that another attempt, of the other version, learns that it is done
                raise ValueError(f"{event.type} is broken")

        return {"billing": billing, "audit": audit}[subscription]

    def _note(self, subscription: str, region: str, event: Event) -> None:
        assert event.lane is not None
        place = [str(event.lane), int(event.sequence or 0)]
        self.handled.append([subscription, region, event.id, event.key, *place, self.by])


def encoded(value: object, *, indent: int | None = None) -> str:
    """Encode a state as JSON text."""
    return json.dumps(value, default=_encode, sort_keys=True, indent=indent)


def decoded(text: str) -> Any:
    """Decode what `encoded` made."""
    return json.loads(text, object_hook=_decode)


def _encode(value: object) -> object:
    if isinstance(value, bytes):
        return {_BYTES: b64encode(value).decode()}
    return list(value) if isinstance(value, set | frozenset) else str(value)


def _decode(value: dict[str, Any]) -> object:
    return b64decode(value[_BYTES]) if set(value) == {_BYTES} else value


def main() -> None:
    """Play the turn that stands in standard input."""
    getLogger("eventfabric").addHandler(StreamHandler(_SAID))
    turn = decoded(sys.stdin.read())
    player = Player(turn["state"], by=turn["by"], seed=turn["seed"])
    for command in turn["commands"]:
        player.play(command)
    library = str(Path(eventfabric.__file__).parent)
    sys.stdout.write(encoded({**player.state(turn["state"]["definition"]), "library": library}))


if __name__ == "__main__":
    main()
