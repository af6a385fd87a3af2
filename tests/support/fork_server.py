"""A process that has imported the command line and moto, and from which others are forked, as good as started anew.

    whoever asks ── what to run, its files ──> server ── fork ──> the process, which runs it as its main module
                 <── its id, then its exit code ──

The server has done nothing but import: it has no threads, no connections, and no state of anyone's. A process that is
forked has a session, folder, environment and files of its own, and ends as any interpreter ends. When whoever asks is
gone, all of them are killed.
"""

import ctypes
import gc
import json
import multiprocessing.util
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from io import TextIOWrapper
from select import select
from socket import AF_UNIX, SOCK_STREAM, recv_fds, send_fds, socket, socketpair
from threading import active_count
from typing import Any, Final, NoReturn

import botocore.session

from eventfabric.testing.local.sessions import shared_loader

_FILES_MAX: Final = 64
_PARKING: Final = 512
"""Files on their way to their places have numbers from here on."""
_PR_SET_CHILD_SUBREAPER: Final = 36
_READ_MODELS: Final = ("dynamodb", "dynamodbstreams", "sqs")


@dataclass(frozen=True)
class Request:
    """A process to be.

    Args:
        code: what it runs.
        main_module: the module that it claims to run, which all that it starts by multiprocessing import as well.
        arguments: those of sys.argv behind the module's own name.
        folder: it runs there.
        environment: all of it.
        files: numbers that the files which come along are to have.
        is_worker: it was started by multiprocessing, and belongs to the session of whoever asks.
        blocked: signals that it does not get.
    """

    code: str
    main_module: str
    arguments: Sequence[str]
    folder: str
    environment: dict[str, str]
    files: Sequence[int] = (0, 1, 2)
    is_worker: bool = False
    blocked: Sequence[int] = ()


def ask(server: socket, request: Request, files: Sequence[int]) -> socket:
    """Ask for a process. Return the socket on which its id comes as a line, and then its exit code."""
    ours, theirs = socketpair(AF_UNIX, SOCK_STREAM)
    with theirs:
        send_fds(server, [b"?"], [theirs.fileno(), *files])
    ours.sendall(json.dumps(asdict(request)).encode() + b"\n")
    return ours


def serve(server: socket) -> Request:
    """Fork processes until nobody asks any more. Return only in each of them, with what it is to run.

    A worker becomes the child of whoever asked, which waits for it itself.
    """
    woken, waker = socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, socket] = {}
    while True:
        ready, _, _ = select([server, woken], [], [])
        if woken in ready:
            woken.recv(4096)
            _report_ended(running)
        if server not in ready:
            continue
        asked, files, _, _ = recv_fds(server, 1, _FILES_MAX)
        if not asked:
            _end(running)
        answers = socket(fileno=files.pop(0))
        with answers.makefile("rb") as lines:
            line = lines.readline()
        if not line:  # whoever asked was ended meanwhile
            _end(running)
        request = Request(**json.loads(line))
        assert active_count() == 1, "a process that has threads cannot be forked safely"
        child = os.fork()
        if not child:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if request.is_worker and (worker := os.fork()):
                answers.sendall(f"{worker}\n".encode())
                os._exit(0)
            for inherited in (woken, waker, server, answers, *running.values()):
                inherited.close()
            _take_places(files, request.files)
            return request
        for file in files:
            os.close(file)
        if request.is_worker:
            os.waitpid(child, 0)
            answers.close()
        else:
            running[child] = answers
            with suppress(ConnectionError):
                answers.sendall(f"{child}\n".encode())


def _report_ended(running: dict[int, socket]) -> None:
    for child in list(running):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            with running.pop(child) as answers, suppress(ConnectionError):
                answers.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _end(running: dict[int, socket]) -> NoReturn:
    for child in running:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    os._exit(0)


def _take_places(files: Sequence[int], places: Sequence[int]) -> None:
    """Give files their numbers, of which this process uses 0, 1 and 2 at most."""
    for number, file in enumerate(files):
        os.dup2(file, _PARKING + number)
        os.close(file)
    for number, place in enumerate(places):
        os.dup2(_PARKING + number, place)
        os.close(_PARKING + number)


def become(request: Request) -> str:
    """Make this process what a new interpreter would be that is to run this. Return the code to run."""
    from moto.moto_api._internal import mock_random

    if not request.is_worker:
        os.setsid()
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, {*request.blocked})
    mock_random.seed()  # the random module itself is seeded anew by each fork
    sys.path[0] = request.folder
    spec, main_module = find_spec(request.main_module), sys.modules["__main__"]
    assert spec is not None
    main_module.__spec__, main_module.__package__, main_module.__file__ = spec, spec.parent, spec.origin
    sys.argv[:] = [spec.origin or "", *request.arguments]
    _open_streams()
    return request.code if request.is_worker else _forking_workers(request)


def _open_streams() -> None:
    """Open the standard streams anew: how they behave depends on the files that they are of."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        before: TextIOWrapper = getattr(sys, name)
        file = open(number, "wb" if number else "rb", closefd=False)  # noqa: SIM115  # as long as the process
        stream = TextIOWrapper(
            file,
            encoding=before.encoding,
            errors=before.errors,
            newline="\n" if number else None,
            line_buffering=name == "stderr" or file.isatty(),
            write_through=bool(number and os.environ.get("PYTHONUNBUFFERED")),
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _forking_workers(request: Request) -> str:
    """Have what this process starts by multiprocessing forked from a copy of it, made before it runs anything.

    Only Linux lets it be the parent of what its copy forks; elsewhere they are started as ever.
    """
    if sys.platform != "linux":
        return request.code
    ours, theirs = socketpair(AF_UNIX, SOCK_STREAM)
    if not os.fork():
        ours.close()
        with open(os.devnull, "r+b") as nothing:
            for number in (0, 1, 2):
                os.dup2(nothing.fileno(), number)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return become(serve(theirs))
    theirs.close()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    plain = multiprocessing.util.spawnv_passfds  # by which it starts all of its processes

    def start(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
        if args[-1] != "--multiprocessing-fork":
            return plain(path, args, passfds)
        places = [0, 1, 2, *sorted({*passfds})]
        worker = Request(
            code=args[-2],
            arguments=[args[-1]],
            folder=os.getcwd(),
            environment=dict(os.environ),
            files=places,
            main_module=request.main_module,
            is_worker=True,
            blocked=[*signal.pthread_sigmask(signal.SIG_BLOCK, ())],
        )
        with ask(ours, worker, places) as answers, answers.makefile("rb") as lines:
            return int(lines.read())  # to its end: from then on it is a child of this process

    multiprocessing.util.spawnv_passfds = start
    return request.code


def _import_all() -> None:
    """Import what commands import once they run, and read the models of the services that they call."""
    import moto.dynamodb.models
    import moto.dynamodbstreams.models
    import moto.sqs.models  # noqa: F401

    import eventfabric.cli.main
    import eventfabric.testing.idempotency.hunting
    import eventfabric.testing.local.server  # noqa: F401

    botocore.session.create_loader = shared_loader
    loader = shared_loader(botocore.session.Session().get_config_variable("data_path"))
    for service in _READ_MODELS:
        loader.load_service_model(service, "service-2")


if __name__ == "__main__":
    _import_all()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    exec(become(serve(socket(fileno=int(sys.argv[1])))), vars(sys.modules["__main__"]))
