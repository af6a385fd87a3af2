"""Schemas of a stream's types: publishing is held to them, and so is delivery where a subscription asks for it."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from sys import modules
from typing import TYPE_CHECKING, Any

from eventfabric import limits
from eventfabric.contracts import may_be_there
from eventfabric.definition.schema import Subscription
from eventfabric.errors import InvalidEventError, Problem, SettingError, UnfitPayloadError
from eventfabric.model import Event, HeaderValue, Kind, Payload
from eventfabric.ports import Ports
from eventfabric.stream_topology import StreamTopology

if TYPE_CHECKING:
    from eventfabric.contracts.checks import SchemaCheck, SchemaChecks
    from eventfabric.contracts.folder import SchemaFolder
    from eventfabric.sdk.upcasters import Upcasting
    from eventfabric.services.catalogue.known_versions import KnownVersions


def checks_in(folder: Path | None, *, is_closed: bool) -> "SchemaChecks | None":
    """Return the checks by a folder of schemas; None if there is no such folder, and then nothing is imported.

    InvalidSchemaError: something is there that is no folder, or cannot be read.
    """
    if folder is None or not may_be_there(folder):
        return None
    from eventfabric.contracts.checks import SchemaChecks
    from eventfabric.contracts.folder import SchemaFolder

    # Types are read as they are used, and the process may have gone to another folder by then.
    return SchemaChecks(SchemaFolder(folder.absolute()), is_closed=is_closed)


def check_of(schemas: "SchemaChecks | None", stream: StreamTopology, type_: str) -> "SchemaCheck | None":
    """Return the check of a type; None if it has no schema. InvalidEventError if its stream requires one."""
    check = None if schemas is None else schemas.of(stream.name, type_)
    if check is None and stream.definition.schemas == "required":
        allowed = f"a type with a schema, which stream {stream.name} requires: in the definition's folder or schemas="
        raise InvalidEventError([Problem("type", f"{type_!r:.140}, which has none", allowed)])
    return check


def with_schema(check: "SchemaCheck", headers: Mapping[str, HeaderValue] | None) -> Mapping[str, HeaderValue]:
    """Return headers that name the schema as well. InvalidEventError if they name another, or are too many."""
    if not headers:
        return check.headers
    for name, uri in check.headers.items():
        if headers.get(name, uri) != uri:
            problem = Problem(f"headers.{name}", "another schema than the type's", f"{uri}, or leave it out")
            raise InvalidEventError([problem])
    named = {**headers, **check.headers}
    if len(named) > limits.HEADERS_MAX:
        state = f"{len(headers)} headers and {', '.join(check.headers)}"
        raise InvalidEventError([Problem("headers", state, f"at most {limits.HEADERS_MAX - 1}")])
    return named


def check_payload(check: "SchemaCheck", payload: Payload) -> None:
    """Raise InvalidEventError if data does not fit its type's schema."""
    problems = payload_problems(check, payload)
    if problems:
        raise InvalidEventError(problems)


def check_content(check: "SchemaCheck", content: bytes) -> None:
    """Raise InvalidEventError if valid JSON text does not fit the schema."""
    problems = check.problems(content)
    if problems:
        raise InvalidEventError(problems)


def as_published(
    schemas: "SchemaChecks | None", stream: StreamTopology, event: Event, replaced: Event | None
) -> Event:
    """Return an event that takes the place of one in the stream as it would be published: it names its schema.

    One that keeps the other version of its type's schema that the replaced one names is left as it is: whoever delivers
    it finds it as that. So is any, without schemas at hand. InvalidEventError if it does not fit.
    """
    check = None if schemas is None else check_of(schemas, stream, event.type)
    if check is None or (replaced and check.keeps_other_version(event.headers, replaced.headers)):
        return event
    check_payload(check, event.payload)
    published = event.copy()
    published.headers = with_schema(
        check, {name: value for name, value in event.headers.items() if name not in check.headers}
    )
    return published


def validation_of(subscription: Subscription, folder: Path | None) -> Callable[[Event], None] | None:
    """Return what raises UnfitPayloadError for an event that does not fit its schema in the folder.

    None if the subscription does not ask for it. SettingError: it does, and its stream has no schema in the folder.
    InvalidSchemaError; MissingExtraError.
    """
    if not subscription.validate:
        return None
    schemas = checks_in(folder, is_closed=False)
    if schemas is None or subscription.stream not in schemas.folder.names:
        allowed = (
            f"only where the function has schemas of stream {subscription.stream}, in the folder {folder}"
        )
        raise SettingError(f"subscriptions.{subscription.name}.validate", True, allowed)
    schemas.load()
    return partial(_check_delivered, schemas, subscription.stream)


def upcasting_of(
    target: Callable[..., Any],
    handler: str,
    stream: StreamTopology,
    ports: Ports,
    schemas: Path | None = None,
) -> "Upcasting | None":
    """Return what brings events to the versions that a handler knows; None if it has no upcasters.

    They are those of the handler's module: of the one that `handler` names, and of that in which `target` is written.
    `schemas`: the folder with the schemas of the version that it knows. HandlerError: they make no chain.
    """
    if "eventfabric.sdk.upcasters" not in modules:  # nobody can have declared any
        return None
    from eventfabric.sdk.upcasters import Upcasting, upcasters_in

    names = {handler.partition(":")[0], getattr(target, "__module__", None) or ""}
    upcasters = upcasters_in(modules[name] for name in sorted(names) if name in modules)
    if not upcasters:
        return None
    from eventfabric.contracts.folder import SchemaFolder
    from eventfabric.services.catalogue.known_versions import KnownVersions
    from eventfabric.services.catalogue.schema_lane import SchemaReader

    versions = KnownVersions(SchemaReader(stream, ports.log_of(stream)), ports.clock)
    is_own = partial(
        _is_own, None if schemas is None else SchemaFolder(schemas.absolute()), versions, stream.name
    )
    return Upcasting(upcasters, versions.number_of, stream=stream.name, is_own=is_own)


def _is_own(
    folder: "SchemaFolder | None", versions: "KnownVersions", stream: str, type_: str, digest: str
) -> bool:
    """Tell if a type's schema is that of the folder, and no later version is registered. Errors as KnownVersions.

    Whoever takes schemas back keeps the upcasters, for events of the versions that were taken back.
    """
    document = None if folder is None else folder.document(stream, type_)
    return document is not None and document.digest == digest and versions.is_latest(type_, digest)


def _check_delivered(schemas: "SchemaChecks", stream: str, event: Event) -> None:
    check = schemas.of(stream, event.type)
    if check is not None and (problems := payload_problems(check, event.payload)):
        raise UnfitPayloadError(event.id, problems)


def payload_problems(check: "SchemaCheck", payload: Payload) -> list[Problem]:
    """Return what of data does not fit. No data is null; bytes, and text of others that is no JSON, fit no schema."""
    allowed = f"JSON, since type {check.identity.type} has a schema"
    if payload.kind == Kind.BINARY:
        return [Problem("data", "bytes", allowed)]
    try:
        return check.problems(payload.content or b"null")
    except (ValueError, RecursionError):
        return [Problem("data", "text that is no JSON", allowed)]
