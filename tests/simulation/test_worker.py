"""Workers: what they do is answered, and whoever dies or hangs of it is told, and replaced."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from eventfabric.testing.simulation.worker import Aside, LostWorkerError, Worker, doing, ends_in_order, ready

ROOT = Path(__file__).resolve().parents[2]
STARTS_SECONDS_MAX = 60.0


def process() -> int:
    return os.getpid()


def dies() -> None:
    os._exit(7)


def hangs(message: str) -> None:
    doing.set(message)
    threading.Event().wait()


def ignores_interrupts() -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def print_first_worker() -> None:
    with Aside() as aside:
        print(aside.do(ignores_interrupts, seconds_max=STARTS_SECONDS_MAX))


def test_the_first_worker_of_a_process_does_not_see_ctrl_c_either() -> None:
    """Starting the first worker also starts multiprocessing's own tracker."""
    code = "from tests.simulation.test_worker import print_first_worker; print_first_worker()"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert process.stdout == "True\n"


def says_who_it_is_and_hangs() -> None:
    print(os.getpid(), flush=True)
    threading.Event().wait()


def wait_for_one_that_hangs() -> None:
    with ends_in_order(), Aside() as aside:
        aside.do(says_who_it_is_and_hangs, seconds_max=600)


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_worker_that_hangs_ends_with_whoever_began_it(how: signal.Signals, code: int) -> None:
    """It has the same standard output, which ends once nobody has it any more."""
    run = "from tests.simulation.test_worker import wait_for_one_that_hangs; wait_for_one_that_hangs()"
    parent = subprocess.Popen([sys.executable, "-c", run], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    try:
        parent.send_signal(how)
        parent.communicate(timeout=20)
        assert parent.returncode == code
    finally:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


def test_one_thing_after_the_other_is_done_in_one_process() -> None:
    with Aside() as aside:
        processes = [aside.do(process, seconds_max=STARTS_SECONDS_MAX) for _ in range(2)]
    assert processes[0] == processes[1] != os.getpid()
    assert not multiprocessing.active_children()


def test_after_one_that_died_there_is_another() -> None:
    with Aside() as aside:
        before = aside.do(process, seconds_max=STARTS_SECONDS_MAX)
        with pytest.raises(LostWorkerError, match="exit code 7") as raised:
            aside.do(dies, seconds_max=STARTS_SECONDS_MAX)
        assert raised.value.broke == "process died"
        assert aside.do(process, seconds_max=STARTS_SECONDS_MAX) != before
    assert not multiprocessing.active_children()


def test_one_that_hangs_is_given_up_with_what_it_does() -> None:
    with Aside() as aside:
        aside.do(process, seconds_max=STARTS_SECONDS_MAX)
        with pytest.raises(LostWorkerError) as raised:
            aside.do(partial(hangs, "event e1 in hand"), seconds_max=0.5)
        assert (raised.value.broke, raised.value.why) == (
            "no end",
            "did not end within 0.5 s: event e1 in hand",
        )
    assert not multiprocessing.active_children()


def test_an_answer_that_comes_while_it_is_asked_why_it_is_late_is_an_answer() -> None:
    worker = Worker()
    try:
        worker.give(process)
        ready([worker], STARTS_SECONDS_MAX)
        assert worker.answer(0.0) != os.getpid()
    finally:
        worker.end()
