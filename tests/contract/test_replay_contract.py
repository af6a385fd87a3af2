"""The promises of ports.Ledger about replays: cursors and parked keys are read back with all that they say of them."""

import pytest

from eventfabric.model import (
    START,
    UNKNOWN_CHAIN,
    Chain,
    Committed,
    Cursor,
    Failure,
    Parked,
    ParkedChange,
    ParkedState,
    Place,
    SequenceNumber,
)
from tests.contract.test_ledger_contract import KEY
from tests.support.backends import HOME, Backend

FAILURE = Failure("Replayed", "", "", "", 0, 0, 1, 1)


@pytest.mark.parametrize("chain", [Chain(b"c" * 16), UNKNOWN_CHAIN], ids=["chain", "unknown"])
@pytest.mark.parametrize(("replay_from", "replay_until"), [(0, 0), (0, 2**40), (2**39, 2**40)])
@pytest.mark.parametrize("began", [0, 2**41])
def test_a_cursor_keeps_what_it_replays_and_where_it_began(
    backend: Backend, chain: Chain, replay_from: int, replay_until: int, began: int
) -> None:
    moved = Cursor(
        SequenceNumber(9),
        SequenceNumber(7),
        chain,
        replay_until=SequenceNumber(replay_until),
        replay_from=SequenceNumber(replay_from),
        began=SequenceNumber(began),
    )
    outcome = backend.ledger.commit(KEY, START, moved)
    assert isinstance(outcome, Committed)
    cursor = backend.ledger.state(KEY).cursor(HOME)
    assert cursor == outcome.cursor
    assert (cursor.chain, cursor.began) == (chain, began)
    assert (cursor.replay_from, cursor.replay_until) == (replay_from, replay_until)


@pytest.mark.parametrize(
    "replays", [(), (0,), (1,), (3,), (0, 1, 2, 3), (0, 2), (1, 2)], ids=lambda replays: str([*replays])
)
def test_a_parked_key_keeps_which_of_its_events_are_replays(
    backend: Backend, replays: tuple[int, ...]
) -> None:
    waiting = tuple(Place(SequenceNumber(n), SequenceNumber(n + 1), n in replays) for n in range(4))
    parked = Parked("k/a", "a", ParkedState.RETRYING, waiting, 5, FAILURE)
    backend.ledger.commit(KEY, START, START, parked=[ParkedChange(None, parked)])
    assert backend.ledger.state(KEY).parked[HOME]["k/a"].waiting == waiting
