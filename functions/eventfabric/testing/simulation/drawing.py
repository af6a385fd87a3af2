"""Draws what goes wrong in a plan: faults and their rates, and happenings with their Region and time."""

from dataclasses import dataclass
from random import Random
from typing import Final

from eventfabric.testing.simulation.plan import Happening

FAULTS: Final = (
    "crash",
    "lost_reply",
    "lost_request",
    "throttle",
    "slow",
    "stale",
    "stall",
    "resend",
    "bell_lost",
    "bell_late",
    "bell_kept",
    "bell_refused",
    "record_again",
    "lag",
    "skew",
    "conflict",
)
"""Every fault that has a rate. What each does: see process.py, functions.py, network.py and trouble.py."""
_RATE_EXPONENTS: Final = (-2.5, -0.9)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Choices from which plans are drawn: for each field, a seed picks among its values.

    Shares are shares of the seeds: `quiet_share` have no faults; of the others, `fault_share` have any given fault, and
    all have those in `always`. `bad` is the share of events that handlers do not simply handle. Happenings: those in
    `anywhere` happen to any Region, `between` only if there are several, `copied` only if each has all records, and
    `first` to each Region at the beginning.
    """

    consumers: tuple[int, ...]
    bad: tuple[float, ...]
    happenings: tuple[int, ...]
    anywhere: tuple[str, ...]
    between: tuple[str, ...]
    copied: tuple[str, ...]
    tamper_share: float
    slowness: tuple[float, ...]
    seconds: tuple[float, ...] = (20.0, 120.0, 900.0)
    faults: tuple[str, ...] = FAULTS
    always: tuple[str, ...] = ()
    quiet_share: float = 0.1
    fault_share: float = 0.35
    stall_rate_max: float = 0.02
    days_apart_share: float = 0.5
    first: tuple[str, ...] = ()


class Draw:
    """Draws one plan. Subclasses set its Regions, its duration and the durability of its stream."""

    _regions: tuple[str, ...]
    _durability: str
    _seconds: float

    def __init__(self, profile: Profile, random: Random) -> None:
        self._profile = profile
        self._random = random

    def happenings(self, seed: int, *, expires: bool) -> tuple[Happening, ...]:
        """Draw what happens, in the order of time. `expires`: days pass in the end."""
        possible = self._possible_happenings()
        number = self._random.choice(self._profile.happenings)
        happenings = [
            self._happening(self._random.choice(possible)) for _ in range(number if possible else 0)
        ]
        for what in self._profile.first:
            happenings += [Happening(0.0, what, region, number=seed % 4) for region in self._regions]
        if expires:
            happenings.append(self._passing_of_days())
        if self._has_copies and self._random.random() < self._profile.tamper_share:
            happenings.append(self._happening("change_copy"))
        return tuple(sorted(happenings, key=lambda happening: happening.after_seconds))

    def _possible_happenings(self) -> list[str]:
        return [
            *self._profile.anywhere,
            *(self._profile.between if self._has_several_regions else ()),
            *(self._profile.copied if self._has_copies else ()),
        ]

    def _passing_of_days(self) -> Happening:
        first, *others = self._regions
        what = "days_apart" if self._days_pass_apart() else "days_pass"
        return Happening(
            self._seconds, what, first, others[0] if others else "", number=self._random.choice((1, 2))
        )

    def _days_pass_apart(self) -> bool:
        share = self._profile.days_apart_share
        return bool(self._has_several_regions and share and self._random.random() < share)

    @property
    def _has_several_regions(self) -> bool:
        return len(self._regions) > 1

    @property
    def _has_copies(self) -> bool:
        """True if each of several Regions has all records."""
        return self._has_several_regions and self._durability == "replicated"

    def _happening(self, what: str) -> Happening:
        random, region = self._random, self._random.choice(self._regions)
        other = random.choice([name for name in self._regions if name != region] or [""])
        number = random.randrange(4)
        if what == "clock":
            number = random.choice((-1, 1)) * random.choice((700, 5_000, 90_000))
        after_seconds = round(random.uniform(0, 1.2 * self._seconds), 3)
        lasts_seconds = round(random.uniform(1, max(10, self._seconds)), 1)
        return Happening(after_seconds, what, region, other, lasts_seconds, number)

    def rates(self) -> dict[str, float]:
        """Draw the rate of each fault; no rates in a seed without faults."""
        random = self._random
        if random.random() < self._profile.quiet_share:
            return {}
        rates = {
            fault: round(10 ** random.uniform(*_RATE_EXPONENTS), 4)
            for fault in self._profile.faults
            if fault in self._profile.always or random.random() < self._profile.fault_share
        }
        if "stall" in rates:
            rates["stall"] = min(rates["stall"], self._profile.stall_rate_max)
        return rates
