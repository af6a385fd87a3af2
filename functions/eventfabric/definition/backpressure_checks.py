"""Rules for subscriptions that hold producers back."""

from collections.abc import Iterator
from typing import Final

from eventfabric.definition.annotations import KeyPath
from eventfabric.definition.circles import circles_among
from eventfabric.definition.facts import BrokenRule, Facts

SECONDS_MIN_ELSEWHERE: Final = 10
"""Least `seconds` where what is granted in one Region has to come to producers in another (decision 0083)."""


def broken_backpressure_rules(facts: Facts) -> Iterator[BrokenRule]:
    """Yield every rule that the backpressure of subscriptions breaks."""
    gates = [
        name
        for name in facts.names("subscriptions")
        if isinstance(facts.given("subscriptions", name, "backpressure"), dict)
    ]
    for name in gates:
        yield from _seconds(facts, name)
    yield from _circles(facts, gates)


def _seconds(facts: Facts, name: str) -> Iterator[BrokenRule]:
    """Check that a window is wide enough for what it takes to hear of it in other Regions."""
    path: KeyPath = ("subscriptions", name, "backpressure", "seconds")
    seconds = facts.number("subscriptions", name, "backpressure", "seconds")
    regions = facts.regions(facts.text("subscriptions", name, "stream")) or ()
    is_elsewhere = facts.text("subscriptions", name, "deliver") == "one" and len(regions) > 1
    if seconds is not None and seconds < SECONDS_MIN_ELSEWHERE and is_elsewhere:
        allowed = (
            f'{SECONDS_MIN_ELSEWHERE} to 300, as deliver is "one" and the stream is in several Regions: '
            "producers in the others hear later what is granted"
        )
        yield BrokenRule(path, f"{seconds:g}", allowed)


def _circles(facts: Facts, gates: list[str]) -> Iterator[BrokenRule]:
    """Check that no handlers can wait for each other for ever, each for what the next one grants."""
    streams = {name: stream for name in gates if (stream := facts.text("subscriptions", name, "stream"))}
    publishes = {name: facts.texts("subscriptions", name, "publishes") or () for name in streams}
    for circle in circles_among(streams, publishes):
        around = " -> ".join((*circle, circle[0]))
        allowed = "no such table in one subscription of the circle: else handlers could wait for each other for ever"
        yield BrokenRule(
            ("subscriptions", circle[0], "backpressure"), f"all of the circle {around} have it", allowed
        )
