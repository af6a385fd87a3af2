"""Calls to AWS for publishing and delivery, counted. Time is measured in scripts/bench, never here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from eventfabric import Fabric
from eventfabric.aws.clients import Clients
from scripts.benchmarks.deliver import LaneRun, handle_many, handle_one, writes_ratio
from scripts.benchmarks.measure import Target
from scripts.benchmarks.null_endpoint import REGION, NullEndpoint, session
from scripts.benchmarks.publish import fabric_at

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("handler", [handle_one, handle_many])
@pytest.mark.parametrize("records", [1, 7, 100])
def test_a_lane_run_costs_three_round_trips_and_one_write_however_many_events(
    records: int, handler: object
) -> None:
    run = LaneRun(records, handler)  # type: ignore[arg-type]  # of either form
    assert run.run(1) == 100 * records
    assert run.endpoint.calls == {"Query": 3, "PutItem": 1}
    # The subscription's standing is read by the first invocation, and then again every few seconds.
    run.endpoint.calls.clear()
    run.run(1)
    assert run.endpoint.calls == {"Query": 2, "PutItem": 1}


def test_a_duplicate_doorbell_costs_one_read() -> None:
    run = LaneRun(1, handle_one, delivered=True)
    run.run(1)
    run.endpoint.calls.clear()
    run.run(1)
    assert run.endpoint.calls == {"Query": 1}


def publishing() -> tuple[Fabric, NullEndpoint]:
    """A fabric with one lane, and what its calls are counted by."""
    endpoint = NullEndpoint()
    return fabric_at(endpoint, Clients(REGION, session=session()), lanes=1), endpoint


def test_the_first_append_of_a_lane_costs_two_round_trips_and_every_later_one_costs_one() -> None:
    fabric, endpoint = publishing()
    fabric.publish("orders", key="a", type="Placed")
    assert endpoint.calls == {"Query": 1, "PutItem": 1}
    for _ in range(5):
        fabric.publish("orders", key="a", type="Placed")
    assert endpoint.calls == {"Query": 1, "PutItem": 6}


def test_a_publisher_packs_five_hundred_events_into_one_round_trip() -> None:
    fabric, endpoint = publishing()
    with fabric.publisher("orders", linger_ms=60_000, events_max=500) as publisher:
        for number in range(2_000):
            publisher.publish(key=f"customer-{number}", type="Placed", data={"number": number})
    assert endpoint.calls == {"Query": 1, "PutItem": 4}


def test_the_benchmark_counts_the_same_and_says_so_to_programs() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "scripts.benchmarks", "deliver", "--quick", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(process.stdout)
    assert process.returncode == (0 if report["ok"] else 1)
    targets = {target["name"]: target for target in report["sections"][0]["targets"]}
    assert targets["AWS round trips of a lane run"]["measured"] == 3
    assert targets["ledger writes of a lane run"]["measured"] == 1


def test_a_target_is_kept_on_its_own_side_of_the_bound() -> None:
    assert Target("calls", 3, 3, "calls").is_met
    assert not Target("calls", 4, 3, "calls").is_met
    assert Target("speed", 8, 7, "times", at_least=True).is_met
    assert not Target("speed", 6, 7, "times", at_least=True).is_met


def test_a_lane_run_of_a_record_of_ten_writes_a_twentieth_of_what_an_idempotency_record_an_event_does() -> (
    None
):
    assert writes_ratio(10) == pytest.approx(1 / 20)
