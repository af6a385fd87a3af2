"""Differences of declarations from the definition and from what is there, each with what to do about it."""

from dataclasses import replace

import pytest

from eventfabric.errors import (
    LastingError,
    NotDeclaredError,
    OutcomeUnknownError,
    PortError,
    UnknownStreamError,
)
from eventfabric.model import Region
from eventfabric.model.catalogue import State
from eventfabric.ports import Ports
from eventfabric.services.catalogue.deployment import Deployer
from eventfabric.services.delivery.side_by_side import one_after_another
from eventfabric.services.operations import remedies
from eventfabric.services.operations.declared import (
    DeclaredReader,
    Presence,
    RegionDeclared,
    presence_of_queue,
)
from eventfabric.services.operations.differences import differences, queues_to_look_at
from eventfabric.services.operations.remedies import DEPLOY_AGAIN
from eventfabric.stream_topology import StreamTopology
from eventfabric.testing.memory.faults import Faults
from eventfabric.topology import Topology
from tests.support.commands import ROOT
from tests.support.memory_fabric import AWAY, FAR, HOME, STREAM, MemoryFabric
from tests.support.subscribed_stream import SUBSCRIPTION, topology

PLAIN = topology()
ROW = "`region` or `deliver`"


def declared(
    state: State | None = None, wanted: Topology = PLAIN, regions: tuple[Region, ...] = (HOME, AWAY)
) -> MemoryFabric:
    """The stream, declared in both Regions, and its subscription in another state in these."""
    fabric = MemoryFabric(wanted)
    for region in (HOME, AWAY):
        fabric.declare(region=region)
    for region in regions:
        deployer = Deployer(wanted, region, fabric.ports(region), by="ann", request_id="r")
        if state is not None:
            deployer.declare_state(fabric.stream, SUBSCRIPTION, state)
    fabric.cloud.replicate()
    return fabric


def read_from(fabric: MemoryFabric, ports: Ports | None = None) -> list[RegionDeclared]:
    stream = fabric.stream
    return DeclaredReader(ports or fabric.ports(), one_after_another).read(stream, stream.definition.regions)


def texts(
    fabric: MemoryFabric,
    wanted: Topology | None = PLAIN,
    queue: Presence = Presence.THERE,
    read: list[RegionDeclared] | None = None,
) -> list[str]:
    """The differences, where all queues of the first Region are alike and those of others are there."""
    read = read_from(fabric) if read is None else read
    queues = {
        own: queue if own[0] == HOME else Presence.THERE for own in queues_to_look_at(read, wanted, STREAM)
    }
    return [str(difference) for difference in differences(STREAM, read, wanted, queues)]


def edited(
    wanted: Topology = PLAIN, *, fabric: dict[str, object] | None = None, **stream: object
) -> Topology:
    definition = wanted.definition
    orders = replace(definition.streams[STREAM], **stream)  # type: ignore[arg-type]  # by their names
    section = replace(definition.fabric, **(fabric or {}))  # type: ignore[arg-type]  # by their names
    return Topology(replace(definition, fabric=section, streams={**definition.streams, STREAM: orders}))


def without(**kept: object) -> Topology:
    """The definition without its subscription, or without all of the stream."""
    return Topology(replace(PLAIN.definition, subscriptions={}, **kept))  # type: ignore[arg-type]  # by their names


def test_what_is_deployed_as_it_is_defined_does_not_differ() -> None:
    assert texts(declared()) == texts(declared(), None) == []


@pytest.mark.parametrize(
    ("wanted", "what", "do"),
    [
        (edited(lanes=4), "stream orders: lanes is declared as 2; the definition says 4", "put it back, or"),
        (
            edited(durability="regional"),
            "durability is declared as replicated; the definition",
            "`durability`",
        ),
        (
            edited(retention_days=7),
            "retention_days is declared as unset; the definition says 7: `eventfabric deploy --all`",
            "",
        ),
        (
            edited(express=False),
            "express is declared as true; the definition says false: `eventfabric deploy",
            "",
        ),
        (
            topology(contact="ann"),
            "subscription billing: contact is declared as unset; the definition says ann",
            "",
        ),
        (
            topology(deliver="everywhere"),
            "deliver is declared as origin; the definition says everywhere: put it back, or give the subscription",
            "docs/deploy.md, Changing it, `region` or `deliver`",
        ),
        (
            without(),
            "subscription billing: it is declared as active, and not in",
            "subscriptions retire billing",
        ),
        (
            without(streams={}),
            "stream orders: it is declared, and the definition has no such",
            "subscriptions first (billing)",
        ),
        (
            topology(
                others='[subscriptions.audit]\nstream = "orders"\nhandler = "subscribers.billing:charge"'
            ),
            "subscription audit: it is in the definition, and nothing is declared of it",
            "deploy --all",
        ),
    ],
)
def test_a_definition_that_was_edited_differs(wanted: Topology, what: str, do: str) -> None:
    mine = [text for text in texts(declared(), wanted) if text.startswith(HOME)]
    assert what in mine[0]
    assert do in mine[0]


@pytest.mark.parametrize(
    ("state", "wanted", "queue", "expected"),
    [
        (
            State.RETIRED,
            PLAIN,
            Presence.THERE,
            "take it out of the definition, or begin it anew: delete stack shop-Subscription-billing-us-east-1 in "
            "every Region, and `eventfabric deploy --all`",
        ),
        (
            State.RETIRED,
            PLAIN,
            Presence.MISSING,
            "take it out of the definition, or begin it anew: `eventfabric deploy --all`",
        ),
        (State.RETIRED, without(), Presence.MISSING, ""),
        (
            State.RETIRED,
            without(),
            Presence.THERE,
            "its queue is still there: delete stack shop-Subscription-",
        ),
        (
            State.UNDEPLOYED,
            PLAIN,
            Presence.MISSING,
            "it is declared as undeployed: `eventfabric deploy --all`",
        ),
        (
            State.UNDEPLOYED,
            None,
            Presence.MISSING,
            "it is declared as undeployed: `eventfabric deploy --all`",
        ),
        (
            State.DRAINING,
            PLAIN,
            Presence.THERE,
            "retire billing --drain` goes on with that, and `eventfabric deploy --all -c streams_again=$(date +%s)` "
            "calls it off: docs/deploy.md",
        ),
        (None, PLAIN, Presence.MISSING, "its queue is not there: docs/runbook.md"),
        (None, None, Presence.DENIED, "its queue is not there, or has lost its tag: docs/runbook.md"),
        (None, PLAIN, Presence.UNKNOWN, ""),
    ],
)
def test_each_state_of_a_subscription_has_its_remedy(
    state: State | None, wanted: Topology | None, queue: Presence, expected: str
) -> None:
    mine = [text for text in texts(declared(state), wanted, queue) if text.startswith(HOME)]
    assert len(mine) == bool(expected)
    assert expected in "".join(mine)


def test_regions_are_compared_with_the_first_where_no_definition_is_at_hand() -> None:
    fabric = declared()
    fabric.declare(edited(express=False), AWAY)
    (text,) = texts(fabric, None)
    assert text.startswith(
        "eu-west-1: stream orders: express is declared as false; the stream's first Region says true"
    )


def test_a_region_in_which_nothing_is_declared_is_to_be_deployed() -> None:
    fabric = MemoryFabric(PLAIN)
    with pytest.raises(NotDeclaredError):
        DeclaredReader(fabric.ports(), one_after_another).read(fabric.stream)
    fabric.declare()
    assert (
        "eu-west-1: stream orders: nothing is declared: `eventfabric deploy --all -c streams_again=$(date +%s)`"
        in texts(fabric)
    )


def test_a_stream_that_is_undeployed_is_to_be_deployed() -> None:
    fabric = declared()
    Deployer(PLAIN, HOME, fabric.ports(), by="stack", request_id="gone").declare_stream_gone(fabric.stream)
    assert texts(fabric) == [f"us-east-1: stream orders: it is declared to be undeployed: {DEPLOY_AGAIN}"]


def test_a_region_that_does_not_answer_is_as_far_known_as_it_has_come_here() -> None:
    fabric = declared()
    faults = Faults(lambda called, overall, of_name: _raise(OutcomeUnknownError("Query", "no reply")))

    def away_from(region: Region) -> Ports:
        return faults.ports(fabric.ports(region))

    here, away = read_from(fabric, replace(fabric.ports(), at=away_from))
    assert (here.error, away.error) == ("", "Query: no reply")
    assert away.declaration is not None
    assert queues_to_look_at([here, away], PLAIN, STREAM) == [(HOME, SUBSCRIPTION)]
    assert texts(fabric, read=[here, away]) == []


def _raise(error: PortError) -> None:
    raise error


def test_a_region_that_the_stream_has_left_is_shown_and_differs_from_nothing() -> None:
    fabric = declared()
    fabric.declare(edited(regions=(HOME,)))
    read = DeclaredReader(fabric.ports(), one_after_another).read(fabric.stream)
    assert [(own.region, own.is_former) for own in read] == [(HOME, False), (AWAY, True)]
    assert read[1].declaration is not None
    assert texts(fabric, edited(regions=(HOME,)), read=read) == []


def test_tables_that_are_gone_are_told_from_those_that_may_not_be_read() -> None:
    fabric, cause = declared(), "missing"

    def no_such_table(stream: StreamTopology) -> object:
        raise LastingError("Query", "no such table", cause)

    ports = replace(fabric.ports(), log_of=no_such_table)  # type: ignore[arg-type]  # it never returns
    read = read_from(fabric, ports)
    assert read[0] == RegionDeclared(HOME, None, log=Presence.MISSING)
    assert texts(fabric, read=read)[0] == (
        "us-east-1: stream orders: its table is not there: docs/runbook.md, Something that was deployed is gone"
    )
    [text] = texts(fabric, read=read[:1])
    assert (
        "its table is not there: `eventfabric deploy --all` if it was never there, else docs/runbook.md"
        in text
    )
    joins = replace(read[0], region=FAR)
    wider = edited(fabric={"regions": (HOME, AWAY, FAR)}, regions=(HOME, AWAY, FAR))
    here, _, there = texts(fabric, wider, read=[*read_from(fabric), joins])
    assert here.endswith(f"says us-east-1, eu-west-1, {FAR}: docs/deploy.md, Changing it, a Region more")
    assert there.endswith("its table is not there: docs/deploy.md, Changing it, a Region more")
    with pytest.raises(UnknownStreamError):
        DeclaredReader(ports, one_after_another).read(fabric.stream)
    cause = "denied"
    with pytest.raises(LastingError):
        read_from(fabric, ports)
    lost = [replace(own, ledger=Presence.MISSING) for own in read_from(fabric)]
    assert "the table with its subscriptions' state is not there" in texts(fabric, read=lost)[0]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (LastingError("GetQueueUrl", "no such queue", "missing"), Presence.MISSING),
        (LastingError("GetQueueUrl", "not allowed", "denied"), Presence.DENIED),
        (LastingError("GetQueueUrl", "no key", "key_unusable"), Presence.UNKNOWN),
        (OutcomeUnknownError("GetQueueUrl", "no reply"), Presence.UNKNOWN),
    ],
)
def test_a_queue_that_cannot_be_found_may_be_missing(error: PortError, expected: Presence) -> None:
    assert presence_of_queue(lambda: _raise(error)) is expected


def test_one_cause_is_one_difference() -> None:
    owned = declared(wanted=edited(topology(), fabric={"owner": "git/shop"}))
    other = edited(fabric={"owner": "git/other"})
    assert [text.partition("owner")[0] for text in texts(owned, other)] == [
        "us-east-1: stream orders: ",
        "eu-west-1: stream orders: ",
    ]
    assert "git/other: put it back, or docs/deploy.md, What a deployment refuses" in texts(owned, other)[0]
    handed = edited(fabric={"owner": "git/other", "former_owner": "git/shop"})
    assert texts(owned, handed)[0].endswith("git/other: `eventfabric deploy --all`")
    of_one = declared(wanted=topology(deliver="one", region=AWAY))
    assert len([text for text in texts(of_one, topology(deliver="everywhere")) if text.startswith(HOME)]) == 1


@pytest.mark.parametrize(
    ("fabric", "do"),
    [
        ({}, "put it back, and do as in docs/deploy.md, Changing it, a Region less"),
        (
            {"lost": (AWAY,)},
            "put it back, and do as in docs/deploy.md, Changing it, a Region that is gone for good",
        ),
        (
            {"closing": (AWAY,)},
            "`eventfabric deploy --all`, after docs/deploy.md, Changing it, a Region less",
        ),
    ],
)
def test_a_region_that_the_definition_lacks_is_taken_out_in_steps_and_ends_no_subscription(
    fabric: dict[str, object], do: str
) -> None:
    before = edited(fabric={name: value for name, value in fabric.items() if name == "closing"})
    wanted = edited(fabric={**fabric, "closing": (), "regions": (HOME,)}, regions=(HOME,))
    (here, *_, away) = texts(declared(State.RETIRED, before), wanted)
    assert here.endswith(f"the definition says us-east-1: {do}")
    assert away == f"eu-west-1: stream orders: the Region is not in the definition any more: {do}"
    assert not any("retire" in text for text in (here, away))


def test_other_regions_first_are_no_matter_of_a_deployment_alone() -> None:
    turned = (AWAY, HOME)
    assert texts(declared(), edited(regions=turned))[0].endswith(
        "then failback: docs/deploy.md, Changing it, " + ROW
    )
    moved = texts(declared(), edited(fabric={"regions": turned}, regions=turned))[0]
    assert (
        "put it back, if the fabric's first Region was another one (docs/deploy.md, Changing it, another"
        in moved
    )


def test_what_is_retired_in_one_region_is_retired_in_the_others_before_it_begins_anew() -> None:
    assert texts(declared(State.RETIRED, regions=(HOME,))) == [
        "us-east-1: subscription billing: it is retired, and not in eu-west-1: "
        "`eventfabric subscriptions retire billing` again, until every Region has answered"
    ]


def test_a_stream_that_the_definition_lacks_is_deployed_without_it_once_nobody_subscribes() -> None:
    [text, _] = texts(declared(State.RETIRED), without(streams={}))
    assert text.endswith(
        "no such stream: put it back, or `eventfabric deploy --all`: docs/deploy.md, Changing it, a stream less"
    )
    fabric = declared(State.RETIRED)
    for region in (HOME, AWAY):
        deployer = Deployer(PLAIN, region, fabric.ports(region), by="stack", request_id="gone")
        deployer.declare_stream_gone(fabric.stream)
    assert texts(fabric, without(streams={})) == []


def test_a_subscription_that_moves_to_another_stream_is_retired_before() -> None:
    definition = PLAIN.definition
    other = replace(definition.streams[STREAM], name="other")
    moved = replace(definition.subscriptions[SUBSCRIPTION], stream="other")
    wanted = Topology(
        replace(
            definition,
            streams={**definition.streams, "other": other},
            subscriptions={SUBSCRIPTION: moved},
        )
    )
    text = texts(declared(), wanted)[0]
    assert (
        "it is declared as active, and the definition has it with stream other: put it back, and retire"
        in text
    )


def test_a_remedy_names_a_page_a_section_and_a_row_that_are_there() -> None:
    places = [
        value.split(", ", 2) for name, value in vars(remedies).items() if str(value).startswith("docs/")
    ]
    assert len(places) > 5
    for page, section, *row in places:
        text = (ROOT / page).read_text()
        _, heading, rest = text.partition(f"# {section}\n")
        assert heading, section
        assert not row or f"\n| {row[0]}" in rest.partition("\n#")[0], row
