"""Raising formats: only if all that is declared knows them, readers first, in every Region, and never back."""

from dataclasses import replace

import pytest

from eventfabric.errors import FormatsRefusedError
from eventfabric.formats import OWN_FORMATS, Formats
from eventfabric.model import Region
from eventfabric.model.catalogue import State
from eventfabric.ports import Ports
from eventfabric.services.catalogue.deployment import Deployer, declare_all
from eventfabric.services.catalogue.known import FORGOTTEN_SECONDS
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.services.operations.formats import FormatRaise
from eventfabric.testing.memory.faults import Fault, Faults
from eventfabric.topology import Topology
from eventfabric.version import VERSION
from tests.support.formats import LATER, stream_of
from tests.support.memory_fabric import AWAY, HOME, STREAM, MemoryFabric
from tests.support.messages import missing_from
from tests.support.subscribed_stream import SUBSCRIPTION, topology

READS, WRITES = Formats(reads=2), Formats(writes=2)
FEEDING = topology(
    others=f"""
    [streams.other]
    [subscriptions.feeder]
    stream = "other"
    handler = "a.b:c"
    publishes = ["{STREAM}"]
    """
)


class Raised:
    """A fabric whose formats somebody raises with a later version; both Regions have deployed that."""

    def __init__(self, wanted: Topology | None = None) -> None:
        self.fabric = MemoryFabric(wanted or topology())
        self._requests = 0
        for region in (HOME, AWAY):
            declare_all(self.deployer(region))

    def deployer(self, region: Region = HOME, formats: Formats = LATER) -> Deployer:
        self._requests += 1
        ports, request = self.fabric.ports(region), f"r{self._requests}"
        return Deployer(self.fabric.topology, region, ports, by="stack", request_id=request, formats=formats)

    def deploy(self, region: Region, formats: Formats, name: str = SUBSCRIPTION) -> None:
        self.deployer(region, formats).declare_subscription(self.fabric.topology.subscription(name))

    def formats(self, ports: Ports | None = None, known: Formats = LATER) -> FormatRaise:
        self._requests += 1
        fabric, request = self.fabric, f"r{self._requests}"
        ports = ports or fabric.ports()
        own = FormatRaise(fabric.topology, fabric.stream, ports, "me", request, one_after_another, known)
        return own

    def to(self, wanted: Formats, known: Formats = LATER) -> list[Region]:
        own = self.formats(known=known)
        looks = own.look()
        own.check(looks, wanted)
        return own.carry_out(looks, wanted)

    def refused(self, wanted: Formats, known: Formats = LATER) -> str:
        """The one sentence for which formats are not raised; nothing is changed."""
        before = self.required
        own = self.formats(known=known)
        with pytest.raises(FormatsRefusedError) as refused:
            own.check(own.look(), wanted)
        assert self.required == before
        [problem] = refused.value.problems
        return str(problem)

    def without(self, name: str, region: Region) -> Ports:
        """Return ports of which another Region's call of that name gets no reply."""
        here = self.fabric.ports()
        fault = Faults(lambda called, *_: Fault.LOST_REQUEST if called == name else None)
        away = fault.ports(self.fabric.ports(region))
        return replace(here, at=lambda name: away if name == region else here)

    @property
    def required(self) -> list[Formats]:
        return [stream_of(self.fabric, region).required for region in (HOME, AWAY)]


def test_readers_come_first_and_writers_once_no_producer_goes_by_what_it_knew() -> None:
    raised = Raised()
    raised.fabric.clock.advance(
        seconds=FORGOTTEN_SECONDS
    )  # what was declared before tells nothing of readers
    assert raised.to(READS) == [HOME, AWAY]
    assert raised.required == [READS, READS]
    assert stream_of(raised.fabric).raised_with == VERSION
    raised.fabric.clock.advance(seconds=FORGOTTEN_SECONDS - 1)
    own = raised.formats()
    with pytest.raises(FormatsRefusedError) as early:
        own.check(own.look(), WRITES)
    for region, problem in zip((HOME, AWAY), early.value.problems, strict=True):
        said = f"orders in {region}: found format 2 required of readers for only {FORGOTTEN_SECONDS - 1} s"
        assert missing_from(str(problem), said, f"at least 2 for {FORGOTTEN_SECONDS} s") == []
    raised.fabric.clock.advance(seconds=1)
    raised.deploy(HOME, LATER)  # what is declared meanwhile counts no time anew
    assert raised.to(WRITES) == [HOME, AWAY]
    assert raised.required == [LATER, LATER]
    assert raised.to(WRITES) == raised.to(READS) == []


def test_a_function_that_went_back_behind_what_is_required_keeps_writers_from_being_raised() -> None:
    raised = Raised()
    raised.to(READS)
    raised.fabric.clock.advance(seconds=FORGOTTEN_SECONDS)
    raised.deploy(HOME, Formats(1, 2))
    assert "subscription billing, active" in raised.refused(WRITES)


def test_both_at_once_are_refused_since_writers_would_not_wait() -> None:
    raised = Raised()
    own = raised.formats()
    with pytest.raises(FormatsRefusedError, match="found format 1 required of readers, allowed: at least 2"):
        own.check(own.look(), LATER)


@pytest.mark.parametrize(
    ("own", "said"),
    [(Formats(1, 2), "which reads formats up to 1"), (Formats(2, 1), "which writes formats up to 1")],
)
def test_a_function_that_does_not_know_them_is_named_wherever_it_is_declared(own: Formats, said: str) -> None:
    raised = Raised()
    if own.writes == 1:
        raised.to(READS)
        raised.fabric.clock.advance(seconds=FORGOTTEN_SECONDS)
    raised.deploy(AWAY, own)
    sentence = raised.refused(WRITES if own.writes == 1 else READS)
    allowed = f"allowed: one of {VERSION} or later: deploy it, or retire it"
    assert (
        missing_from(sentence, f"orders in {AWAY}: found subscription billing, active", said, allowed) == []
    )


@pytest.mark.parametrize("state", [State.DRAINING, State.UNDEPLOYED, State.RETIRED])
def test_whatever_is_not_retired_counts(state: State) -> None:
    raised = Raised()
    raised.deploy(HOME, OWN_FORMATS)
    raised.deployer().declare_state(raised.fabric.stream, SUBSCRIPTION, state)
    if state is State.RETIRED:
        assert raised.to(READS) == [HOME, AWAY]
    else:
        assert f"subscription billing, {state}, of version" in raised.refused(READS)


def test_the_functions_of_a_cell_count_while_it_is_deployed() -> None:
    raised = Raised()
    raised.deployer(AWAY, OWN_FORMATS).declare_stream(raised.fabric.stream)
    said = raised.refused(READS)
    assert f"orders in {AWAY}: found functions of the cell, which reads formats up to 1" in said
    raised.deployer(AWAY, OWN_FORMATS).declare_stream_gone(raised.fabric.stream)
    assert raised.to(READS) == [HOME, AWAY]


def test_a_subscription_that_an_earlier_version_has_deployed_declares_nothing_and_is_asked_for() -> None:
    raised = Raised()
    raised.fabric.topology = topology(
        others=f'[subscriptions.former]\nstream = "{STREAM}"\nhandler = "a.b:c"\ndeliver = "one"\nregion = "{AWAY}"'
    )
    own = raised.formats()
    with pytest.raises(FormatsRefusedError, match="found subscription former, which is not declared") as said:
        own.check(own.look(), READS)
    assert "a deployment of it with" in str(said.value)


def test_a_subscription_of_another_stream_that_publishes_into_it_counts() -> None:
    raised = Raised(FEEDING)
    raised.deploy(AWAY, Formats(1, 2), "feeder")
    assert "found subscription feeder, active" in raised.refused(READS)  # it reads the lanes' ends
    raised.deploy(AWAY, LATER, "feeder")
    raised.to(READS)
    raised.fabric.clock.advance(seconds=FORGOTTEN_SECONDS)
    for lacking in (Formats(2, 1), Formats(1, 2)):
        raised.deploy(HOME, lacking, "feeder")
        assert "found subscription feeder, active" in raised.refused(WRITES)
    raised.deploy(HOME, LATER, "feeder")
    assert raised.to(WRITES) == [HOME, AWAY]


def test_one_that_is_deployed_after_the_question_keeps_its_region_as_it_is() -> None:
    raised = Raised(FEEDING)
    own = raised.formats()
    looks = own.look()
    own.check(looks, READS)
    raised.fabric.clock.advance(seconds=3600)
    raised.deploy(HOME, Formats(1, 2), "feeder")
    assert own.carry_out(looks, READS) == [AWAY]
    assert "found subscription feeder, active" in own.unanswered[HOME]


def test_a_region_that_does_not_answer_or_has_declared_nothing_keeps_everything_as_it_is() -> None:
    raised = Raised()
    own = raised.formats(raised.without("log.tail", AWAY))
    with pytest.raises(
        FormatsRefusedError, match=f"orders in {AWAY}: found nothing that can be read .*every Region"
    ):
        own.check(own.look(), READS)
    undeclared = MemoryFabric(topology())
    raised.fabric = undeclared
    own = raised.formats()
    with pytest.raises(FormatsRefusedError, match=f"orders in {HOME}: found nothing declared"):
        own.check(own.look(), READS)


def test_what_this_version_does_not_know_or_what_would_be_lower_is_refused() -> None:
    raised = Raised()
    assert "reads: found format 3, allowed: up to 2, which this version" in raised.refused(Formats(reads=3))
    raised.to(READS)
    for region in (HOME, AWAY):
        declare_all(raised.deployer(region, Formats(3, 3)))
    assert raised.to(Formats(reads=3), known=Formats(3, 3)) == [HOME, AWAY]
    assert "reads: found format 2, allowed: 3 or more, as 3 is required already" in raised.refused(READS)


def test_regions_that_are_left_are_named_and_raised_by_doing_it_again() -> None:
    raised = Raised()
    own = raised.formats(raised.without("log.append", AWAY))
    looks = own.look()
    own.check(looks, READS)
    assert own.carry_out(looks, READS) == [HOME]
    assert [*own.unanswered] == [AWAY]
    assert raised.required == [READS, Formats()]
    raised.fabric.clock.advance(seconds=FORGOTTEN_SECONDS)
    assert f"orders in {AWAY}: found format 1 required of readers" in raised.refused(WRITES)
    assert raised.to(READS) == [AWAY]
    assert raised.required == [READS, READS]


def test_what_is_deployed_after_the_look_stands_against_it_in_its_region() -> None:
    raised = Raised()
    own = raised.formats()
    looks = own.look()
    own.check(looks, READS)
    raised.deploy(AWAY, OWN_FORMATS)
    assert own.carry_out(looks, READS) == [HOME]
    assert "subscription billing, active" in own.unanswered[AWAY]
    assert raised.required == [READS, Formats()]


def test_neither_a_deployment_nor_a_rollback_lowers_them() -> None:
    raised = Raised()
    raised.deploy(HOME, OWN_FORMATS)
    raised.deploy(HOME, LATER)
    raised.to(READS)
    declare_all(raised.deployer(HOME, OWN_FORMATS))
    billing = raised.fabric.topology.subscription(SUBSCRIPTION)
    raised.deployer(AWAY, OWN_FORMATS).declare_subscription(billing, rolls_back=True)
    raised.deployer(AWAY).declare_stream_gone(raised.fabric.stream)
    raised.deployer(AWAY).declare_stream(raised.fabric.stream)
    assert raised.required == [READS, READS]
