"""Operations on subscriptions in one Region: decide about dead letters and steps, pause, resume, replay."""

from collections.abc import Iterable, Iterator
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Self

from eventfabric.errors import WrongRegionError
from eventfabric.model import (
    Circuit,
    Region,
    Standing,
    StepKey,
    StepState,
    StreamName,
    SubscriptionName,
)
from eventfabric.model.backfill import Report
from eventfabric.model.finding import Finding
from eventfabric.model.proof import LaneProof
from eventfabric.ports import Log, Ports, Steps, insist
from eventfabric.sdk.backfill import run_backfill
from eventfabric.sdk.connecting import schema_checks
from eventfabric.sdk.passes import reconciler_of
from eventfabric.sdk.proofs import provers_of
from eventfabric.sdk.schemas import as_published
from eventfabric.sdk.settling import StepOutcome
from eventfabric.sdk.step import left_by_others
from eventfabric.sdk.step_keys import step_key_of
from eventfabric.services.backfill.lifecycle import Backfiller
from eventfabric.services.backfill.request import BackfillRequest, ranges_of
from eventfabric.services.catalogue.formats import format_checked
from eventfabric.services.catalogue.incarnations import as_declared, delivered_subscription
from eventfabric.services.catalogue.regions import with_former
from eventfabric.services.delivery.breaker import CircuitBreaker
from eventfabric.services.delivery.side_by_side import SideBySide, one_after_another
from eventfabric.services.lanes.splits import Unreadable
from eventfabric.services.lanes.standing import lanes_of
from eventfabric.services.operations.credits import Gates, gate_named, gates_of
from eventfabric.services.operations.dead_letters import DeadLetters
from eventfabric.services.operations.failover import Failover, regions_beside
from eventfabric.services.operations.parked_keys import ParkedKey, parked_keys
from eventfabric.services.operations.quarantine import Quarantine
from eventfabric.services.operations.replay import Replay
from eventfabric.services.operations.restore import Copy, Restore
from eventfabric.services.operations.seams import known_seams
from eventfabric.services.operations.skip import Skip
from eventfabric.services.operations.split import Split
from eventfabric.services.proof.prove import Prover
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology, name_of_state
from eventfabric.telemetry import NoTelemetry
from eventfabric.topology import Topology

if TYPE_CHECKING:
    from boto3.session import Session

    from eventfabric.contracts.checks import SchemaChecks


class Operations:
    """A fabric in one Region, as its operators see it."""

    def __init__(
        self,
        topology: Topology,
        region: str,
        ports: Ports,
        *,
        side_by_side: SideBySide = one_after_another,
        schemas: "SchemaChecks | None" = None,
    ) -> None:
        """`side_by_side`: makes calls for several lanes at the same time. `schemas`: those to hold edited events to."""
        self.topology = topology
        self.region = Region(region)
        self._ports = ports
        self._side_by_side = side_by_side
        self._schemas = schemas

    @classmethod
    def from_definition(
        cls,
        path: str | PathLike[str],
        *,
        region: str,
        session: "Session | None" = None,
        endpoint_url: str | None = None,
    ) -> Self:
        """Make the operations of a definition file's fabric, in a Region. Errors as `Fabric.from_definition`."""
        from eventfabric.aws.clients import Clients
        from eventfabric.aws.region import aws_ports
        from eventfabric.settings import definition_at

        topology = Topology(definition_at(path))
        if region not in topology.regions:
            raise WrongRegionError(f"fabric {topology.fabric}", region, topology.regions)
        clients = Clients(region, session=session, endpoint_url=endpoint_url)
        ports = format_checked(aws_ports(topology, clients))
        declared, schemas = as_declared(topology, Region(region), ports), schema_checks(None, definition=path)
        return cls(declared, region, ports, schemas=schemas)

    def dead_letters(self, subscription: str) -> DeadLetters:
        """Return the dead letters of a subscription. UnknownNameError."""
        subscription_topology, ports = self.topology.subscription(subscription), self._ports
        stream = self._stream(subscription_topology)
        return DeadLetters(
            subscription_topology,
            lanes_of(stream),
            log=ports.log_of(stream),
            ledger=ports.ledger,
            doorbells=ports.doorbells,
            clock=ports.clock,
            step=self._known_step,
            elsewhere=lambda region: ports.at(region).ledger,
            check_delivered=partial(delivered_subscription, self.topology, subscription),
            as_published=partial(as_published, self._schemas, stream),
        )

    def parked(self, subscription: str, *, unreadable: Unreadable = insist) -> Iterator[ParkedKey]:
        """Yield the keys that a subscription has parked in this Region, retried or dead. UnknownNameError.

        `unreadable`: told of each lane that cannot be read, which is left out; default: raise that error.
        """
        subscription_topology = self.topology.subscription(subscription)
        stream, ports = self._stream(subscription_topology), self._ports
        yield from parked_keys(
            subscription_topology,
            lanes_of(stream),
            ledger=ports.ledger,
            log=ports.log_of(stream),
            standing=self.standing(subscription),
            clock=ports.clock,
            unreadable=unreadable,
        )

    def standing(self, subscription: str) -> Standing:
        """Return this Region's view of a subscription: its circuit, and who owns its lanes. UnknownNameError."""
        subscription_topology = self.topology.subscription(subscription)
        stream = StreamName(subscription_topology.definition.stream)
        return self._ports.ledger.standing(stream, SubscriptionName(subscription_topology.state_name))

    def reconcile(self, stream: str, *, repair: bool = False, full: bool = False) -> list[Finding]:
        """Run one pass over a stream in this Region, and return its findings. UnknownNameError, WrongRegionError.

        `repair`: repair what is safe to repair. `full`: verify the whole log, not only what is new since the last pass.
        """
        return list(self.reconciler(stream).run(repair=repair, full=full))

    def reconciler(self, stream: str) -> Reconciler:
        """Return what makes passes over a stream in this Region, part by part. UnknownNameError, WrongRegionError."""
        return reconciler_of(self._stream_here(stream), self.region, self._ports, self._side_by_side)

    def quarantine(self, stream: str) -> Quarantine:
        """Return the operation that sets aside what does not belong to a lane. UnknownNameError, WrongRegionError."""
        topology = self._stream_here(stream)
        log = self._ports.log_of(topology)
        former = with_former(topology, log).former
        return Quarantine(log, region=self.region, clock=self._ports.clock, former=former)

    def restore(self, stream: str, copy: Copy | Region) -> Restore:
        """Return what puts records back from a copy of the table, or a Region's. UnknownNameError, WrongRegionError."""
        topology, copied_by = self._stream_here(stream), None
        if isinstance(copy, str):
            topology.check_region(copied_by := copy)
            copy = _log_in(self._ports, topology, copy)
        log = self._ports.log_of(topology)
        return Restore(
            log,
            region=self.region,
            copy=copy,
            known_seams=partial(known_seams, topology, ledger=self._ports.ledger),
            clock=self._ports.clock,
            copied_by=copied_by,
            former=with_former(topology, log).former,
        )

    def skip(self, stream: str) -> Skip:
        """Return the operation that lets lanes go on past what is lost. UnknownNameError, WrongRegionError."""
        topology, ports = self._stream_here(stream), self._ports
        others = [Region(name) for name in topology.definition.regions if name != self.region]
        return Skip(
            ports.log_of(topology),
            region=self.region,
            clock=ports.clock,
            elsewhere={region: partial(_log_in, ports, topology, region) for region in others},
            known_seams=partial(known_seams, topology, ledger=ports.ledger),
            retention_seconds=topology.retention_seconds,
        )

    def split(self, stream: str) -> Split:
        """Return the operation that splits lanes which take too many records. UnknownNameError, WrongRegionError."""
        return Split(self._stream_here(stream), self._ports)

    def prove(
        self, subscription: str | None = None, *, stream: str | None = None, lane: str | None = None
    ) -> list[LaneProof]:
        """Prove what subscriptions handled in this Region: lane by lane, exactly the log, apart from the exceptions.

        Reads the log of every lane that is named, up to the furthest cursor. Arguments and errors as `provers`.
        """
        provers = self.provers(subscription, stream=stream, lane=lane)
        return [proof for prover in provers for own in prover.lanes for proof in prover.prove(own)]

    def provers(
        self, subscription: str | None = None, *, stream: str | None = None, lane: str | None = None
    ) -> list[Prover]:
        """Return the provers of `prove`, one a stream, to show their progress, or to prove several lanes at once.

        Args:
            subscription: its name; default: all.
            stream: only subscriptions of this stream; default: every stream that is in this Region.
            lane: only this lane, such as `us-east-1/0.17`.

        Raises:
            UnknownNameError, WrongRegionError: there is no such subscription or stream, or it is not in this Region.
            SettingError: there is no such lane.
        """
        return provers_of(self.topology, self.region, self._ports, subscription, stream=stream, lane=lane)

    def replay(self, subscription: str, *, into: str | None = None, publish: bool = False) -> Replay:
        """Make a replay of a subscription, or of its past events into another. UnknownNameError, ReplayRefusedError."""
        ports, find = self._ports, delivered_subscription if into is None else Topology.subscription
        source = find(self.topology, subscription)
        return Replay(
            source,
            stream := self._stream(source),
            into=None if into is None else delivered_subscription(self.topology, into),
            publish=publish,
            log=ports.log_of(stream),
            ledger=ports.ledger,
            doorbells=ports.doorbells,
            clock=ports.clock,
            entropy=ports.entropy,
        )

    def credits(self, stream: str) -> Gates:
        """Return what holds producers of a stream back: how far, and why. UnknownNameError, WrongRegionError."""
        topology = self._stream_here(stream)
        return self._gates(topology, gates_of(self.topology, topology))

    def credits_of(self, subscription: str) -> Gates:
        """Return a subscription that holds producers back. Errors as `credits`; SettingError: it holds nobody back."""
        gate = gate_named(self.topology, subscription)
        return self._gates(self._stream(gate), [gate])

    def _gates(self, stream: StreamTopology, gates: list[SubscriptionTopology]) -> Gates:
        return Gates(stream, gates, ports=self._ports, side_by_side=self._side_by_side)

    @property
    def backfills(self) -> Backfiller:
        """Backfills into this Region: begin, look at, cancel or resume one."""
        return Backfiller(self.topology, self._ports)

    def backfill(
        self,
        stream: str,
        *,
        source: str,
        lanes: Iterable[str] = (),
        rate: float | None = None,
        workers: int = 1,
        slice_events: int | None = None,
    ) -> Report:
        """Copy what this Region's log of a stream lacks from another Region's. Return the result.

        Args:
            stream: name of the stream.
            source: the Region to copy from.
            lanes: only these, as `us-east-1/0.17` or `us-east-1/0.17@0-5000`; default: all that the source has.
            rate: events a second, at most.
            workers: number of threads; with 1 the caller's own.
            slice_events: about how many events one worker copies in one go.

        Raises:
            UnknownNameError, WrongRegionError, BackfillError: nothing was done.
            OutcomeUnknownError, ThrottledError: `run_backfill` goes on with it, as does `eventfabric backfill resume`.
        """
        wanted = BackfillRequest(stream, source, ranges_of(lanes), rate, workers, slice_events)
        return run_backfill(self.backfills, self.backfills.begin(wanted).id)

    def failover(self, source: str) -> Failover:
        """Make a handover to this Region of all that another delivers. FailoverError if refused; nothing changes."""
        return self._failover(Region(source))

    def failback(self) -> list[Failover]:
        """Make handovers to this Region of what is its own by the definition, from each Region that has some of it."""
        sources = regions_beside(self.topology, self.region)
        failovers = [self._failover(source, own_only=True) for source in sources]
        return [failover for failover in failovers if next(failover.handed(), None)]

    def _failover(self, source: Region, *, own_only: bool = False) -> Failover:
        return Failover(
            self.topology,
            source=source,
            target=self.region,
            ports=self._ports,
            own_only=own_only,
            side_by_side=self._side_by_side,
        )

    def step_key(self, subscription: str, event: str, name: str, *, source: str | None = None) -> StepKey:
        """Return the key of a step (see `Delivery.once`).

        Args:
            subscription: the subscription whose step it is.
            event: the event's id, or its place in the log, `<origin>/<generation>.<index>@<sequence>`.
            name: the name that the handler gave to the step.
            source: the source of the event's id; default: the fabric's own for the stream. With it, `event` is an id.

        Raises:
            UnknownNameError: there is no such subscription.
            SettingError: no step can have that name, or no event stands at that place (any more).
        """
        subscription_topology = self.topology.subscription(subscription)
        stream = self._stream(subscription_topology)
        log = self._ports.log_of(stream)
        return step_key_of(subscription_topology, stream, log, event=event, name=name, source=source)

    def step(
        self, subscription: str, event: str, name: str, *, source: str | None = None
    ) -> StepState | None:
        """Return the state of a step; None: it never began. Arguments and errors as `step_key`."""
        return self._known_step(self.step_key(subscription, event, name, source=source))

    def settle_step(
        self,
        subscription: str,
        event: str,
        name: str,
        *,
        happened: bool,
        result: object = None,
        source: str | None = None,
    ) -> None:
        """Settle a step that is in doubt: it happened, with a result, or it did not. Redrive its event afterwards.

        Arguments as `step_key`.

        Raises:
            NotUnknownError: it is not in doubt; nothing is changed.
            SettingError: the result is not plain JSON, or is for a step that did not happen.
        """
        outcome = StepOutcome(happened=happened, result=result)
        key = self.step_key(subscription, event, name, source=source)
        outcome.settle(
            self._steps(subscription),
            key,
            self._known_step(key),
            may_stand_elsewhere=bool(self._former_owners(subscription)),
        )

    def circuit(self, subscription: str) -> Circuit:
        """Return the circuit of a subscription: if its deliveries run, and since when they do not."""
        return self.standing(subscription).circuit

    def pause(self, subscription: str, reason: str = "", *, by: str = "") -> bool:
        """Stop its deliveries; warm functions notice within seconds. False: somebody else was faster, try again.

        `reason` and `by` (who does it) are shown to whoever asks why nothing is delivered.
        """
        return self._breaker(subscription).pause(reason, by=by)

    def resume(self, subscription: str) -> bool:
        """Resume its deliveries, paused or with an open circuit, and ring every lane. False: try again."""
        return self._breaker(subscription).resume()

    def _known_step(self, key: StepKey) -> StepState | None:
        """Return the state of a step as a handler would see it."""
        subscription = name_of_state(key.subscription)
        steps = self._steps(subscription)
        return left_by_others(steps, key, self._former_owners(subscription)) or steps.look(key)

    def _former_owners(self, subscription: str) -> list[Region]:
        """Return the other Regions that may have delivered before this one."""
        subscription_topology = self.topology.subscription(subscription)
        owners = self.standing(subscription).owners
        if not any(owner.region == self.region and owner.epoch > 0 for owner in owners):
            return []
        return [Region(region) for region in subscription_topology.regions if region != self.region]

    def _steps(self, subscription: str) -> Steps:
        return self._ports.steps_of(self._stream(self.topology.subscription(subscription)))

    def _breaker(self, subscription: str) -> CircuitBreaker:
        topology = delivered_subscription(self.topology, subscription)
        return CircuitBreaker(topology, self._stream(topology), ports=self._ports, telemetry=NoTelemetry())

    def _stream(self, subscription: SubscriptionTopology) -> StreamTopology:
        return self._stream_here(subscription.definition.stream)

    def _stream_here(self, name: str) -> StreamTopology:
        """Return the stream of that name. UnknownNameError, WrongRegionError."""
        stream = self.topology.stream(name)
        stream.check_region(self.region)
        return stream


def _log_in(ports: Ports, stream: StreamTopology, region: Region) -> Log:
    return ports.at(region).log_of(stream)
