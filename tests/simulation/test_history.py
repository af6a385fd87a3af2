"""One seed, one history: byte for byte, twice, in a file, and in a process that hashes otherwise."""

import os
import subprocess
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from eventfabric.testing.simulation.history import History
from tests.simulation.profiles import PROFILES
from tests.simulation.trials import tried

ROOT = Path(__file__).resolve().parents[2]
SEEDS = range(12)
DIGESTS = """
from tests.simulation.test_history import SEEDS, digest
print(*[digest(seed) for seed in SEEDS])
"""


@cache
def digest(seed: int) -> str:
    """Return the digest of a seed's history; each seed uses another profile."""
    names = list(PROFILES)
    return sha256(tried(PROFILES[names[seed % len(names)]].plan(seed))[1].encode()).hexdigest()


@pytest.mark.parametrize("name", PROFILES)
def test_one_plan_twice_gives_the_same_bytes_which_are_read_as_they_were_written(name: str) -> None:
    plan = PROFILES[name].plan(3)
    _, first = tried(plan)
    _, second = tried(plan)
    assert first.encode() == second.encode()
    assert PROFILES[name].plan(3) == plan
    again = History.decode(first.encode())
    assert again == first
    assert again.encode() == first.encode()


@pytest.mark.parametrize("hash_seed", ["1", "20000"])
def test_a_fresh_process_that_hashes_otherwise_gives_the_same_bytes(hash_seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    result = subprocess.run(
        [sys.executable, "-c", DIGESTS], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    assert result.stdout.split() == [digest(seed) for seed in SEEDS]


@pytest.mark.parametrize("text", [b"{}", b'{"seed": 1', b"[]\n[]"])
def test_anything_else_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        History.decode(text)


def test_another_seed_gives_another_history() -> None:
    assert len({digest(seed) for seed in SEEDS}) == len(SEEDS)
