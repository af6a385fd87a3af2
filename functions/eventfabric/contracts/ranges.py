"""Ranges: the values that schemas accept, as far as bounds, lengths and lists of constants describe them."""

from collections.abc import Hashable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil, floor, lcm
from typing import Any, Final

from eventfabric.contracts.nodes import Node
from eventfabric.contracts.values import BOOLEAN, FRACTION, INTEGER, NULL, STRING, key_of, kind_of

_LISTED_INTEGERS_MAX: Final = 100


@dataclass(frozen=True)
class Interval:
    """Numbers between two bounds; None where there is no bound. An open bound is not among them."""

    low: Fraction | None = None
    high: Fraction | None = None
    is_low_open: bool = False
    is_high_open: bool = False

    def both(self, other: "Interval") -> "Interval":
        """Return the numbers that are in two intervals."""
        low, is_low_open = self.low, self.is_low_open
        if other.low is not None and (low is None or (other.low, other.is_low_open) > (low, is_low_open)):
            low, is_low_open = other.low, other.is_low_open
        high, is_high_open = self.high, self.is_high_open
        if other.high is not None and (
            high is None or other.high < high or (other.high == high and other.is_high_open)
        ):
            high, is_high_open = other.high, other.is_high_open
        return Interval(low, high, is_low_open, is_high_open)

    def of_kind(self, kind: str, step: int = 1) -> "Interval":
        """Return the closed interval of the integers in it that are multiples of a step; the open one of fractions."""
        if kind == FRACTION:
            is_low_open = self.is_low_open or (self.low is not None and self.low.denominator == 1)
            is_high_open = self.is_high_open or (self.high is not None and self.high.denominator == 1)
            return Interval(self.low, self.high, is_low_open, is_high_open)
        low, high = self.low, self.high
        if low is not None:
            multiple = ceil(low / step)
            low = Fraction(step * (multiple + (self.is_low_open and multiple * step == low)))
        if high is not None:
            multiple = floor(high / step)
            high = Fraction(step * (multiple - (self.is_high_open and multiple * step == high)))
        return Interval(low, high)

    @property
    def is_empty(self) -> bool:
        if self.low is None or self.high is None:
            return False
        is_open = self.is_low_open or self.is_high_open
        return self.low > self.high or (self.low == self.high and is_open)

    @property
    def is_bounded(self) -> bool:
        return self.low is not None and self.high is not None

    def is_inside(self, other: "Interval") -> bool:
        """Return if all its numbers are in another interval."""
        return self.both(other) == self


def interval_of(schema: dict[str, Any]) -> Interval:
    """Return the interval that a schema allows."""
    result = Interval()
    if "minimum" in schema:
        result = result.both(Interval(low=Fraction(schema["minimum"])))
    if "exclusiveMinimum" in schema:
        result = result.both(Interval(low=Fraction(schema["exclusiveMinimum"]), is_low_open=True))
    if "maximum" in schema:
        result = result.both(Interval(high=Fraction(schema["maximum"])))
    if "exclusiveMaximum" in schema:
        result = result.both(Interval(high=Fraction(schema["exclusiveMaximum"]), is_high_open=True))
    return result


class Ranges:
    """The values of one kind that several schemas accept together, as far as their bounds and lists say."""

    def __init__(self, kind: str, nodes: tuple[Node, ...]) -> None:
        self.kind = kind
        self._nodes = nodes

    @cached_property
    def steps(self) -> list[Fraction]:
        """Numbers of which all numbers are multiples."""
        return [Fraction(node.schema["multipleOf"]) for node in self._nodes if "multipleOf" in node.schema]

    @cached_property
    def interval(self) -> Interval:
        """The interval that holds all numbers."""
        interval = Interval()
        for node in self._nodes:
            interval = interval.both(interval_of(node.schema))
        whole = [int(step) for step in self.steps if step.denominator == 1]
        return interval.of_kind(self.kind, max(whole, default=1))

    def sizes(self, least: str, most: str) -> tuple[int, int | None]:
        """Return the smallest and largest size that two keywords allow; None if there is no largest."""
        smallest = max((int(node.schema[least]) for node in self._nodes if least in node.schema), default=0)
        largest = min((int(node.schema[most]) for node in self._nodes if most in node.schema), default=None)
        return smallest, largest

    @cached_property
    def values(self) -> dict[Hashable, Any] | None:
        """All values by their keys; None if they are not listed. There may be some too many."""
        values = self._own_values()
        listed = [node.listed for node in self._nodes if node.listed is not None]
        for own in sorted(listed, key=len):
            if values is None:
                values = {key: value for key, value in own.items() if kind_of(value) == self.kind}
            else:
                values = {key: value for key, value in values.items() if key in own}
        if values is None:
            return None
        return {key: value for key, value in values.items() if self._is_in_range(value)}

    def _own_values(self) -> dict[Hashable, Any] | None:
        """Return the values of a kind that has few, or of a narrow interval."""
        if self.kind == NULL:
            return {key_of(None): None}
        if self.kind == BOOLEAN:
            return {key_of(value): value for value in (False, True)}
        if self.kind == STRING and self.sizes("minLength", "maxLength") == (0, 0):
            return {key_of(""): ""}
        low, high = (self.interval.low, self.interval.high) if self.kind == INTEGER else (None, None)
        if low is None or high is None or high - low > _LISTED_INTEGERS_MAX:
            return None
        return {key_of(value): value for value in range(int(low), int(high) + 1)}

    def _is_in_range(self, value: Any) -> bool:
        """Return if bounds, lengths and multiples allow a value."""
        if self.kind in (INTEGER, FRACTION):
            point = Interval(Fraction(value), Fraction(value))
            return point.is_inside(self.interval) and all(
                is_multiple(value, step) is not False for step in self.steps
            )
        if self.kind == STRING:
            least, most = self.sizes("minLength", "maxLength")
            return least <= len(value) and (most is None or len(value) <= most)
        return True

    def are_multiples(self, step: Fraction) -> bool | None:
        """Return if all numbers are multiples; None if it is not known, or validators may differ."""
        if step in self.steps:
            return True
        if self.values is not None:
            answers = {is_multiple(value, step) for value in self.values.values()}
            return None if None in answers else answers == {True}
        if self.kind == FRACTION:
            return None if self.steps else False
        return self._are_integers_multiples(step)

    def _are_integers_multiples(self, step: Fraction) -> bool | None:
        """Return if integers that are multiples of their own steps are multiples of another."""
        if step.denominator != 1:
            return None
        whole = lcm(*(int(other) for other in self.steps if other.denominator == 1))
        if whole % step == 0:
            return True
        is_known = not self.interval.is_bounded and all(other.denominator == 1 for other in self.steps)
        return False if is_known else None


def is_multiple(value: float, step: Fraction) -> bool | None:
    """Return if a number is a multiple; None where validators may differ, since they count in binary fractions."""
    if step.denominator != 1 or Fraction(value).denominator != 1:
        return False if step.denominator == 1 else None
    return Fraction(value) % step == 0
