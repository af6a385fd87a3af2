"""Raising formats while stacks deploy, roll back and go, between any two of its calls, each of which may fail."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from eventfabric.errors import EventFabricError
from eventfabric.formats import Formats
from eventfabric.model import DeclarationLane, Region, StreamName
from eventfabric.model.catalogue import Declaration, State
from eventfabric.services.catalogue.check import of_formats
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.catalogue.known import FORGOTTEN_SECONDS
from eventfabric.services.catalogue.lane import history
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.services.operations.formats import FormatRaise
from eventfabric.testing.memory.faults import Fault, Faults, SimulatedCrash
from tests.support.formats import stream_of
from tests.support.memory_fabric import AWAY, HOME, STREAM, MemoryFabric
from tests.support.subscribed_stream import SUBSCRIPTION, topology

SEEDS = 25
NEWEST = Formats(3, 3)
TOPOLOGY = topology()
FAULTS = (Fault.LOST_REPLY, Fault.LOST_REQUEST, Fault.THROTTLED, Fault.CRASH_BEFORE, Fault.CRASH_AFTER)


class Fabric:
    """A fabric whose stacks do as they like while somebody raises formats."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.fabric = MemoryFabric(TOPOLOGY, seed=seed)
        self._requests = 0
        for region in (HOME, AWAY):
            declare_all(self.deployer(region, Formats(2, 2)))

    def deployer(self, region: Region, formats: Formats) -> Deployer:
        self._requests += 1
        request = f"r{self._requests}"
        return Deployer(TOPOLOGY, region, self.fabric.ports(region), "stack", request, formats=formats)

    def deploy(self) -> None:
        """Let a stack of one Region do something. What checks are refused is not done."""
        formats = self.random.choice([Formats(), Formats(2, 1), Formats(2, 2), Formats(3, 2), NEWEST])
        region = self.random.choice((HOME, AWAY))
        deployer, billing = self.deployer(region, formats), TOPOLOGY.subscription(SUBSCRIPTION)
        refused = any(of_formats([stream_of(self.fabric, region)], formats))
        act = self.random.choice(("subscription", "subscription", "cell", "cell", "back", "gone", "retired"))
        if act == "subscription" and not refused:
            deployer.declare_subscription(billing)
        elif act == "cell" and not refused:
            deployer.declare_stream(self.fabric.stream)
        elif act == "back":
            deployer.declare_subscription(billing, rolls_back=True)
            replace(deployer, request_id=f"{deployer.request_id} too").declare_stream(self.fabric.stream)
        elif act == "gone":
            deployer.declare_stream_gone(self.fabric.stream)
        elif act == "retired":
            deployer.declare_state(self.fabric.stream, SUBSCRIPTION, State.RETIRED)
        self.fabric.cloud.replicate()

    def raise_to(self, wanted: Formats, rule: Callable[[str, int, int], Fault | None]) -> None:
        self._requests += 1
        faults = Faults(rule)
        ports = {region: faults.ports(self.fabric.ports(region)) for region in (HOME, AWAY)}
        here = replace(ports[HOME], at=ports.__getitem__)
        stream, request = self.fabric.stream, f"r{self._requests}"
        own = FormatRaise(TOPOLOGY, stream, here, "me", request, one_after_another, NEWEST)
        looks = own.look()
        own.check(looks, wanted)
        own.carry_out(looks, wanted)

    def disturbed(self, name: str, *numbers: int) -> Fault | None:
        if self.random.random() < 0.3:
            self.deploy()
        return self.random.choice(FAULTS) if self.random.random() < 0.1 else None

    def act(self) -> None:
        """Do one thing after the other, for a while."""
        for _ in range(self.random.randint(2, 6)):
            self.fabric.clock.advance(seconds=self.random.choice((1, 60, FORGOTTEN_SECONDS)))
            if self.random.random() < 0.3:
                self.deploy_all()
            number = self.random.choice((2, 3))
            wanted = Formats(reads=number) if self.random.random() < 0.6 else Formats(writes=number)
            with suppress(EventFabricError, SimulatedCrash):
                self.raise_to(wanted, self.disturbed)

    def deploy_all(self) -> None:
        for region in (HOME, AWAY):
            declare_all(self.deployer(region, NEWEST))
        self.fabric.cloud.replicate()

    def end(self) -> None:
        """Raise all there is, once everything knows it."""
        self.deploy_all()
        self.raise_to(Formats(reads=3), lambda *_: None)
        self.fabric.clock.advance(seconds=FORGOTTEN_SECONDS)
        self.raise_to(Formats(writes=3), lambda *_: None)

    def declared(self, region: Region) -> list[Declaration]:
        """Return all that a Region has declared, oldest first."""
        log = self.fabric.ports(region).log_of(self.fabric.stream)
        return list(history(log, DeclarationLane.of(region, StreamName(STREAM))))[::-1]


def check(fabric: Fabric) -> list[str]:
    """Return what went wrong."""
    lanes = {region: fabric.declared(region) for region in (HOME, AWAY)}
    wrong = []
    for region, lane in lanes.items():
        for before, after in pairwise(lane):
            required = after.stream.required
            if not required.suffices_for(before.stream.required):
                wrong.append(f"{region}: lowered by {after.change.kind}")
            if required == before.stream.required:
                continue
            if after.change.kind != "formats raised":
                wrong.append(f"{region}: raised by {after.change.kind}")
            known = [own.formats for own in after.subscriptions.values() if own.state is not State.RETIRED]
            known += [after.stream.formats] if after.stream.is_deployed else []
            if not all(formats.suffices_for(required) for formats in known):
                wrong.append(f"{region}: raised where somebody does not know it")
            if required.writes > before.stream.writes_required and not all(
                known_for_long(other, required.writes, after.change.at_ms) for other in lanes.values()
            ):
                wrong.append(f"{region}: writers before readers")
    return wrong


def known_for_long(lane: list[Declaration], number: int, at_ms: int) -> bool:
    early = at_ms - 1000 * FORGOTTEN_SECONDS
    return any(read.stream.reads_required >= number for read in lane if read.change.at_ms <= early)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_formats_are_raised_only_where_all_know_them_readers_first_and_never_lowered(seed: int) -> None:
    fabric = Fabric(seed)
    fabric.act()
    assert check(fabric) == []
    fabric.end()
    assert [stream_of(fabric.fabric, region).required for region in (HOME, AWAY)] == [NEWEST, NEWEST]
    assert check(fabric) == []


def found_with(planted: Callable[[pytest.MonkeyPatch], None], patch: pytest.MonkeyPatch) -> set[str]:
    """Return what is found with a bug that is planted, without the Regions."""
    planted(patch)
    wrong: set[str] = set()
    for seed in range(SEEDS):
        fabric = Fabric(seed)
        fabric.act()
        wrong |= {problem.partition(": ")[2] for problem in check(fabric)}
    return wrong


MODULE = "eventfabric.services.operations.formats.FormatRaise"
PLANTED: dict[str, tuple[str, object]] = {
    "raised where somebody does not know it": (f"{MODULE}._again", lambda *_: None),
    "writers before readers": (f"{MODULE}._too_early", lambda *_: iter(())),
    "lowered by stream deployed": ("eventfabric.formats.Formats.joined", lambda own, other: other),
}


@pytest.mark.parametrize("wrong", PLANTED)
def test_planted_bugs_are_found(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wrong in found_with(lambda patch: patch.setattr(*PLANTED[wrong]), monkeypatch)
