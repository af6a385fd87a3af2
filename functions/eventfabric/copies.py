"""Copies of this process: a forked child, or a snapshot that is restored more than once, as by Lambda's SnapStart.

A copy has the memory of its original, including random bytes and held locks, but only the thread that forked.
Whatever keeps random bytes, locks or threads registers here how to renew itself in a copy.
"""

import os
from collections.abc import Callable
from functools import partial
from itertools import count
from types import MethodType
from typing import Any
from weakref import ref

_Renewal = tuple["ref[Any]", Callable[[Any], None]]
"""A weak reference to the object of a bound method, and the method's function."""

_numbers = count()
_forked: dict[int, _Renewal] = {}
_copied: dict[int, _Renewal] = {}


def when_forked(renew: Callable[[], None]) -> None:
    """Call a bound method in each forked child, as long as its object lives. It must neither wait nor fail."""
    _add(_forked, renew)


def when_copied(renew: Callable[[], None]) -> None:
    """Call a bound method in each forked child and after each restore of a snapshot, as long as its object lives.

    It must neither wait nor fail.
    """
    _add(_copied, renew)


def _add(to: dict[int, _Renewal], renew: Callable[[], None]) -> None:
    assert isinstance(renew, MethodType), "what is renewed is an object"
    number = next(_numbers)
    # A plain dict by number: its methods run as a whole, whichever thread collects garbage, and hold no lock
    # over a fork. The callback is not a Python function: an exception that a signal's handler raised in it
    # would be lost, and it might run when its module is already gone.
    to[number] = (ref(renew.__self__, partial(to.pop, number)), renew.__func__)


def _renew_all(renewals: dict[int, _Renewal]) -> None:
    for owner, renew in tuple(renewals.values()):
        renewed = owner()
        if renewed is not None:
            renew(renewed)


def _in_forked_child() -> None:
    _renew_all(_copied)
    _renew_all(_forked)


def _after_restore() -> None:
    _renew_all(_copied)


def _register() -> None:
    if hasattr(os, "register_at_fork"):  # only where the system can fork
        os.register_at_fork(after_in_child=_in_forked_child)
    try:
        from snapshot_restore_py import (  # type: ignore[import-not-found]  # in runtimes of Lambda only
            register_after_restore,
        )
    except ImportError:  # not a Lambda runtime with snapshots
        return
    register_after_restore(_after_restore)


_register()
