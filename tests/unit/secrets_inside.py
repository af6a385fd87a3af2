"""Builds a value of any type of the package with a secret in whatever may hold what an event or a handler holds."""

import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib import import_module
from inspect import signature
from pkgutil import walk_packages
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

import msgspec

import eventfabric
from eventfabric import Event
from eventfabric.model import Batch, Lane, Record
from eventfabric.model.credit import Account
from eventfabric.rare_ports import Backfills, Credits
from eventfabric.services.delivery.begin import Beginnings
from eventfabric.services.delivery.granting import Granting
from eventfabric.services.delivery.limiter import Limiter
from eventfabric.services.delivery.target_streams import TargetStreams, TargetWrites
from eventfabric.services.publishing.credits import KnownCredits

SECRET = "4111-1111"
CONTENT = SECRET.encode()
_NAMES = """
    about accepted_because action alias backfill batch_id by called chain closing code code_version contact deliver
    deprecated detail digest durability edit elsewhere error_type event_id event_type expiry_attribute fabric failure
    failures former former_regions function guarantee handler hint id kind lane lanes layers lost member more name of
    on_expired on_late operation order origin owner path permanent pointer position proof publishes raised_with reason
    region regions replaces request_id said schema security_group_ids since sort_key_type source sources start state
    step stops stream stream_view subnet_ids subscription subscriptions sunset table target token trace_id type types
    unreachable unreadable use version why without_table
"""
NAMES = frozenset(_NAMES.split())
"""Names of texts and bytes that name things, and hold nothing of an event."""
_SHOWN = """
    Cursor.parked DeadLetterFilter.error DeclaredDifference.do DeclaredDifference.what Diagnosis.because
    HandlerInput.payload_type KeyRule.attribute Lever.brings Lever.change Lever.costs MemberChange.after
    MemberChange.before Pattern.regex Pattern.says Problem.allowed Problem.found Refusal.message
    RegionDeclared.error Roster.dead Roster.retrying WriteRefused.message _Nothing.keys
"""
SHOWN = frozenset(_SHOWN.split())
"""Fields whose names do not say so: digests, settings, what is declared, and what a service or a check says."""
TYPED_ONLY = {
    "Account": Account,
    "Backfills": Backfills,
    "Credits": Credits,
    "Beginnings": Beginnings,
    "Granting": Granting,
    "Limiter": Limiter,
    "KnownCredits": KnownCredits,
    "TargetStreams": TargetStreams,
    "TargetWrites": TargetWrites,
}
"""Types that modules of the package import for typing alone."""
HOLDERS = ("aws", "errors", "model", "ports", "runtime", "sdk", "services", "wire")
"""Parts of the package that handle events. The others are settings, programs and tests."""


def types_of_the_package() -> Iterator[type]:
    """Every class that is defined where events are in hand."""
    prefix = f"{eventfabric.__name__}."
    for module_info in walk_packages(eventfabric.__path__, prefix):
        if module_info.name.removeprefix(prefix).partition(".")[0] not in HOLDERS:
            continue
        module = import_module(module_info.name)
        yield from (
            kind
            for kind in vars(module).values()
            if isinstance(kind, type) and kind.__module__ == module_info.name
        )


def is_shown_by_its_fields(kind: type) -> bool:
    """Tell if Python or msgspec generate its repr from all of its fields."""
    is_named = issubclass(kind, tuple) and hasattr(kind, "_fields")
    return is_dataclass(kind) or issubclass(kind, msgspec.Struct) or is_named


def made(kind: Any, name: str = "") -> Any:
    """A value of a type, as a field of that name holds it."""
    if kind is Any or kind is object:
        return "name" if name in NAMES else SECRET
    if isinstance(kind, NewType):
        return bytes(16) if kind.__supertype__ is bytes else made(kind.__supertype__, "name")
    if kind is str:
        return "name" if name.lstrip("_") in NAMES else SECRET
    if kind is bytes:
        return bytes(16) if name.lstrip("_") in NAMES else CONTENT
    if kind is Lane:
        return Lane.parse("us-east-1/0.7")
    if kind is Event:
        return Event(type="placed", key=SECRET, id="1", data={"card": SECRET}, headers={"card": SECRET})
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return made(next(argument for argument in arguments if argument is not type(None)), name)
    if origin is not None:
        return _container(origin, arguments, name)
    if kind in (int, float):
        return 1
    if kind is bool:
        return True
    if isinstance(kind, type) and issubclass(kind, BaseException):
        return ValueError("refused")
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    if isinstance(kind, type) and is_shown_by_its_fields(kind):
        hints = get_type_hints(kind, localns=TYPED_ONLY)
        return kind(**{name: made(hints[name], _name_in(kind, name)) for name in _names_of(kind)})
    return object()


def _name_in(kind: type, field: str) -> str:
    return "name" if f"{kind.__name__}.{field}" in SHOWN else field


def _names_of(kind: Any) -> list[str]:
    if is_dataclass(kind):
        return [field.name for field in fields(kind) if field.init]
    return list(getattr(kind, "__struct_fields__", None) or kind._fields)


def _container(origin: Any, arguments: tuple[Any, ...], name: str) -> Any:
    if origin is type:
        return str
    if not isinstance(origin, type):  # Literal, Annotated, and their like
        return arguments[0] if not hasattr(origin, "__origin__") else made(arguments[0], name)
    if issubclass(origin, tuple) and len(arguments) > 1 and arguments[1] is not Ellipsis:
        return tuple(made(argument, name) for argument in arguments)
    if hasattr(origin, "keys"):
        value = arguments[1] if len(arguments) > 1 else int  # a Counter names its keys alone
        return {made(arguments[0], "name"): made(value, name)}
    if origin.__name__ == "Callable":
        return object
    item = made(arguments[0], name)
    return frozenset([item]) if issubclass(origin, frozenset) else (item,)


def raised(kind: type[BaseException]) -> BaseException:
    """An error, made of such values as its constructor takes; its texts are whatever was found wrong."""
    hints = get_type_hints(kind.__init__) | {"record": Record, "batch": Batch}
    given, named = list[Any](), dict[str, Any]()
    for parameter in list(signature(kind.__init__).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        value = made(hints.get(parameter.name, str), "name")
        if parameter.kind is parameter.KEYWORD_ONLY:
            named[parameter.name] = value
        else:
            given.append(value)
    return kind(*given, **named)
