"""`eventfabric` as a process: forked from one that has imported it, or run by an interpreter of its own."""

import atexit
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from select import select
from signal import SIGKILL
from socket import AF_UNIX, SOCK_STREAM, socketpair
from threading import Thread
from time import monotonic
from typing import IO, Final, Protocol

from tests.support.fork_server import Request, ask

ROOT: Final = Path(__file__).resolve().parents[2]
_MAIN_MODULE: Final = "eventfabric.cli.main"
_CODE: Final = "from eventfabric.cli.entry import main\nmain()"
_UNBUFFERED: Final = "PYTHONUNBUFFERED"


class Command(Protocol):
    """A process, as far as tests use it."""

    @property
    def pid(self) -> int: ...
    @property
    def stdout(self) -> IO[str] | None: ...
    @property
    def stderr(self) -> IO[str] | None: ...
    @property
    def returncode(self) -> int | None: ...
    def send_signal(self, sig: int, /) -> None: ...
    def kill(self) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def communicate(self, *, timeout: float | None = None) -> tuple[str, str]: ...


def start(
    *arguments: str,
    folder: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    interpreted: bool = False,
) -> Command:
    """Start a command in a session of its own. `interpreted`: by an interpreter of its own, which takes a second."""
    variables = dict(os.environ if environment is None else environment)
    if interpreted:
        return subprocess.Popen(
            [sys.executable, "-m", _MAIN_MODULE, *arguments],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
    request = Request(
        code=_CODE,
        arguments=arguments,
        folder=str(folder),
        environment=variables,
        main_module=_MAIN_MODULE,
    )
    return _Forked(request, stdout, stderr)


class _Forked:
    """A process that the fork server made, to be used like those of subprocess."""

    def __init__(self, request: Request, stdout: int, stderr: int) -> None:
        own = _of_interpreter(request.environment)
        if own != (server := _server()).variables:
            raise ValueError(f"the interpreter would need {own}: start the command as interpreted")
        self.returncode: int | None = None
        self._received = b""
        nothing = os.open(os.devnull, os.O_RDONLY)
        self.stdout, out = _piped(stdout)
        self.stderr, err = _piped(stderr)
        self._answers = ask(server.channel, request, [nothing, out, err])
        for file in {nothing, out, err} - {stdout, stderr}:
            os.close(file)
        self.pid = self._answer(None)

    def send_signal(self, sig: int, /) -> None:
        """Send a signal, unless the process has ended."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        if self.returncode is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        """End it at once, unless it has ended."""
        self.send_signal(SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code. TimeoutExpired."""
        if self.returncode is None:
            self.returncode = self._answer(timeout)
            self._answers.close()
        return self.returncode

    def communicate(self, *, timeout: float | None = None) -> tuple[str, str]:
        """Return all output, once nobody has its pipes any more and it has ended. TimeoutExpired."""
        until = None if timeout is None else monotonic() + timeout
        texts = {self.stdout: "", self.stderr: ""}

        def read(stream: IO[str]) -> None:
            with stream:
                texts[stream] = stream.read()

        readers = [Thread(target=read, args=(stream,), daemon=True) for stream in texts if stream]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(_left(until))
            if reader.is_alive():
                raise subprocess.TimeoutExpired("eventfabric", timeout or 0)
        self.wait(_left(until))
        return texts[self.stdout], texts[self.stderr]

    def _answer(self, timeout: float | None) -> int:
        """Return the next line of the server. TimeoutExpired."""
        while b"\n" not in self._received:
            if not select([self._answers], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("eventfabric", timeout or 0)
            received = self._answers.recv(64)
            assert received, "the fork server is gone"
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        return int(line)


def _piped(wanted: int) -> tuple[IO[str] | None, int]:
    """Return this end of a pipe and the process's, or the file that was given."""
    if wanted != subprocess.PIPE:
        return None, wanted
    read, write = os.pipe()
    return open(read, encoding="utf-8"), write


def _left(until: float | None) -> float | None:
    return None if until is None else max(0.0, until - monotonic())


class _Server:
    """The fork server of this process, until this process ends in any way."""

    def __init__(self) -> None:
        self.channel, theirs = socketpair(AF_UNIX, SOCK_STREAM)
        self.variables = _of_interpreter(os.environ)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno())],
                cwd=ROOT,
                env={name: value for name, value in os.environ.items() if name != _UNBUFFERED},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        atexit.register(self._end)

    def _end(self) -> None:
        self.channel.close()
        self._process.wait()


@cache
def _server() -> _Server:
    return _Server()


def _of_interpreter(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that an interpreter obeys as it starts, but for one that can be obeyed later."""
    return {
        name: value for name, value in variables.items() if name.startswith("PYTHON") and name != _UNBUFFERED
    }
