"""A stand-in for CloudFormation: stacks that check and declare, in updates, rollbacks and deletions."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from eventfabric.contracts.folder import SchemaFolder, digests_of
from eventfabric.deployment import declarations
from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import Declared, State, SubscriptionFacts, in_state
from eventfabric.ports import Log, Ports
from eventfabric.resources import CHECK, DECLARE
from eventfabric.runtime.catalogue import CatalogueRequest
from eventfabric.services.catalogue.declare import declare
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.services.catalogue.lane import newest
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.stream_topology import StreamTopology
from eventfabric.topology import Topology
from tests.support.memory_fabric import HOME, STREAM, MemoryFabric


@dataclass
class Stacks:
    """A fabric's stacks in one Region: what each asked last, and what is going on."""

    fabric: MemoryFabric
    region: Region = HOME
    status: str = "UPDATE_IN_PROGRESS"
    asked: dict[tuple[str, str], str] = field(default_factory=dict)
    log_of: Callable[[StreamTopology], Log] | None = None
    elsewhere: Callable[[Region], Ports] | None = None
    schemas: SchemaFolder | None = None
    """Schemas in the zip of the catalogue's function."""
    synthesised_with: SchemaFolder | None = None
    """Schemas of the deployment's synthesis, if they are others."""
    is_over: bool = False
    """The function's requests were answered for want of time."""
    number: int = 0

    def ask(self, resource: str, stack: str, asked: str, *, kind: str = "") -> dict[str, Any]:
        """Ask as CloudFormation does, which asks nothing if nothing has changed."""
        before = self.asked.get((resource, stack))
        if before == asked and not kind:
            return {"Status": "SUCCESS", "Data": {}}
        self.number += 1
        old = {} if before is None or kind else {"OldResourceProperties": {"Asked": before}}
        sent = {
            "RequestType": kind or ("Create" if before is None else "Update"),
            "ResourceType": resource,
            "StackId": f"stack/{stack}",
            "RequestId": f"{resource}{stack}{self.number}",
            "LogicalResourceId": "Allowed",
            "ResourceProperties": {"ServiceToken": "arn", "Asked": asked},
            **old,
        }
        ports = self.fabric.ports(self.region)
        if self.log_of is not None:
            ports = replace(ports, log_of=self.log_of)
        if self.elsewhere is not None:
            ports = replace(ports, at=self.elsewhere)
        answer = CatalogueRequest(
            sent,
            self.region,
            lambda topology: ports,
            ports.clock,
            one_after_another,
            lambda stack_id: self.status,
            lambda: self.is_over,
            schemas=self.schemas,
        ).answer()
        if answer["Status"] == "SUCCESS":
            self.asked[resource, stack] = asked
            if kind == "Delete":
                del self.asked[resource, stack]
        assert len(json.dumps(answer)) < 4_000
        return answer

    def deploy(self, wanted: Topology, *, until: str = "") -> str:
        """Deploy all stacks one after the other, and return why that was refused. `until`: the stack that fails last.

        A stack that is refused, or fails, returns to what was there before.
        """
        for stack, asked in stacks_of(wanted, self.region, self.synthesised_with or self.schemas):
            before = dict(self.asked)
            for resource in (CHECK, DECLARE) if stack != "log" else (CHECK,):
                answer = self.ask(resource, stack, asked)
                if answer["Status"] == "FAILED":
                    self.roll_back(before, stack)
                    return str(answer["Reason"])
            if stack == until:
                self.roll_back(before, stack)
                return "something else in the stack failed"
            self.fabric.cloud.replicate()
        return ""

    def roll_back(self, before: dict[tuple[str, str], str], stack: str) -> None:
        """Return to what was there before, as CloudFormation does: what is new is deleted. Nothing may be refused."""
        is_new = (CHECK, stack) not in before
        self.status = "ROLLBACK_IN_PROGRESS" if is_new else "UPDATE_ROLLBACK_IN_PROGRESS"
        for resource in (CHECK, DECLARE):
            now, then = self.asked.get((resource, stack)), before.get((resource, stack))
            if then is not None:
                assert self.ask(resource, stack, then)["Status"] == "SUCCESS"
            elif now is not None and resource == DECLARE:
                self.ask(resource, stack, now, kind="Delete")
        self.asked = before
        self.status = "UPDATE_IN_PROGRESS"

    def delete(self, stack: str) -> dict[str, Any]:
        self.status = "DELETE_IN_PROGRESS"
        answer = self.ask(DECLARE, stack, self.asked[DECLARE, stack], kind="Delete")
        self.status = "UPDATE_IN_PROGRESS"
        return answer

    def declared(self, stream: str = STREAM) -> Declared:
        log = self.fabric.ports(self.region).log_of(self.fabric.topology.stream(stream))
        known = newest(log, DeclarationLane.of(self.region, StreamName(stream)))
        assert known is not None
        return known

    def facts(self, name: str = "billing", stream: str = STREAM) -> SubscriptionFacts:
        return self.declared(stream).declaration.subscriptions[name]

    def retire(self, name: str = "billing", stream: str = STREAM) -> None:
        of = self.fabric.topology.stream(stream)
        ports = self.fabric.ports(self.region)
        change = Deployer(self.fabric.topology, self.region, ports, by="cli", request_id="retire").change(
            "", name
        )
        declare(
            ports.log_of(of),
            DeclarationLane.of(self.region, StreamName(stream)),
            lambda read: read and in_state(read, name, State.RETIRED, change),
            clock=ports.clock,
            entropy=ports.entropy,
            source=of.source,
        )
        self.fabric.cloud.replicate()


def stacks_of(
    wanted: Topology, region: Region, schemas: SchemaFolder | None = None
) -> Iterator[tuple[str, str]]:
    """Yield each stack that asks, and what it asks, in the order of a deployment."""
    digests = {} if schemas is None else digests_of(schemas.documents())
    if region == HOME:
        yield "log", declarations.asked_of_log(wanted, wanted.tables, schemas=digests)
    yield "cell", declarations.asked_of_cell(wanted, region, schemas=digests)
    for own in wanted.subscriptions_in(region):
        yield own.name, declarations.asked_of_subscription(wanted, own)
