"""Owns what a checker says of a history."""

from enum import StrEnum
from typing import Final

import msgspec

ANOMALIES_MAX: Final = 5
"""Of one checker, told of one history."""


class Result(StrEnum):
    """What a checker found. `unknown`: this history cannot tell."""

    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


class Anomaly(msgspec.Struct, frozen=True):
    """One thing that must not be: what, and the entry of the history at which it shows."""

    what: str
    entry: int


class Verdict(msgspec.Struct, frozen=True):
    """What one checker says of a history."""

    checker: str
    result: Result
    anomalies: tuple[Anomaly, ...] = ()


def verdict(checker: str, anomalies: list[Anomaly], *, unknown: bool = False) -> Verdict:
    """Give a verdict: invalid with any anomaly, else valid, or unknown."""
    if anomalies:
        return Verdict(checker, Result.INVALID, tuple(anomalies[:ANOMALIES_MAX]))
    return Verdict(checker, Result.UNKNOWN if unknown else Result.VALID)
