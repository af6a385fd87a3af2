"""Remembers what moto works out anew for every request, although it never changes: a third of a request's time.

That is: which service answers at a URL, which methods a class has, and under which names a dictionary may hold a member
of an answer.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import cache
from typing import Any, Final

from moto import backend_index
from moto.core import responses
from moto.core.base_backend import BaseBackend
from moto.core.serialize import AttributePickerContext, ResponseSerializer, XFormedAttributePicker

from eventfabric.testing.local.moto_fixes.patching import replace

USED: Final = ("dynamodb", "dynamodbstreams", "sqs")
"""The services that a fabric calls, looked at before the two hundred others."""

_NAMES: Final = "eventfabric_names"
"""Where a shape keeps the names of its own: shapes live as long as moto's models."""


def install(patches: ExitStack) -> None:
    """Patch moto's look-ups; what they return stays the same."""
    patterns = list(backend_index.backend_url_patterns)
    replace(
        patches,
        backend_index,
        "backend_url_patterns",
        sorted(patterns, key=lambda entry: entry[0] not in USED),
    )
    for name in ("camelcase_to_underscores", "method_names_from_class"):
        replace(patches, responses, name, cache(vars(responses)[name]))
    plain_urls = vars(BaseBackend)["urls"]
    replace(patches, BaseBackend, "urls", property(_once("eventfabric_urls", plain_urls.fget)))
    plain_get_value = vars(ResponseSerializer)["get_value"]

    def get_value(self: ResponseSerializer, value: Any, key: str, shape: Any) -> Any:
        picker = self._value_picker
        if (
            type(value) is not dict
            or type(picker) is not XFormedAttributePicker
            or picker.response_transformers
        ):
            return plain_get_value(self, value, key, shape)
        for name in names_in_a_dictionary(picker, key, shape):
            if name in value:
                return value[name]
        return None

    replace(patches, ResponseSerializer, "get_value", get_value)


def names_in_a_dictionary(picker: XFormedAttributePicker, key: str, shape: Any) -> Iterable[str]:
    """Return the names under which a dictionary may hold a member, in the order in which moto tries them."""
    known: dict[str, tuple[str, ...]] = shape.__dict__.setdefault(_NAMES, {})
    if key not in known:
        known[key] = tuple(dict.fromkeys(picker.get_possible_keys(AttributePickerContext({}, key, shape))))
    return known[key]


def _once(name: str, work_out: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that keeps the answer for an object in an attribute of the object."""

    def remembered(owner: Any) -> Any:
        if name not in owner.__dict__:
            owner.__dict__[name] = work_out(owner)
        return owner.__dict__[name]

    return remembered
