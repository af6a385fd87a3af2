"""Reads that must be consistent, and are not: each with the profile of the simulator that finds it."""

from tests.simulation.planting import bug_in_a_condition as bug

# Past the client of the table, whose reads are consistent.
READS = [
    (
        bug(
            "a read of a lane's state without consistency",
            "eventfabric.testing.memory.ledger:MemoryLedger._pages",
            "table.query(partition,",
            "table._table.query(partition, consistent=False,",
        ),
        "default",
    ),
    (
        bug(
            "a read of the log without consistency",
            "eventfabric.testing.memory.log:MemoryLog.read",
            'self._table.query({"S": str(lane)},',
            'self._table._table.query({"S": str(lane)}, consistent=False,',
        ),
        "hiccups",
    ),
]
