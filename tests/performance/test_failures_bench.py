"""The failures benchmark: what it claims of both sides is what they do."""

from scripts.benchmarks import failures


def test_one_poison_event_harms_nobody_else_and_its_key_keeps_its_order() -> None:
    outcome = failures.eventfabric(poison=True)
    alone = failures.eventfabric(poison=False)
    assert (outcome.innocent_dead, outcome.overtook, outcome.lost) == (0, 0, 0)
    assert outcome.redriven_in_order
    assert outcome.others_last_seconds == alone.others_last_seconds


def test_beside_it_a_fifo_queue_dead_letters_the_innocent_and_lets_others_overtake() -> None:
    outcome = failures.powertools(poison=True)
    assert (outcome.innocent_dead, outcome.overtook) == (9, 91)
    assert not outcome.redriven_in_order
