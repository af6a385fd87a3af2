"""Trial: hold real events to a schema, to upcasters and to the type that a handler asks for, without any effect."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from eventfabric.contracts.checks import SchemaChecks
from eventfabric.errors import Problem, UndecodablePayloadError, UnknownVersionError, UpcastError
from eventfabric.model import Event
from eventfabric.sdk.schemas import payload_problems
from eventfabric.sdk.upcasters import FIRST_VERSION, Upcasting, VersionOf, digest_named
from eventfabric.typed.misfits import misfit_of

PLACES_MAX: Final = 3
"""Most places that are named of one kind of failure."""
_TypeVersion: TypeAlias = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class Failing:
    """A kind of failure: the type and version of the events, at which stage they fail, and why; never any value."""

    type: str
    version: int | None
    """None: the event names a schema that is not registered."""
    stage: str
    """`upcaster`, `schema` or `handler`."""
    problem: str


@dataclass(slots=True)
class Tried:
    """Account of the events that were tried by now."""

    events: int = 0
    first_ms: int = 0
    """Time of the oldest event, in milliseconds since 1970; 0: there was none."""
    last_ms: int = 0
    counts: Counter[_TypeVersion] = field(default_factory=Counter)
    failing: Counter[_TypeVersion] = field(default_factory=Counter)
    failures: Counter[Failing] = field(default_factory=Counter)
    places: dict[Failing, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Newest places of each kind of failure, as `<lane>@<sequence>`."""

    @property
    def is_fine(self) -> bool:
        """Tell if no event fails."""
        return not self.failures


class Trial:
    """Tries events of one stream, and keeps account of what would fail."""

    def __init__(
        self,
        stream: str,
        version_of: VersionOf,
        *,
        schemas: SchemaChecks | None = None,
        upcasting: Upcasting | None = None,
        decode: Callable[[Event], Any] | None = None,
        member_names: frozenset[str] = frozenset(),
    ) -> None:
        """`decode`: makes what the handler asks for of an event. `member_names`: those that its type has itself."""
        self.tried = Tried()
        self._stream = stream
        self._version_of = version_of
        self._schemas = schemas
        self._upcasting = upcasting
        self._decode = decode
        self._member_names = member_names

    def of(self, event: Event, *, at_ms: int) -> None:
        """Try an event. PortError: the versions of schemas cannot be read."""
        tried, version = self.tried, self._version(event)
        tried.events += 1
        tried.first_ms, tried.last_ms = min(at_ms, tried.first_ms or at_ms), max(at_ms, tried.last_ms)
        tried.counts[event.type, version] += 1
        stage, problems = self._problems(event)
        tried.failing[event.type, version] += bool(problems)
        for problem in problems:
            failing = Failing(event.type, version, stage, problem)
            tried.failures[failing] += 1
            if len(tried.places[failing]) < PLACES_MAX:
                tried.places[failing].append(f"{event.lane}@{event.sequence}")

    def has_schema(self, type_: str) -> bool:
        """Tell if there is a schema to which events of a type are held."""
        return self._schemas is not None and self._schemas.of(self._stream, type_) is not None

    def _version(self, event: Event) -> int | None:
        digest = digest_named(event, self._stream)
        return FIRST_VERSION if digest is None else self._version_of(event.type, digest)

    def _problems(self, event: Event) -> tuple[str, Sequence[str]]:
        """Return the stage at which an event fails, and why; no reasons if it does not."""
        try:
            known = event if self._upcasting is None else self._upcasting(event)
        except UpcastError as error:
            return "upcaster", [error.reason]
        except UnknownVersionError:
            return "upcaster", ["its schema is not registered"]
        check = None if self._schemas is None else self._schemas.of(self._stream, event.type)
        problems = [] if check is None else payload_problems(check, known.payload)
        if problems:
            return "schema", [str(problem) for problem in problems]
        if self._decode is None:
            return "", []
        try:
            self._decode(known)
        except UndecodablePayloadError as error:
            return "handler", [str(self._misfit(error))]
        return "", []

    def _misfit(self, error: UndecodablePayloadError) -> Problem:
        return misfit_of(error.__cause__, known=self._member_names)


def facts_of(tried: Tried) -> Mapping[str, Any]:
    """Return the account for programs."""
    types = [
        {"type": type_, "version": version, "events": events, "failing": tried.failing[type_, version]}
        for (type_, version), events in sorted(
            tried.counts.items(), key=lambda item: (item[0][0], item[0][1] or -1)
        )
    ]
    failures = [
        {
            "type": failing.type,
            "version": failing.version,
            "stage": failing.stage,
            "problem": failing.problem,
            "events": events,
            "places": tried.places[failing],
        }
        for failing, events in tried.failures.most_common()
    ]
    return {"events": tried.events, "types": types, "failures": failures}
