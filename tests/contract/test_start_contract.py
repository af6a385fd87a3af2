"""The promises of ports.Ledger about a start: the first to come pins it for a subscription and Region, for good."""

from eventfabric.model import Circuit, CircuitState, HybridTime, StreamName, SubscriptionName
from tests.support.backends import HOME, Backend

NAMES = StreamName("orders"), SubscriptionName("billing")


def test_the_first_pins_and_all_others_learn_what_stands(backend: Backend) -> None:
    first, second = backend.another_ledger(), backend.another_ledger()
    assert first.standing(*NAMES).starts == {}
    assert first.pin(*NAMES, HybridTime(2**62)) == 2**62
    assert second.pin(*NAMES, HybridTime(7)) == 2**62
    assert first.pin(*NAMES, HybridTime(2**62 + 1)) == 2**62
    assert second.standing(*NAMES).starts == {HOME: 2**62}


def test_a_lost_reply_is_no_second_pin(backend: Backend) -> None:
    backend.lose_replies(1)
    assert backend.ledger.pin(*NAMES, HybridTime(5)) == 5
    assert backend.ledger.standing(*NAMES).starts == {HOME: 5}


def test_subscriptions_pin_for_themselves_and_beside_their_circuits(backend: Backend) -> None:
    ledger = backend.ledger
    ledger.switch(*NAMES, Circuit(), Circuit(CircuitState.PAUSED, "r"))
    ledger.pin(*NAMES, HybridTime(5))
    ledger.pin(NAMES[0], SubscriptionName("shipping"), HybridTime(6))
    standing = ledger.standing(*NAMES)
    assert (standing.starts, standing.circuit.reason) == ({HOME: 5}, "r")
    assert ledger.standing(NAMES[0], SubscriptionName("shipping")).starts == {HOME: 6}
