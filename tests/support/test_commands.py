"""Processes that are forked end as those of an interpreter do, and outlive nobody."""

import os
import signal
import subprocess
import sys
from select import select

import pytest

from tests.support.commands import ROOT, start

_PATIENCE_SECONDS = 20
_ABANDONS = """
import os, signal
from tests.support.commands import start
server = start("local", "up", "--port", "0", "--json", "--no-deliver")
server.stdout.readline()
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    "arguments", [("--version",), ("lanes", "nothing"), ("cost", "--json")], ids=" ".join
)
def test_a_command_ends_and_says_the_same_either_way(arguments: tuple[str, ...]) -> None:
    said = []
    for interpreted in (False, True):
        running = start(*arguments, interpreted=interpreted)
        out, err = running.communicate(timeout=60)
        said.append((running.wait(), out, err))
    assert said[0] == said[1]


def test_a_signal_is_the_code_that_a_parent_sees() -> None:
    server = start("local", "up", "--port", "0", "--json", "--no-deliver")
    assert server.stdout is not None
    assert "endpoint_url" in server.stdout.readline()
    with pytest.raises(subprocess.TimeoutExpired):
        server.wait(0.1)
    server.kill()
    assert server.communicate(timeout=60)[0] == ""
    assert server.wait() == -signal.SIGKILL


def test_nothing_outlives_the_process_that_asked() -> None:
    ended = subprocess.run([sys.executable, "-c", _ABANDONS], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert ended.returncode == -signal.SIGKILL
    try:
        server = os.pidfd_open(int(ended.stdout))
    except ProcessLookupError:
        return
    with os.fdopen(server):
        assert select([server], [], [], _PATIENCE_SECONDS)[0]
