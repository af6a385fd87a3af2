"""Numbers for schemas: one that bounds and units allow, by exact arithmetic, however large or small they are."""

from collections.abc import Mapping
from fractions import Fraction
from math import ceil, floor
from typing import Any


def number_for(schema: Mapping[str, Any], *, is_whole: bool) -> int | float:
    """Return a number: 1 if that is allowed, else the one nearest to the lower bound, or to the upper.

    OverflowError: it is no whole number, and too large for a float.
    """
    unit = _exact(schema.get("multipleOf", 1 if is_whole else 0.5))
    if is_whole:
        unit = Fraction(unit.numerator)  # the smallest whole number that the unit divides
    least, most = _least(schema, unit), _most(schema, unit)
    number = unit if 1 % unit else Fraction(1)
    if least is not None and number < least:
        number = least
    elif most is not None and number > most:
        number = most
    return number.numerator if number.denominator == 1 else float(number)


def _least(schema: Mapping[str, Any], unit: Fraction) -> Fraction | None:
    """Return the smallest number that lower bounds allow, of those that the unit divides."""
    bounds = [ceil(_exact(schema["minimum"]) / unit) * unit] if "minimum" in schema else []
    if "exclusiveMinimum" in schema:
        bounds.append((floor(_exact(schema["exclusiveMinimum"]) / unit) + 1) * unit)
    return max(bounds, default=None)


def _most(schema: Mapping[str, Any], unit: Fraction) -> Fraction | None:
    """Return the largest number that upper bounds allow, of those that the unit divides."""
    bounds = [floor(_exact(schema["maximum"]) / unit) * unit] if "maximum" in schema else []
    if "exclusiveMaximum" in schema:
        bounds.append((ceil(_exact(schema["exclusiveMaximum"]) / unit) - 1) * unit)
    return min(bounds, default=None)


def _exact(number: float) -> Fraction:
    """Return what a number's text says: 0.1 is a tenth."""
    return Fraction(number if isinstance(number, int) else repr(number))
