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
        self._of = profile
        self._random = random

    def happenings(self, seed: int, *, expires: bool) -> tuple[Happening, ...]:
        """Draw what happens, in the order of time. `expires`: days pass in the end."""
        of, random, regions = self._of, self._random, self._regions
        whats = list(of.anywhere)
        if len(regions) > 1:
            whats += of.between
            whats += of.copied if self._durability == "replicated" else ()
        made = [self._happening(random.choice(whats)) for _ in range(random.choice(of.happenings)) if whats]
        made += [Happening(0.0, what, region, number=seed % 4) for what in of.first for region in regions]
        if expires:
            what = (
                "days_apart"
                if len(regions) > 1 and of.days_apart_share and random.random() < of.days_apart_share
                else "days_pass"
            )
            other = regions[1] if len(regions) > 1 else ""
            made.append(Happening(self._seconds, what, regions[0], other, number=random.choice((1, 2))))
        if len(regions) > 1 and self._durability == "replicated" and random.random() < of.tamper_share:
            made.append(self._happening("change_copy"))
        return tuple(sorted(made, key=lambda one: one.after_seconds))

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
        if random.random() < self._of.quiet_share:
            return {}
        rates = {
            fault: round(10 ** random.uniform(*_RATE_EXPONENTS), 4)
            for fault in self._of.faults
            if fault in self._of.always or random.random() < self._of.fault_share
        }
        if "stall" in rates:
            rates["stall"] = min(rates["stall"], self._of.stall_rate_max)
        return rates
