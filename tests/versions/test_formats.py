"""Formats that a stream requires: what each part of each version does before they are raised, and after.

Four versions run on one fabric's stored state, each in processes of its own. The released one may be from before
anything was declared: then it cannot know what is required, and `formats raise` is refused as long as a function of it
may be deployed. This version knows format 1. The next one reads format 2, and the one after that writes it, too: they
are this one, with the constants of `formats.py` raised. There is no second format yet, so what they write is as before:
what is tested is who goes on, and who says what is needed.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from typing import Final

import pytest

from eventfabric.formats import Formats
from eventfabric.services.catalogue.known import FORGOTTEN_SECONDS
from eventfabric.version import VERSION
from tests.versions.player import Command, State
from tests.versions.recorded import recorded
from tests.versions.turns import LATER_VERSION, PLAYER, THIS, Host, Version, beginning, later_version, unpack

US, EU = "us-east-1", "eu-west-1"
WORKS, SAYS_SO, REFUSES = "works", "works, and says which version is needed", "refuses"
TIMES: Final = ("before", "readers raised", "writers raised")
EXPECTED: Final[Mapping[tuple[str, str], tuple[str, str, str]]] = {
    # version, part:             before, readers raised, writers raised
    ("undeclared", "producer"): (WORKS, WORKS, WORKS),
    ("undeclared", "relay"): (WORKS, WORKS, WORKS),
    ("undeclared", "deliver"): (WORKS, WORKS, WORKS),
    ("undeclared", "reconcile"): (WORKS, WORKS, WORKS),
    ("this", "producer"): (WORKS, REFUSES, REFUSES),
    ("this", "relay"): (WORKS, SAYS_SO, SAYS_SO),
    ("this", "deliver"): (WORKS, REFUSES, REFUSES),
    ("this", "reconcile"): (WORKS, REFUSES, REFUSES),
    ("this", "copier"): (WORKS, REFUSES, REFUSES),
    ("next", "producer"): (WORKS, WORKS, REFUSES),
    ("next", "relay"): (WORKS, WORKS, SAYS_SO),
    ("next", "deliver"): (WORKS, WORKS, REFUSES),
    ("next", "reconcile"): (WORKS, WORKS, REFUSES),
    ("next", "copier"): (WORKS, WORKS, REFUSES),
    ("last", "producer"): (WORKS, WORKS, WORKS),
    ("last", "relay"): (WORKS, WORKS, WORKS),
    ("last", "deliver"): (WORKS, WORKS, WORKS),
    ("last", "reconcile"): (WORKS, WORKS, WORKS),
    ("last", "copier"): (WORKS, WORKS, WORKS),
}
"""The player of a version that declares nothing has no copier but reconciliation."""
TRIED: Final[list[Command]] = [
    ["tries", "relay", ["relay", US]],
    ["tries", "producer", ["publish", US, [["tried", "anna", "Placed"]]]],
    ["tries", "deliver", ["deliver", US, "billing", 9]],
    ["tries", "reconcile", ["reconcile", EU]],
    ["lose", EU, US],
    ["tries", "copier", ["copy", US, EU]],
]
DOES: Final = {"relay": "doorbells", "producer": "records", "deliver": "handled", "copier": "records"}


@dataclass(frozen=True)
class Tried:
    """A part of a version at one of these times. `error`: as it was said."""

    outcome: str
    error: str = ""


@dataclass
class Fabrics:
    """The stored state of one fabric at each of these times, and versions that go on from there."""

    hosts: Mapping[str, Host]
    turns: int = 0
    too_early: str = ""
    """Why formats were not raised while functions of earlier versions were deployed."""

    def play(self, state: State, version: str, *commands: Command) -> State:
        self.turns += 1
        return self.hosts[version].play(deepcopy(state), *commands, seed=self.turns)

    def states(self) -> Iterator[tuple[str, State]]:
        """Yield the state at each time. What each version has published waits, and nobody has rung for it."""
        state = beginning()
        if "undeclared" in self.hosts:
            state = self.play(state, "undeclared", ["publish", US, [["of the released", "anna", "Placed"]]])
        state = self.play(state, "this", ["deploy", EU], ["publish", US, [["of this", "anna", "Placed"]]])
        state = self.play(
            state, "last", ["tries", "too early", ["raise_formats", 2, 1]], ["deploy", US], ["deploy", EU]
        )
        self.too_early = state["reports"][-1][-1]
        state = self.play(state, "last", ["publish", US, [["of the last", "anna", "Placed"]]])
        yield TIMES[0], unrung(state)
        state = self.play(state, "last", ["raise_formats", 2, 1])
        yield TIMES[1], unrung(state)
        state = self.play(state, "last", ["wait", FORGOTTEN_SECONDS], ["raise_formats", 1, 2])
        yield TIMES[2], unrung(state)


def unrung(state: State) -> State:
    return {**state, "queues": {}, "reports": [report for report in state["reports"] if report[0] != "tried"]}


def tried(fabrics: Fabrics, state: State, version: str) -> dict[str, Tried]:
    """Try all parts of a version that knows what is declared."""
    after = fabrics.play(state, version, *TRIED)
    tried = [report[1:] for report in after["reports"] if report[0] == "tried"]
    return {part: judged(part, done, error) for part, done, error in tried}


def judged(part: str, done: Mapping[str, int], error: str) -> Tried:
    # A pass is done if it raises nothing; it has nothing to repair.
    does = done[DOES[part]] > 0 if part in DOES else not error
    if not does:
        assert not any(done[name] for name in ("records", "handled")), (part, done)
        return Tried(REFUSES, error)
    return Tried(SAYS_SO if error else WORKS, error)


def tried_undeclared(fabrics: Fabrics, state: State) -> dict[str, Tried]:
    """Try all parts of a version that knows nothing of it, with what its own player can do."""
    publish, deliver = ["publish", US, [["tried", "anna", "Placed"]]], ["deliver", US, "billing", 9]
    published = fabrics.play(state, "undeclared", publish)
    after = fabrics.play(published, "undeclared", deliver, ["reconcile", EU])
    did = {
        "producer": len(published["tables"][US]["shop-orders"]) > len(state["tables"][US]["shop-orders"]),
        "relay": any(published["queues"][US].values()),
        "deliver": len(after["handled"]) - len(state["handled"]) > 1,
        "reconcile": after["reports"][-1] == ["findings", {"orders": {}}],
    }
    return {part: Tried(WORKS if done else REFUSES) for part, done in did.items()}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], Tried]:
    """Run everything, and return what each part of each version did at each time."""
    versions = {"this": THIS} | {
        name: later_version(name, formats, tmp_path_factory.mktemp(name))
        for name, formats in (("next", Formats(reads=2)), ("last", Formats(reads=2, writes=2)))
    }
    folder = tmp_path_factory.mktemp("released")
    released = Version("released", folder)
    if not unpack(recorded()["commit"], folder, "functions/eventfabric", PLAYER) and not released.declares:
        versions["undeclared"] = released
    outcomes: dict[tuple[str, str, str], Tried] = {}
    with ExitStack() as stack:
        hosts = {name: stack.enter_context(version.hosted()) for name, version in versions.items()}
        fabrics = Fabrics(hosts)
        for time, state in fabrics.states():
            outcomes["last", "raise", "too early"] = Tried(REFUSES, fabrics.too_early)
            for name in versions:
                of = tried_undeclared(fabrics, state) if name == "undeclared" else tried(fabrics, state, name)
                outcomes |= {(name, part, time): outcome for part, outcome in of.items()}
    return outcomes


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize(("version", "part"), EXPECTED)
def test_each_part_of_each_version_does_what_it_should(
    outcomes: Mapping[tuple[str, str, str], Tried], version: str, part: str, time: str
) -> None:
    if version == "undeclared" and (version, part, time) not in outcomes:
        pytest.skip("the last released version declares what it deploys, or is not in this clone")
    known = outcomes[version, part, time]
    assert known.outcome == EXPECTED[version, part][TIMES.index(time)]
    if known.outcome != WORKS:
        own = LATER_VERSION if version == "next" else VERSION
        assert known.error == (
            f"stream orders is {'written' if version == 'next' else 'read'} in format 2, and this version, {own}, "
            f"knows formats up to 1: install eventfabric-aws {LATER_VERSION} or later"
        )


def test_nothing_is_raised_while_functions_of_an_earlier_version_are_deployed(
    outcomes: Mapping[tuple[str, str, str], Tried],
) -> None:
    said = outcomes["last", "raise", "too early"].error.splitlines()
    for region in (US, EU):
        for who in ("functions of the cell", "subscription billing", "subscription audit"):
            assert any(line.startswith(f"orders in {region}: found {who}") for line in said)
    assert all(f"of {LATER_VERSION} or later: deploy" in line for line in said)
