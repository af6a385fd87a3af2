"""Hot lanes: lanes that get so much that their partition comes near its bound, and what most of it is.

A lane is written in one partition of its table, record by record: at a thousand write units a second DynamoDB refuses
appends, and producers of one lane, who try for the same place, get in each other's way long before.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from eventfabric.errors import UndecodableRecordError
from eventfabric.model import Record
from eventfabric.wire.item_size import item_bytes
from eventfabric.wire.payload_codec import unpack
from eventfabric.wire.record_item import to_item

HOT_UNITS: Final = 500
"""Write units a second from which a lane is hot: half of what its partition takes."""
HOT_RECORDS: Final = 100
"""Records a second from which a lane is hot: each is a conditional write behind the one before it."""
HOT_KEY_SHARE: Final = 0.5
PACKED_EVENTS: Final = 10
"""Events a record from which packing more of them brings little."""
SAMPLE_RECORDS: Final = 20
_UNIT_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class LaneSample:
    """Some records of a lane. `key_share`: the share of their events that the most frequent key has.

    `sequence`: that of an event of this key.
    """

    events_a_record: float = 0.0
    units_a_record: float = 0.0
    key_share: float = 0.0
    sequence: int = 0

    @classmethod
    def of(cls, records: Sequence[Record]) -> "LaneSample":
        """Sample records. Those that cannot be read have no keys."""
        records = [record for record in records if not record.is_without_events]
        if not records:
            return cls()
        keys, places = Counter[str](), dict[str, int]()
        for record in records:
            try:
                events = unpack(record)
            except UndecodableRecordError:
                continue
            for number, event in enumerate(events):
                keys[event.key] += 1
                places[event.key] = record.sequence + number
        events_count = sum(record.count for record in records)
        units = sum(-(-item_bytes(to_item(record)) // _UNIT_BYTES) for record in records)
        [(key, most)] = keys.most_common(1) or [("", 0)]
        return cls(events_count / len(records), units / len(records), most / events_count, places.get(key, 0))

    def load(self, events_per_second: float) -> "LaneLoad":
        """Return the load of a lane that gets so many such events a second."""
        records = events_per_second / self.events_a_record if self.events_a_record else 0.0
        return LaneLoad(self, events_per_second, records, records * self.units_a_record)


@dataclass(frozen=True, slots=True)
class LaneLoad:
    """The load of a lane: what is appended to it each second."""

    sample: LaneSample
    events: float
    records: float
    units: float

    @property
    def is_hot(self) -> bool:
        """Tell if the lane comes near its bound."""
        return self.units >= HOT_UNITS or self.records >= HOT_RECORDS

    @property
    def has_hot_key(self) -> bool:
        """Tell if most of that is of one key, which no lane can share with another."""
        return self.sample.key_share >= HOT_KEY_SHARE

    @property
    def is_packed(self) -> bool:
        """Tell if its records hold many events each."""
        return self.sample.events_a_record >= PACKED_EVENTS

    def __str__(self) -> str:
        """Describe the load in one line."""
        return (
            f"{self.records:,.0f} records and {self.units:,.0f} write units a second, "
            f"{self.sample.events_a_record:.1f} events a record"
        )
