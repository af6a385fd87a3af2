"""`eventfabric lanes split`, and what other commands show of such a lane, on a fabric that runs as a server."""

import pytest

from eventfabric.formats import Formats
from tests.local.test_lanes_cli import log_of, publish, server
from tests.support.command_line import CommandLine

__all__ = ["server"]
LANE = "us-east-1/0.0"
CHILDREN = ["us-east-1/1.0", "us-east-1/1.1"]


@pytest.fixture
def required(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the stream count as one that requires the format of seals."""
    monkeypatch.setattr("eventfabric.services.operations.split.WITH_SEALS", Formats())


def test_a_stream_that_does_not_require_seals_is_left_alone(
    cli: CommandLine, server: tuple[str, ...]
) -> None:
    publish(server, "1")
    for more in (("--dry-run",), ("--yes",)):
        assert "formats raise orders --reads 2" in cli.refused(
            "lanes", "split", "orders", LANE, *more, *server, code=1
        )
    log, lane = log_of(server)
    assert not log.tail(lane).is_sealed


@pytest.mark.usefixtures("required")
def test_a_lane_is_split_once_that_is_confirmed(cli: CommandLine, server: tuple[str, ...]) -> None:
    publish(server, "1", "2")
    split = ("lanes", "split", "orders", LANE)
    would = cli.run(*split, "--dry-run", "--json", *server).json
    assert (would["split"], would["helps"], would["events_per_record"]) == (False, False, 1.0)
    assert [child["lane"] for child in would["children"]] == CHILDREN
    assert "helps little" in cli.run(*split, "--dry-run", *server).out
    assert "--json needs --dry-run or --yes" in cli.refused(*split, "--json", *server, code=2)
    log, lane = log_of(server)
    assert not log.tail(lane).is_sealed

    done = cli.run(*split, "--reason", "hot", "--yes", "--json", *server)
    assert (done.code, done.json["split"]) == (0, True)
    assert log.tail(lane).is_sealed
    assert f"split already, into {' and '.join(CHILDREN)}" in cli.refused(*split, "--yes", *server, code=1)
    (noted,) = cli.run("lanes", "mended", "orders", "--json", *server).json["mended"]
    assert (noted["place"], noted["what"]) == (f"{LANE}@2", "split")
    assert noted["why"] == f"into {' and '.join(CHILDREN)}; hot"


@pytest.mark.usefixtures("required")
def test_events_of_its_children_are_found_and_counted(cli: CommandLine, server: tuple[str, ...]) -> None:
    publish(server, "1")
    assert cli.run("lanes", "split", "orders", LANE, "--yes", *server).code == 0
    assert publish(server, "2", "3") == [2, 3]
    lanes = {own["lane"]: own["lag"] for own in cli.run("lanes", "--json", *server).json["lanes"]}
    assert lanes[LANE] == 2
    assert sorted(lanes[child] for child in CHILDREN) == [0, 2]
    shown = cli.run("show", "3", "--stream", "orders", "--json", *server).json
    assert (shown["lane"] in CHILDREN, shown["sequence"]) == (True, 3)
    place = f"{shown['lane']}@3"
    assert cli.run("show", place, "--stream", "orders", "--json", *server).json["lane"] == shown["lane"]
    assert cli.run("reconcile", "--json", *server).json["findings"] == []
