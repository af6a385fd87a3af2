"""Accounts of credit, beside the rules that the model of credits has proven."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfabric.definition.sections import Backpressure
from eventfabric.model import SequenceNumber
from eventfabric.model.credit import (
    BEST_HALF_SECONDS,
    MEASURED_SECONDS,
    ROUND_SECONDS,
    SHARE,
    Account,
    fitting,
    least,
)
from tests.simulation.models import credits_rules

_RULES = credits_rules.Rules()
sequences = st.integers(0, 100_000).map(SequenceNumber)
rates = st.floats(0, 10_000)
backpressures = st.builds(Backpressure, seconds=st.integers(5, 300), events_min=st.integers(1, 1000))


@st.composite
def accounts(draw: st.DrawFn) -> Account:
    decided_ms = draw(st.integers(0, 10**6))
    return Account(
        granted=draw(sequences),
        place=draw(sequences),
        decided_ms=decided_ms,
        measured_ms=decided_ms + draw(st.integers(0, 10**6)),
        rate=draw(rates),
        best=draw(rates),
    )


def as_modelled(account: Account) -> credits_rules.Account:
    return credits_rules.Account(
        account.granted,
        account.place,
        account.decided_ms / 1000,
        account.measured_ms / 1000,
        account.rate,
        account.best,
    )


def test_the_rules_have_the_models_numbers() -> None:
    assert MEASURED_SECONDS == credits_rules.MEASURED_SECONDS
    assert BEST_HALF_SECONDS == credits_rules.BEST_HALF_SECONDS
    assert ROUND_SECONDS == credits_rules.ROUND_SECONDS
    assert SHARE == credits_rules.SHARE


@given(accounts(), backpressures, sequences, sequences, st.integers(0, 10**6))
def test_a_decision_is_the_models(
    account: Account,
    backpressure: Backpressure,
    sequence: SequenceNumber,
    tail: SequenceNumber,
    passed_ms: int,
) -> None:
    now_ms = account.measured_ms + passed_ms
    settings = credits_rules.Settings(backpressure.seconds, backpressure.events_min)
    expected, _ = _RULES.decide(settings, as_modelled(account), sequence, tail, now=now_ms / 1000)
    decided = account.decided(sequence, tail, now_ms, backpressure)
    assert (decided.granted, decided.place) == (expected.granted, expected.place)
    assert decided.granted >= account.granted


@given(accounts(), st.integers(0, 10_000), st.integers(1, 10**6))
def test_a_measurement_is_the_models(account: Account, drained: int, passed_ms: int) -> None:
    now_ms = account.measured_ms + passed_ms
    expected = as_modelled(account).after(drained, now_ms / 1000)
    measured = account.measured(drained, now_ms)
    assert measured.rate == pytest.approx(expected.rate)
    assert measured.best == pytest.approx(expected.best)


def test_a_clock_that_is_set_back_does_not_set_the_measurement_back() -> None:
    account = Account(SequenceNumber(10), SequenceNumber(0), 5000, 5000)
    measured = account.measured(5, 1000)
    assert measured.measured_ms == 5000
    assert measured.rate > 0


@given(sequences, sequences, backpressures)
def test_the_first_grant_is_from_the_tail(
    sequence: SequenceNumber, tail: SequenceNumber, backpressure: Backpressure
) -> None:
    opened = Account.opened(sequence, tail, 7, backpressure)
    assert opened.granted == max(sequence, tail) + backpressure.events_min
    assert (opened.place, opened.rate, opened.best) == (sequence, 0, 0)


@given(accounts(), backpressures, sequences)
def test_a_paused_lane_is_granted_from_its_tail_as_the_models(
    account: Account, backpressure: Backpressure, tail: SequenceNumber
) -> None:
    settings = credits_rules.Settings(backpressure.seconds, backpressure.events_min)
    window = _RULES.window(settings, as_modelled(account), -1, empty=True, now=0)
    passed = account.passed(tail, backpressure)
    is_due = tail + window - account.granted >= max(1, window // 4)
    assert passed == (replace(account, granted=SequenceNumber(tail + window)) if is_due else account)


def test_what_a_person_granted_counts_if_it_is_more() -> None:
    account = Account(SequenceNumber(10), SequenceNumber(0), 0, 0)
    assert account.learnt(SequenceNumber(9)) == account
    assert account.learnt(SequenceNumber(11)) == replace(account, granted=SequenceNumber(11))


@given(st.integers(1, 1000), sequences, st.none() | sequences, st.booleans(), st.booleans())
def test_what_fits_is_the_models(
    count: int, tail: SequenceNumber, grant: SequenceNumber | None, is_atomic: bool, is_alone: bool
) -> None:
    fits = fitting(count, tail, grant, is_atomic=is_atomic, is_alone=is_alone)
    assert fits == _RULES.fitting(count, tail, grant, atomic=is_atomic, alone=is_alone)
    if grant is not None and fits and not is_atomic:
        assert tail + fits <= grant


def test_the_least_of_several_grants_counts() -> None:
    assert least([]) is None
    assert least([None, SequenceNumber(5), SequenceNumber(3)]) == 3
    assert least([None]) is None
