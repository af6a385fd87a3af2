"""Upcasters: pure functions that bring the data of an old event to the version that a handler knows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import update_wrapper
from inspect import signature
from types import ModuleType
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar

from eventfabric.contracts.identity import DATA_SCHEMA, parse_schema_uri
from eventfabric.errors import HandlerError, InvalidEventError, Problem, UnknownVersionError, UpcastError
from eventfabric.model import Event, Payload
from eventfabric.sdk.wants import check_plain, name_of

P = ParamSpec("P")
R = TypeVar("R")
FIRST_VERSION = 0
"""Version of events that name no schema: they are from before schemas."""
VersionOf: TypeAlias = Callable[[str, str], int | None]
"""Returns the version of a type that has a schema of that digest; None: nobody has registered it."""
IsOwn: TypeAlias = Callable[[str, str], bool]
"""Tells if a type's schema of that digest is the one of whoever asks, and no later version is registered."""


class Upcaster(Generic[P, R]):
    """A function from the data of one version of a type to that of a later one, still callable as it was written."""

    def __init__(self, function: Callable[P, R], type_: str, version: int, to: int) -> None:
        self.function = function
        self.type = type_
        self.version = version
        self.to = to
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __str__(self) -> str:
        return f"upcaster {name_of(self.function)} of {self.type} from {self.version} to {self.to}"


def upcast(type: str, version: int, to: int, /) -> Callable[[Callable[P, R]], Upcaster[P, R]]:
    """Declare how the data of a type becomes that of a later version; a decorator.

        @upcast("OrderPlaced", 1, 2)
        def with_currency(data):
            return {**data, "currency": "EUR"}

    It is applied at delivery to the events of a handler whose module defines or imports it. Versions are those of the
    registry; 0 is that of events from before schemas. The function takes and returns plain JSON values.
    HandlerError, also when it decorates: these are no versions, or the function cannot be called with the data alone.
    """
    if not isinstance(version, int) or not isinstance(to, int) or not FIRST_VERSION <= version < to:
        allowed = f"a version from {FIRST_VERSION}, and a later one"
        raise HandlerError(f"@upcast({type!r:.140}, {version!r:.40}, {to!r:.40}): allowed: {allowed}")

    def decorate(function: Callable[P, R]) -> Upcaster[P, R]:
        _check_callable(function)
        return Upcaster(function, type, version, to)

    return decorate


def _check_callable(function: Any) -> None:
    """Raise HandlerError if it is not called with the data of an event, or returns none at once."""
    if not callable(function):
        raise HandlerError(f"upcaster {function!r:.80}: found {type(function).__name__}, allowed: a function")
    check_plain(function)
    with suppress(ValueError):  # a function in C may have no signature to read
        parameters = signature(function)
        try:
            parameters.bind(None)
        except TypeError as error:
            raise HandlerError(
                f"upcaster {name_of(function)}: found {parameters}, allowed: (data)"
            ) from error


class Upcasting:
    """Brings events to the versions that a handler knows. Threads may share it."""

    def __init__(
        self,
        upcasters: Iterable[Upcaster[..., Any]],
        version_of: VersionOf,
        *,
        stream: str,
        is_own: IsOwn = lambda type_, digest: False,
    ) -> None:
        """`version_of` is asked only for events of types that have upcasters. HandlerError: these make no chain.

        `stream`: that of the events. Events of the schema that `is_own` are of the version that the handler knows,
        whatever number that has where they were published. In a new stage, it is the first.
        """
        self._steps = _chains(upcasters)
        self._version_of = version_of
        self._stream = stream
        self._is_own_schema = is_own

    def __call__(self, event: Event) -> Event:
        """Return the event as the handler knows it: itself, or a copy with other data.

        Raises:
            UpcastError: an upcaster failed, or none begins at the event's version. No further attempt can help.
            UnknownVersionError: the schema that the event names is not registered, or not here yet.
            PortError: the versions cannot be read.
        """
        steps = self._steps.get(event.type)
        if steps is None:
            return event
        newest = max(step.to for step in steps.values())
        version = newest if self._is_own(event) else self.version(event)
        if version >= newest:
            return event
        if version not in steps:
            allowed = f"one from version {version}, or an edit of the event"
            raise UpcastError(
                event.id, f"no upcaster of {event.type} begins at {version}, allowed: {allowed}"
            )
        data = event.data
        while version < newest:
            step = steps[version]
            data = _upcast(step, data, event)
            version = step.to
        try:
            return event.copy(payload=Payload.of(data))
        except InvalidEventError as error:
            raise UpcastError(event.id, f"{step} returned no JSON") from error

    def _is_own(self, event: Event) -> bool:
        """Tell if an event names the schema with which the handler was built, and none came after that."""
        digest = digest_named(event, self._stream)
        return digest is not None and self._is_own_schema(event.type, digest)

    def version(self, event: Event) -> int:
        """Return the version of an event by the schema that it names. Errors as when it is called."""
        digest = digest_named(event, self._stream)
        if digest is None:
            return FIRST_VERSION
        version = self._version_of(event.type, digest)
        if version is None:
            raise UnknownVersionError(event.id, event.type, digest)
        return version


def digest_named(event: Event, stream: str) -> str | None:
    """Return the digest of the schema that an event of a stream names; None if that is none of its type and stream."""
    identity = parse_schema_uri(event.headers.get(DATA_SCHEMA))
    if identity is None or identity[:2] != (stream, event.type):
        return None
    return identity.digest


def upcasters_in(modules: Iterable[ModuleType]) -> Sequence[Upcaster[..., Any]]:
    """Return the upcasters that modules define or import, each once."""
    values = (value for module in modules for value in vars(module).values())
    return list({id(value): value for value in values if isinstance(value, Upcaster)}.values())


def _upcast(step: Upcaster[..., Any], data: Any, event: Event) -> Any:
    """Apply one upcaster. UpcastError."""
    try:
        return step.function(data)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever user code raises is the event's failure, SystemExit too
        raise UpcastError(event.id, f"{step} raised {type(error).__name__}") from error


def _chains(upcasters: Iterable[Upcaster[..., Any]]) -> Mapping[str, Mapping[int, Upcaster[..., Any]]]:
    """Return the upcasters by type and the version from which they lead. HandlerError lists all that is wrong."""
    chains: dict[str, dict[int, Upcaster[..., Any]]] = {}
    problems: list[Problem] = []
    for step in upcasters:
        other = chains.setdefault(step.type, {}).setdefault(step.version, step)
        if other is not step:
            state = f"two upcasters, {name_of(other.function)} and {name_of(step.function)}"
            problems.append(Problem(f"{step.type} from {step.version}", state, "one"))
    for type_, steps in chains.items():
        problems += _gaps(type_, steps)
    if problems:
        raise HandlerError("upcasters: " + "; ".join(map(str, problems)))
    return chains


def _gaps(type_: str, steps: Mapping[int, Upcaster[..., Any]]) -> Iterator[Problem]:
    """Yield the versions from which nothing leads on, between the first and the last."""
    for version in range(min(steps), max(step.to for step in steps.values())):
        if version not in steps:
            yield Problem(f"{type_} from {version}", "no upcaster", "one, since others lead there or beyond")
