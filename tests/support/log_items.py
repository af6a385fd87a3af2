"""Items that a test puts into a lane's log or takes out of it, past every check."""

from dataclasses import replace

from eventfabric.model import EMPTY_TAIL, Chain, Record, SequenceNumber, chain_of
from eventfabric.services.operations.quarantine import Quarantine
from eventfabric.wire import record_item
from tests.support.memory_fabric import event
from tests.support.subscribed_stream import SubscribedStream

FAR = SequenceNumber(1 << 40)


def fabric_with(count: int, *, retention_days: int | None = None) -> SubscribedStream:
    """Return a lane with so many events, each in a record of its own."""
    fabric = SubscribedStream() if retention_days is None else SubscribedStream(retention_days=retention_days)
    for number in range(count):
        fabric.put(event(f"a{number}"))
    return fabric


def forged(fabric: SubscribedStream, sequence: int, *, chain: Chain | None = None) -> Record:
    """Return a record for any place, whose chain is right by itself."""
    made = replace(fabric.record(EMPTY_TAIL, event("forged")), sequence=SequenceNumber(sequence))
    return replace(made, chain=chain_of(EMPTY_TAIL.chain if chain is None else chain, made))


def put(fabric: SubscribedStream, record: Record) -> None:
    fabric.table.write("Put", {"Item": record_item.to_item(record)})


def delete(fabric: SubscribedStream, record: Record) -> None:
    key = record_item.to_item(record)
    fabric.table.write("Delete", {"Key": {"pk": key["pk"], "sk": key["sk"]}})


def quarantine_of(fabric: SubscribedStream) -> Quarantine:
    return Quarantine(fabric.log, region=fabric.region, clock=fabric.clock)
