"""A deployed fabric: its project folder, the events published to it, and the events that its handlers noted."""

import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eventfabric.definition.file import read_definition
from eventfabric.topology import Topology
from scripts.acceptance.target import AcceptanceError, Person, Target

PROJECT = Path(__file__).parent / "project"
ROOT = Path(__file__).resolve().parents[2]
ADDED = "added.toml"


@dataclass
class DeployedFabric:
    """A fabric deployed from the project in `folder`, and the events that its handlers should have noted."""

    target: Target
    folder: Path
    name: str
    home: str
    away: str
    placed: dict[str, dict[str, list[int]]] = field(default_factory=lambda: defaultdict(dict))
    """For each Region and key, the numbers of the published events of type Placed, in order."""

    @classmethod
    def make(cls, target: Target, folder: Path, name: str, regions: tuple[str, str]) -> "DeployedFabric":
        """Write the project into a folder."""
        shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("__pycache__"))
        words = {"NAME": name, "HOME": regions[0], "AWAY": regions[1]}
        for path in [*folder.rglob("*.toml"), *folder.rglob("recorder.py")]:
            text = path.read_text()
            for word, value in words.items():
                text = text.replace(f'"{word}"', f'"{value}"')
            path.write_text(text)
        return cls(target, folder, name, *regions)

    @property
    def definition(self) -> Path:
        """Path of the fabric's definition."""
        return self.folder / "infra" / "fabric.toml"

    @property
    def topology(self) -> Topology:
        """The topology of the fabric's definition."""
        return Topology(read_definition(self.definition))

    @property
    def regions(self) -> tuple[str, str]:
        """The home Region and the other one."""
        return self.home, self.away

    def add_subscription(self) -> None:
        """Add one more subscription to the definition."""
        self.definition.write_text(self.definition.read_text() + (self.definition.parent / ADDED).read_text())

    @contextmanager
    def edited(self, edit: Callable[[str], str]) -> Iterator[None]:
        """Have the definition's file edited for a while."""
        text = self.definition.read_text()
        self.definition.write_text(edit(text))
        try:
            yield
        finally:
            self.definition.write_text(text)

    @contextmanager
    def failing(self, subscription: str) -> Iterator[None]:
        """Have the stacks of a subscription fail at their end for a while; see the project's extension."""
        marker = self.definition.with_name("fails")
        marker.write_text(subscription)
        try:
            yield
        finally:
            marker.unlink()

    def forget(self) -> None:
        """Expect no event that was published before: what noted them is gone."""
        self.placed.clear()

    def publish(
        self, publisher: Person, region: str, keys: list[str], count: int, *, type: str = "Placed"
    ) -> None:
        """Publish `count` events of each key, from a process of the publisher. Raises AcceptanceError."""
        known = self.placed[region]
        first = max((len(known.get(key, [])) for key in keys), default=0)
        command = [
            "scripts.acceptance.publish",
            str(self.definition),
            region,
            type,
            str(first),
            str(count),
            ",".join(keys),
        ]
        self.run(command, publisher)
        if type == "Placed":
            for key in keys:
                known.setdefault(key, []).extend(range(first, first + count))

    def run(self, module: list[str], person: Person, *, codes: tuple[int, ...] = (0,)) -> str:
        """Run a Python module in a process of a person, and return its standard output.

        Raises AcceptanceError if the exit code is not one of `codes`.
        """
        ran = subprocess.run(
            [sys.executable, "-m", *module],
            env=self.target.process_environment(person.credentials),
            capture_output=True,
            text=True,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=600,
        )
        if ran.returncode not in codes:
            raise AcceptanceError(
                f"{' '.join(module[:2])} as {person.name}: ended with {ran.returncode}: {ran.stderr[-1500:]}"
            )
        return ran.stdout

    def command(self, person: Person, region: str, *arguments: str, codes: tuple[int, ...] = (0,)) -> Any:
        """Run a command of `eventfabric` as a person, and return its JSON."""
        options = ["--definition", str(self.definition), "--region", region, "--json"]
        answer = self.run(["eventfabric.cli.main", *arguments, *options], person, codes=codes)
        return json.loads(answer)

    def noted(self, region: str) -> dict[str, list[Any]]:
        """Read the events that handlers noted in a Region, by subscription and key."""
        client = self.target.client("dynamodb", region)
        pages = client.get_paginator("scan").paginate(TableName=f"{self.name}-seen", ConsistentRead=True)
        return {
            item["id"]["S"]: [next(iter(value.values())) for value in item["events"]["L"]]
            for page in pages
            for item in page["Items"]
        }

    def expected(self, region: str, subscription: str) -> dict[str, list[str]]:
        """List the Placed events that a subscription should have noted: `everywhere` all, others the Region's own."""
        origins = self.regions if subscription == "everywhere" else (region,)
        return {
            f"{subscription}/{key}": [str(number) for number in numbers]
            for origin in origins
            for key, numbers in self.placed[origin].items()
        }

    def wrong(self, subscriptions: tuple[str, ...]) -> list[str]:
        """Describe each difference between the events noted and the events published, once and in order."""
        problems = []
        for region in self.regions:
            noted = self.noted(region)
            for subscription in subscriptions:
                for id, wanted in self.expected(region, subscription).items():
                    if noted.get(id, []) != wanted:
                        problems.append(f"{region} {id}: {_difference(noted.get(id, []), wanted)}")
        return problems

    def invoke(self, region: str, function: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """Invoke a deployed function and return its answer. Raises AcceptanceError if it fails."""
        client = self.target.client("lambda", region)
        answer = client.invoke(FunctionName=function, Payload=json.dumps(event).encode())
        body = answer["Payload"].read()
        if answer.get("FunctionError"):
            raise AcceptanceError(f"{function} in {region} failed: {body.decode()[:1500]}")
        result: dict[str, Any] = json.loads(body)
        return result

    def last_words(self, region: str, function: str) -> str:
        """Read the end of a function's log."""
        client = self.target.client("logs", region)
        group = f"/aws/lambda/{function}"
        streams = client.describe_log_streams(logGroupName=group)["logStreams"]
        lines = [
            (event["timestamp"], event["message"].strip())
            for stream in streams
            for event in client.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])[
                "events"
            ]
        ]
        return "\n".join(text for _, text in sorted(lines)[-20:])


def _difference(noted: list[str], wanted: list[str]) -> str:
    if sorted(set(noted)) == sorted(wanted):
        return f"found {', '.join(noted)}: " + ("some twice" if len(noted) > len(wanted) else "not in order")
    return f"{len(set(wanted) - set(noted))} of {len(wanted)} missing"


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll a condition until it is true or the time is over; returns whether it became true."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.5)
    return True
