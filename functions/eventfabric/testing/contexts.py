"""Variables that are set for a while: of a context, and of the environment."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def setting(variable: ContextVar[T], value: T) -> Iterator[None]:
    """Set a context variable for a while."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


@contextmanager
def environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables for a while; None: absent."""
    before = variables_now(variables)
    _set(variables)
    try:
        yield
    finally:
        _set(before)


def variables_now(names: Iterable[str]) -> dict[str, str | None]:
    """Return the values of environment variables; None: absent."""
    return {name: os.environ.get(name) for name in names}


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
