"""Verdicts of checkers on a history."""

from enum import StrEnum
from typing import Final

import msgspec

ANOMALIES_MAX: Final = 5
"""Most anomalies that one checker reports of one history."""


class Result(StrEnum):
    """Result of a checker. `unknown`: this history cannot tell."""

    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


class Anomaly(msgspec.Struct, frozen=True):
    """One violation, and the number of the history's entry that shows it."""

    what: str
    entry: int


class Verdict(msgspec.Struct, frozen=True):
    """Verdict of one checker on a history."""

    checker: str
    result: Result
    anomalies: tuple[Anomaly, ...] = ()


def verdict(checker: str, anomalies: list[Anomaly], *, unknown: bool = False) -> Verdict:
    """Make a verdict: invalid if there is any anomaly, else valid or unknown."""
    if anomalies:
        return Verdict(checker, Result.INVALID, tuple(anomalies[:ANOMALIES_MAX]))
    return Verdict(checker, Result.UNKNOWN if unknown else Result.VALID)
