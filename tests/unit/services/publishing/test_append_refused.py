"""Errors about a batch or a transaction that was not written, or whose outcome is unknown."""

from collections.abc import Callable, Sequence

import pytest

from eventfabric.errors import (
    ContendedAppendError,
    ContendedTransactionError,
    EventFabricError,
    IndeterminateAppendError,
    IndeterminateTransactionError,
    OutcomeUnknownError,
    RefusedError,
    ThrottledError,
    TransactionRefusedError,
)
from eventfabric.model import Batch, Record, SameItemTwice, Write, WriteRefused
from eventfabric.services.publishing.outbox import OutboxAppend
from eventfabric.testing.memory.faults import Fault, Faults
from tests.support.appends import MINE, mine
from tests.support.memory_fabric import LANE, event
from tests.support.messages import TextWith
from tests.support.outbox_producers import US, OutboxProducers
from tests.support.subscribed_stream import SubscribedStream
from tests.unit.services.publishing.test_outbox_waits import LANES, append_of, before_try, others, posting

BATCH = MINE.hex()
OTHERS = "other publishers"


def refused(error: type[EventFabricError], ask: Callable[[], object]) -> EventFabricError:
    with pytest.raises(error) as raised:
        ask()
    return raised.value


def others_first(fabric: SubscribedStream) -> Faults:
    """Somebody else writes just before each try."""

    def rule(called: str, overall: int, of_name: int) -> None:
        if called == "log.append":
            fabric.put(event(f"other{of_name}"))

    return Faults(rule)


class TestAppend:
    def test_where_others_were_always_first_it_is_not_written(self) -> None:
        fabric = SubscribedStream()
        appender = fabric.appender(faults=others_first(fabric), timeout_seconds=0)
        error = refused(ContendedAppendError, lambda: appender.append(LANE, mine()))
        assert str(error) == TextWith(BATCH, f"not in lane {LANE}", "after 0 ms", OTHERS)
        assert (error.__cause__, error.no_effect, error.retryable) == (None, True, True)

    def test_where_the_lane_was_throttled_it_says_by_what_and_how_long_it_tried(self) -> None:
        throttled = Faults(lambda called, overall, of_name: Fault.THROTTLED)
        appender = SubscribedStream().appender(faults=throttled, timeout_seconds=600)
        error = refused(ContendedAppendError, lambda: appender.append(LANE, mine(), timeout_seconds=2.5))
        assert isinstance(error.__cause__, ThrottledError)
        assert str(error) == TextWith(BATCH, f"not in lane {LANE}", "after 2500 ms", error.__cause__)

    def test_without_a_reply_it_says_where_the_batch_may_stand(self) -> None:
        lost = Faults(lambda called, overall, of_name: Fault.LOST_REQUEST if "append" in called else None)
        fabric = SubscribedStream()
        fabric.put(event("before"))
        error = refused(
            IndeterminateAppendError,
            lambda: fabric.appender(faults=lost, timeout_seconds=0).append(LANE, mine()),
        )
        assert isinstance(error, IndeterminateAppendError)
        assert isinstance(error.__cause__, OutcomeUnknownError)
        assert str(error) == TextWith(
            BATCH,
            "may or may not be",
            "sequence 1",
            LANE,
            "stream orders",
            error.__cause__,
            "publish_again(error)",
        )
        assert (error.sequence, error.batch_id) == (1, MINE)
        assert (error.lane, error.batch, error.stream, error.acks) == (LANE, mine(), "orders", 1)

    def test_the_record_that_it_returns_is_the_one_in_the_log(self) -> None:
        fabric = SubscribedStream()
        appender = fabric.appender()
        for number in range(3):
            batch = Batch(mine(batch_id=bytes([number]) * 16).id, 2, frozenset({"placed"}), b"\1payload")
            assert appender.append(LANE, batch) == fabric.records()[number]


def append_with(
    producers: OutboxProducers, outcome: object, writes: list[Write] | None = None
) -> OutboxAppend:
    """One to an outbox that answers so."""

    class Answering:
        def append(self, posted: object, given: object, *, token: bytes) -> object:
            assert given == (writes or [])
            return outcome

    return OutboxAppend(
        [posting(producers, Faults())],
        lambda records: writes or [],
        outbox=Answering(),  # type: ignore[arg-type]  # only its writes
        clock=producers.clock,
        entropy=producers.cloud.entropy,
        timeout_seconds=30,
    )


class TestTransaction:
    def test_where_others_were_always_first_it_is_not_written(self) -> None:
        producers = OutboxProducers()
        always = Faults(*(before_try(number, lambda: others(producers)).rules[0] for number in (1, 2, 3)))
        made = append_of(producers, always, timeout_seconds=0)
        error = refused(ContendedTransactionError, made.run)
        assert str(error) == TextWith("not written", "after 0 ms", OTHERS)
        assert error.__cause__ is None

    @pytest.mark.parametrize("call", ["log.tail", "outbox.append"])
    def test_where_it_was_throttled_it_says_by_what_and_how_long_it_tried(self, call: str) -> None:
        throttled = Faults(lambda called, overall, of_name: Fault.THROTTLED if called == call else None)
        error = refused(
            ContendedTransactionError, append_of(OutboxProducers(), throttled, timeout_seconds=2.5).run
        )
        assert isinstance(error.__cause__, ThrottledError)
        assert str(error) == TextWith("not written", "after 2500 ms", error.__cause__)

    def test_without_a_reply_it_says_so(self) -> None:
        lost = Faults(lambda called, overall, of_name: Fault.LOST_REPLY if "outbox" in called else None)
        error = refused(
            IndeterminateTransactionError, append_of(OutboxProducers(), lost, timeout_seconds=0).run
        )
        assert isinstance(error.__cause__, OutcomeUnknownError)
        assert str(error) == TextWith("no reply", error.__cause__)

    def test_refused_after_a_lost_reply_it_says_both(self) -> None:
        def rule(called: str, overall: int, of_name: int) -> Fault | None:
            if called == "outbox.append" and of_name > 1:
                raise RefusedError(called, "AccessDeniedException: no")
            return Fault.LOST_REPLY if called == "outbox.append" else None

        error = refused(IndeterminateTransactionError, append_of(OutboxProducers(), Faults(rule)).run)
        assert isinstance(error.__cause__, RefusedError)
        assert str(error) == TextWith("refused", "no reply", "outbox.append", "AccessDeniedException: no")

    def test_a_refused_write_is_named_with_what_stands_there(self) -> None:
        item = {"id": {"S": "taken"}}
        error = refused(
            TransactionRefusedError,
            append_with(
                OutboxProducers(), WriteRefused(2, "ConditionalCheckFailed", "it is there", item)
            ).run,
        )
        assert isinstance(error, TransactionRefusedError)
        assert str(error) == TextWith("write 2", "ConditionalCheckFailed", "it is there")
        assert (error.index, error.code, error.item) == (2, "ConditionalCheckFailed", item)

    def test_two_writes_of_one_item_are_reported_as_the_transactions(self) -> None:
        error = refused(TransactionRefusedError, append_with(OutboxProducers(), SameItemTwice()).run)
        assert isinstance(error, TransactionRefusedError)
        assert str(error) == TextWith("transaction", "SameItemTwice", "two writes")
        assert (error.index, error.code, error.item) == (-1, "SameItemTwice", None)

    def test_the_writes_are_made_of_the_records_and_tried_again_with_the_same_token(self) -> None:
        producers = OutboxProducers()
        seen: list[tuple[list[Record], bytes]] = []
        outbox = producers.cloud.outbox(US)

        class Watching:
            """The Region's outbox, of which the first reply is lost, and the second try is throttled."""

            def append(
                self, posted: list[tuple[str, Record]], writes: list[Write], *, token: bytes
            ) -> object:
                seen.append(([record for _, record in posted], token))
                if len(seen) == 1:
                    raise OutcomeUnknownError("outbox.append", "no reply")
                if len(seen) == 2:
                    raise ThrottledError("outbox.append", "patience")
                return outbox.append(posted, writes, token=token)

        made = OutboxAppend(
            [posting(producers, Faults(), 0), posting(producers, Faults(), 1)],
            lambda records: [],
            outbox=Watching(),  # type: ignore[arg-type]  # only its writes
            clock=producers.clock,
            entropy=producers.cloud.entropy,
            timeout_seconds=30,
        )
        producers.clock.advance(1)
        assert made.run() == seen[0][0]
        assert [record.lane for record in seen[0][0]] == LANES[:2]
        assert seen[0] == seen[1] == seen[2]
        assert len(seen[0][1]) == 16

    def test_once_it_is_settled_another_run_is_a_transaction_of_its_own(self) -> None:
        producers = OutboxProducers()
        lost = Faults(lambda called, overall, of_name: Fault.LOST_REQUEST if "outbox" in called else None)
        made = append_of(producers, lost, timeout_seconds=1)
        refused(IndeterminateTransactionError, made.run)
        others(producers)
        lost.heal()
        (appended,) = made.run()
        assert (appended.lane, appended.sequence, producers.ids()) == (LANES[0], 1, ["mine 0", "other 0"])

    def test_its_first_try_is_behind_the_last_event_and_its_writes_are_made_of_the_records_it_puts(
        self,
    ) -> None:
        producers, faults = OutboxProducers(), Faults()
        others(producers, 2)
        asked: list[list[str]] = []

        def writes_of(records: Sequence[Record]) -> list[Write]:
            asked.append([f"{record.lane}@{record.sequence}" for record in records])
            return []

        made = OutboxAppend(
            [posting(producers, faults, 0), posting(producers, faults, 1)],
            writes_of,
            outbox=producers.cloud.outbox(US),
            clock=producers.clock,
            entropy=producers.cloud.entropy,
            timeout_seconds=30,
        )
        assert [str(record.sequence) for record in made.run()] == ["2", "0"]
        assert asked == [["us-east-1/0.0@2", "us-east-1/0.1@0"]]
        assert faults.calls == ["log.tail", "log.tail"]
