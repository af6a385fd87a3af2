"""Versions of the library that take turns on the same stored state, each in a process of its own."""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest

from eventfabric.formats import OWN_FORMATS, Formats
from eventfabric.version import VERSION
from scripts.install import ROOT
from tests.versions.player import Command, State, decoded, encoded

DEFINITION: Final = """
[fabric]
name = "shop"
regions = ["us-east-1", "eu-west-1"]
[streams.orders]
lanes = 2
[subscriptions.billing]
stream = "orders"
handler = "subscribers.billing:charge"
guarantee = "exactly_once"
[subscriptions.billing.retry]
attempts = 4
[subscriptions.audit]
stream = "orders"
handler = "subscribers.audit:note"
deliver = "everywhere"
"""
LATER_VERSION: Final = "9.0.0"
PLAYER: Final = "tests/versions/player.py"
_HOST: Final = Path(__file__).with_name("player_host.py")


@dataclass(frozen=True)
class Version:
    """A version of the library with its player: a checkout's folder, and the name by which its turns are told apart."""

    name: str
    folder: Path

    @contextmanager
    def hosted(self) -> Iterator["Host"]:
        """Start a process that its turns are copies of, until the block ends."""
        with (
            TemporaryDirectory() as folder,
            subprocess.Popen(
                [sys.executable, str(_HOST), str(self.folder / PLAYER)],
                env={**os.environ, "PYTHONPATH": str(self.folder / "functions")},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as process,
        ):
            yield Host(self, process, Path(folder))

    @property
    def declares(self) -> bool:
        """Tell if it knows that deployments are declared."""
        return (self.folder / "functions/eventfabric/formats.py").exists()

    @property
    def shares_timers(self) -> bool:
        """Tell if the subscriptions of a Region share a queue of timers, and still know the names of their own."""
        return any(
            "former_timers_name" in file.read_text()
            for file in self.folder.glob("functions/eventfabric/*topology.py")
        )


@dataclass(frozen=True)
class Host:
    """A process of a version, and the folder of its turns' input and output."""

    version: Version
    process: "subprocess.Popen[str]"
    folder: Path

    def play(self, state: State, *commands: Command, seed: int) -> State:
        """Take a turn in a process of its own, and return what is stored after it."""
        if not self.version.shares_timers:
            state = {**state, "timers": {name: _of_former_queues(of) for name, of in state["timers"].items()}}
        files = [self.folder / f"{seed}.{name}" for name in ("in", "out", "err")]
        turn = {"state": state, "commands": commands, "by": self.version.name, "seed": seed}
        files[0].write_text(encoded(turn))
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(list(map(str, files))), file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "0\n", files[2].read_text()[-3000:]
        after: State = decoded(files[1].read_text())
        assert Path(after.pop("library")) == self.version.folder / "functions" / "eventfabric"
        return after


def _of_former_queues(timers: dict[str, Any]) -> dict[str, Any]:
    """Return the timers of a Region in a queue for each subscription.

    A way back deletes the queue of all, and reconciliation rings for keys that are due: to a player that is the same.
    """
    former: dict[str, Any] = {}
    for queue, delayed in timers.items():
        for body, due_ms in delayed:
            owner = json.loads(body).get("subscription")
            former.setdefault(f"shop-{owner}-timers" if owner else queue, []).append([body, due_ms])
    return former


THIS: Final = Version("this", ROOT)


def beginning() -> State:
    """Make the state of a fabric in which nothing has happened."""
    nothing: dict[str, Any] = {"tables": {}, "queues": {}, "timers": {}, "handled": [], "reports": []}
    return {"definition": DEFINITION, "now_ms": 1_790_000_000_000, **nothing}


def play(turns: Sequence[tuple[Version, Sequence[Command]]]) -> State:
    """Let versions take turns from the beginning, and return the state at the end."""
    state = beginning()
    with ExitStack() as stack:
        versions = dict.fromkeys(version for version, _ in turns)
        hosts = {version: stack.enter_context(version.hosted()) for version in versions}
        for number, (version, commands) in enumerate(turns):
            state = hosts[version].play(state, *commands, seed=number)
    return state


def version_of_commit(commit: str, folder: Path) -> Version:
    """Unpack the library and the player of a commit. Skips the test if this clone does not have the commit."""
    if reason := unpack(commit, folder, "functions/eventfabric", PLAYER):
        pytest.skip(reason)
    return Version("earlier", folder)


def later_version(name: str, formats: Formats, folder: Path) -> Version:
    """Make a version that comes later, and knows these formats, out of this one's files."""
    for part in ("functions/eventfabric", "tests/versions"):
        copytree(ROOT / part, folder / part, ignore=ignore_patterns("__pycache__"))
    for name, before, after in (
        ("formats.py", repr(OWN_FORMATS), repr(formats)),
        ("version.py", f'"{VERSION}"', f'"{LATER_VERSION}"'),
    ):
        file = folder / "functions/eventfabric" / name
        text = file.read_text()
        assert text.count(before) == 1, name
        file.write_text(text.replace(before, after))
    return Version(name, folder)


def unpack(commit: str, folder: Path, *paths: str) -> str:
    """Unpack a commit, or some paths of it, into a folder. Returns why it cannot be done, or an empty text."""
    command = ["git", "archive", "--format=tar", commit, *paths]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if ran.returncode != 0:
        reason = ran.stderr.decode().strip().splitlines()[-1]
        return f"commit {commit} is not in this clone ({reason}): fetch the whole history to run it"
    with tarfile.open(fileobj=BytesIO(ran.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return ""
