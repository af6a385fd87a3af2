"""Versions of the library that take turns on the same stored state, each in a process of its own."""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pytest

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
PLAYER: Final = "tests/versions/player.py"


@dataclass(frozen=True)
class Version:
    """A version of the library with its player: a checkout's folder, and the name by which its turns are told apart."""

    name: str
    folder: Path

    def play(self, state: State, *commands: Command, seed: int) -> State:
        """Take a turn, and return what is stored after it."""
        if not self._shares_timers:
            state = {**state, "timers": {name: _of_former_queues(of) for name, of in state["timers"].items()}}
        turn = {"state": state, "commands": commands, "by": self.name, "seed": seed}
        ran = subprocess.run(
            [sys.executable, str(self.folder / PLAYER)],
            input=encoded(turn),
            env={**os.environ, "PYTHONPATH": str(self.folder / "functions")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr[-3000:]
        after: State = decoded(ran.stdout)
        assert Path(after.pop("library")) == self.folder / "functions" / "eventfabric"
        return after

    @property
    def _shares_timers(self) -> bool:
        """Tell if the subscriptions of a Region share a queue of timers, and still know the names of their own."""
        return "former_timers_name" in (self.folder / "functions/eventfabric/topology.py").read_text()


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
    for number, (version, commands) in enumerate(turns):
        state = version.play(state, *commands, seed=number)
    return state


def version_of_commit(commit: str, folder: Path) -> Version:
    """Unpack the library and the player of a commit. Skips the test if this clone does not have the commit."""
    if reason := unpack(commit, folder, "functions/eventfabric", PLAYER):
        pytest.skip(reason)
    return Version("earlier", folder)


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
