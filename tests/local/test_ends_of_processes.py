"""Processes that fork, and processes that end, against a server on loopback: nothing acknowledged is lost or silent."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from socket import create_server
from time import monotonic
from typing import Any

import boto3
import pytest

from eventfabric import Fabric, limits
from eventfabric.aws.clients import Clients
from eventfabric.aws.region import aws_ports
from eventfabric.definition.file import parse_definition
from eventfabric.model import Lane, SequenceNumber, StreamName
from eventfabric.topology import Topology
from eventfabric.wire.payload_codec import unpack
from tests.support.command_line import local_up

US = "us-east-1"
DEFINITION = f'[fabric]\nname = "shop"\nregions = ["{US}"]\n[streams.orders]\nlanes = 4\n'
TOPOLOGY = Topology(parse_definition(DEFINITION))
CHILDREN, EACH = 4, 30


def fabric_of(folder: Path, url: str) -> Fabric:
    session = boto3.Session("local", "local", region_name=US)
    return Fabric.from_definition(folder / "fabric.toml", region=US, session=session, endpoint_url=url)


def ids(url: str) -> list[str]:
    ports = aws_ports(TOPOLOGY, Clients(US, session=boto3.Session("local", "local"), endpoint_url=url))
    log = ports.log_of(TOPOLOGY.stream(StreamName("orders")))
    event_ids: list[str] = []
    for index in range(4):
        records = log.read(Lane.parse(f"{US}/0.{index}"), SequenceNumber(0), records_max=100).records
        event_ids += [str(event.id) for record in records for event in unpack(record)]
    return event_ids


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "fabric.toml").write_text(DEFINITION, encoding="utf-8")
    with local_up(tmp_path, "--no-deliver", "--definition", str(tmp_path / "fabric.toml")) as url:
        yield url


@pytest.fixture
def dead_url(tmp_path: Path) -> Iterator[str]:
    """The address of what takes connections, and never says a word."""
    (tmp_path / "fabric.toml").write_text(DEFINITION, encoding="utf-8")
    with create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def publish_some(fabric: Fabric) -> list[str]:
    return [
        fabric.publish("orders", key=f"k{number % 5}", type="Placed", data={"n": number}).event_id
        for number in range(EACH)
    ]


def test_what_forked_children_of_a_publishing_process_are_acknowledged_is_in_the_log(
    tmp_path: Path, url: str
) -> None:
    fabric = fabric_of(tmp_path, url)
    acknowledged = [fabric.publish("orders", key="k0", type="Placed").event_id]
    pipes = []
    for _ in range(CHILDREN):
        reader, writer = os.pipe()
        if not os.fork():
            try:
                os.write(writer, " ".join(publish_some(fabric)).encode())
            finally:
                os._exit(0)
        os.close(writer)
        pipes.append(os.fdopen(reader))
    acknowledged += publish_some(fabric)
    for pipe in pipes:
        with pipe:
            acknowledged += pipe.read().split()
        os.wait()
    assert len(acknowledged) == 1 + (CHILDREN + 1) * EACH
    assert sorted(ids(url)) == sorted(acknowledged)


def _leaves_a_publisher_open(folder: Path, url: str) -> None:
    publisher = fabric_of(folder, url).publisher("orders", linger_ms=60_000)
    for number in range(EACH):
        publisher.publish(key=f"k{number % 5}", type="Placed")
    globals()["kept"] = publisher


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_of_a_pool_that_never_closes_its_publisher_loses_nothing(
    tmp_path: Path, url: str, method: str
) -> None:
    child: Any = multiprocessing.get_context(method).Process(  # type: ignore[attr-defined]  # any method
        target=_leaves_a_publisher_open, args=(tmp_path, url)
    )
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert len(ids(url)) == EACH


def script(body: str, folder: Path, url: str, *, knows_its_streams: bool = False) -> "subprocess.Popen[str]":
    """Start a script. `knows_its_streams`: it read what is declared before the endpoint died."""
    head = (
        "import sys, boto3\nfrom eventfabric import Fabric\n"
        f"fabric = Fabric.from_definition({str(folder / 'fabric.toml')!r}, region={US!r}, "
        f"session=boto3.Session('local', 'local'), endpoint_url={url!r})\n"
    )
    if knows_its_streams:
        head += (
            "from eventfabric.settings import definition_at\nfrom eventfabric.topology import Topology\n"
            f"fabric._streams = Topology(definition_at({str(folder / 'fabric.toml')!r}))\n"
        )
    return subprocess.Popen(
        [sys.executable, "-c", head + body], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


PUBLISHES = 'for n in range(200): publisher.publish(key=f"k{n}", type="Placed")\nprint("ready", flush=True)\n'


def test_a_script_that_never_closes_its_publisher_loses_nothing_and_says_nothing(
    tmp_path: Path, url: str
) -> None:
    with script(
        f'publisher = fabric.publisher("orders", linger_ms=60_000)\n{PUBLISHES}', tmp_path, url
    ) as process:
        _, output = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "")
    assert len(ids(url)) == 200


def test_behind_a_dead_endpoint_a_script_ends_soon_and_says_how_many_events_are_lost(
    tmp_path: Path, dead_url: str
) -> None:
    body = f'publisher = fabric.publisher("orders")\n{PUBLISHES}'
    with script(body, tmp_path, dead_url, knows_its_streams=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        began = monotonic()
        _, output = process.communicate(timeout=60)
    assert monotonic() - began < limits.EXIT_FLUSH_SECONDS + 10
    assert output.count("\n") == 1
    assert "200 events were not published" in output


@pytest.mark.parametrize(
    "body",
    [
        f'with fabric.publisher("orders") as publisher:\n    {PUBLISHES.replace(chr(10), chr(10) + "    ")}\n',
        'print("ready", flush=True)\nfabric.publish("orders", key="k", type="Placed")\n',
        "import asyncio\nfrom eventfabric import AsyncFabric\n"
        'async def main():\n    async with AsyncFabric(fabric) as shop:\n        print("ready", flush=True)\n'
        '        await asyncio.gather(*(shop.publish("orders", key=f"k{n}", type="P") for n in range(200)))\n'
        "asyncio.run(main())\n",
    ],
    ids=["publisher", "publish", "asyncio"],
)
def test_an_interruption_ends_a_script_within_seconds_though_the_endpoint_is_dead(
    tmp_path: Path, dead_url: str, body: str
) -> None:
    with script(body, tmp_path, dead_url, knows_its_streams=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        began = monotonic()
        process.communicate(timeout=60)
    assert monotonic() - began < limits.EXIT_FLUSH_SECONDS + 10
    assert process.returncode != 0
