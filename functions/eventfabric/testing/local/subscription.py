"""One subscription of a local fabric, as tests see it: events handled, dead letters, circuit, metrics."""

from collections.abc import Mapping

from aws_lambda_powertools import Logger

from eventfabric.errors import SettingError, WrongRegionError
from eventfabric.model import Circuit, Lane, parse_start
from eventfabric.model.proof import LaneProof
from eventfabric.sdk.operations import Operations
from eventfabric.services.operations.dead_letters import DeadLetter, DeadLetterFilter, DeadLetters
from eventfabric.telemetry import LogEvent, Metric
from eventfabric.testing.local.handled import Handled, HandledLog


class CountingTelemetry:
    """A telemetry.Telemetry that sums metrics up, also into those of `whole`; log events go to the logger."""

    def __init__(self, logger: Logger, whole: "CountingTelemetry | None" = None) -> None:
        self.sums: dict[Metric, float] = dict.fromkeys(Metric, 0.0)
        self._logger = logger
        self._whole = whole

    def tell(self, event: LogEvent, **about: object) -> None:
        """See telemetry.Telemetry."""
        self._logger.warning(event.value, extra=about)

    def add(self, metric: Metric, value: float = 1, *, of: str | None = None) -> None:
        """See telemetry.Telemetry."""
        self.sums[metric] += value
        if self._whole is not None:
            self._whole.add(metric, value)

    def gauge(self, metric: Metric, value: float, *, of: str | None = None) -> None:
        """See telemetry.Telemetry. Gauges are not summed up: only the result of the pass itself shows them."""


class LocalSubscription:
    """One subscription of a local fabric, as tests see and operate it."""

    def __init__(
        self,
        name: str,
        logs: Mapping[str, HandledLog],
        telemetry: Mapping[str, CountingTelemetry],
        operations: Mapping[str, Operations],
    ) -> None:
        self.name = name
        self._logs = logs
        self._telemetry = telemetry
        self._operations = operations

    def handled(self, region: str | None = None) -> list[Handled]:
        """Return the events that it handled, oldest first, in one Region or in all. WrongRegionError."""
        logs = [self._logs[self._check(region)]] if region is not None else self._logs.values()
        return sorted((entry for log in logs for entry in log.entries), key=lambda entry: entry.at_ms)

    def dead_letters(self, region: str | None = None) -> list[DeadLetter]:
        """Return its dead letters, in one Region or in all."""
        return [letter for letters in self._letters(region) for letter in letters.find()]

    def redrive(self, key: str | None = None) -> int:
        """Redrive its dead letters in all Regions, those of one key or all. Return how many. Then call `settle`.

        UnsettledStepError: a step of one is in doubt; those before it are redriven. SettingError.
        """
        redriven, filter = 0, _of_key(key)
        for letters in self._letters(None):
            for letter in letters.find(filter):
                letters.redrive(letter)
                redriven += 1
        return redriven

    def discard(self, key: str | None = None) -> int:
        """Discard its dead letters in all Regions, those of one key or all. Return how many. Then call `settle`.

        SettingError.
        """
        dropped, filter = 0, _of_key(key)
        for letters in self._letters(None):
            for letter in letters.find(filter):
                letters.discard(letter)
                dropped += 1
        return dropped

    def replay(
        self,
        region: str,
        start: int | str,
        *,
        key: str | None = None,
        into: str | None = None,
        lane: Lane | str | None = None,
        publish: bool = False,
    ) -> int:
        """Replay its past events in a Region, from a sequence or an RFC 3339 time on. Return how many events.

        `into`: hand them to that subscription instead. `lane`: of that lane only, as a Lane or as its text.
        `publish`: publish for them, though that was done before. Then call `settle`. ReplayRefusedError, SettingError.
        """
        place = parse_start(str(start))
        if place is None:
            raise SettingError("start", start, "a sequence, or an RFC 3339 time")
        replay = self._operations[self._check(region)].replay(self.name, into=into, publish=publish)
        plans = replay.plan(place, key=_of_key(key).key, lane=_lane(lane))
        return sum(replay.carry_out(plan).plan.events for plan in plans)

    def prove(self, region: str | None = None) -> list[LaneProof]:
        """Prove that it handled exactly the log, apart from the exceptions, lane by lane, in one Region or in all."""
        regions = list(self._logs) if region is None else [self._check(region)]
        return [proof for name in regions for proof in self._operations[name].prove(self.name)]

    def settle_step(
        self,
        region: str,
        event: str,
        name: str,
        *,
        happened: bool,
        result: object = None,
        source: str | None = None,
    ) -> None:
        """Settle a step that is in doubt in a Region; see `Operations.settle_step`."""
        operations = self._operations[self._check(region)]
        operations.settle_step(self.name, event, name, happened=happened, result=result, source=source)

    def pause(self, region: str, reason: str = "") -> None:
        """Stop its deliveries in a Region until `resume`."""
        self._operations[self._check(region)].pause(self.name, reason)

    def resume(self, region: str) -> None:
        """Resume its deliveries in a Region."""
        self._operations[self._check(region)].resume(self.name)

    def circuit(self, region: str) -> Circuit:
        """Return its circuit in a Region: if its deliveries run there."""
        return self._operations[self._check(region)].circuit(self.name)

    def _letters(self, region: str | None) -> list[DeadLetters]:
        regions = list(self._logs) if region is None else [self._check(region)]
        return [self._operations[name].dead_letters(self.name) for name in regions]

    def _check(self, region: str) -> str:
        if region not in self._logs:
            raise WrongRegionError(f"subscription {self.name}", region, sorted(self._logs))
        return region

    def counted(self, metric: Metric, region: str) -> float:
        """Return the sum of a metric of its function in one Region. WrongRegionError."""
        return self._telemetry[self._check(region)].sums[metric]


def _of_key(key: object) -> DeadLetterFilter:
    """Select the dead letters of a key, or all. SettingError: it is no key, as if a dead letter itself were given."""
    if key is None or isinstance(key, str):
        return DeadLetterFilter(key=key)
    raise SettingError("key", type(key).__name__, "the key of an event, as text; without one, all are meant")


def _lane(lane: Lane | str | None) -> Lane | None:
    """Return a lane that may be given as text. SettingError: that is none."""
    if not isinstance(lane, str):
        return lane
    try:
        return Lane.parse(lane)
    except ValueError as error:
        raise SettingError("lane", lane, "a lane as it is printed, such as us-east-1/0.3") from error
