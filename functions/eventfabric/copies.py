"""Copies of this process: a fork, and a snapshot that is restored more than once, as Lambda's SnapStart does.

A copy has the memory of its original, random bytes and held locks too, but of its threads only the one that forked.
Whatever keeps random bytes, locks or threads says here how it begins anew.
"""

import os
from collections.abc import Callable
from functools import partial
from itertools import count
from types import MethodType
from typing import Any
from weakref import ref

_Renewal = tuple["ref[Any]", Callable[[Any], None]]
"""The object of a bound method, and the method's function."""

_numbers = count()
_forked: dict[int, _Renewal] = {}
_copied: dict[int, _Renewal] = {}


def when_forked(renew: Callable[[], None]) -> None:
    """Have a bound method called in each forked child, as long as its object lives. It must neither wait nor fail."""
    _add(_forked, renew)


def when_copied(renew: Callable[[], None]) -> None:
    """Have a bound method called in each forked child, and after each restore of a snapshot; as `when_forked`."""
    _add(_copied, renew)


def _add(to: dict[int, _Renewal], renew: Callable[[], None]) -> None:
    assert isinstance(renew, MethodType), "what is renewed is an object"
    number = next(_numbers)
    # A plain dict by number: its methods run whole, whichever thread collects garbage, and hold no lock over a fork.
    # No callback in Python: an interruption that met one would be lost, and one may run when its module is gone.
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
    if hasattr(os, "register_at_fork"):  # where there are forks
        os.register_at_fork(after_in_child=_in_forked_child)
    try:
        from snapshot_restore_py import (  # type: ignore[import-not-found]  # in runtimes of Lambda only
            register_after_restore,
        )
    except ImportError:  # not in a Lambda runtime that has snapshots
        return
    register_after_restore(_after_restore)


_register()
