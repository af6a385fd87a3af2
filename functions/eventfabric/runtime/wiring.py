"""Owns how a function gets its ports: once per process from the environment, or from whoever runs it locally."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from aws_lambda_powertools import Logger

from eventfabric.aws.clients import Clients
from eventfabric.aws.region import aws_ports
from eventfabric.model.identity import Region, StreamName, SubscriptionName
from eventfabric.ports import Handler, Ports
from eventfabric.runtime.metrics import EmfTelemetry
from eventfabric.sdk.step import StepMaker
from eventfabric.sdk.subscriber import SubscriberHandler, load_handler
from eventfabric.sdk.tracing import TracedHandler
from eventfabric.services.delivery.breaker import Breaker
from eventfabric.services.delivery.context import SideBySide, one_after_another
from eventfabric.services.delivery.deliver import Deliverer
from eventfabric.services.delivery.retry import RetryPolicy
from eventfabric.services.standing import Standings
from eventfabric.services.survey import lanes_of
from eventfabric.settings import Settings
from eventfabric.telemetry import Telemetry
from eventfabric.topology import SubscriptionTopology, Topology


@dataclass(frozen=True)
class Runtime:
    """One function of one Region, ready for invocations."""

    topology: Topology
    region: Region
    subscription: str | None
    ports: Ports
    telemetry: Telemetry
    logger: Logger
    handlers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """Handlers that stand in for the definition's, by subscription."""
    observe: Callable[[Handler], Handler] = lambda handler: handler
    """Wraps the handler, for whoever runs the function locally."""
    code_version: str = ""
    """Of the function; stands in dead letters."""
    side_by_side_of: Callable[[int], SideBySide] = lambda most: one_after_another
    """How so many reads or attempts at once are made."""

    def flush(self) -> None:
        """Hand on the metrics of an invocation."""
        if isinstance(self.telemetry, EmfTelemetry):
            self.telemetry.flush()

    def load(self) -> None:
        """Find the handler, where the function has a subscription; HandlerError."""
        if self.subscription is not None:
            assert self.deliverer is not None

    def owns(self, subscription: SubscriptionTopology, origin: Region) -> bool:
        """Whether this Region is to ring for an origin's lanes. Its own it always rings for: their function knows."""
        if subscription.delivers(origin, self.region):
            return True
        standings = self._standings.get(subscription.name)
        if standings is None:
            standings = Standings(subscription, ledger=self.ports.ledger, clock=self.ports.clock)
            self._standings[subscription.name] = standings
        return standings.owns(origin)

    @cached_property
    def _standings(self) -> dict[str, Standings]:
        return {}

    @cached_property
    def deliverer(self) -> Deliverer:
        """The delivery of this function's subscription."""
        subscription = self.topology.subscription(self.subscription or "")
        definition = subscription.definition
        target = self.handlers.get(subscription.name) or load_handler(definition.handler)
        ports, stream = self.ports, self.topology.stream(definition.stream)
        standings = Standings(
            subscription, ledger=ports.ledger, clock=ports.clock,
            elsewhere=lambda region: ports.at(region).ledger,
        )  # fmt: skip
        return Deliverer(
            subscription,
            region=self.region,
            log=ports.log_of(stream),
            ledger=ports.ledger,
            doorbells=ports.doorbells,
            handler=self.observe(
                TracedHandler(
                    SubscriberHandler(
                        target, clock=ports.clock, transactional=definition.guarantee == "exactly_once",
                        reconciles_late=definition.on_late == "reconcile", alone=definition.concurrency == 1,
                        steps=StepMaker(
                            StreamName(stream.name), SubscriptionName(subscription.name),
                            cache(lambda: ports.steps_of(stream)),
                            tuple(Region(name) for name in subscription.regions if name != self.region),
                        ),
                    ),
                    subscription,
                )
            ),
            policy=RetryPolicy(definition, entropy=ports.entropy, code_version=self.code_version),
            standings=standings,
            breaker=Breaker(
                subscription, lanes=lanes_of(stream), standings=standings,
                doorbells=ports.doorbells, clock=ports.clock, telemetry=self.telemetry,
            ),
            clock=ports.clock,
            telemetry=self.telemetry,
            side_by_side=self.side_by_side_of(max(2, definition.concurrency)),  # two reads, at least
        )  # fmt: skip


_given: ContextVar[Runtime | None] = ContextVar("eventfabric_runtime", default=None)


@contextmanager
def using(runtime: Runtime) -> Iterator[None]:
    """Let invocations in this context use `runtime` instead of what the environment says."""
    token = _given.set(runtime)
    try:
        yield
    finally:
        _given.reset(token)


def current() -> Runtime:
    """The runtime of this invocation."""
    return _given.get() or _of_the_environment()


@cache
def _of_the_environment() -> Runtime:
    settings = Settings.from_environment()
    topology = Topology(settings.definition)
    logger = Logger(service=settings.function or topology.fabric, serialize_stacktrace=False)
    return Runtime(
        topology=topology,
        region=Region(settings.region),
        subscription=settings.subscription,
        ports=aws_ports(topology, Clients(settings.region, endpoint_url=settings.endpoint_url)),
        telemetry=EmfTelemetry(fabric=topology.fabric, subscription=settings.subscription, logger=logger),
        logger=logger,
        code_version=settings.code_version,
        side_by_side_of=_threads,
    )


def _threads(most: int) -> SideBySide:
    from eventfabric.runtime.threads import Threads  # not every function makes any

    return Threads(most)
