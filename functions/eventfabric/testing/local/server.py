"""The local fabric as a server: moto's server mode on loopback, with the fabric's functions running behind it."""

import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from errno import EADDRINUSE
from os import PathLike
from socket import AF_INET, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket
from threading import Event

from botocore.exceptions import BotoCoreError, ClientError
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.server import ThreadedMotoServer
from werkzeug.serving import make_server

from eventfabric.errors import EventFabricError, PortError
from eventfabric.testing.local import moto_fixes
from eventfabric.testing.local.clock import RunningClock, seconds_of
from eventfabric.testing.local.fabric import LocalFabric
from eventfabric.testing.local.loopback import Loopback

_log = logging.getLogger("eventfabric")
_HOST = "127.0.0.1"
_IDLE_SECONDS = 0.1
_END_CHECK_SECONDS = 0.05
"""Interval at which the server looks if it is to end."""


class PortInUseError(EventFabricError):
    """The port is taken by another program."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} of {_HOST} is in use; choose another with --port, or 0 for any")


def serve(
    definition: str | PathLike[str],
    *,
    port: int = 0,
    setup: Callable[[LocalFabric], None] | None = None,
    on_ready: Callable[[str, LocalFabric], None] | None = None,
    stop: Event | None = None,
    delivers: bool = True,
) -> None:
    """Serve a fabric until `stop` is set or KeyboardInterrupt. `on_ready` gets the endpoint URL and the fabric.

    Args:
        definition: path of the definition file.
        port: on loopback; 0 takes a free one.
        setup: creates whatever else the handlers need, such as their own tables.
        on_ready: called once the tables and queues exist.
        stop: set it to end.
        delivers: run the functions, whose warnings go to standard error; if False, tables and queues only fill up.

    Raises:
        PortInUseError: nothing was started.
    """
    stop = stop or Event()
    clock = RunningClock()
    _check_free(port)
    with ExitStack() as stack:
        stack.enter_context(moto_fixes.applied(now=lambda: seconds_of(clock)))
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = _Server(ip_address=_HOST, port=port, verbose=False)
        server.start()
        stack.callback(server.stop)
        endpoint_url = "http://{}:{}".format(*server.get_host_and_port())
        fabric = stack.enter_context(
            LocalFabric(definition, clock=clock, endpoint_url=endpoint_url, log=sys.stderr)
        )
        if setup:
            setup(fabric)
        if on_ready:
            on_ready(endpoint_url, fabric)
        try:
            while not stop.is_set():
                if not (delivers and _step(fabric)):
                    stop.wait(_IDLE_SECONDS)
        except KeyboardInterrupt:
            return


def _step(fabric: LocalFabric) -> bool:
    """Make a step. If one of its own calls fails, go on: otherwise the server would end, and lose all its data."""
    try:
        return fabric.step()
    except (BotoCoreError, ClientError, PortError) as error:
        _log.warning("the local fabric goes on after a call of its own that failed: %s", error)
        return False


class _Server(ThreadedMotoServer):
    """Moto's server, restricted to programs on this machine."""

    def _server_entry(self) -> None:
        app = Loopback(DomainDispatcherApplication(create_backend_app))
        self._server = make_server(
            self._ip_address, self._port, app, threaded=True, request_handler=MotoRequestHandler
        )
        self._server_ready_event.set()
        self._server.serve_forever(poll_interval=_END_CHECK_SECONDS)


def _check_free(port: int) -> None:
    """Check that the port is free, since moto's server would wait forever for a port that is taken."""
    with closing(socket(AF_INET, SOCK_STREAM)) as probe:
        if port and probe.connect_ex((_HOST, port)) == 0:
            raise PortInUseError(port)
    with closing(socket(AF_INET, SOCK_STREAM)) as probe:
        probe.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)  # as the server does: a port in TIME_WAIT is free
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            if error.errno != EADDRINUSE:
                raise
            raise PortInUseError(port) from error
