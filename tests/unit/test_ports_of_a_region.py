"""The ports of a Region: whose clients they have, and how they write where a table has no transactions."""

from typing import Any, Final

from eventfabric.aws.region import aws_ports
from eventfabric.definition_file import parse_definition
from eventfabric.memory.clock import MemoryClock
from eventfabric.memory.entropy import SeededEntropy
from eventfabric.model.cursor import START
from eventfabric.model.parked import ParkedChange
from eventfabric.topology import Topology
from tests.unit.endpoint import endpoint
from tests.unit.test_adapters import EU, NOTHING, TOPOLOGY, US, asks, clients_at
from tests.unit.test_decoders_fuzzed import KEY, PARKED


def test_the_ports_of_another_region_ask_there_and_ones_own_are_the_same() -> None:
    ports: Any = aws_ports(
        TOPOLOGY, clients_at("http://127.0.0.1:1"), clock=MemoryClock(), entropy=SeededEntropy(1)
    )
    assert ports.at(US) is ports
    there: Any = ports.at(EU)
    assert there is ports.at(EU)
    assert (there.ledger.region, there.outbox._client.meta.region_name) == (EU, EU)
    assert (there.clock, there.entropy) == (ports.clock, ports.entropy)
    assert there.backfills._region == EU
    assert ports.ledger.acting_for(EU).region == EU
    assert ports.ledger.region == US


QUORUM: Final = Topology(
    parse_definition(
        """
[fabric]
name = "shop"
regions = ["us-east-1", "eu-west-1", "ap-south-1"]
[streams.orders]
durability = "quorum"
[subscriptions.all]
stream = "orders"
handler = "subscribers.billing:charge"
"""
    )
)


def test_a_table_without_transactions_is_written_item_by_item() -> None:
    for topology, in_order in ((QUORUM, True), (TOPOLOGY, False)):
        asked: list[dict[str, Any]] = []
        with endpoint(asks(asked, NOTHING)) as url:
            ledger = aws_ports(topology, clients_at(url)).ledger
            ledger.commit(KEY, START, START, parked=[ParkedChange(None, PARKED)])
        assert [("TransactItems" in ask) for ask in asked] == ([False] * 3 if in_order else [True])
