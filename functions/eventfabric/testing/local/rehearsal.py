"""Rehearsal of a deployment: what the stacks' checks would refuse, by what the local fabric has declared and holds."""

from collections.abc import Iterator, Mapping
from functools import partial

from eventfabric.contracts.folder import SchemaFolder, digests_of
from eventfabric.deployment import declarations
from eventfabric.errors import DeclarationRefusedError, Problem
from eventfabric.model import Region, StreamName
from eventfabric.ports import Ports
from eventfabric.resources import ASKED, CHECK
from eventfabric.runtime.catalogue import CatalogueRequest
from eventfabric.services.catalogue.check import of_elsewhere
from eventfabric.services.catalogue.facts import stream_facts
from eventfabric.services.catalogue.lane import catalogue_of
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.topology import Topology


def check_deployment(
    before: Topology,
    wanted: Topology,
    ports: Mapping[str, Ports],
    *,
    schemas: SchemaFolder | None = None,
) -> None:
    """Ask in each Region what its stacks would ask. DeclarationRefusedError with all that any of them is refused.

    `before`: as it is deployed. `ports`: of its Regions; a Region that is new has nothing to lose. `schemas`: those of
    the deployment. InvalidSchemaError lists what is wrong with them.
    """
    known = {} if schemas is None else schemas.documents(streams=wanted.definition.streams)
    problems, out_of_turn = list[Problem](), set(_out_of_turn(before, wanted, ports))
    for region in ports:
        old = dict(_asked_in(before, region))
        for stack, asked in _asked_in(wanted, region, digests_of(known)):
            request = CatalogueRequest(
                _event(asked, old.get(stack)),
                Region(region),
                partial(_same, ports[region]),
                ports[region].clock,
                one_after_another,
                lambda _: "UPDATE_IN_PROGRESS",
                schemas=schemas,
            )
            problems += (problem for problem in request.problems() if problem not in out_of_turn)
    if problems:
        raise DeclarationRefusedError(list(dict.fromkeys(problems)))


def _asked_in(
    topology: Topology, region: str, schemas: Mapping[str, str] | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the stacks of a Region that ask, in the order of a deployment, and their questions."""
    if region == topology.home:
        yield "log", declarations.asked_of_log(topology, topology.tables)
    if region in topology.regions:
        yield "cell", declarations.asked_of_cell(topology, region, schemas=schemas)
    for own in topology.subscriptions_in(region):
        yield f"subscription {own.name}", declarations.asked_of_subscription(topology, own)


def _out_of_turn(before: Topology, wanted: Topology, ports: Mapping[str, Ports]) -> Iterator[Problem]:
    """Yield where a Region differs from another one that a deployment would have changed before it."""
    for name in before.streams.keys() & wanted.streams.keys():
        stream, facts = before.streams[name], stream_facts(wanted, wanted.streams[name])
        regions = [Region(region) for region in stream.definition.regions if region in ports]
        for region, read in catalogue_of(ports[regions[0]].log_of(stream), StreamName(name), regions).items():
            yield from of_elsewhere(read.stream, facts, region)


def _same(ports: Ports, topology: Topology) -> Ports:
    return ports


def _event(asked: str, before: str | None) -> dict[str, object]:
    event = {"ResourceType": CHECK, "ResourceProperties": {ASKED: asked}}
    if before is None:
        return {**event, "RequestType": "Create"}
    return {**event, "RequestType": "Update", "OldResourceProperties": {ASKED: before}}
