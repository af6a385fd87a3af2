"""Owns one deployed fabric: its project folder, what was published to it, and what its handlers noted."""

import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
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
    """The project in `folder`, filled in, and what is expected of it."""

    target: Target
    folder: Path
    name: str
    home: str
    away: str
    placed: dict[str, dict[str, list[int]]] = field(default_factory=lambda: defaultdict(dict))
    """By Region and key: the numbers of the events that were published as Placed, in order."""

    @classmethod
    def make(cls, target: Target, folder: Path, name: str, regions: tuple[str, str]) -> "DeployedFabric":
        """Write the project into a folder."""
        shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("__pycache__"))
        words = {"NAME": name, "HOME": regions[0], "AWAY": regions[1]}
        for path in [*folder.rglob("fabric.toml"), *folder.rglob("recorder.py")]:
            text = path.read_text()
            for word, value in words.items():
                text = text.replace(f'"{word}"', f'"{value}"')
            path.write_text(text)
        return cls(target, folder, name, *regions)

    @property
    def definition(self) -> Path:
        """Its definition."""
        return self.folder / "infra" / "fabric.toml"

    @property
    def topology(self) -> Topology:
        """What the definition becomes."""
        return Topology(read_definition(self.definition))

    @property
    def regions(self) -> tuple[str, str]:
        """Home and the other."""
        return self.home, self.away

    def add_subscription(self) -> None:
        """One more subscription in the definition."""
        self.definition.write_text(self.definition.read_text() + (self.definition.parent / ADDED).read_text())

    def publish(
        self, publisher: Person, region: str, keys: list[str], count: int, *, type: str = "Placed"
    ) -> None:
        """From a process of the publisher: `count` events a key; AcceptanceError."""
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
        """A Python module in a process of somebody's; its standard output. AcceptanceError for another exit code."""
        ran = subprocess.run(
            [sys.executable, "-m", *module], env=self.target.process_environment(person.credentials),
            capture_output=True, text=True, cwd=ROOT, stdin=subprocess.DEVNULL, check=False, timeout=600,
        )  # fmt: skip
        if ran.returncode not in codes:
            raise AcceptanceError(
                f"{' '.join(module[:2])} as {person.name}: ended with {ran.returncode}: {ran.stderr[-1500:]}"
            )
        return ran.stdout

    def command(self, person: Person, region: str, *arguments: str, codes: tuple[int, ...] = (0,)) -> Any:
        """What the command line answers somebody, as JSON."""
        options = ["--definition", str(self.definition), "--region", region, "--json"]
        answer = self.run(["eventfabric.cli.main", *arguments, *options], person, codes=codes)
        return json.loads(answer)

    def seen(self, region: str) -> dict[str, list[Any]]:
        """What handlers noted in a Region, by subscription and key."""
        client = self.target.client("dynamodb", region)
        pages = client.get_paginator("scan").paginate(TableName=f"{self.name}-seen", ConsistentRead=True)
        return {
            item["id"]["S"]: [next(iter(one.values())) for one in item["events"]["L"]]
            for page in pages
            for item in page["Items"]
        }

    def expected(self, region: str, subscription: str) -> dict[str, list[str]]:
        """What a subscription should have noted of Placed events: `everywhere` all, others those of the Region."""
        origins = self.regions if subscription == "everywhere" else (region,)
        return {
            f"{subscription}/{key}": [str(number) for number in numbers]
            for origin in origins
            for key, numbers in self.placed[origin].items()
        }

    def wrong(self, subscriptions: tuple[str, ...]) -> list[str]:
        """Where what was noted is not what was published, once and in order."""
        problems = []
        for region in self.regions:
            seen = self.seen(region)
            for subscription in subscriptions:
                for id, wanted in self.expected(region, subscription).items():
                    if seen.get(id, []) != wanted:
                        problems.append(f"{region} {id}: {_difference(seen.get(id, []), wanted)}")
        return problems

    def invoke(self, region: str, function: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """A deployed function's answer; AcceptanceError where it fails."""
        client = self.target.client("lambda", region)
        answer = client.invoke(FunctionName=function, Payload=json.dumps(event).encode())
        body = answer["Payload"].read()
        if answer.get("FunctionError"):
            raise AcceptanceError(f"{function} in {region} failed: {body.decode()[:1500]}")
        found: dict[str, Any] = json.loads(body)
        return found

    def last_words(self, region: str, function: str) -> str:
        """The end of a function's log."""
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


def _difference(found: list[str], wanted: list[str]) -> str:
    if sorted(set(found)) == sorted(wanted):
        return f"found {', '.join(found)}: " + ("some twice" if len(found) > len(wanted) else "not in order")
    return f"{len(set(wanted) - set(found))} of {len(wanted)} missing"


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition comes true in time; asked again and again, as there is nothing that would tell."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.5)
    return True
