"""The local fabric: a whole fabric in this process, with several Regions, on moto, with the real Lambda functions."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from io import StringIO
from itertools import count
from os import PathLike
from random import Random
from typing import Any, Self, TextIO

from aws_lambda_powertools import Logger
from moto import mock_aws

from eventfabric.aws.clients import Clients
from eventfabric.aws.region import aws_ports
from eventfabric.definition.schema import Definition
from eventfabric.errors import WrongRegionError
from eventfabric.model import CircuitState, Region
from eventfabric.ports import Handler, Ports
from eventfabric.resources import ENVIRONMENT_REGION, FunctionTopology
from eventfabric.runtime import backfill, deliver, reconcile, relay, timer
from eventfabric.runtime.declared import DeclaredHere
from eventfabric.runtime.wiring import Runtime
from eventfabric.sdk.fabric import Fabric
from eventfabric.sdk.operations import Operations
from eventfabric.testing.local import moto_fixes
from eventfabric.testing.local.chaos import Chaos, ChaoticDoorbells
from eventfabric.testing.local.chosen_regions import narrowed
from eventfabric.testing.local.clock import LocalClock, MovableClock, seconds_of
from eventfabric.testing.local.faults import RegionFaults, reachable
from eventfabric.testing.local.feed import TableFeed, let_declarations_arrive, writer_of
from eventfabric.testing.local.guard import Guard
from eventfabric.testing.local.handled import HandledLog
from eventfabric.testing.local.held import HeldHandlers
from eventfabric.testing.local.invoke import LocalFunction, no_account
from eventfabric.testing.local.meter import Meter
from eventfabric.testing.local.operating import hand_over, retire
from eventfabric.testing.local.producer import closed, producer
from eventfabric.testing.local.project import with_schemas
from eventfabric.testing.local.provision import clients_of, declare_deployed, provision
from eventfabric.testing.local.pumps import NotedTimers, Pump, QueuePump, StreamPump
from eventfabric.testing.local.rehearsal import check_deployment
from eventfabric.testing.local.replicator import Link, Replication
from eventfabric.testing.local.sessions import local_session
from eventfabric.testing.local.settling import Deliveries, Settling
from eventfabric.testing.local.strict import route, strict_tables, tables_of
from eventfabric.testing.local.subscription import CountingTelemetry, LocalSubscription
from eventfabric.testing.memory.entropy import SeededEntropy
from eventfabric.testing.memory.faults import Faults
from eventfabric.topology import BACKFILL_ENTRY, RECONCILE_ENTRY, Topology

_numbers = count(1)


class LocalFabric:
    """A fabric of several Regions in this process. Use it as a context manager, one at a time.

    Args:
        definition: a definition, or the path of its file.
        handlers: functions that replace the definition's handlers, by subscription.
        regions: only these of the definition's Regions, as if it had no others; default all. WrongRegionError, or
            SettingError if a stream or a subscription needs another.
        clock: LocalClock, which only you move (default), or RunningClock.
        replication: how far replicas lag.
        seed: decides ids, jitter, replication delays and chaos.
        endpoint_url: a moto server in this process to use, instead of moto in process.
        log: receives the functions' warnings and errors; default: they are dropped.
    """

    def __init__(
        self,
        definition: Definition | str | PathLike[str],
        *,
        handlers: Mapping[str, Callable[..., Any]] | None = None,
        regions: tuple[str, ...] | list[str] | None = None,
        clock: MovableClock | None = None,
        replication: Replication | None = None,
        seed: int = 0,
        endpoint_url: str | None = None,
        log: TextIO | None = None,
    ) -> None:
        read, self._schemas = with_schemas(definition)
        self.topology = Topology(narrowed(read, regions))
        self.regions = tuple(self.topology.regions)
        self.clock: MovableClock = clock or LocalClock()
        self.meter = Meter()
        self.guard = Guard(self.topology)
        self.chaos = Chaos(Random(seed))
        self._handlers = self._known(handlers or {})
        self._held = HeldHandlers(definition, self.topology.definition, without=self._handlers)
        self._replication = replication or Replication()
        self._entropy = SeededEntropy(seed + 1)
        self._endpoint_url = endpoint_url
        # A unique name, since loggers of the same name share the settings of the first.
        self._logger = Logger(
            service=f"{self.topology.fabric}-local-{next(_numbers)}",
            stream=log or StringIO(),
            level=logging.WARNING,
            serialize_stacktrace=False,
        )
        self.telemetry = CountingTelemetry(self._logger)
        self._loaded = False
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(no_account(self._endpoint_url))
            if self._endpoint_url is None:
                stack.enter_context(moto_fixes.applied(now=lambda: seconds_of(self.clock)))
                stack.enter_context(mock_aws())
            self._start()
            stack.enter_context(self._held.watching())
            stack.enter_context(self.guard.watching())
            self._open = stack.pop_all()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._open.close()
        if error is None and self.guard.denied:
            raise PermissionError(f"denied, here as in an account: {'; '.join(self.guard.denied)}")
        if error is None:
            self._held.check()

    def region(self, name: str, *, failover: Sequence[str] = ()) -> Fabric:
        """Return the SDK for one Region. With `failover`: a separate Fabric that turns to other Regions if it must."""
        fabric = self._fabrics[self._check_region(name)]
        return self._producer(name, failover) if failover else fabric

    def subscription(self, name: str) -> LocalSubscription:
        """Return one subscription, to inspect it and to operate on it."""
        self.topology.subscription(name)
        logs = {r: log for (s, r), log in self._handled.items() if s == name}
        operations = {r: self.operations(r) for r in logs}
        return LocalSubscription(name, logs, {r: self._telemetry[name, r] for r in logs}, operations)

    @property
    def name(self) -> str:
        """The fabric's name with its stage, such as shop_dev."""
        return self.topology.fabric

    @property
    def invocations(self) -> int:
        """Number of times that functions were invoked."""
        return sum(function.invocations for function in self._functions)

    def ports(self, region: str) -> Ports:
        """Return the ports of a Region, for services. Faults do not affect them."""
        return self._ports[self._check_region(region)]

    def client(self, service: str, region: str) -> Any:
        """Return a boto3 client of a Region, to look at tables and queues, or to create your own."""
        self._check_region(region)
        return local_session().client(
            service, region_name=region, endpoint_url=self._endpoint_url, config=moto_fixes.client_config()
        )  # type: ignore[call-overload]  # any service

    def step(self) -> bool:
        """Move all that can move by one step. Return True if anything did. First: HandlerError, DefinitionError."""
        if not self._loaded:
            # Report a handler that cannot be loaded now, instead of letting its lanes stand still.
            self._held.check_before()
            for function in self._functions:
                function.load()
            self._loaded = True
        moved = self._read_feeds()
        for region, pump in self._pumps:
            if region not in self.faults.stopped:
                moved |= pump.step()
        for link in self._links.values():
            moved |= link.step()
        return moved

    def invoke(self, function: FunctionTopology, event: dict[str, Any]) -> dict[str, Any]:
        """Invoke a reconcile or backfill function, which nothing here invokes by itself. Return its answer."""
        entry = {RECONCILE_ENTRY: reconcile.handle, BACKFILL_ENTRY: backfill.handle}[function.entry]
        runtime = self._runtime(self._check_region(function.environment[ENVIRONMENT_REGION]), None)
        return LocalFunction(function, runtime, entry).invoke(event)

    def operations(self, region: str) -> Operations:
        """Return the operators' operations in a Region. They wait by calling `run_for`."""
        ports = self._ports[self._check_region(region)]
        return Operations(self.topology, region, ports, schemas=closed(self._schemas))

    def failover(self, source: str, target: str, *, drain: bool = True) -> None:
        """Let `target` deliver what `source` delivers. A stopped source cannot be drained. FailoverError."""
        hand_over([self.operations(target).failover(source)], self.run_for, drain=drain)

    def failback(self, region: str, *, drain: bool = True) -> None:
        """Let a Region deliver again what is its own by the definition."""
        hand_over(self.operations(region).failback(), self.run_for, drain=drain)

    def retire(self, subscription: str, *, drain: bool = True) -> None:
        """End a subscription in every Region, drained or with what is left given up. DrainError: it is not ended."""
        retire(self.topology, subscription, self._ports[self.regions[0]], self.run_for, drain=drain)

    def check_deployment(self, definition: Definition | str | PathLike[str]) -> None:
        """Check what a deployment of another definition would lose. DeclarationRefusedError with all that it would."""
        read, schemas = with_schemas(definition)
        check_deployment(self.topology, Topology(read), self._ports, schemas=schemas)

    def run_for(self, seconds: float) -> None:
        """Run until nothing moves, advance the clock, and run again."""
        self.settle()
        self.clock.advance(seconds)
        self.settle()

    def settle(self, *, timers: bool = False) -> None:
        """Run until nothing moves without time passing. With `timers`, also advance the clock to whatever is due.

        With `timers` it also ends when only probes are due, of circuits that have been open for ten minutes of the
        clock in which nothing was handled: such probes would go on forever.
        """
        settling = Settling(self._telemetry, self.clock, self._circuit_state)
        while True:
            while self.step():
                pass
            if not timers or not self._move_to_next_due(settling):
                return

    def _circuit_state(self, deliveries: Deliveries) -> CircuitState:
        subscription, region = deliveries
        return self.operations(region).circuit(subscription).state

    def _next_dues(self, settling: Settling) -> Iterator[float | None]:
        """Yield when each pump and link has something to move, but for subscriptions that are probed in vain."""
        in_vain = [key for key in self._queue_pumps if settling.is_in_vain(key)]
        probed = [self._queue_pumps[key] for key in in_vain]
        yield from (link.next_due() for link in self._links.values())
        for region, pump in self._pumps:
            if region not in self.faults.stopped and pump not in probed:
                yield pump.next_due(but_of={name for name, probed_in in in_vain if probed_in == region})

    def _move_to_next_due(self, settling: Settling) -> bool:
        dues = [due for due in self._next_dues(settling) if due is not None]
        if not dues:
            return False
        self.clock.advance(seconds=max(0.0, min(dues) - seconds_of(self.clock)) + 0.001)
        return True

    def _start(self) -> None:
        session = local_session()
        self._clients = {r: clients_of(r, session, self._endpoint_url) for r in self.regions}
        self._deploy()
        self._links = {
            (a, b): Link(self._clients[b], self._replication, self.clock, self._entropy)
            for a in self.regions
            for b in self.regions
            if a != b
        }
        self.faults = RegionFaults(self.regions, self._links)
        self._timer_pumps: dict[str, QueuePump] = {}
        self._ports = {region: self._ports_of(clients) for region, clients in self._clients.items()}
        self._fabrics = {region: self._producer(region) for region in self.regions}
        self._functions: list[LocalFunction] = []
        self._telemetry: dict[tuple[str, str], CountingTelemetry] = {}
        self._handled: dict[tuple[str, str], HandledLog] = {}
        self._pumps: list[tuple[str, Pump]] = []
        self._queue_pumps: dict[Deliveries, Pump] = {}
        self._feeds: list[tuple[str, TableFeed, StreamPump | None]] = []
        for region in self.regions:
            self._start_region(region)
        let_declarations_arrive(
            [(region, feed) for region, feed, pump in self._feeds if pump is not None],
            lambda feed, region: () if feed.table in self._strict else self._replicas(feed.table, region),
            self._clients,
        )
        self.meter.calls.clear()
        self.meter.units.clear()

    def _deploy(self) -> None:
        # Before routing: every Region creates a table of that name, of which only one is used.
        for clients in self._clients.values():
            provision(self.topology, clients)
        made = [client for own in self._clients.values() for client in (own.dynamodb, own.sqs)]
        self._strict = strict_tables(self.topology, self.regions)
        route(self._clients, self.topology)
        for clients in self._clients.values():
            declare_deployed(self.topology, clients, clock=self.clock, schemas=self._schemas)
        for client in made:
            self.meter.watch(client)
            self.guard.watch(client)

    def _ports_of(self, clients: Clients) -> Ports:
        ports = aws_ports(self.topology, clients, clock=self.clock, entropy=self._entropy)
        timers = NotedTimers(ports.doorbells, self.clock, lambda: self._timer_pumps.get(clients.region))
        return replace(
            ports, doorbells=timers, at=lambda region: reachable(self._ports[region], self.faults, region)
        )

    def _producer(self, region: str, failover: Sequence[str] = ()) -> Fabric:
        ports, losses = reachable(self._ports[region], self.faults, region), Faults(self.chaos.lose_reply)
        return producer(
            self.topology,
            region,
            ports,
            clock=self.clock,
            entropy=self._entropy,
            failover=failover,
            losses=losses,
            schemas=self._schemas,
        )

    def _feed(self, table: str, region: str) -> TableFeed:
        """Return a Region's feed of a table's changes. All Regions share one feed of a strongly consistent table."""
        home = self._strict.get(table, region)
        return TableFeed(self._clients[home], self.client("dynamodbstreams", home), table)

    def _start_region(self, region: str) -> None:
        clients, topology = self._clients[region], self.topology
        relaying = LocalFunction(topology.relay_function(region), self._runtime(region, None), relay.handle)
        self._functions.append(relaying)
        for stream in topology.streams.values():
            if region in stream.definition.regions:
                pump = StreamPump(relaying, self.clock)
                self._pumps.append((region, pump))
                self._feeds.append((region, self._feed(stream.table.name, region), pump))
        for ledger in topology.ledgers:
            if region in ledger.regions:
                self._feeds.append((region, self._feed(ledger.name, region), None))
        timing = LocalFunction(topology.timer_function(region), self._runtime(region, None), timer.handle)
        self._functions.append(timing)
        if topology.subscriptions_in(region):
            self._timer_pumps[region] = QueuePump(timing, clients, topology.timers.name, self.clock)
            self._pumps.append((region, self._timer_pumps[region]))
        for name, subscription in topology.subscriptions.items():
            if region in subscription.regions:
                function = LocalFunction(
                    topology.deliver_function(name, region), self._runtime(region, name), deliver.handle
                )
                self._functions.append(function)
                doorbells = QueuePump(function, clients, subscription.queue.name, self.clock)
                self._queue_pumps[name, region] = doorbells
                self._pumps.append((region, doorbells))

    def _runtime(self, region: str, subscription: str | None) -> Runtime:
        ports, observe, telemetry = self._ports[region], _unobserved, self.telemetry
        if subscription is not None:
            guarantee = self.topology.subscription(subscription).definition.guarantee
            handled = HandledLog(region, self.clock, counts_at_commit=guarantee.transactional)
            self._handled[subscription, region] = handled
            telemetry = self._telemetry[subscription, region] = CountingTelemetry(
                self._logger, self.telemetry
            )
            crashes = Faults(self.chaos.crash)
            ledger = crashes.ledger(handled.ledger(ports.ledger))
            ports = replace(ports, ledger=ledger)

            def observe(handler: Handler) -> Handler:
                return crashes.handler(handled.handler(self._held.handler(handler)))

        else:
            ports = replace(ports, doorbells=ChaoticDoorbells(ports.doorbells, self.chaos))
        return Runtime(
            topology=self.topology,
            region=Region(region),
            subscription=subscription,
            ports=ports,
            telemetry=telemetry,
            logger=self._logger,
            handlers=self._handlers,
            observe=observe,
            declared=DeclaredHere(Region(region), ports),
            schemas=None if self._schemas is None else self._schemas.path,
        )

    def _read_feeds(self) -> bool:
        moved = False
        for region, feed, pump in self._feeds:
            if region in self.faults.stopped:
                continue
            for change in feed.take():
                moved = True
                if pump is not None:
                    pump.offer(change.for_lambda)
                if feed.table in self._strict:
                    continue  # all Regions have it already
                if writer_of(change.keys, is_ledger=pump is None) == region:
                    for target in self._replicas(feed.table, region):
                        self._links[region, target].offer(feed.table, change)
        return moved

    def _replicas(self, table: str, region: str) -> Iterator[str]:
        regions = next(t.regions for t in tables_of(self.topology) if t.name == table)
        return (r for r in regions if r != region)

    def _known(self, handlers: Mapping[str, Callable[..., Any]]) -> Mapping[str, Callable[..., Any]]:
        for name in handlers:
            self.topology.subscription(name)
        return handlers

    def _check_region(self, name: str) -> str:
        if name not in self.regions:
            raise WrongRegionError(f"fabric {self.topology.fabric}", name, self.regions)
        return name


def _unobserved(handler: Handler) -> Handler:
    return handler
