"""A text with facts equals whatever has them all, and nothing where a fact is missing, another, or one too many."""

from dataclasses import dataclass

import pytest

from tests.support.messages import TextWith

FACTS = TextWith("2 dead letters", "3 events", "us-east-1/0.0", 400)


@pytest.mark.parametrize(
    "text",
    [
        "2 dead letters, 3 events wait behind them in us-east-1/0.0 for 400 s",
        "lane us-east-1/0.0: for 400 seconds, 3 events wait behind 2 dead letters",
    ],
)
def test_the_wording_is_free(text: str) -> None:
    assert (text == FACTS, text != FACTS) == (True, False)
    assert text == TextWith("us-east-1/0.0", 400, "3 events", "2 dead letters")


@pytest.mark.parametrize(
    "text",
    [
        "2 dead letters, 3 events wait behind them in us-east-1/0.0",
        "3 dead letters, 2 events wait behind them in us-east-1/0.0 for 400 s",
        "2 dead letters, 13 events wait behind them in us-east-1/0.0 for 400 s",
        "2 dead letters, 3 events wait behind them in us-east-1/0.0 for 400.5 s",
        "2 dead letters, 3 events wait behind them in us-east-1/0.0 for 1,400 s",
        "2 dead letters, 3 events wait behind them in us-east-1/0.0 for 400 s, 7 times",
        "2 dead letters, 3 events wait behind them in us-east-1/0.0@7 for 400 s",
        "2 dead letters, 3 events wait behind them in eu-us-east-1/0.07 for 400 s",
        "",
    ],
)
def test_every_fact_counts_and_no_other_number_may_be_there(text: str) -> None:
    assert (text == FACTS, text != FACTS) == (False, True)


def test_it_compares_as_a_field_from_either_side() -> None:
    @dataclass(frozen=True)
    class Found:
        detail: str

    assert [Found("stood at 12 before")] == [Found(TextWith("at 12"))]
    assert [Found(TextWith("at 12"))] == [Found("stood at 12 before")]
    assert Found("stood at 13 before") != Found(TextWith("at 12"))
    assert TextWith("at 12") != 12
