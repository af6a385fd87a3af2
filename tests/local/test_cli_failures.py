"""`eventfabric dead-letters` against a fabric that runs as a server."""

import json
import os
from pathlib import Path

import pytest

from eventfabric import limits
from tests.local.commanded_fabric import EU, LANE, US, CommandedFabric
from tests.support.failing_handlers import BAD_ORDER
from tests.support.messages import TextWith, missing_from


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that commands would have waited, one after the other."""
    waited: list[float] = []
    monkeypatch.setattr("eventfabric.cli.dead_letters.sleep", waited.append)
    return waited


def test_dead_letters_are_listed_with_why_they_are_and_what_waits_behind_them(shop: CommandedFabric) -> None:
    (place,) = shop.dead("a1", behind=("a2", "a3"))
    (listed,) = shop.run("list", "billing", "--json").json
    sequence = int(place.partition("@")[2])
    assert (listed["place"], listed["key"], listed["waiting_behind"]) == (
        place,
        "a",
        [sequence + 1, sequence + 2],
    )
    assert (listed["error_type"], listed["message"], listed["attempts"]) == (BAD_ORDER, "a1", 1)
    assert (listed["event_id"], listed["event_type"], listed["edited"]) == ("a1", "Placed", False)
    printed = shop.run("list", "billing").out
    assert printed.splitlines()[-1] == TextWith("1 dead letters", "2 events", US)
    assert place in printed
    assert "BadOrder" in printed
    nothing = shop.run("list", "audit").out.splitlines()[-1]
    assert nothing == TextWith("0 dead letters", "0 events", US)


def test_they_are_listed_by_key_type_error_and_age(shop: CommandedFabric) -> None:
    shop.dead("a1", type="Paid")
    shop.failing.error = KeyError
    shop.dead("b1")

    def keys(*options: str) -> list[str]:
        return [letter["key"] for letter in shop.run("list", "billing", *options, "--json").json]

    assert keys() == ["a", "b"]
    assert (keys("--key", "b"), keys("--key", "c")) == (["b"], [])
    assert (keys("--type", "Paid"), keys("--error", "Bad")) == (["a"], ["a"])
    assert (keys("--older-than", "0"), keys("--older-than", "3600")) == (["a", "b"], [])
    assert keys("--type", "Paid", "--error", "KeyError") == []


def test_one_is_shown_with_its_event_until_its_record_expires(shop: CommandedFabric) -> None:
    (place,) = shop.dead("a1", behind=("b1",))
    shown = shop.run("show", "billing", place, "--json").json
    assert (shown["event"]["id"], shown["event"]["data"]) == ("a1", {"name": "a1"})
    assert shown["trace"].rstrip().endswith("BadOrder: a1")
    assert json.loads(shop.run("show", "billing", place).out) == shown
    lane, _, sequence = place.partition("@")
    shop.server.clients[US].dynamodb.delete_item(
        TableName="shop-orders", Key={"pk": {"S": lane}, "sk": {"N": sequence}}
    )
    assert shop.run("show", "billing", place, "--json").json == {**shown, "event": None}


def test_each_is_exported_as_it_is_shown_on_a_line_of_its_own(shop: CommandedFabric) -> None:
    places = shop.dead("a1", "b1", "c1")
    exported = [json.loads(line) for line in shop.run("export", "billing").out.splitlines()]
    assert exported == [shop.run("show", "billing", place, "--json").json for place in places]
    (of_b,) = shop.run("export", "billing", "--key", "b").out.splitlines()
    assert json.loads(of_b) == exported[1]
    assert shop.run("export", "audit").out == ""


@pytest.mark.parametrize("command", ["redrive", "discard"])
def test_a_dry_run_says_what_would_happen_and_changes_nothing(shop: CommandedFabric, command: str) -> None:
    places = shop.dead("a1", "b1", behind=("a2",))
    before = shop.everything()
    done = {"redrive": "redriven", "discard": "discarded"}[command]
    dry = shop.run(command, "billing", "--error", "Bad", "--dry-run", "--json")
    assert (dry.code, dry.json) == (
        0,
        {done: places, "waiting_behind": 1, "more_waiting": False, "failed": 0, "dry_run": True},
    )
    printed = shop.run(command, "billing", places[0], "--dry-run").out
    assert places[0] in printed
    assert printed.splitlines()[-1] == TextWith(f"1 would be {done}", "1 events", "0 failed")
    assert shop.everything() == before


def test_one_is_redriven_and_then_what_waits_behind_it(shop: CommandedFabric) -> None:
    first, second = shop.dead("a1", "b1", behind=("a2",))
    result = shop.run("redrive", "billing", first, "--json")
    assert (result.code, result.json) == (
        0,
        {"redriven": [first], "waiting_behind": 1, "more_waiting": False, "failed": 0, "dry_run": False},
    )
    shop.publish("a3")
    shop.deliver()
    assert shop.recorder.ids() == ["a1", "a2", "a3"]
    assert [letter.place for letter in shop.letters.find()] == [second]


def test_all_are_redriven_at_a_rate(shop: CommandedFabric, waits: list[float]) -> None:
    shop.dead("a1", "b1", "c1", behind=("c2",))
    result = shop.run("redrive", "billing", "--rate", "4")
    assert (result.code, result.out) == (0, TextWith("3 redriven", "1 events", "0 failed"))
    assert waits == [0, 0.25, 0.25]
    shop.deliver()
    assert shop.recorder.ids() == ["a1", "b1", "c1", "c2"]
    assert shop.run("redrive", "billing").out == TextWith("0 redriven", "0 events", "0 failed")


def test_one_that_somebody_else_decides_meanwhile_is_reported_and_the_rest_goes_on(
    shop: CommandedFabric, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = shop.dead("a1", "b1", "c1")
    by_key = {letter.parked.key: letter for letter in shop.letters.find()}

    def discarded_by_somebody(seconds: float) -> None:
        if by_key and seconds:
            shop.letters.discard(by_key.pop("b"), by="flo")
            by_key.clear()

    monkeypatch.setattr("eventfabric.cli.dead_letters.sleep", discarded_by_somebody)
    result = shop.run("redrive", "billing", "--json")
    assert (result.code, result.json["redriven"], result.json["failed"]) == (1, [first, third], 1)
    assert result.err == TextWith("eventfabric", f"{second} of billing", "no dead letter")
    assert shop.settled(second).by == "flo"


def test_an_edited_copy_is_handled_and_stays_on_record_with_who_edited_it(
    shop: CommandedFabric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place,) = shop.dead("a1", behind=("a2",))
    file = tmp_path / "event.json"
    event = shop.run("show", "billing", place, "--json").json["event"]
    file.write_text(json.dumps({**event, "data": {"name": "mended"}}))
    monkeypatch.setenv("LOGNAME", "jo")
    command = ("redrive", "billing", place, "--edited", file)
    before = shop.everything()
    assert shop.run(*command, "--dry-run").out.splitlines()[-1].startswith("1 would be redriven")
    assert shop.everything() == before
    assert shop.run(*command).code == 0
    shop.deliver()
    assert [event.data["name"] for event in shop.recorder.events] == ["mended", "a2"]
    record = shop.settled(place)
    assert (record.action, record.by, record.failure.event_id) == ("edited", "jo", "a1")
    assert record.replacement is not None


def test_all_that_waits_behind_a_dead_letter_is_discarded_with_it_and_stays_on_record(
    shop: CommandedFabric, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PARKED_PLACES_MAX", 2)
    (place,) = shop.dead("a1", behind=("a2", "a3", "b1"))
    command = ("discard", "billing", "--key", "a", "--all-waiting")
    before = shop.everything()
    dry = shop.run(*command, "--dry-run").out
    assert dry.splitlines()[-1] == TextWith("1 would be discarded", "1+ events", "0 failed")
    assert shop.everything() == before
    monkeypatch.setenv("LOGNAME", "jo")
    result = shop.run(*command, "--json")
    assert (result.code, result.json["discarded"], result.json["more_waiting"]) == (0, [place], True)
    shop.publish("a4")
    shop.deliver()
    assert shop.recorder.ids() == ["b1", "a4"]
    assert (shop.settled(place).by, shop.settled(place).dropped is not None) == ("jo", True)


def test_what_is_discarded_stays_on_record_with_who_did_it(
    shop: CommandedFabric, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = shop.dead("a1", "b1", behind=("a2",))
    monkeypatch.setenv("LOGNAME", "jo")
    result = shop.run("discard", "billing", first)
    assert (result.code, result.out) == (0, TextWith("1 discarded", "1 events", "0 failed"))
    result = shop.run("discard", "billing", "--key", "b", "--json")
    assert (result.code, result.json["discarded"]) == (0, [second])
    shop.deliver()
    assert shop.recorder.ids() == ["a2"]
    assert [(decision.action, decision.by) for decision in map(shop.settled, (first, second))] == [
        ("discarded", "jo")
    ] * 2


def test_a_user_without_a_name_goes_on_record_by_number(
    shop: CommandedFabric, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    (place,) = shop.dead("a1")
    monkeypatch.setattr("pwd.getpwuid", nobody)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    assert shop.run("discard", "billing", place).code == 0
    assert shop.settled(place).by == f"uid {os.getuid()}"


NO_PLACE = "<origin>/<generation>.<index>@<sequence>"


@pytest.mark.parametrize("command", ["list", "show", "redrive", "discard", "export"])
def test_a_subscription_or_region_that_is_none_is_refused(shop: CommandedFabric, command: str) -> None:
    shop.dead("a1")
    arguments = ["dead-letters", command, "nobody"]
    place = [f"{LANE}@0"] if command in ("show", "discard") else []
    complaint = shop.refused(*arguments, *place, code=2)
    assert missing_from(complaint, "no subscription", "'nobody'", "audit, billing, everywhere") == []
    arguments[-1] = "billing"
    elsewhere = shop.refused(*arguments, *place, "--region", EU, code=2)
    assert missing_from(elsewhere, "stream orders", f"not in Region {EU}", f"in: {US}") == []


@pytest.mark.parametrize(
    ("arguments", "code", "facts"),
    [
        (("show", "billing", "a1"), 2, ["LANE@SEQUENCE", "'a1'", NO_PLACE]),
        (("show", "billing", f"{LANE}@99999"), 1, [f"{LANE}@99999", "not a dead letter of billing"]),
        (("show", "audit", "PLACE"), 1, ["not a dead letter of audit"]),
        (("redrive", "billing", "a1"), 2, ["'a1'", NO_PLACE]),
        (("redrive", "billing", f"{LANE}@x"), 2, [NO_PLACE]),
        (("redrive", "billing", ""), 2, ["found ''", NO_PLACE]),
        (("redrive", "billing", f"{LANE}@99999"), 1, [f"{LANE}@99999", "not a dead letter of billing"]),
        (("redrive", "audit", "PLACE"), 1, ["not a dead letter of audit"]),
        (("redrive", "billing", "PLACE", "--key", "b"), 2, ["LANE@SEQUENCE", "without --key"]),
        (("redrive", "billing", "--rate", "0"), 2, ["greater than or equal to 0.01"]),
        (("redrive", "billing", "--rate", "nan"), 2, ["Invalid value for '--rate'"]),
        (("redrive", "billing", "--older-than", "-1"), 2, ["greater than or equal to 0"]),
        (
            ("redrive", "billing", "--error", ""),
            2,
            ["--error", "found ''", "error type"],
        ),
        (("redrive", "billing", "--edited", "x.json"), 2, ["--edited", "LANE@SEQUENCE"]),
        (("redrive", "billing", "PLACE", "--edited", "none.json"), 2, ["none.json: No such file"]),
        (("discard", "billing"), 2, ["LANE@SEQUENCE", "--key", "--type", "--error", "--older-than"]),
        (("discard", "billing", "--error", ""), 2, ["--error: found ''"]),
        (("discard", "billing", "PLACE", "--type", "Paid"), 2, ["LANE@SEQUENCE", "without"]),
        (("discard", "billing", f"{LANE}@99999"), 1, [f"{LANE}@99999", "not a dead letter of billing"]),
        (("discard", "audit", "PLACE"), 1, ["not a dead letter of audit"]),
        (("export", "billing", "--error", ""), 2, ["--error: found ''"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_input_is_refused_and_nothing_is_changed(
    shop: CommandedFabric, arguments: tuple[str, ...], code: int, facts: list[str]
) -> None:
    (place,) = shop.dead("a1")
    chosen = [place if argument == "PLACE" else argument for argument in arguments]
    assert missing_from(shop.refused("dead-letters", *chosen, code=code), *facts) == []


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["", "dry"])
@pytest.mark.parametrize(
    ("changes", "code", "complaint"),
    [
        ({"partitionkey": "b"}, 1, "has another key: found 'b', allowed: 'a'"),
        ({"type": ""}, 2, "type: found"),
        ({"specversion": "0.3"}, 2, "specversion: found '0.3', allowed: '1.0'"),
        ({"data": "x" * 400_000}, 2, "bytes encoded, allowed: at most"),
        (None, 2, "allowed: one JSON object"),
    ],
    ids=["key", "type", "version", "size", "no JSON"],
)
def test_an_edited_copy_that_cannot_be_is_refused_and_nothing_is_changed(
    shop: CommandedFabric,
    tmp_path: Path,
    changes: dict[str, str] | None,
    code: int,
    complaint: str,
    dry: tuple[str, ...],
) -> None:
    (place,) = shop.dead("a1")
    file = tmp_path / "event.json"
    event = {"specversion": "1.0", "id": "a1", "source": "/t", "type": "Placed", "partitionkey": "a"}
    file.write_text("{" if changes is None else json.dumps(event | changes))
    command = ("dead-letters", "redrive", "billing", place, "--edited", file)
    assert complaint in shop.refused(*command, *dry, code=code)


def test_a_redrive_says_where_nothing_is_tried(shop: CommandedFabric) -> None:
    shop.dead("a1")
    shop.cli.run("subscriptions", "pause", "billing", *shop.options)
    said = shop.run("redrive", "billing").out.splitlines()
    assert said[-1].startswith("billing is paused: ")
    assert "`eventfabric subscriptions resume billing`" in said[-1]
    shop.cli.run("subscriptions", "resume", "billing", *shop.options)
