"""Settings of all tests, and what a process of tests does once instead of for each test."""

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator

import botocore.session
import pytest
from hypothesis import HealthCheck, settings

from eventfabric.testing.local.sessions import shared_loader

# Hypothesis has no deadline, since other tests run beside it.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

# Commands and fabrics make sessions of boto3 by the hundred, and each would read the same models from files. This is
# where a session looks the function up.
botocore.session.create_loader = shared_loader

# The CDK's rules for CloudFormation only warn, and take more than half the time of a synthesis. The templates that
# tests/infra shares are held to them; other syntheses go without.
os.environ["CDK_VALIDATION"] = "false"

_ALLOCATIONS_BETWEEN_COLLECTIONS = 20_000


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Spare the garbage collector what lives as long as the process: all modules, and the tests themselves."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_BETWEEN_COLLECTIONS)


@pytest.fixture(scope="session", autouse=True)
def signals_of_a_terminal() -> Iterator[None]:
    """Stop ignoring the signals that a shell ignores for what runs in the background: tests' processes inherit that."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    if before[signal.SIGINT] is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if before[signal.SIGHUP] is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """Fail a test that leaves the process other than it was, since any test may run after it."""
    before = _process_now()
    yield
    after = _process_now()
    changed = {name for name, _ in before.items() ^ after.items()}
    assert {name: (before.get(name), after.get(name)) for name in changed} == {}


def _process_now() -> dict[str, object]:
    """Return what tests share: environment, folder, where modules are found, and what is called when something happens.

    Without the variables of pytest, and of the CDK, for which Node is chosen once in a process.
    """
    variables = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTEST_CURRENT_TEST" and not name.startswith("JSII_")
    }
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGCHLD)
    return {
        **variables,
        **{number.name: signal.getsignal(number) for number in signals},
        "folder": os.getcwd(),
        "path": tuple(sys.path),
        "hooks": (sys.unraisablehook, threading.excepthook),
        "tracing": (sys.gettrace(), sys.getprofile()),
    }
