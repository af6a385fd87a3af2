"""The last released version, which knows no schemas, beside this one on a stream whose types have some."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eventfabric import Fabric
from eventfabric.errors import InvalidEventError
from eventfabric.model import Event, Region
from eventfabric.ports import Log
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.catalogue.streams import DeclaredStreams
from eventfabric.stream_topology import StreamTopology
from eventfabric.topology import Topology
from eventfabric.wire.payload_codec import unpack
from tests.support.schema_folders import checks
from tests.versions.player import Player, State, decoded, encoded
from tests.versions.recorded import recorded
from tests.versions.turns import DEFINITION, Host, beginning, version_of_commit

US, EU = "us-east-1", "eu-west-1"
SCHEMA = {"type": "object", "required": ["event"], "properties": {"event": {"type": "string"}}}


class Schooled(Player):
    """A player of this version whose stream requires schemas, and who has one for some types."""

    def __init__(self, state: State, folder: Path, *types: str) -> None:
        super().__init__(decoded(encoded(state)), by="this", seed=len(state["reports"]) + 7)
        self._schemas = checks(folder, {f"orders/{type_}": SCHEMA for type_ in types})

    def require(self) -> None:
        definition = self.topology.definition
        orders = replace(definition.streams["orders"], schemas="required")
        topology = Topology(replace(definition, streams={"orders": orders}))
        for region in (US, EU):
            ports = self.cloud.ports(region)
            declare_all(Deployer(topology, Region(region), ports, by="this", request_id=f"this in {region}"))
        self.cloud.replicate()

    def fabric(self) -> Fabric:
        def log_of(stream: StreamTopology, name: Region) -> Log:
            return self.cloud.log(stream.name, name)

        return Fabric(
            DeclaredStreams(self.topology.fabric, [Region(US)], log_of=log_of, clock=self.clock),
            US,
            log_of=log_of,
            clock=self.clock,
            entropy=self.entropy,
            parallel_lanes=0,
            schemas=self._schemas,
        )

    def events(self) -> dict[str, Event]:
        """Return all events that were published in the first Region, by id."""
        log = self.cloud.log("orders", US)
        events = list[Event]()
        for lane in self.fabric()._stream("orders")._lanes:
            for record in log.read(lane, 0, records_max=1_000).records:  # type: ignore[arg-type]  # the first
                events += unpack(record)
        return {str(event.id): event for event in events}

    def after(self) -> State:
        state: State = decoded(encoded(self.state(DEFINITION)))
        return state


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    version = version_of_commit(recorded()["commit"], tmp_path_factory.mktemp("earlier"))
    with version.hosted() as host:
        yield host


def publish(player: Schooled, id_: str, type_: str, data: Any = None) -> None:
    player.fabric().publish("orders", key="anna", type=type_, id=id_, data=data or {"event": id_})


def test_each_version_publishes_and_delivers_beside_the_other(earlier: Host, tmp_path: Path) -> None:
    this = Schooled(beginning(), tmp_path, "Placed")
    this.require()
    publish(this, "new1", "Placed")
    # Its producers know no schemas: nothing is checked, or refused.
    old = [["old1", "anna", "Placed"], ["old2", "anna", "Unknown"]]
    state = earlier.play(this.after(), ["publish", US, old], ["settle"], seed=1)

    this = Schooled(state, tmp_path, "Placed")
    publish(this, "new2", "Placed")
    for type_, data in (("Unknown", None), ("Placed", {"event": 1})):
        with pytest.raises(InvalidEventError):
            publish(this, "new3", type_, data)
    this.settle()
    assert {id_: "dataschema" in event.headers for id_, event in this.events().items()} == {
        "new1": True,
        "old1": False,
        "old2": False,
        "new2": True,
    }
    handled = [(own[2], own[-1]) for own in this.handled if own[:2] == ["billing", US]]
    assert handled == [("new1", "earlier"), ("old1", "earlier"), ("old2", "earlier"), ("new2", "this")]
