"""One thing is tampered with, anywhere before the cursor and in any way: the proof fails. Nothing is: it holds."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from eventfabric.model import EMPTY_TAIL, Chain, HybridTime, Note, Record, SequenceNumber, chain_of
from eventfabric.services.proof.prove import Prover
from eventfabric.wire import record_item
from tests.support.memory_fabric import HOME, LANE, event, lane
from tests.support.replays import replay
from tests.support.subscribed_stream import SubscribedStream

CHANGES: dict[str, Callable[[Record, int], Record]] = {
    "payload": lambda record, n: replace(record, payload=_flipped(record.payload, n)),
    "batch id": lambda record, n: replace(
        record, batch_id=type(record.batch_id)(_flipped(record.batch_id, n))
    ),
    "chain": lambda record, n: replace(record, chain=Chain(_flipped(record.chain, n))),
    "time": lambda record, n: replace(record, time=HybridTime(record.time + n)),
    "count": lambda record, n: replace(record, count=record.count + n),
    "types": lambda record, n: replace(record, types=record.types | {f"t{n}"}),
    "note": lambda record, n: replace(record, note=Note(lane(1), SequenceNumber(n))),
    "sequence": lambda record, n: replace(record, sequence=SequenceNumber(record.sequence + n)),
}

logs = st.lists(st.integers(1, 5), min_size=1, max_size=12)


def _flipped(content: bytes, bit: int) -> bytes:
    offset = bit % (8 * len(content))
    return bytes(
        byte ^ (1 << offset % 8) if index == offset // 8 else byte for index, byte in enumerate(content)
    )


class Story:
    """A lane whose records hold so many events, all handled, perhaps replayed from somewhere on."""

    def __init__(self, counts: list[int], replayed: float | None = None) -> None:
        self.fabric = SubscribedStream()
        for number, count in enumerate(counts):
            self.fabric.put(*(event(f"{number}.{index}") for index in range(count)))
        self.fabric.deliver()
        self.records = self.fabric.records()
        if replayed is not None:
            replay(self.fabric, int(replayed * sum(counts)))

    def is_proven(self) -> bool:
        prover = Prover(self.fabric.stream, [self.fabric.subscription], self.fabric.ports(), lane=LANE)
        (proof,) = prover.prove(LANE)
        return proof.is_proven

    def put(self, record: Record) -> None:
        self._write("Put", {"Item": record_item.to_item(record)})

    def remove(self, record: Record) -> None:
        item = record_item.to_item(record)
        self._write("Delete", {"Key": {"pk": item["pk"], "sk": item["sk"]}})

    def _write(self, action: str, request: dict[str, object]) -> None:
        self.fabric.cloud.log_table(self.fabric.stream.name, HOME).write(action, request)

    def chain_before(self, index: int) -> Chain:
        return self.records[index - 1].chain if index else EMPTY_TAIL.chain


@settings(max_examples=300, deadline=None)
@given(
    counts=logs,
    which=st.floats(0, 1, exclude_max=True),
    change=st.sampled_from(sorted(CHANGES)),
    by=st.integers(1, 90),
    rechained=st.booleans(),
    moved=st.booleans(),
    replayed=st.none() | st.floats(0, 1),
)
def test_any_change_of_any_record_is_found(
    counts: list[int],
    which: float,
    change: str,
    by: int,
    rechained: bool,
    moved: bool,
    replayed: float | None,
) -> None:
    """`rechained`: its own chain is right again. `moved`: a new sequence is beside the old one, or in its place."""
    # A replay lets go of the chain at its end: a last record with a chain of its own is bound by nothing then.
    index = int(which * len(counts))
    assume(replayed is None or not rechained or index < len(counts) - 1)
    story = Story(counts, replayed)
    assert story.is_proven()
    record = story.records[index]
    changed = CHANGES[change](record, by)
    if rechained:
        changed = replace(changed, chain=chain_of(story.chain_before(index), changed))
    assume(changed != record)
    if changed.sequence >= sum(counts) and not moved:
        return  # behind the cursor, beside a log that nobody touched
    if change != "sequence" or moved:
        story.remove(record)
    story.put(changed)
    assert not story.is_proven()
    if changed.sequence != record.sequence:
        story.remove(changed)
        for log_record in story.records:
            story.put(log_record)
    story.put(record)
    assert story.is_proven()


@settings(max_examples=150, deadline=None)
@given(
    counts=st.lists(st.integers(1, 5), min_size=2, max_size=12),
    first_share=st.floats(0, 1, exclude_max=True),
    other=st.floats(0, 1, exclude_max=True),
    replayed=st.none() | st.floats(0, 1),
    how=st.sampled_from(["removed", "swapped", "doubled", "in between"]),
)
def test_a_record_that_is_gone_or_stands_elsewhere_is_found(
    counts: list[int], first_share: float, other: float, how: str, replayed: float | None
) -> None:
    story = Story(counts, replayed)
    first, second = (story.records[int(share * len(counts))] for share in (first_share, other))
    match how:
        case "removed":
            story.remove(first)
        case "swapped":
            assume(first != second)
            story.put(replace(first, sequence=second.sequence))
            story.put(replace(second, sequence=first.sequence))
        case "doubled":
            assume(first != second)
            story.put(replace(first, sequence=second.sequence))
        case _:
            assume(second.count > 1)
            sequence = SequenceNumber(second.sequence + 1)
            story.put(
                replace(
                    first, sequence=sequence, chain=chain_of(second.chain, replace(first, sequence=sequence))
                )
            )
    assert not story.is_proven()


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(1, 5), min_size=2, max_size=8), which=st.floats(0, 1, exclude_max=True))
def test_a_log_that_is_written_anew_from_some_record_on_is_found(counts: list[int], which: float) -> None:
    """Every link is right; only the cursor knows better."""
    story = Story(counts)
    index = int(which * len(counts))
    chain = story.chain_before(index)
    for number in range(index, len(counts)):
        changed = replace(story.records[number], time=HybridTime(story.records[number].time + 1))
        changed = replace(changed, chain=chain_of(chain, changed))
        story.put(changed)
        chain = changed.chain
    assert not story.is_proven()
