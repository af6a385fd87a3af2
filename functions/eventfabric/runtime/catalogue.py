"""The catalogue's function: checks for a stack what it would lose, and declares for it what it has deployed.

CloudFormation asks with two kinds of custom resources. A check comes first in a stack and has no effect. A declaration
comes last. Both get an answer in any case: without one, the stack waits until its time-out.
"""

import json
import urllib.request
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from logging import getLogger
from typing import Any, Final

import msgspec
from aws_lambda_powertools.utilities.typing import LambdaContext

from eventfabric.aws import stacks
from eventfabric.aws.clients import Clients
from eventfabric.aws.region import aws_ports
from eventfabric.aws.system import SystemClock
from eventfabric.definition.schema import Definition
from eventfabric.errors import DeclarationRefusedError, LastingError, PortError, Problem
from eventfabric.formats import Formats
from eventfabric.model import Region
from eventfabric.model.catalogue import Declaration
from eventfabric.ports import Clock, Ports
from eventfabric.resources import (
    ASKED,
    CHECK,
    CHECKED_VERSION,
    OF_CELL,
    OF_LOG,
    OF_SUBSCRIPTION,
)
from eventfabric.runtime.threads import Threads
from eventfabric.services.catalogue.check import Checker, of_formats
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.services.catalogue.leftovers import LeftoversReader
from eventfabric.services.delivery.side_by_side import SideBySide
from eventfabric.settings import Settings
from eventfabric.stream_topology import StreamTopology, SubscriptionTopology
from eventfabric.topology import Topology

THREAD: Final = "eventfabric-catalogue"
"""Name of the thread that does what is asked, while another one looks at the time."""
PARALLEL_READS: Final = 32
NEW_RIGHTS_SECONDS: Final = 45
"""Time that a new right takes to be known everywhere, at most: a role is used as soon as it is made."""
_NEW_RIGHTS_STEP_SECONDS: Final = 3
_MARGIN_SECONDS: Final = 20
"""Part of an invocation's time that is kept for the answer."""
_REASON_CHARACTERS_MAX: Final = 1_000
"""CloudFormation takes an answer of 4,096 bytes."""
_log = getLogger("eventfabric")


class Asked(msgspec.Struct):
    """Question of a stack; see deployment/declarations.py."""

    of: str
    definition: Definition
    subscriptions: list[str]
    version: str
    reads_max: int = 1
    writes: int = 1

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

    def answer(self) -> dict[str, Any]:
        """Do what is asked, and return what is to be answered, beside the request's own ids."""
        try:
            if self._is_deletion:
                self._forget()
                return answered()
            return answered(self._patiently(self._check if self._is_check else self._declare))
        except Exception as error:  # CloudFormation must hear of any error
            return self._failed(error)

    def _failed(self, error: Exception) -> dict[str, Any]:
        """Answer after an error. It keeps nobody from deleting a stack or from returning to what was there before."""
        _log.warning("a stack's request was refused, or failed: %s", error, exc_info=error)
        try:
            if self._is_deletion or self._rolls_back:
                return answered()
        except PortError as unknown:
            _log.warning("the stack's status is not known: %s", unknown)
        return failed(str(error))

    @property
    def _is_deletion(self) -> bool:
        return bool(self.event["RequestType"] == "Delete")

    @property
    def _is_check(self) -> bool:
        return bool(self.event["ResourceType"] == CHECK)

    @property
    def _rolls_back(self) -> bool:
        return "ROLLBACK" in self.status_of(self.event["StackId"])

    @cached_property
    def _asked(self) -> Asked:
        return Asked.in_properties(self.event["ResourceProperties"])

    @cached_property
    def _topology(self) -> Topology:
        return Topology(self._asked.definition)

    def _patiently(self, call: Callable[[], str]) -> str:
        """Do something with rights that may be new."""
        until_ms = self.clock.steady_ms() + 1000 * NEW_RIGHTS_SECONDS
        while True:
            try:
                return call()
            except LastingError as error:
                if not error.is_of_rights or self.clock.steady_ms() >= until_ms:
                    raise
            self.clock.sleep(_NEW_RIGHTS_STEP_SECONDS)

    def _check(self) -> str:
        """Refuse what would lose something. Return up to where a subscription's stream is declared."""
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
        problems = list(dict.fromkeys(self._problems()))
        if problems and not self._rolls_back:
            raise DeclarationRefusedError(problems)

    def _problems(self) -> Iterator[Problem]:
        check = self._checker(self._topology)
        for stream in self._topology.streams.values():
            yield from self._of_table(stream, self._of_stream(check, stream))
        for name in dict.fromkeys(n for own in self._subscriptions for n in own.definition.publishes):
            yield from check.of_target(name)
        for stream in self._gone():
            yield from self._of_table(stream, self._of_gone(stream))

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
            if error.cause != "missing":
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
        self._refuse()
        deployer = replace(self._deployer(self._topology), refuse=self._refuse_formats)
        if self._asked.of == OF_SUBSCRIPTION:
            rolls_back = self._rolls_back
            for own in self._subscriptions:
                exists = own.definition.stream in self._before.streams
                deployer.declare_subscription(own, rolls_back=rolls_back, exists=exists)
        else:
            for stream in self._topology.streams.values():
                deployer.declare_stream(stream)
        before = self._deployer(self._before)
        for stream in self._gone():
            if self._asked.of != OF_SUBSCRIPTION:
                before.declare_stream_gone(stream)
            for own in stream.subscriptions:  # after a rollback, it is in the stream of before again
                before.declare_gone(own)
        return ""

    def _refuse_formats(self, read: Declaration) -> None:
        """Raise DeclarationRefusedError if formats were raised since the stack was checked, unless it rolls back."""
        problems = list(of_formats([read.stream], self._asked.formats))
        if problems and not self._rolls_back:
            raise DeclarationRefusedError(problems)

    def _forget(self) -> None:
        """Declare that a stack has gone. Nothing is retired by that.

        A stack that is updated to a version without this resource, or returns to one, has not gone.
        """
        if self._is_check or self.status_of(self.event["StackId"]).startswith("UPDATE"):
            return
        deployer = self._deployer(self._topology)
        for subscription in self._topology.subscriptions.values():
            deployer.declare_gone(subscription)
        for stream in self._topology.streams.values() if self._asked.of == OF_CELL else ():
            deployer.declare_stream_gone(stream)

    def _deployer(self, topology: Topology) -> Deployer:
        return Deployer(
            topology,
            self.region,
            self.ports_of(topology),
            by=self.event["StackId"],
            request_id=self.event["RequestId"],
            version=self._asked.version,
            formats=self._asked.formats,
        )


def answered(version: str = "") -> dict[str, Any]:
    """Return the answer that something is done. It has all attributes, which a stack may need also if it rolls back."""
    return {"Status": "SUCCESS", "Data": {CHECKED_VERSION: version}}


def failed(reason: str) -> dict[str, Any]:
    """Return the answer that something is refused, or failed."""
    return {"Status": "FAILED", "Reason": reason[:_REASON_CHARACTERS_MAX]}


def handle(event: dict[str, Any], context: LambdaContext) -> None:
    """Answer a request of CloudFormation in any case, also if there is no time left for what it asks."""
    seconds = context.get_remaining_time_in_millis() / 1000 - _MARGIN_SECONDS
    pool = ThreadPoolExecutor(1, THREAD)
    try:
        answer = pool.submit(partial(_answer, event)).result(seconds)
    except TimeoutError:
        is_deleted = event["RequestType"] == "Delete"
        answer = answered() if is_deleted else failed(f"no result within {seconds:.0f} s; deploy again")
    except Exception as error:  # CloudFormation must hear of any error
        answer = failed(f"{type(error).__name__}: {error}")
    pool.shutdown(wait=False, cancel_futures=True)
    respond(event, answer)


def _answer(event: dict[str, Any]) -> dict[str, Any]:
    settings = Settings.from_environment()
    clients = Clients(settings.region, endpoint_url=settings.endpoint_url)
    return CatalogueRequest(
        event,
        Region(settings.region),
        lambda topology: aws_ports(topology, clients),
        SystemClock(),
        _reads(),
        partial(stacks.status_of, region=settings.region, endpoint_url=settings.endpoint_url),
    ).answer()


@cache
def _reads() -> SideBySide:
    return Threads(PARALLEL_READS)


def respond(event: dict[str, Any], answer: dict[str, Any]) -> None:
    """Send the answer to where CloudFormation waits for it. A resource is the same for ever."""
    ids = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    body = json.dumps({**answer, **ids, "PhysicalResourceId": "catalogue"}).encode()
    request = urllib.request.Request(
        event["ResponseURL"], data=body, method="PUT", headers={"Content-Type": ""}
    )
    with urllib.request.urlopen(request, timeout=_MARGIN_SECONDS / 2):
        pass
