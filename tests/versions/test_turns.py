"""Producers and functions of the last released version beside this one: each goes on where the other stopped."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Final

import pytest

from tests.versions.player import EFFECTS, Command, State
from tests.versions.recorded import recorded
from tests.versions.turns import THIS, Version, play, version_of_commit

US, EU = "us-east-1", "eu-west-1"
KEYS: Final = ["anna", "bert", "cleo", "dora"]
Turn = tuple[Version, Sequence[Command]]


def events(prefix: str, count: int = 8) -> list[list[str]]:
    """Return events of all keys in turn. The first two of each prefix are of the types that break."""
    types = ["Broken", "Dead", *["Placed"] * count]
    return [[f"{prefix}{number}", KEYS[number % len(KEYS)], types[number]] for number in range(count)]


def schedule(first: Version, second: Version) -> list[Turn]:
    """Return turns in which each version meets all that the other stores: and the first may also be the old one."""
    return [
        (first, [["publish", US, events("a")], ["publish", EU, events("b")]]),
        (second, [["breaks", "Broken", "Dead"], ["deliver", US, "billing", 2], ["deliver", US, "audit", 1]]),
        (first, [["breaks", "Broken", "Dead"], ["deliver", EU, "billing", 2], ["deliver", EU, "audit", 1]]),
        (second, [["publish", US, events("c")], ["publish", US, [["o1", "anna", "Placed"]], True]]),
        (first, [["publish", US, [["o1", "anna", "Placed"]], True], ["publish", EU, events("d")]]),
        (second, [["breaks", "Dead"], ["settle"]]),
        (first, [["redrive", US, "billing"], ["redrive", EU, "billing"], ["redrive", US, "audit"]]),
        (second, [["redrive", EU, "audit"], ["settle"], ["fail_over", US, EU]]),
        (first, [["publish", US, events("e")], ["publish", EU, events("f")], ["settle"]]),
        (second, [["publish", US, events("g")], ["settle"], ["fail_over", EU, US]]),
        (first, [["publish", EU, events("h")], ["settle"], ["reconcile", US], ["reconcile", EU]]),
        (second, [["publish", US, events("i")], ["settle"], ["reconcile", US], ["reconcile", EU]]),
    ]


PUBLISHED: Final = sorted([f"{prefix}{number}" for prefix in "abcdefghi" for number in range(8)] + ["o1"])


def check(state: State) -> None:
    """Assert that each event was published and handled once, in order, and that nothing is in doubt or left over."""
    assert effects(state) == dict.fromkeys(PUBLISHED, 1)
    of_audit = Counter((region, event) for name, region, event, *_ in state["handled"] if name == "audit")
    assert of_audit == Counter({(region, event): 1 for region in (US, EU) for event in PUBLISHED})
    in_order(state["handled"])
    reports = defaultdict[str, list[Any]](list)
    for name, *rest in state["reports"]:
        reports[name].append(rest)
    places = defaultdict[str, set[tuple[str, int]]](set)
    for event, lane, sequence in reports["published"]:
        places[event].add((lane, sequence))
    assert sorted(places) == PUBLISHED
    assert {len(of_event) for of_event in places.values()} == {1}
    assert sum(count for (count,) in reports["redriven"]) > 0
    assert [findings for (findings,) in reports["findings"]] == [{"orders": {}}] * 4
    waiting = [body for queues in state["queues"].values() for bodies in queues.values() for body in bodies]
    assert waiting == []


def effects(state: State) -> Counter[str]:
    """Count the Regions in which each event's effect was committed."""
    regions = state["tables"].values()
    return Counter(item["id"]["S"] for tables in regions for item in tables[EFFECTS])


def in_order(handled: Sequence[Sequence[Any]]) -> None:
    """Assert that no key's events of a lane were handled out of order, by either subscription in either Region."""
    last: dict[tuple[str, str, str, str], int] = {}
    for subscription, region, _, key, lane, sequence, _ in handled:
        where = (subscription, region, lane, key)
        assert sequence > last.get(where, -1), where
        last[where] = sequence


def test_a_version_goes_on_where_it_stopped_itself() -> None:
    check(play(schedule(THIS, THIS)))


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Version:
    """The last released version, unpacked from this clone's history."""
    return version_of_commit(recorded()["commit"], tmp_path_factory.mktemp("earlier"))


@pytest.mark.parametrize("is_first", [True, False], ids=["released first", "this first"])
def test_the_released_version_and_this_one_go_on_where_the_other_stopped(
    earlier: Version, is_first: bool
) -> None:
    state = play(schedule(earlier, THIS) if is_first else schedule(THIS, earlier))
    check(state)
    assert {handled[-1] for handled in state["handled"]} == {earlier.name, THIS.name}
    stored_by = {item["by"]["S"] for tables in state["tables"].values() for item in tables[EFFECTS]}
    assert stored_by == {earlier.name, THIS.name}
