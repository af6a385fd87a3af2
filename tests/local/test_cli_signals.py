"""Signals that end a command: child processes end with it, and nothing temporary is left."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eventfabric.cli.exit_codes import INTERRUPTED

COMMAND = """
import signal, subprocess, sys, tempfile
from eventfabric.cli import main

@main.app.command()
def work() -> None:
    with tempfile.TemporaryDirectory(dir="."):
        subprocess.run([sys.executable, "-c", "import signal; print('begun', flush=True); signal.pause()"])

sys.argv = ["eventfabric", "work"]
main.main()
"""


def start(folder: Path, *, before: str = "") -> "subprocess.Popen[str]":
    """Start a command that waits for a child process beside a temporary folder, and wait until both are there."""
    process = subprocess.Popen(
        [sys.executable, "-c", before + COMMAND],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a signal reaches this process alone, as those of a process manager do
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    assert len(list(folder.iterdir())) == 1
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_child_processes_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    # As the CDK's library does, whose child process has ended by then.
    process = start(tmp_path, before="import atexit; atexit.register(lambda: [][0])")
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)  # returns once nobody holds the child's output open
    assert (process.returncode, errors) == (INTERRUPTED, "")
    assert list(tmp_path.iterdir()) == []


def test_a_signal_that_is_ignored_as_nohup_does_stays_ignored(tmp_path: Path) -> None:
    process = start(tmp_path, before="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED
