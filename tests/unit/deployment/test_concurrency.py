"""Shares of the invocations of an account: what is reserved for the fabric, and what a warning says is too little."""

import pytest

from eventfabric import limits
from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import Definition
from eventfabric.deployment.concurrency import NOTHING, Reserve, reserve_of, shortages
from tests.support.refused_definitions import refusal

HOME, OTHER = "us-east-1", "eu-west-1"
OWN = Reserve(limits.RELAY_CONCURRENCY).total


def text_of(*functions: str, account: int | None = None, lanes: int = 64, defaults: str = "") -> str:
    """Write a definition with a subscription for each text, which is the inline table of its function."""
    quota = "" if account is None else f"account_concurrency = {account}\n"
    subscriptions = "".join(
        f'[subscriptions.s{number}]\nstream = "orders"\nhandler = "a.b:c"\nfunction = {{ {function} }}\n'
        for number, function in enumerate(functions)
    )
    return (
        f'[fabric]\nname = "shop"\nregions = ["{HOME}", "{OTHER}"]\n{quota}[functions]\n{defaults}\n'
        f'[streams.orders]\nlanes = {lanes}\n[streams.local]\nregions = ["{HOME}"]\n{subscriptions}'
    )


def definition_of(*functions: str, account: int | None = None, lanes: int = 64) -> Definition:
    return parse_definition(text_of(*functions, account=account, lanes=lanes))


def test_relay_timer_and_reconciliation_have_their_own_invocations() -> None:
    definition = definition_of("")
    assert reserve_of(definition, HOME) == Reserve(relay=2 * limits.RELAY_CONCURRENCY)
    assert reserve_of(definition, OTHER) == Reserve(relay=limits.RELAY_CONCURRENCY)
    assert not list(shortages(definition))


@pytest.mark.parametrize(("spare", "is_reserved"), [(0, True), (-1, False)])
def test_nothing_is_reserved_where_the_quota_does_not_suffice(spare: int, is_reserved: bool) -> None:
    account = limits.UNRESERVED_CONCURRENCY_MIN + OWN + 7 + spare
    definition = definition_of("reserved_concurrency = 7", account=account)
    assert (reserve_of(definition, OTHER) != NOTHING) is is_reserved
    warnings = [text for text in shortages(definition) if text.startswith(OTHER)]
    assert len(warnings) == (not is_reserved)
    assert all(f"would take {OWN} concurrent invocations" in text for text in warnings)
    assert all(f"leaves {OWN - 1}" in text for text in warnings)


def test_a_new_account_can_deploy_and_is_told() -> None:
    definition = definition_of("", account=limits.ACCOUNT_CONCURRENCY_MIN)
    assert reserve_of(definition, HOME) == NOTHING
    assert [text.partition(":")[0] for text in shortages(definition)] == [HOME, HOME, OTHER, OTHER]


@pytest.mark.parametrize(
    ("function", "lanes", "most"),
    [
        ("", 64, limits.MAPPING_CONCURRENCY_DEFAULT),
        ("", 16, 2 * 16),  # after a failover, one Region delivers the lanes of both
        ("maximum_concurrency = 80", 64, 80),
        ("provisioned_pollers = { maximum = 12 }", 64, 12 * limits.POLLER_INVOCATIONS_MAX),
    ],
)
def test_the_sum_of_all_backlogs_is_told_once_it_exceeds_what_is_left(
    function: str, lanes: int, most: int
) -> None:
    fits = limits.UNRESERVED_CONCURRENCY_MIN + OWN
    definitions = {
        spare: definition_of(*[function] * 10, account=OWN + 10 * most + spare, lanes=lanes)
        for spare in (0, -1)
    }
    assert all(definition.fabric.account_concurrency >= fits for definition in definitions.values())
    warnings = {
        spare: [text for text in shortages(definition) if text.startswith(OTHER)]
        for spare, definition in definitions.items()
    }
    assert warnings[0] == []
    assert len(warnings[-1]) == 1
    assert (
        f"may have {10 * most} concurrent invocations, and the account has {10 * most - 1}" in warnings[-1][0]
    )


def test_what_is_reserved_for_a_subscription_counts_once() -> None:
    definition = definition_of("reserved_concurrency = 60", "", account=OWN + 60 + 100)
    assert not [text for text in shortages(definition) if text.startswith(OTHER)]


@pytest.mark.parametrize("defaults", ["", "reserved_concurrency = 30"])
def test_reserves_of_subscriptions_must_leave_what_lambda_keeps(defaults: str) -> None:
    functions = ["", ""] if defaults else ["reserved_concurrency = 30", "reserved_concurrency = 30"]
    least = limits.UNRESERVED_CONCURRENCY_MIN + 60
    parse_definition(text_of(*functions, account=least, defaults=defaults))
    problem = refusal(text_of(*functions, account=least - 1, defaults=defaults))
    assert (problem.path, problem.found) == ("fabric.account_concurrency", str(least - 1))
    assert problem.allowed.startswith(f"at least {least}: ")
