"""A trial of credits: how much there is of all, who publishes, and at what rate they are to get on."""

from dataclasses import dataclass, field
from math import inf

from tests.simulation.models.credits_publisher import Publisher
from tests.simulation.models.credits_world import World


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is of all: `rate` is what all publishers want together, in events a second."""

    lanes: int = 12
    publishers: int = 6
    rate: float = 45.0
    calm: float = 60.0
    fall: float = 180.0
    after: float = 60.0
    fair: float = 0.8
    """Least value of Jain's index where a tenth is shared: chance deals out few grants unequally."""
    page_events: int = 100
    """Events of a page: 100 records, which hold more of them where more are published."""

    @property
    def begins(self) -> float:
        """The time at which the consumer falters."""
        return self.calm

    @property
    def recovers(self) -> float:
        """The time at which it is back."""
        return self.calm + self.fall

    @property
    def ends(self) -> float:
        """The end."""
        return self.recovers + self.after


SMALL = Size()
PAGE = Size(lanes=64, publishers=20, rate=200.0, calm=200.0, fall=300.0, after=200.0, fair=0.95)
LARGE = Size(
    lanes=64, publishers=20, rate=4_000.0, calm=200.0, fall=300.0, after=200.0, fair=0.95, page_events=1_000
)


@dataclass
class Trial:
    """A scenario under way. `least` and `most`: rates of appended events between two times."""

    world: World
    size: Size
    publishers: list[Publisher] = field(default_factory=list)
    places: list[list[Publisher]] = field(default_factory=list)
    """Publishers that follow each other, whose shares are compared."""
    is_overloaded: bool = False
    recovers: float | None = None
    least: list[tuple[float, float, float]] = field(default_factory=list)
    most: list[tuple[float, float, float]] = field(default_factory=list)
    backlog_until: float | None = None
    """Time until which the backlog is that of the usual rate."""
    stands_seconds: float = 40.0
    """Time after which a lane in which events wait has to have moved."""
    shares: list[float] = field(default_factory=list)
    """Events of each place, appended while the consumer falters."""
    least_index: float | None = None
    """Least value of Jain's index, if it is not the usual."""

    def add(
        self, *, lives: float = inf, burst: int = 1, atomic: bool = False, number: int = 0, share: float = 1.0
    ) -> None:
        """Add publishers that want a share of the rate together; each place has another after `lives` seconds."""
        count = number or self.size.publishers
        for place in range(count):
            followers = []
            since = 0.0 if lives == inf else -lives * place / count
            while since < self.size.ends:
                followers.append(
                    Publisher(
                        self.world,
                        share * self.size.rate / count,
                        since=max(0.0, since),
                        until=since + lives,
                        burst=burst,
                        atomic=atomic,
                    )
                )
                since += lives
            self.places.append(followers)
            self.publishers += followers

    def run(self) -> "Trial":
        """Run it to its end."""
        clock, size = self.world.clock, self.size
        clock.run(size.begins + 0.25 * size.fall)
        before = self._appended()
        clock.run(size.recovers)
        self.shares = [after - earlier for after, earlier in zip(self._appended(), before, strict=True)]
        clock.run(size.ends)
        return self

    def _appended(self) -> list[float]:
        return [sum(publisher.appended for publisher in place) for place in self.places]

    def rate(self, since: float, until: float) -> float:
        """Return the events appended a second between two times."""
        return sum(count for time, count in self.world.appended if since <= time < until) / (until - since)
