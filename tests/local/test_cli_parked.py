"""`eventfabric parked` and what `subscriptions list` says of owners and of who paused, against a server."""

from eventfabric.cli.parked import StateName
from eventfabric.cli.user import user_name
from eventfabric.model import ParkedState
from tests.local.commanded_fabric import US, CommandedFabric
from tests.support.failing_handlers import BAD_ORDER
from tests.support.messages import TextWith


def test_keys_are_listed_that_are_dead_with_those_that_are_tried_again(shop: CommandedFabric) -> None:
    (dead,) = shop.dead("a1", behind=("a2", "a3"))
    shop.letters.redrive(next(shop.letters.find()))
    places = shop.cli.run("parked", "list", "billing", *shop.options, "--json").json
    (retried,) = places
    assert (retried["place"], retried["key"], retried["state"]) == (dead, "a", "retrying")
    assert (retried["error_type"], retried["message"], retried["attempts"]) == (BAD_ORDER, "a1", 0)
    assert (retried["waiting_behind"], retried["event"], retried["type"]) == (2, "a1", "Placed")
    assert retried["due_ms"] <= shop.ports.clock.now_ms()
    (other,) = shop.dead("b1")
    states = {
        place["place"]: (place["state"], place["due_ms"] is None)
        for place in shop.cli.run("parked", "list", "billing", *shop.options, "--json").json
    }
    assert states == {other: ("dead", True)}, "a's events were handled meanwhile"


def test_it_takes_the_filters_of_dead_letters_and_one_by_state(shop: CommandedFabric) -> None:
    (first,) = shop.dead("a1")
    shop.failing.times["c1"] = 1
    (second,) = shop.dead("c1")

    def places(*arguments: str) -> list[str]:
        listed = shop.cli.run("parked", "list", "billing", *arguments, *shop.options, "--json").json
        return [row["place"] for row in listed]

    assert places() == [first, second]
    assert places("--key", "a") == [first]
    assert places("--error", "BadOrder") == [first, second]
    assert places("--error", "Other") == places("--type", "Other") == places("--older-than", "3600") == []
    assert (places("--state", "dead"), places("--state", "retrying")) == ([first, second], [])


def test_every_state_can_be_asked_for() -> None:
    assert [name.value for name in StateName] == [state.value for state in ParkedState]


def test_a_table_says_how_many_wait_and_what_is_due(shop: CommandedFabric) -> None:
    shop.dead("a1", behind=("a2",))
    shop.dead("b1")
    shop.letters.redrive(next(letter for letter in shop.letters.find() if letter.parked.key == "a"))
    printed = shop.cli.run("parked", "list", "billing", *shop.options).out
    total = TextWith("1 keys are being retried", "1 are dead", "1 events", US)
    assert printed.splitlines()[-1] == total
    assert " s ago" in printed or "retrying" in printed


def test_nobody_elses_subscription_is_listed(shop: CommandedFabric) -> None:
    assert "no subscription is named 'nobody'" in shop.refused("parked", "list", "nobody", code=2)


def test_who_paused_a_subscription_when_and_why_is_listed(shop: CommandedFabric) -> None:
    shop.cli.run("subscriptions", "pause", "billing", "--reason", "it migrates", *shop.options)
    subscription = shop.cli.run("subscriptions", "list", *shop.options, "--json").json["billing"]
    assert (subscription["state"], subscription["by"], subscription["reason"]) == (
        "paused",
        user_name(),
        "it migrates",
    )
    output = shop.cli.run("subscriptions", "list", *shop.options).out
    assert user_name() in output
    assert "it migrates" in output
    shop.cli.run("subscriptions", "resume", "billing", *shop.options)
    subscription = shop.cli.run("subscriptions", "list", *shop.options, "--json").json["billing"]
    assert (subscription["state"], subscription["by"], subscription["reason"]) == ("closed", "", "")
    owner = subscription["owners"][US]  # noted by the first delivery, unless that is still to come
    assert (owner["region"], owner["epoch"], owner["reason"], owner["by"]) == (US, 0, "", US)
