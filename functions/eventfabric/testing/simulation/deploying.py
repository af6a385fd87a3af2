"""Deployments in the simulation: stacks that declare, fail and roll back, operators who retire, and who reads of it.

A stack does what CloudFormation has its custom resources do: a request is tried again as long as its function dies or
gets no answer, and what a failed deployment declared is declared again as it was before. The subscriptions that come
and go here have names of their own, and nothing is delivered for them: what is checked is what is declared.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final, TypeVar

from eventfabric.errors import EventFabricError, SettingError, UnknownNameError
from eventfabric.model import EMPTY_TAIL, DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import Declared, State
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.catalogue.known import CATALOGUE_SECONDS, KnownDeclaration
from eventfabric.services.catalogue.lane import newest
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.services.operations.retire import Retirement
from eventfabric.services.reconciliation.abandoned import AbandonedReader
from eventfabric.stream_topology import SubscriptionTopology
from eventfabric.testing.memory.faults import Faults, SimulatedCrash
from eventfabric.testing.simulation import history_of_deployments as history
from eventfabric.testing.simulation.history import Found
from eventfabric.testing.simulation.looking_up import look_up_all
from eventfabric.testing.simulation.offering import list_events
from eventfabric.testing.simulation.plan import Happening
from eventfabric.testing.simulation.process import Process
from eventfabric.testing.simulation.registering import deployed_stream, list_schemas
from eventfabric.testing.simulation.world import Stack, World
from eventfabric.topology import Topology
from eventfabric.wire.declaration import declaration_of

T = TypeVar("T")
NAMES: Final = ("comes", "goes")
_TRIES: Final = 3
"""Number of times that a request of a deployment is tried before the deployment fails."""
_AGAIN_SECONDS: Final = 20.0
_LATE_SECONDS: Final = 10.0
"""Time within which a function runs out of it; and a third of that for which it is frozen, at most."""
_READ_SECONDS: Final = 25.0


def start(world: World) -> None:
    """Declare what the plan's fabric is deployed with, and let somebody in each Region read it from now on."""
    if world.plan.declared:
        for region in world.plan.regions:
            deployer = Deployer(world.topology, Region(region), world.cloud.ports(region), "world", "first")
            if world.plan.by_catalogue:
                declare_all(deployer)
            elif region in world.registry.regions:
                deployer.declare_stream(deployed_stream(world))
                world.registry.declared(region, world.registry.regions)
            world.schedule.spawn(f"reader {region}", _read, world, region)


def deploy_stack(world: World, happening: Happening) -> None:
    """Deploy a subscription's stack with another content than before."""
    _deploy(world, happening, fails=False)


def failed_stack(world: World, happening: Happening) -> None:
    """Deploy a subscription's stack; something else in it fails once it has declared, and all of it goes back."""
    _deploy(world, happening, fails=True)


def both_stacks(world: World, happening: Happening) -> None:
    """Deploy the stacks of two subscriptions of a Region at the same time."""
    for number in range(len(NAMES)):
        own = Happening(0.0, happening.what, happening.region, number=number)
        world.schedule.spawn(f"stack {number} {world.schedule.steps}", deploy_stack, world, own)


def late_stack(world: World, happening: Happening) -> None:
    """Deploy a subscription's stack by a function that runs out of time, and goes on while all of it goes back."""
    with _operation(world, happening) as stack:
        if stack is not None:
            world.stack_contents += 1
            own, exists = (
                _subscription(world, happening, f"content {world.stack_contents}"),
                bool(stack.content),
            )
            stack.requests += 1
            _Late(world, happening.region, _request_id(happening, stack)).run(
                lambda by: by.declare_subscription(own, exists=exists)
            )
            _go_back(world, happening, stack)


def repeated_stack(world: World, happening: Happening) -> None:
    """Deploy a subscription's stack; its request comes again later, whatever was deployed since."""
    _deploy(world, happening, fails=False, again_seconds=600.0)


def delete_stack(world: World, happening: Happening) -> None:
    """Delete a subscription's stack."""
    with _operation(world, happening) as stack:
        if stack is not None and stack.content:
            _delete(world, happening, stack)


def retire(world: World, happening: Happening) -> None:
    """Retire a subscription in all Regions, as an operator does: again where a Region gave no answer."""
    world.deployments += 1
    while not _is_retired(world, happening):
        world.schedule.pause(_AGAIN_SECONDS)
    world.deployments -= 1


def renew_partly(world: World, happening: Happening) -> None:
    """Retire a subscription by a command that ends after the first Region, and deploy it anew there."""
    world.deployments += 1
    _is_retired(world, happening, regions_max=1)
    first = Happening(0.0, happening.what, world.plan.regions[0], number=happening.number)
    delete_stack(world, first)
    deploy_stack(world, first)
    world.deployments -= 1


def _is_retired(world: World, happening: Happening, *, regions_max: int | None = None) -> bool:
    """Carry out one command that retires a subscription. Return True once no Region is left."""
    process, name = Process(world, f"retire {world.schedule.steps}", happening.region), _name(happening)
    try:
        ending = Retirement.of(_with_names(world.topology), name, process.ports, by="operator")
        ending.regions = ending.regions[:regions_max]
        retired = ending.end()
    except (SettingError, UnknownNameError):
        return True
    except (EventFabricError, SimulatedCrash):
        return False
    for region in retired:
        world.note(history.Retired, "operator", region=region, subscription=name)
    return not ending.unanswered


def _deploy(world: World, happening: Happening, *, fails: bool, again_seconds: float = 0.0) -> None:
    """`again_seconds`: time within which the request comes again; 0: it does not."""
    with _operation(world, happening) as stack:
        if stack is None:
            return
        world.stack_contents += 1
        content = f"content {world.stack_contents}"
        own, exists = _subscription(world, happening, content), bool(stack.content)

        def call(by: Deployer) -> Declared | None:
            return by.declare_subscription(own, exists=exists)

        declared = _request(world, happening, stack, call, tries=_TRIES)
        if declared is not None and not fails:
            stack.content = content
            _tell(world, happening, stack, State.ACTIVE)
        else:
            _go_back(world, happening, stack)
        if declared is not None and again_seconds:
            repeated = _Late(world, happening.region, _request_id(happening, stack))
            world.schedule.spawn(f"again {world.schedule.steps}", repeated.run_again, call, again_seconds)


def _go_back(world: World, happening: Happening, stack: Stack) -> None:
    """Have a stack return to what was there before its last request."""
    if not stack.content:
        _delete(world, happening, stack)
        return
    failed = _request_id(happening, stack)
    before = _subscription(world, happening, stack.content)
    _request(
        world,
        happening,
        stack,
        lambda by: by.declare_subscription(before, rolls_back=True),
    )
    _tell(world, happening, stack, None, request=failed)


def _delete(world: World, happening: Happening, stack: Stack) -> None:
    own = _subscription(world, happening, stack.content)
    _request(world, happening, stack, lambda by: by.declare_gone(own))
    stack.content = ""
    _tell(world, happening, stack, State.UNDEPLOYED)


class _Late(Faults):
    """A function that handles a request for which nobody waits any more. Before each put, it is frozen for a while."""

    def __init__(self, world: World, region: str, request: str) -> None:
        super().__init__()
        self._world, self._region, self._request = world, region, request
        self._process = Process(world, f"{request} late", region)
        self._is_over = False

    def run(self, call: Callable[[Deployer], Declared | None]) -> None:
        """Begin to do something, and return when there is no time left for it. It goes on meanwhile."""
        self._world.schedule.spawn(f"late {self._world.schedule.steps}", self._call, call)
        self._world.schedule.pause(self._process.random.uniform(0, _LATE_SECONDS))
        self._is_over = True

    def run_again(self, call: Callable[[Deployer], Declared | None], seconds_max: float) -> None:
        """Do once more, within that time, what was done before."""
        self._world.deployments += 1
        self._world.schedule.pause(self._process.random.uniform(0, seconds_max))
        self._call(call)
        self._world.deployments -= 1

    def call(self, name: str, effect: Callable[[], T]) -> T:
        """Make a call of its log."""
        if name == "log.append":
            self._process.breathe(self._process.random.uniform(0, 3 * _LATE_SECONDS))
        return effect()

    def _call(self, call: Callable[[Deployer], Declared | None]) -> None:
        self._world.deployments += 1
        ports = self._process.ports
        frozen = replace(ports, log_of=lambda stream: self.log(ports.log_of(stream)))
        by = Deployer(_with_names(self._world.topology), Region(self._region), frozen, "stack", self._request)
        with suppress(EventFabricError, SimulatedCrash):
            call(replace(by, fences=True, is_over=lambda: self._is_over))
        self._world.deployments -= 1


@contextmanager
def _operation(world: World, happening: Happening) -> Iterator[Stack | None]:
    """Provide the stack for one operation; None if another is going on, which CloudFormation refuses."""
    stack = world.stacks.setdefault((happening.region, _name(happening)), Stack())
    if stack.is_busy:
        yield None
        return
    stack.is_busy = True
    world.deployments += 1
    yield stack
    world.deployments -= 1
    stack.is_busy = False


def _request(
    world: World,
    happening: Happening,
    stack: Stack,
    call: Callable[[Deployer], Declared | None],
    *,
    tries: int | None = None,
) -> Declared | None:
    """Have a custom resource's function do something, by one request. None: all tries failed, or there is nothing.

    `tries`: number of times that it is tried; None: until it succeeds, as operators go on with a rollback.
    """
    stack.requests += 1
    request = _request_id(happening, stack)
    number = 0
    while tries is None or number < tries:
        number += 1
        while happening.region in world.lost:
            world.schedule.wait(f"region/{happening.region}")
        process = Process(world, f"{request} {number}", happening.region)
        topology = _with_names(world.topology)
        deployer = Deployer(topology, Region(happening.region), process.ports, "stack", request, fences=True)
        try:
            return call(deployer)
        except (EventFabricError, SimulatedCrash):
            world.schedule.pause(_AGAIN_SECONDS)
    return None


def _read(world: World, region: str) -> None:
    """Read the catalogue as a producer does, which keeps what it knows for a minute."""
    stream = world.topology.stream(world.plan.stream)
    lane = DeclarationLane.of(Region(region), StreamName(stream.name))
    process: Process | None = None
    while not world.is_read_out:
        world.schedule.pause(_READ_SECONDS)
        while region in world.lost:
            world.schedule.wait(f"region/{region}")
        if process is None or process.is_dead:
            process = Process(world, f"reader {region} {world.schedule.steps}", region)
            known = KnownDeclaration(process.ports.log_of(stream), lane, process.clock)
        try:
            declared = known.now()
        except (EventFabricError, SimulatedCrash):
            process = None
            continue
        if declared is not None:
            world.note(
                history.CatalogueRead, process.name, region=region, sequence=int(declared.tail.sequence)
            )


def read_out(world: World) -> None:
    """Let all readers read once more, now that nothing fails, and note what each Region has of all declarations."""
    if not world.plan.declared:
        return
    while world.deployments or any(link.has_news for link in world.cloud.links):
        for region in world.plan.regions:
            world.schedule.wake(f"changes/{region}")
        world.schedule.pause(CATALOGUE_SECONDS)
    world.schedule.pause(2 * CATALOGUE_SECONDS)
    world.is_read_out = True
    list_schemas(world)
    look_up_all(world)
    list_events(world)
    for table_region in world.plan.regions:
        for region in world.plan.regions:
            world.note(
                history.CatalogueListed,
                "world",
                region=table_region,
                lane=region,
                changes=tuple(_listed(world, table_region, region)),
            )


def tell_abandoned(world: World) -> None:
    """Note what passes find of the subscriptions that come and go here, which only the catalogue knows."""
    if not world.plan.declared or world.plan.by_catalogue:  # else functions make these passes
        return
    stream = world.topology.stream(world.plan.stream)
    for name in world.plan.regions:
        region, ports = Region(name), world.cloud.ports(name)
        own = newest(ports.log_of(stream), DeclarationLane.of(region, StreamName(stream.name)))
        reader = AbandonedReader(region, ports, one_after_another)
        for finding in reader.findings(stream, None if own is None else own.declaration):
            world.note(
                Found,
                f"reconcile {name}",
                region=name,
                lane=str(finding.lane),
                finding=finding.kind.value,
                subscription=finding.subscription or "",
                alarm=finding.is_alarm,
            )


def _listed(world: World, table_region: str, region: str) -> Iterator[history.ListedChange]:
    log = world.cloud.log(world.plan.stream, table_region)
    tail = EMPTY_TAIL
    lane = DeclarationLane.of(Region(region), StreamName(world.plan.stream))
    while page := log.read(lane, tail.sequence, records_max=100).records:
        for record in page:
            declaration = declaration_of(record)
            is_next = record.sequence == tail.sequence and record.extends(tail.chain)
            tail = record.tail
            yield history.ListedChange(
                kind=declaration.change.kind,
                of=declaration.change.of,
                request=declaration.change.request_id,
                is_next=is_next,
                subscriptions={
                    name: history.ListedSubscription(
                        facts.state.value, facts.incarnation, facts.highest, facts.contact
                    )
                    for name, facts in declaration.subscriptions.items()
                },
            )


def _name(happening: Happening) -> str:
    return NAMES[happening.number % len(NAMES)]


def _with_names(topology: Topology) -> Topology:
    """Return the topology with the subscriptions that come and go here."""
    definition = topology.definition
    some = next(iter(definition.subscriptions.values()))
    extra = {name: replace(some, name=name) for name in NAMES}
    return Topology(replace(definition, subscriptions={**definition.subscriptions, **extra}))


def _subscription(world: World, happening: Happening, content: str) -> SubscriptionTopology:
    own = _with_names(world.topology).subscription(_name(happening))
    return replace(own, definition=replace(own.definition, contact=content))


def _request_id(happening: Happening, stack: Stack) -> str:
    return f"{happening.region} {_name(happening)} {stack.requests}"


def _tell(
    world: World, happening: Happening, stack: Stack, state: State | None, *, request: str = ""
) -> None:
    """Note how a stack's operation ended. `state`: in which the subscription is now; None: as before `request`."""
    world.note(
        history.StackEnded,
        f"stack {_name(happening)} {happening.region}",
        region=happening.region,
        subscription=_name(happening),
        content=stack.content,
        state="" if state is None else state.value,
        request=request,
    )


DEPLOYS: Final[dict[str, Callable[[World, Happening], None]]] = {
    function.__name__: function
    for function in (
        *(deploy_stack, failed_stack, both_stacks, late_stack, repeated_stack, delete_stack),
        *(retire, renew_partly),
    )
}
