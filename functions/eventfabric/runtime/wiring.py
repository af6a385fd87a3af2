"""Wiring of a function's ports: once per process from the environment, or from whoever runs it locally."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial, wraps
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from eventfabric import limits
from eventfabric.aws.causes import tell_refusals
from eventfabric.aws.clients import Clients
from eventfabric.aws.region import aws_ports
from eventfabric.model import Region, StreamName, SubscriptionName
from eventfabric.ports import Handler, Ports
from eventfabric.runtime.declared import DeclaredHere, is_retired
from eventfabric.runtime.metrics import EmfTelemetry
from eventfabric.runtime.output import KeptStreams, OutputHandler
from eventfabric.services.catalogue.facts import incarnation_of
from eventfabric.services.delivery.side_by_side import SideBySide, one_after_another
from eventfabric.settings import Settings
from eventfabric.stream_topology import Incarnation, StreamTopology, SubscriptionTopology
from eventfabric.telemetry import LogEvent, Metric, Telemetry
from eventfabric.topology import Topology
from eventfabric.version import VERSION
from eventfabric.wire.service_errors import Meaning

if TYPE_CHECKING:
    from eventfabric.sdk.publications import Publications
    from eventfabric.services.delivery.deliver import Deliverer
    from eventfabric.services.delivery.limiter import Limiter
    from eventfabric.services.delivery.relay import Relay
    from eventfabric.services.publishing.targets import Targets
    from eventfabric.services.reconciliation.abandoned import AbandonedReader

_METRICS = {
    Meaning.DENIED: Metric.CALLS_DENIED,
    Meaning.KEY_UNUSABLE: Metric.CALLS_WITHOUT_KEY,
    Meaning.MISSING: Metric.CALLS_MISSING,
    Meaning.QUOTA: Metric.CALLS_OVER_QUOTA,
}

LOAD_ONLY: Final = {"eventfabric": "load"}
"""Event of the deployment's trial (cdk/lookup/start.py). No queue, table or schedule sends one like it."""

Answer = TypeVar("Answer")
Entry: TypeAlias = Callable[[dict[str, Any], LambdaContext], Answer]


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
    """Handlers that stand in for those of the definition, by subscription."""
    observe: Callable[[Handler], Handler] = lambda handler: handler
    """Wrapper of the handler, for whoever runs the function locally."""
    code_version: str = ""
    """Version of the function's code, which is noted in dead letters."""
    side_by_side_of: Callable[[int], SideBySide] = lambda most: one_after_another
    """Makes the means to run up to `most` lanes, reads or attempts at the same time."""
    owns_process: bool = False
    """True if nobody else runs threads in this process, or sits at its keyboard, as on Lambda."""
    declared: DeclaredHere | None = None
    """Catalogue of the Region; None: nobody asks it, and the definition holds."""
    streams: KeptStreams | None = None
    """Standard output and error, to be restored if a handler left them closed."""
    schemas: Path | None = None
    """Folder of the schemas of event types; there need be none."""
    _relays: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def flush(self) -> None:
        """Hand on the metrics of an invocation. Its work is done by now, and must not fail because of them."""
        if self.streams is not None:
            self.streams.reopen()
        if isinstance(self.telemetry, EmfTelemetry):
            try:
                self.telemetry.flush()
            except Exception:  # whatever Powertools finds wrong with a metric
                self.logger.exception("metrics were not written")

    def refused(self, cause: Meaning, operation: str, code: str) -> None:
        """Report a call that is refused until somebody fixes something. Nothing else may fail because of it."""
        self.telemetry.tell(LogEvent.CALL_REFUSED, cause=cause.name.lower(), operation=operation, code=code)
        if self.subscription is not None:
            self.telemetry.add(_METRICS[cause])
            self.telemetry.add(Metric.DELIVERIES_BLOCKED)

    def message_refused(self, message_id: str, queue: str, error: Exception) -> None:
        """Report a message that is not a doorbell."""
        about = {"message_id": message_id, "reason": str(error)}
        self.logger.error("a message is not a doorbell", extra=about)
        self.telemetry.add(Metric.MESSAGES_REFUSED, of=self.subscription or queue[:80] or "unknown")

    def load(self) -> None:
        """Find the handler, if the function has a subscription. HandlerError."""
        if self.subscription is not None:
            assert self.deliverers

    def as_declared(self) -> "Runtime | None":
        """Return the runtime for the incarnation of its subscription that is declared; None: it is retired.

        Raises:
            HandlerError: the handler cannot be loaded.
            PortError, LogError, FormatError, OlderCatalogueError: as DeclaredHere.of.
            NotDeclaredError, WrongRegionError: a stream into which the handler publishes takes nothing here.
        """
        if self.declared is None:
            return self
        own, stream = self.own, self.topology.stream(self.own.definition.stream)
        if self.owns_process:
            self.declared.read_ahead(stream)
            for target in self._published_to:
                self.declared.read_target_ahead(target)
        assert callable(self._target)  # loaded meanwhile by a new process
        facts = self.declared.facts_of(stream, own.name)
        if is_retired(facts):
            return None
        for target in self._published_to:
            self.declared.target(target)  # before a handler is called whose events nobody would take
        incarnation = incarnation_of(facts)
        if incarnation == own.incarnation:
            return self
        if incarnation not in self._of_incarnation:
            topology = Topology(self.topology.definition, {own.name: incarnation})
            self._of_incarnation[incarnation] = replace(self, topology=topology)
        return self._of_incarnation[incarnation]

    @cached_property
    def _of_incarnation(self) -> "dict[Incarnation, Runtime]":
        """The runtimes of incarnations that were declared since, each with deliverers of its own."""
        return {}

    def relay_of(self, stream: StreamTopology) -> "Relay":
        """Return the relay of a stream, which remembers between batches what its queues answer."""
        from eventfabric.services.delivery.relay import PARALLEL_QUEUES, Relay

        relay = self._relays.get(stream.name)
        if relay is None:
            # Most streams have a few queues, and threads are an import that a cold start pays for.
            parallel = min(PARALLEL_QUEUES, len(stream.subscriptions))
            relay = self._relays[stream.name] = Relay(
                stream,
                region=self.region,
                ports=self.ports,
                telemetry=self.telemetry,
                side_by_side=self.side_by_side_of(parallel) if parallel > 1 else one_after_another,
                catalogue=self.declared,
            )
        return relay

    @cached_property
    def abandoned(self) -> "AbandonedReader":
        """Finder of what is left of subscriptions that nobody delivers any more, kept from pass to pass."""
        from eventfabric.services.reconciliation import pass_bounds
        from eventfabric.services.reconciliation.abandoned import AbandonedReader

        return AbandonedReader(self.region, self.ports, self.side_by_side_of(pass_bounds.PASS_THREADS))

    @cached_property
    def deliverers(self) -> "Sequence[Deliverer]":
        """Deliverers of this function's subscription, one for each lane that it delivers at the same time.

        What each remembers (the circuit's state, which keys failed) is its own: no lane waits for another to look.
        """
        from eventfabric.services.delivery.deliver import limiter_of

        limiter = limiter_of(self.own, self.ports.clock, self.telemetry)
        handler = self.observe(self._handler)
        return [self._deliverer(handler, limiter) for _ in range(self._lanes_at_once)]

    @cached_property
    def lanes_side_by_side(self) -> SideBySide:
        """Runs deliveries of lanes at the same time, one for each of the deliverers."""
        return self.side_by_side_of(self._lanes_at_once)

    @cached_property
    def queues_side_by_side(self) -> SideBySide:
        """Rings the queues of several subscriptions at the same time, as many as a batch of timers may be of."""
        return self.side_by_side_of(limits.DOORBELL_BATCH_MAX)

    @cached_property
    def concurrency(self) -> int:
        """Most attempts at the same time, of all lanes together."""
        return self.own.definition.attempts_max

    @property
    def own(self) -> SubscriptionTopology:
        """The subscription of this function, which must have one."""
        assert self.subscription is not None, "only a function that delivers has a subscription"
        return self.topology.subscription(self.subscription)

    @cached_property
    def _side_by_side(self) -> SideBySide:
        return self.side_by_side_of(max(2, self.concurrency))  # at least two, for reads

    @cached_property
    def _lanes_at_once(self) -> int:
        return (
            1 if self._side_by_side is one_after_another else min(self.concurrency, limits.DOORBELL_BATCH_MAX)
        )

    @cached_property
    def _memory_bytes(self) -> int:
        """Memory for the events of a page, for each lane that is delivered at the same time."""
        megabytes = self.topology.deliver_function(self.own.name, self.region).memory_megabytes
        return int(limits.EVENTS_MEMORY_SHARE * megabytes * 1024**2) // self._lanes_at_once

    @cached_property
    def _target(self) -> Callable[..., Any]:
        """The function that the handler names."""
        from eventfabric.sdk.subscriber import load_handler

        own = self.own
        return self.handlers.get(own.name) or load_handler(own.definition.handler)

    @cached_property
    def _handler(self) -> Handler:
        from eventfabric.sdk.schemas import upcasting_of, validation_of
        from eventfabric.sdk.step import StepMaker
        from eventfabric.sdk.subscriber import SubscriberHandler
        from eventfabric.sdk.tracing import TracedHandler
        from eventfabric.services.delivery.patient_steps import PatientSteps

        subscription = self.own
        definition, ports = subscription.definition, self.ports
        stream = self.topology.stream(definition.stream)

        @cache
        def open_steps() -> PatientSteps:
            return PatientSteps(ports.steps_of(stream), clock=ports.clock, entropy=ports.entropy)

        steps = StepMaker(
            StreamName(stream.name),
            SubscriptionName(subscription.state_name),
            open_steps,
            tuple(Region(name) for name in subscription.regions if name != self.region),
        )
        return TracedHandler(
            SubscriberHandler(
                self._target,
                clock=ports.clock,
                transactional=definition.guarantee.transactional,
                reconciles_late=definition.on_late == "reconcile",
                steps=steps,
                publications=self._publications,
                upcasting=upcasting_of(self._target, definition.handler, stream, ports, self.schemas),
                validate=validation_of(definition, self.schemas),
                has_keyboard=not self.owns_process,
                alone=self.owns_process and definition.concurrency == 1,
                fabric=self.topology.fabric,
            ),
            subscription,
        )

    @cached_property
    def _published_to(self) -> "Sequence[StreamTopology]":
        return [self.topology.stream(name) for name in self.own.definition.publishes]

    @property
    def _publications(self) -> "Publications | None":
        """The streams into which the handler publishes; None for most, which import nothing for it."""
        if self._targets is None:
            return None
        from eventfabric.sdk.publications import Publications
        from eventfabric.sdk.schemas import checks_in

        return Publications(
            self.own.state_name,
            StreamName(self.own.definition.stream),
            self._published_to,
            region=self.region,
            clock=self.ports.clock,
            may_repeat=self.own.definition.guarantee.may_repeat,
            as_known=lambda target: target if self.declared is None else self.declared.known_target(target),
            trees=self._targets.trees,
            schemas=checks_in(self.schemas, is_closed=True),
        )

    @cached_property
    def _targets(self) -> "Targets | None":
        """Streams into which the handler publishes, as this function appends to them for all its deliverers."""
        if not self._published_to:
            return None
        from eventfabric.services.publishing.gates import Gating
        from eventfabric.services.publishing.targets import Targets

        gating = Gating(lambda _: self.ports.credits, clock=self.ports.clock, entropy=self.ports.entropy)
        return Targets(
            self._published_to,
            self.ports,
            as_declared=lambda target: target if self.declared is None else self.declared.target(target),
            credits_of=partial(gating.of, region=self.region),
        )

    def _deliverer(self, handler: Handler, limiter: "Limiter | None") -> "Deliverer":
        # Other functions deliver nothing, and each import is paid for at their cold start.
        from eventfabric.services.delivery.deliver import Deliverer

        return Deliverer(
            self.own,
            self.topology.stream(self.own.definition.stream),
            ports=self.ports,
            handler=handler,
            telemetry=self.telemetry,
            code_version=self.code_version,
            side_by_side=self._side_by_side,
            memory_bytes=self._memory_bytes,
            targets=self._targets,
            backpressure=self.own.definition.backpressure,
            limiter=limiter,
        )


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
    """Return the runtime of this invocation."""
    return _given.get() or _of_the_environment()


def loadable(handle: Entry[Answer]) -> Entry[Answer]:
    """Have a function load all that it needs, and do nothing else, for the event with which the deployment tries it."""

    @wraps(handle)
    def invoked(event: dict[str, Any], context: LambdaContext) -> Answer:
        if event != LOAD_ONLY:
            return handle(event, context)
        current().load()
        return cast(Answer, None)  # nobody reads it

    return invoked


@cache
def _of_the_environment() -> Runtime:
    return deployed(Settings.from_environment())


def deployed(settings: Settings) -> Runtime:
    """Return the runtime of a function's own process. Lines of the library go where the function's lines go."""
    topology = Topology(settings.definition)
    streams = KeptStreams()
    handler = OutputHandler(streams.output)
    service = settings.function or topology.fabric
    logger = Logger(service=service, serialize_stacktrace=False, logger_handler=handler)
    logger.append_keys(eventfabric_version=VERSION)  # while a deployment goes on, two of them write here
    getLogger("eventfabric").addHandler(handler)
    for name in (service, "eventfabric"):  # other handlers, such as Lambda's own, fail if they cannot write
        getLogger(name).propagate = False
    clients, region = Clients(settings.region, endpoint_url=settings.endpoint_url), Region(settings.region)
    ports = aws_ports(topology, clients)
    declared = DeclaredHere(region, ports, deployed_at=settings.catalogue)
    runtime = Runtime(
        topology=topology,
        region=region,
        subscription=settings.subscription,
        ports=ports,
        declared=declared,
        telemetry=EmfTelemetry(
            fabric=topology.fabric, subscription=settings.subscription, logger=logger, output=streams.output
        ),
        logger=logger,
        code_version=settings.code_version,
        side_by_side_of=_threads,
        owns_process=True,
        streams=streams,
        schemas=settings.schemas,
    )
    for client in (clients.dynamodb, clients.sqs):
        tell_refusals(client, runtime.refused)
    return runtime


def _threads(most: int) -> SideBySide:
    from eventfabric.runtime.threads import Threads  # not every function makes any

    return Threads(most)
