"""A table that was restored from a backup lacks declarations: its functions stop, and how they go on."""

from collections.abc import Callable

import pytest

from eventfabric.definition.file import parse_definition
from eventfabric.deployment.declarations import asked_of_subscription
from eventfabric.model import Region, SequenceNumber
from eventfabric.model.catalogue import State
from eventfabric.resources import CHECK, DECLARE
from eventfabric.sdk.backfill import run_backfill
from eventfabric.services.backfill.lifecycle import Backfiller
from eventfabric.services.backfill.request import BackfillRequest
from eventfabric.services.catalogue.deployment import declare_all
from eventfabric.services.catalogue.known import CATALOGUE_SECONDS
from eventfabric.services.reconciliation.reconcile import Reconciler
from eventfabric.telemetry import NoTelemetry
from eventfabric.topology import Topology
from eventfabric.wire.keys import record_key
from tests.handlers.test_declared import HERE, LANE, DeclaredFunctions
from tests.handlers.test_functions import TOPOLOGY, US
from tests.support.declaring_stacks import Stacks
from tests.support.memory_fabric import AWAY

TWO_REGIONS = Topology(
    parse_definition(
        f'[fabric]\nname = "shop"\nregions = ["{US}", "{AWAY}"]\n[streams.orders]\nlanes = 4\n'
        '[subscriptions.all]\nstream = "orders"\nhandler = "subscribers.any:handle"\n'
    )
)


def of_yesterday(topology: Topology) -> DeclaredFunctions:
    """Return functions that were deployed today, and stand before the table of yesterday, with an event in it."""
    functions = DeclaredFunctions(topology=topology)
    declare_all(functions.deployer())
    functions.deployer("gone").declare_state(functions.stream, "all", State.UNDEPLOYED)
    today = functions.deployer("again").declare_subscription(functions.stream.subscriptions[0])
    assert today is not None
    functions.cloud.replicate()
    functions.publish("1")
    functions.deploy(str(today.version))
    for sequence in (1, 2):
        table = functions.cloud.log_table("orders", HERE)
        table.write("Delete", {"Key": record_key(LANE, SequenceNumber(sequence))})
    assert functions.deliver() != []
    assert functions.seen == []
    return functions


def reconcile(functions: DeclaredFunctions) -> None:
    reconciler = Reconciler(functions.stream, region=HERE, ports=functions.ports(), telemetry=NoTelemetry())
    assert [finding.is_repaired for finding in reconciler.run(repair=True)] == [True]


def backfill(functions: DeclaredFunctions) -> None:
    backfiller = Backfiller(functions.topology, functions.ports())
    begun = backfiller.begin(BackfillRequest("orders", AWAY), by="ana")
    assert run_backfill(backfiller, begun.id).total.copied_records == 2


@pytest.mark.parametrize("mend", [reconcile, backfill])
def test_functions_go_on_within_a_minute_once_the_declarations_are_copied_from_another_region(
    mend: Callable[[DeclaredFunctions], None],
) -> None:
    functions = of_yesterday(TWO_REGIONS)
    mend(functions)
    functions.clock.advance(CATALOGUE_SECONDS)
    assert functions.deliver() == []
    assert functions.seen == ["1"]


def test_where_no_region_has_them_functions_go_on_once_they_are_deployed_again() -> None:
    functions = of_yesterday(TOPOLOGY)
    stacks = Stacks(functions, region=Region(US))
    asked = asked_of_subscription(TOPOLOGY, TOPOLOGY.subscription("all"), again="2026-11-30")
    checked = stacks.ask(CHECK, "all", asked)
    functions.deploy(checked["Data"]["Version"])
    assert stacks.ask(DECLARE, "all", asked)["Status"] == "SUCCESS"
    functions.clock.advance(CATALOGUE_SECONDS)  # until the doorbell comes again
    assert functions.deliver() == []
    assert functions.seen == ["1"]
