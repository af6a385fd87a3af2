"""Many seeds of somebody's handlers: what is reported when all goes well, and when it does not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventfabric.definition_file import parse_definition
from eventfabric.model.event import Event
from eventfabric.simulation.handlers import HandlersReport, HandlerTrials, Outside
from eventfabric.simulation.handlers.hunting import run_here
from eventfabric.simulation.summary import Summary
from tests.simulation import wrong_handlers

EVENTS = [Event(id=f"s{n}", key=f"k{n % 5}", type="placed", data={"n": n}) for n in range(30)]


def trials(handler: Callable[..., Any], *, setup: Callable[[Outside], object] | None = None) -> HandlerTrials:
    names = json.dumps(["us-east-1", "eu-west-1"])
    definition = parse_definition(f"""
        [fabric]
        name = "own"
        regions = {names}
        [streams.orders]
        durability = "replicated"
        [subscriptions.taker]
        stream = "orders"
        handler = "nowhere:function"
    """)
    return HandlerTrials(
        definition, events=EVENTS, handlers={"taker": handler}, setup=setup or wrong_handlers.make
    )


def test_ctrl_c_in_a_test_ends_the_test(tmp_path: Path) -> None:
    runs = 0

    def make(outside: Outside) -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            raise KeyboardInterrupt
        wrong_handlers.make(outside)

    with pytest.raises(KeyboardInterrupt):
        run_here(trials(wrong_handlers.puts_by_the_events_id, setup=make), range(50), out=tmp_path)


def test_what_was_interrupted_does_not_pass() -> None:
    report = HandlersReport(Summary("handlers", seeds=3), ("taker",), interrupted=True)
    with pytest.raises(AssertionError, match="interrupted after 3 seeds"):
        report.check()


def test_no_seed_tried_does_not_pass(tmp_path: Path) -> None:
    report = run_here(trials(wrong_handlers.puts_by_the_events_id), [], out=tmp_path)
    with pytest.raises(AssertionError, match="no seed was tried"):
        report.check()
