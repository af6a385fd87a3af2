"""The judge of mutants: how trials end, and which functions it finds."""

import gc
import os
from collections.abc import Callable

import pytest

from eventfabric.model import Lane
from scripts.mutation.forks import Ended, Wire, run_forked
from scripts.mutation.judge import Functions
from scripts.mutation.mutants import Fate, Mutant, source_of
from scripts.mutation.typed import ill_typed

LANE = "functions/eventfabric/model/identity.py"


def end_of(child: Callable[[Wire], None]) -> Ended:
    [(_, ended)] = run_forked(iter(["a trial"]), lambda _, wire: child(wire), workers=1)
    return ended


def test_a_mutant_survives_if_all_tests_pass_and_is_killed_by_the_first_that_does_not() -> None:
    def passes(wire: Wire) -> None:
        wire.begin("first", 1.0)
        wire.passed()

    def fails(wire: Wire) -> None:
        wire.begin("first", 1.0)
        wire.begin("second", 1.0)

    assert end_of(passes) == Ended(Fate.SURVIVED, "")
    assert end_of(fails) == Ended(Fate.KILLED, "second")


def test_a_trial_that_ends_before_its_first_test_judges_nothing() -> None:
    with pytest.raises(RuntimeError, match="ended before it began"):
        end_of(lambda wire: os._exit(1))


def test_functions_are_found_though_the_garbage_collector_does_not_list_them() -> None:
    source = source_of(LANE).decode()
    start = source.index("{self.generation}.{self.index}")
    begin = source.rindex("    def __str__", 0, start)
    line = source[:begin].count("\n") + 1
    mutant = Mutant(LANE, "text", "Lane.__str__", (begin, start), start, start, "x", line, line, line + 1)
    gc.freeze()
    try:
        [(function, code)] = Functions().mutated(mutant)
    finally:
        gc.unfreeze()
    assert function is Lane.__str__
    assert code != function.__code__


def test_the_type_checker_refuses_what_no_type_allows_and_nothing_else() -> None:
    wrong, fine = changed("self.index}", "self.index + None}"), changed("{self.generation}.", "{self.index}.")
    assert list(ill_typed([wrong, fine])) == [wrong]


def changed(before: str, after: str) -> Mutant:
    """Return a mutant of how lanes are written."""
    source = source_of(LANE).decode()
    begin = source.index("def __str__", source.index("class Lane"))
    start = source.index(before, begin)
    line = source[:start].count("\n") + 1
    span = (begin, start + len(before))
    return Mutant(LANE, "text", "Lane.__str__", span, start, span[1], after, line, line, line)
