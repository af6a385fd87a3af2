"""Trials of a project's handlers: runs a plan with its faults, and its events without, and reports the differences."""

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import wraps
from os import PathLike
from pathlib import Path
from typing import Any, Final

from eventfabric.contracts import SCHEMAS_FOLDER
from eventfabric.definition.file import handler_folders
from eventfabric.definition.schema import Definition, Subscription
from eventfabric.errors import HandlersFailError, SettingError
from eventfabric.model import Event, SubscriptionFilter
from eventfabric.sdk.cloudevents_file import read_cloudevents
from eventfabric.sdk.delivery import Delivery
from eventfabric.sdk.subscriber import Subscriber, load_handler
from eventfabric.settings import definition_at
from eventfabric.testing.contexts import environment, setting
from eventfabric.testing.idempotency.effects import Comparison, Difference, Left, compared
from eventfabric.testing.idempotency.handling import Handling, RaisedMessage
from eventfabric.testing.idempotency.outside import HANDLERS_FIND, Outside, outside
from eventfabric.testing.idempotency.published import SERVICE, add_published
from eventfabric.testing.idempotency.unresolved import unresolved_in
from eventfabric.testing.idempotency.workload import NAME, Workload, calm_plans, profile_of
from eventfabric.testing.local.held import HeldHandlers
from eventfabric.testing.local.invoke import no_account
from eventfabric.testing.local.zip_guard import in_function
from eventfabric.testing.simulation import history
from eventfabric.testing.simulation.drawing import Profile
from eventfabric.testing.simulation.history import History
from eventfabric.testing.simulation.outcome import SeedOutcome, failed, planned, silence, tally
from eventfabric.testing.simulation.plan import Plan, PlannedEvent
from eventfabric.testing.simulation.run import simulate_in
from eventfabric.testing.simulation.verdict import Anomaly, Result, Verdict
from eventfabric.testing.simulation.worker import doing
from eventfabric.testing.simulation.world import World
from eventfabric.topology import Topology

SAMPLE: Final = Path("sample/events.jsonl")
"""Path of a project's sample of events, relative to the folder of its definition."""
STUCK: Final = "nothing comes to rest"
"""Verdict if handlers leave a lane that never drains."""
REPEATED: Final = "attempt repeated"
_WHOLE_EVENTS: Final = 60
Handlers = Mapping[str, Callable[..., Any]]
Setup = Callable[[Outside], object]


class _AttemptFailed(BaseException):
    """Ends a run at an attempt that failed. No part of the fabric takes it for the handler's own exception."""

    def __init__(self, attempt: history.AttemptEnded) -> None:
        super().__init__(attempt)
        self.attempt = attempt


class HandlerTrials:
    """The handlers of one definition, ready to be tried.

    Args:
        definition: a definition, or the path of its file.
        events: the events to publish, or the path of a file of CloudEvents, one on each line.
        handlers: functions that replace the definition's handlers, by subscription.
        setup: called before each run with `name`, `regions` and `client(service, region)`, to make the handlers' own
            tables; or its location, as package.module:function.
        subscriptions: only these; default all.
        failover: True to hand lanes over between Regions, which may repeat effects of any guarantee.
        replay: True to have operators replay, which repeats effects of handlers that ignore `delivery.is_replay`.

    Raises:
        DefinitionError, HandlerError, UnknownNameError: see there. Handlers of a definition file are held to what they
            will find as they are deployed.
        SettingError: no event for a subscription.
    """

    def __init__(
        self,
        definition: Definition | str | PathLike[str],
        *,
        events: Sequence[Event] | str | PathLike[str],
        handlers: Handlers | None = None,
        setup: Setup | str | None = None,
        subscriptions: Sequence[str] = (),
        failover: bool = False,
        replay: bool = False,
    ) -> None:
        self.definition = _read_definition(definition)
        self._schemas = (
            None if isinstance(definition, Definition) else Path(definition).parent / SCHEMAS_FOLDER
        )
        topology = Topology(self.definition)
        self._errors: dict[tuple[str, str], RaisedMessage] = {}
        replacements = handlers or {}
        for name in (*subscriptions, *replacements):
            topology.subscription(name)
        self.names = tuple(subscriptions) or tuple(topology.subscriptions)
        others = [name for name in topology.subscriptions if name not in self.names]
        self._held = HeldHandlers(definition, self.definition, without=[*replacements, *others])
        self._held.check_before()
        # Modules that make clients when imported find the environment that they find on Lambda.
        # What they print goes to stderr.
        found_there = environment(dict.fromkeys(HANDLERS_FIND, topology.home))
        with no_account(None), found_there, redirect_stdout(sys.stderr), self._held.watching():
            self._setup: Setup | None = load_handler(setup, what="setup") if isinstance(setup, str) else setup
            self._handlers = {
                name: replacements.get(name) or self._load_handler(topology, name) for name in self.names
            }
        sample = _read(events) if isinstance(events, str | PathLike) else list(events)
        self._workloads = self._workloads_of(topology, sample, profile_of(failover=failover, replay=replay))
        self._check_sample([topology.subscription(name).definition for name in self.names], sample)

    def _load_handler(self, topology: Topology, name: str) -> Callable[..., Any]:
        own = topology.subscription(name)
        function = topology.deliver_function(name, own.regions[0])
        with environment(function.environment), in_function(has_layers=bool(function.layers)):
            return load_handler(own.definition.handler)

    def _workloads_of(self, topology: Topology, sample: Sequence[Event], profile: Profile) -> list[Workload]:
        """Return a workload for each stream that has one of the subscriptions."""
        workloads: list[Workload] = []
        for stream in topology.streams.values():
            tried = [
                subscription.definition
                for subscription in stream.subscriptions
                if subscription.name in self.names
            ]
            if tried:
                workloads.append(Workload(profile, stream, tried, sample))
        return workloads

    def _check_sample(self, subscriptions: Sequence[Subscription], sample: Sequence[Event]) -> None:
        for subscription in subscriptions:
            filter = SubscriptionFilter.of(subscription)
            if not any(map(filter.wants, sample)):
                types_found = sorted({event.type for event in sample})
                raise SettingError(f"events for subscription {subscription.name}", types_found, str(filter))

    def check(self) -> None:
        """Run a part of the sample without faults. HandlersFailError if a handler fails all the same."""
        for workload in self._workloads:
            plan = workload.whole(_WHOLE_EVENTS)
            try:
                self._run(plan, watch=self._end_at_failure)
            except _AttemptFailed as ended:
                raise self._failing(ended.attempt, plan.events[ended.attempt.events[0].id]) from None

    def _end_at_failure(self, entry: history.AnyEntry) -> None:
        """End the run at an attempt that failed, unless the handler declares the error: it would only fail again."""
        if isinstance(entry, history.AttemptEnded) and entry.error:
            raised = self._raised_in(entry)
            if raised is None or not raised.is_declared:
                raise _AttemptFailed(entry)

    def _failing(self, attempt: history.AttemptEnded, event: PlannedEvent) -> HandlersFailError:
        where = f"event {event.id} (type {event.type}, key {event.key!r})"
        return HandlersFailError(
            f"subscription {attempt.subscription}: its handler raises {attempt.error} for {where}"
            f"{_message(self._raised_in(attempt))}; without any fault it must handle the sample's events"
        )

    def _raised_in(self, attempt: history.AttemptEnded) -> RaisedMessage | None:
        return self._errors.get((attempt.subscription, attempt.events[0].id))

    def try_seed(self, seed: int) -> SeedOutcome:
        """Return the outcome of a seed."""
        workload = self._workloads[seed % len(self._workloads)]
        return self.tried(workload.plan(seed))[0]

    def plan(self, seed: int) -> Plan:
        """Return the plan of a seed."""
        return self._workloads[seed % len(self._workloads)].plan(seed)

    def check_plan(self, plan: Plan) -> None:
        """Raise a SettingError if a plan does not fit this definition's handlers. UnknownNameError."""
        if plan.profile != NAME:
            raise SettingError(
                "plan", plan.profile, f"one of profile {NAME!r}, as `eventfabric simulate` keeps it"
            )
        regions = Topology(self.definition).stream(plan.stream).definition.regions
        named = {
            place for happening in plan.happenings for place in (happening.region, happening.other) if place
        }
        for region in sorted({*plan.regions, *plan.producers, *named}.difference(regions)):
            raise SettingError("plan", f"Region {region}", f"Regions {', '.join(regions)}")
        for subscription in plan.subscriptions:
            if subscription.name not in self._handlers:
                raise SettingError("plan", subscription.name, f"subscriptions {', '.join(self._handlers)}")

    def tried(self, plan: Plan) -> tuple[SeedOutcome, History]:
        """Return the outcome of a plan, and its history."""
        run_history = History(plan, [])
        try:
            run_history, left = self._run(plan)
            verdicts = self._judged(run_history, left)
        except Exception as error:  # one seed may fail in any way; the others go on
            return failed(error, run_history), run_history
        counts = tally(run_history.entries)
        counts.happenings.update({f"{REPEATED}: {name}": n for name, n in repeated(run_history).items()})
        entries = len(run_history.entries)
        return SeedOutcome(plan.seed, tuple(verdicts), counts, planned(plan), entries), run_history

    def _judged(self, of: History, left: Left) -> list[Verdict]:
        end = of.entries[-1]
        if not isinstance(end, history.Ended) or not end.quiet:
            return [_stuck(of)]
        if not _may_differ(of):
            return []
        calm = [self._run(plan)[1] for plan in calm_plans(of)]
        may_lose = frozenset(planned.name for planned in of.plan.subscriptions if planned.guarantee.may_lose)
        comparison = compared(left, calm, may_lose=may_lose)
        return list(_verdicts(of, comparison, repeated(of)))

    def _run(
        self, plan: Plan, *, watch: Callable[[history.AnyEntry], None] | None = None
    ) -> tuple[History, Left]:
        """Run a plan; return its history, and what it left outside. `watch` sees each entry as it is noted."""
        left, topology = Left(began_seconds=time.time()), self._topology(plan)
        # What handlers print goes to stderr: stdout is for the report, which programs may read.
        with silence(), redirect_stdout(sys.stderr):
            handling: Handling

            def handler_for(process: Any, name: str) -> Callable[..., Any]:
                return _saying(handling.handler_for(process, name, self._handlers[name]), name)

            world = World(
                plan,
                topology=topology,
                handlers=handler_for,
                redrives=True,
                schemas=self._schemas,
                watch=watch,
            )
            handling = Handling(world, left)
            self._errors = handling.errors
            with outside(world, self._setup) as there, self._held.watching():
                of = simulate_in(world)
                own = {place for place in left.writers if place[0] != SERVICE}
                left.state = there.state(own, left.regions)
                add_published(left, world, handling.published)
        left.unresolved = unresolved_in(of, topology)
        left.ended_seconds = time.time()
        return of, left

    def _topology(self, plan: Plan) -> Topology:
        """Return the part of the fabric that the plan needs: fewer lanes, and every subscription from the beginning."""
        names = {subscription.name for subscription in plan.subscriptions}
        targets = {target for name in names for target in self.definition.subscriptions[name].publishes}
        streams = {
            name: replace(self.definition.streams[name], lanes=plan.lanes)
            for name in (plan.stream, *sorted(targets - {plan.stream}))
        }
        subscriptions = {
            name: replace(subscription, start="earliest")
            for name, subscription in self.definition.subscriptions.items()
            if name in names
        }
        return Topology(replace(self.definition, streams=streams, subscriptions=subscriptions))


def _saying(wanted: Subscriber[..., Any], name: str) -> Subscriber[..., Any]:
    """Return a handler that notes the event in hand, so that a report can name it if the handler never ends."""

    def saying(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def handle(given: Any, delivery: Delivery) -> Any:
            event = delivery.event
            text = f"subscription {name} has event {event.id} (type {event.type}, key {event.key!r}) in hand"
            with setting(doing, text):
                return function(given, delivery)

        return handle

    for subscriber in (wanted, wanted.when_late):
        if subscriber is not None:
            subscriber.function = saying(subscriber.function)
    return wanted


def _read_definition(definition: Definition | str | PathLike[str]) -> Definition:
    """Return a definition. If it is a file, its handlers' folders are put on the path, as they are on Lambda."""
    if isinstance(definition, Definition):
        return definition
    path = Path(definition)
    read = definition_at(path)
    folders = [str(folder) for folder in handler_folders(path) if folder.is_dir()]
    sys.path[:0] = [folder for folder in folders if folder not in sys.path]
    return read


def _read(path: str | PathLike[str]) -> list[Event]:
    """Return the events of a file. MalformedCloudEventError for the first line that is no event."""
    with Path(path).open("rb") as file:
        events: list[Event] = []
        for _, event in read_cloudevents(file, name=str(path)):
            if not isinstance(event, Event):
                raise event
            events.append(event)
    return events


def _message(raised: RaisedMessage | None) -> str:
    return f": {' '.join(raised.text.split())}" if raised and raised.text else ""


def _may_differ(of: History) -> bool:
    """Tell if any fault reached a handler. If none did, its effects are those of a run without faults."""
    return bool(repeated(of)) or any(
        (isinstance(entry, history.Called) and " " in entry.call)
        or (isinstance(entry, history.AttemptEnded) and entry.error)
        for entry in of.entries
    )


def repeated(of: History) -> Counter[str]:
    """Count the attempts of events that were attempted before, by subscription."""
    tried: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    counts: Counter[str] = Counter()
    for entry in of.entries:
        if isinstance(entry, history.AttemptBegan):
            before = tried[entry.subscription, entry.region]
            counts[entry.subscription] += sum(place.id in before for place in entry.events)
            before.update(place.id for place in entry.events)
    return +counts


def _stuck(of: History) -> Verdict:
    """Return the verdict on a run that never came to rest, with the errors that handlers raised most."""
    raised = Counter(
        f"{entry.subscription} raised {entry.error}"
        for entry in of.entries
        if isinstance(entry, history.AttemptEnded) and entry.error
    )
    end = of.entries[-1]
    whys = [end.why] if isinstance(end, history.Ended) and end.why else []
    whys += [f"{what}, {times} times" for what, times in raised.most_common(3)]
    return Verdict(STUCK, Result.INVALID, tuple(Anomaly(why, len(of.entries) - 1) for why in whys))


def _verdicts(of: History, comparison: Comparison, again: Counter[str]) -> list[Verdict]:
    by_effect: defaultdict[str, list[Difference]] = defaultdict(list)
    for difference in comparison.differences:
        by_effect[difference.effect].append(difference)
    verdicts = [
        Verdict(
            effect,
            Result.INVALID,
            tuple(Anomaly(difference.what, _entry_of(of, difference)) for difference in differences[:5]),
        )
        for effect, differences in by_effect.items()
    ]
    for effect in sorted((comparison.judged | comparison.unsteady) - by_effect.keys()):
        owners = effect.partition(":")[0].split(" and ")
        tells = effect in comparison.judged and any(again[name] for name in owners)
        verdicts.append(Verdict(effect, Result.VALID if tells else Result.UNKNOWN))
    return verdicts


def _entry_of(of: History, difference: Difference) -> int:
    """Return the entry that shows a difference: the last call of its effect, else the last repeated attempt."""
    owners = set(difference.effect.partition(":")[0].split(" and "))
    shown = 0
    for number, entry in enumerate(of.entries):
        match entry:
            case history.EffectCalled() if difference.effect == f"{entry.subscription}: {entry.effect}":
                if not difference.events or entry.id in difference.events:
                    shown = number
            case history.EffectCalled() | history.AttemptBegan() if entry.subscription in owners:
                if not difference.events:
                    shown = number
    return shown
