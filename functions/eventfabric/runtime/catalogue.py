"""The catalogue's function: checks for a stack what it would lose, and declares for it what it has deployed.

CloudFormation asks with two kinds of custom resources. A check comes first in a stack and has no effect. A declaration
comes last. Both get an answer in any case: without one, the stack waits until its time-out.
"""

import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from logging import getLogger
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aws_lambda_powertools.utilities.typing import LambdaContext

from eventfabric.aws import stacks
from eventfabric.aws.clients import Clients
from eventfabric.aws.region import aws_ports
from eventfabric.aws.system import SystemClock
from eventfabric.contracts.folder import SchemaFolder
from eventfabric.definition.schema import Definition
from eventfabric.errors import AppendError, DeclarationRefusedError, LastingError, PortError, Problem
from eventfabric.formats import Formats
from eventfabric.model import Region
from eventfabric.model.catalogue import Declaration
from eventfabric.ports import Clock, Ports
from eventfabric.resources import (
    ASKED,
    CHECK,
    OF_CELL,
    OF_LOG,
    OF_SUBSCRIPTION,
)
from eventfabric.runtime.stack_answers import MARGIN_SECONDS, answer_after, answered, respond, rolls_back
from eventfabric.runtime.threads import Threads
from eventfabric.services.catalogue.check import Checker, of_formats
from eventfabric.services.catalogue.deployment import Deployer, declare_each
from eventfabric.services.catalogue.leftovers import LeftoversReader
from eventfabric.services.delivery.side_by_side import SideBySide
from eventfabric.settings import Settings
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
from eventfabric.topology import Topology

if TYPE_CHECKING:
    from eventfabric.runtime.schema_registration import StackRegistration

THREAD: Final = "eventfabric-catalogue"
"""Name of the thread that does what is asked, while another one looks at the time."""
PARALLEL_READS: Final = 32
NEW_RIGHTS_SECONDS: Final = 45
"""Time that a new right takes to be known everywhere, at most: a role is used as soon as it is made."""
_NEW_RIGHTS_STEP_SECONDS: Final = 3
LAST_CHANCE_SECONDS: Final = 200
"""Time for which a rollback or a deletion is declared again, while a service is busy or silent: nobody asks again."""
_STATUS_SECONDS: Final = 5
"""Part of the margin in which the status of a stack is waited for."""
_AWAITED: Final = {
    "Create": ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"),
    "Update": ("UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"),
    "Delete": ("DELETE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"),
}
"""Statuses in which a stack waits for a declaration, by what it asks.

With the others it has ended, or keeps what it deletes: it goes to, or returns to, a version without this resource.
"""
_log = getLogger("eventfabric")


class Asked(msgspec.Struct):
    """Question of a stack; see deployment/declarations.py."""

    of: str
    definition: Definition
    subscriptions: list[str]
    version: str
    reads_max: int = 1
    writes: int = 1
    schemas: dict[str, str] = {}
    """Digests of the schemas to register, by stream."""

    @property
    def formats(self) -> Formats:
        """The newest formats that the version knows which is deployed: the function may run another one."""
        return Formats(self.reads_max, self.writes)

    def __repr__(self) -> str:
        return f"Asked({self.of}, version {self.version})"

    @classmethod
    def in_properties(cls, properties: dict[str, Any]) -> "Asked":
        """Return what a custom resource asks by its properties."""
        return msgspec.json.decode(properties[ASKED], type=cls)


@dataclass(frozen=True)
class CatalogueRequest:
    """One request of CloudFormation. `status_of` returns the status of a stack by its id."""

    event: dict[str, Any] = field(repr=False)
    region: Region
    ports_of: Callable[[Topology], Ports]
    clock: Clock
    side_by_side: SideBySide
    status_of: Callable[[str], str]
    is_over: Callable[[], bool] = lambda: False
    """Tells if it was answered for want of time: nothing is declared for it any more."""
    schemas: SchemaFolder | None = None
    """Schemas in the function's zip."""

    def answer(self) -> dict[str, Any]:
        """Do what is asked, and return what is to be answered, beside the request's own ids."""
        try:
            return answered(self._patiently(self._check if self._is_check else self._declare))
        except Exception as error:  # CloudFormation must hear of any error
            return answer_after(error, self.event, self.status_of)

    @property
    def _is_deletion(self) -> bool:
        return bool(self.event["RequestType"] == "Delete")

    @property
    def _is_check(self) -> bool:
        return bool(self.event["ResourceType"] == CHECK)

    @property
    def _rolls_back(self) -> bool:
        return rolls_back(self._status())

    def _status(self) -> str:
        return self.status_of(self.event["StackId"])

    @cached_property
    def _asked(self) -> Asked:
        return Asked.in_properties(self.event["ResourceProperties"])

    @cached_property
    def _topology(self) -> Topology:
        return Topology(self._asked.definition)

    def _patiently(self, call: Callable[[], str]) -> str:
        """Do something with rights that may be new, or for which nobody asks again if it fails."""
        began_ms = self.clock.steady_ms()
        while True:
            try:
                return call()
            except (AppendError, PortError) as error:
                if self.clock.steady_ms() - began_ms >= 1000 * self._patience_seconds(error):
                    raise
            self.clock.sleep(_NEW_RIGHTS_STEP_SECONDS)

    def _patience_seconds(self, error: AppendError | PortError) -> int:
        if isinstance(error, LastingError) and error.is_of_rights:
            return NEW_RIGHTS_SECONDS
        return LAST_CHANCE_SECONDS if error.retryable and self._is_last_chance else 0

    @property
    def _is_last_chance(self) -> bool:
        """Nobody asks again for a declaration of what was before, or has gone, whatever it is answered."""
        try:
            return self._is_deletion or (self._rolls_back and not self._is_check)
        except PortError:  # it may be one
            return True

    def _check(self) -> str:
        """Refuse what would lose something. Return up to where a subscription's stream is declared."""
        if self._is_deletion:
            return ""
        self._refuse()
        streams = self._topology.streams.values() if self._asked.of == OF_SUBSCRIPTION else ()
        return "".join(self._checker(self._topology).version(stream) for stream in streams)

    def _checker(self, topology: Topology, without_table: Collection[str] = ()) -> Checker:
        """`without_table`: as for Checker, beside the streams that are new to the stack."""
        ports, asked = self.ports_of(topology), self._asked
        left = LeftoversReader(ports, self.side_by_side, topology.definition.fabric.lost)
        return Checker(
            topology,
            self.region,
            ports,
            left if asked.of == OF_LOG else None,
            self.side_by_side,
            asked.formats,
            [*without_table, *(name for name in topology.streams if name not in self._before.streams)],
        )

    def _refuse(self) -> None:
        """Raise DeclarationRefusedError with all that is wrong, unless the stack rolls back."""
        problems = list(dict.fromkeys(self.problems()))
        if problems and not self._rolls_back:
            raise DeclarationRefusedError(problems)

    def problems(self) -> Iterator[Problem]:
        """Yield all that the stack would lose, or take from somebody."""
        check = self._checker(self._topology)
        for stream in self._topology.streams.values():
            yield from self._of_table(stream, self._of_stream(check, stream))
        for name in dict.fromkeys(n for own in self._subscriptions for n in own.definition.publishes):
            yield from check.of_target(name)
        for stream in self._gone():
            yield from self._of_table(stream, self._of_gone(stream))
        for registered in self._registrations():
            yield from self._of_table(registered.stream, registered.problems())

    def _registrations(self) -> Iterator["StackRegistration"]:
        """Yield what the stack registers of schemas, stream by stream."""
        if not self._asked.schemas:
            return
        from eventfabric.runtime.schema_registration import StackRegistration  # most stacks register none

        for name, digest in self._asked.schemas.items():
            yield StackRegistration(
                self._topology.stream(name),
                self.schemas,
                digest,
                self.ports_of(self._topology),
                by=self.event.get("StackId", ""),
                request_id=self.event.get("RequestId", ""),
                may_lack_table=name not in self._before.streams,
            )

    def _of_stream(self, check: Checker, stream: StreamTopology) -> Iterator[Problem]:
        """Yield what is wrong with a stream of the stack."""
        of, before = self._asked.of, self._before.streams.get(stream.name)
        yield from check.of_stream(stream)
        if of in (OF_LOG, OF_CELL):
            yield from check.of_regions(stream, () if before is None else before.definition.regions)
        if of == OF_CELL:
            yield from check.of_subscriptions(stream, self._asked.subscriptions)
        for own in stream.subscriptions:
            yield from check.of_lives(stream, own.name, is_new=before is None)

    def _of_gone(self, stream: StreamTopology) -> Iterator[Problem]:
        """Yield why a stream cannot go yet. In a Region that is closing, its table may have left before."""
        check = self._checker(self._before, [stream.name] if self.region in stream.closing else [])
        if self._asked.of == OF_SUBSCRIPTION:
            return check.of_subscriptions(stream, (), among=[own.name for own in stream.subscriptions])
        return check.of_stream_gone(stream)

    def _of_table(self, stream: StreamTopology, problems: Iterator[Problem]) -> Iterator[Problem]:
        """Yield problems of a stream; or, if its table is missing, that nobody can tell them."""
        try:
            yield from problems
        except LastingError as error:
            if not error.is_missing:
                raise
            yield Problem(
                f"streams.{stream.name}",
                f"no table {stream.table.name} in {self.region} that is active, where the stack has had it before",
                "the table, restored if it was deleted, once it is active; or the stack rolled back, if it never was",
            )

    @property
    def _subscriptions(self) -> Collection[SubscriptionTopology]:
        return self._topology.subscriptions.values()

    @cached_property
    def _before(self) -> Topology:
        """Fabric for which the stack asked before; of a new stack, one without streams."""
        old = self.event.get("OldResourceProperties")
        if old is None:
            return Topology(replace(self._asked.definition, streams={}, subscriptions={}))
        return Topology(Asked.in_properties(old).definition)

    def _gone(self) -> Iterator[StreamTopology]:
        """Yield the streams that the stack had, and has no more."""
        return (own for name, own in self._before.streams.items() if name not in self._topology.streams)

    def _declare(self) -> str:
        """Declare what a stack has deployed, what it had before if it rolls back, or that it has gone."""
        kind, status = self.event["RequestType"], self._status()
        is_awaited = status in _AWAITED[kind]
        if self._is_deletion:
            if is_awaited:
                declare_each(self._forgotten(status))
        elif not is_awaited:  # it came late, or again
            raise DeclarationRefusedError(
                [Problem("stack", f"{status} at a request to {kind}", " or ".join(_AWAITED[kind]))]
            )
        elif rolls_back(status):
            declare_each(self._deployed(self._deployer(self._topology, status), status))
        else:
            self._refuse()
            deployer = replace(self._deployer(self._topology, status), refuse=self._refuse_formats)
            declare_each(self._deployed(deployer, status))
        return ""

    def _is_given_up(self, status: str) -> bool:
        """Tell if it has had its answer, or if its stack has since turned back from what it did in that status."""
        if self.is_over():
            return True
        now = self._status()
        return now not in _AWAITED[self.event["RequestType"]] or (
            not self._is_deletion and rolls_back(now) != rolls_back(status)
        )

    def _deployed(self, deployer: Deployer, status: str) -> Iterator[Callable[[], object]]:
        """Yield the calls that declare what a stack has, and what it has no more."""
        if self._asked.of == OF_SUBSCRIPTION:
            for own in self._subscriptions:
                exists = own.definition.stream in self._before.streams
                yield partial(
                    deployer.declare_subscription, own, rolls_back=rolls_back(status), exists=exists
                )
        else:
            for stream in self._topology.streams.values():
                yield partial(deployer.declare_stream, stream)
            for registered in self._registrations() if not rolls_back(status) else ():
                yield partial(registered.register, partial(self._is_given_up, status))
        before = self._deployer(self._before, status)
        for stream in self._gone():
            if self._asked.of != OF_SUBSCRIPTION:
                yield partial(before.declare_stream_gone, stream)
            for own in stream.subscriptions:  # after a rollback, it is in the stream of before again
                yield partial(before.declare_gone, own)

    def _refuse_formats(self, read: Declaration) -> None:
        """Raise DeclarationRefusedError if formats were raised since the stack was checked."""
        problems = list(of_formats([read.stream], self._asked.formats))
        if problems:
            raise DeclarationRefusedError(problems)

    def _forgotten(self, status: str) -> Iterator[Callable[[], object]]:
        """Yield the calls that declare that a stack has gone. Nothing is retired by that."""
        deployer = self._deployer(self._topology, status)
        for subscription in self._subscriptions:
            yield partial(deployer.declare_gone, subscription)
        for stream in self._topology.streams.values() if self._asked.of == OF_CELL else ():
            yield partial(deployer.declare_stream_gone, stream)

    def _deployer(self, topology: Topology, status: str) -> Deployer:
        """`status`: that of the stack when this began. It is looked at again after each read that a put follows."""
        return Deployer(
            topology,
            self.region,
            self.ports_of(topology),
            by=self.event["StackId"],
            request_id=self.event["RequestId"],
            version=self._asked.version,
            formats=self._asked.formats,
            fences=True,
            is_over=partial(self._is_given_up, status),
        )


def handle(event: dict[str, Any], context: LambdaContext) -> None:
    """Answer a request of CloudFormation in any case, also if there is no time left for what it asks."""
    seconds = context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS
    pool, over = ThreadPoolExecutor(2, THREAD), Event()
    try:
        answer = pool.submit(_answer, event, over.is_set).result(seconds)
    except Exception as error:  # CloudFormation must hear of any error
        over.set()  # the thread goes on with the next invocation
        is_late = isinstance(error, TimeoutError)
        failure = TimeoutError(f"no result within {seconds:.0f} s; deploy again") if is_late else error
        answer = answer_after(
            failure, event, lambda stack: pool.submit(_status_of, stack).result(_STATUS_SECONDS)
        )
    pool.shutdown(wait=False, cancel_futures=True)
    respond(event, answer)


def _answer(event: dict[str, Any], is_over: Callable[[], bool]) -> dict[str, Any]:
    settings = Settings.from_environment()
    clients = Clients(settings.region, endpoint_url=settings.endpoint_url)
    return CatalogueRequest(
        event,
        Region(settings.region),
        lambda topology: aws_ports(topology, clients),
        SystemClock(),
        _reads(),
        _status_of,
        is_over,
        SchemaFolder(settings.schemas),
    ).answer()


def _status_of(stack_id: str) -> str:
    """Return a stack's status, also if the function's settings are wrong. Errors as stacks.status_of."""
    return stacks.status_of(
        stack_id, region=os.environ["AWS_REGION"], endpoint_url=os.environ.get("AWS_ENDPOINT_URL")
    )


@cache
def _reads() -> SideBySide:
    return Threads(PARALLEL_READS)
