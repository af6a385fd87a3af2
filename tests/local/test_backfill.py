"""Backfill on the local fabric: real adapters, real relay and deliveries, replication that lost something."""

from typing import Any

import pytest

from eventfabric.errors import BackfillError, OutcomeUnknownError
from eventfabric.model.backfill import BackfillState
from eventfabric.sdk.backfill import run_backfill
from eventfabric.testing.local.fabric import LocalFabric
from tests.local.test_local_fabric import EU, US, definition, ids, ignore

TABLE = "shop-orders"


def items(fabric: LocalFabric, region: str) -> list[dict[str, Any]]:
    pages = fabric.client("dynamodb", region).get_paginator("scan").paginate(TableName=TABLE)
    stored = [item for page in pages for item in page["Items"]]
    return sorted(stored, key=lambda item: (item["pk"]["S"], int(item["sk"]["N"])))


def publish(fabric: LocalFabric, count: int, *, region: str = US, start: int = 0) -> None:
    """Records of one event each."""
    for number in range(start, start + count):
        fabric.region(region).publish("orders", key=f"key-{number % 8}", type="Placed", id=str(number))


def test_a_region_that_starts_empty_is_filled_and_delivers_all_of_it() -> None:
    with LocalFabric(definition(deliver='"everywhere"'), handlers={"all": ignore}) as fabric:
        fabric.faults.cut(US, EU)
        publish(fabric, 16)
        fabric.settle()
        assert ids(fabric, EU) == []
        report = fabric.operations(EU).backfill("orders", source=US, slice_events=2)
        assert (report.backfill.state, report.total.copied_events) == (BackfillState.DONE, 16)
        assert items(fabric, EU) == items(fabric, US)
        # Copied records ring by themselves, as replicated ones do.
        fabric.settle()
        assert sorted(map(int, filter(None, ids(fabric, EU)))) == list(range(16))
        # Replication, when it comes back, brings what is there already.
        fabric.faults.heal()
        fabric.settle()
        assert items(fabric, EU) == items(fabric, US)
        assert len(ids(fabric, EU)) == 16


def test_records_that_a_replica_lost_are_mended_and_lanes_that_waited_go_on() -> None:
    with LocalFabric(definition(deliver='"everywhere"'), handlers={"all": ignore}) as fabric:
        publish(fabric, 8)
        fabric.settle()
        fabric.faults.cut(US, EU)
        publish(fabric, 12, start=8)
        fabric.settle()
        late = items(fabric, US)
        client = fabric.client("dynamodb", EU)
        # The newest record of each lane arrives, and what is before it does not: a hole.
        newest = {item["pk"]["S"]: item for item in late}
        for item in newest.values():
            client.put_item(TableName=TABLE, Item=item)
        fabric.settle()
        assert len(ids(fabric, EU)) < 20
        report = fabric.operations(EU).backfill("orders", source=US)
        assert report.is_complete
        assert items(fabric, EU) == late
        fabric.settle()
        assert len(ids(fabric, EU)) == 20
        assert fabric.operations(EU).backfill("orders", source=US).total.slices == 0


def test_a_regions_own_lanes_come_back_from_its_replica() -> None:
    with LocalFabric(definition(), handlers={"all": ignore}) as fabric:
        publish(fabric, 12)
        fabric.settle()
        whole = items(fabric, US)
        client = fabric.client("dynamodb", US)
        for item in whole[2:7]:
            client.delete_item(TableName=TABLE, Key={"pk": item["pk"], "sk": item["sk"]})
        assert fabric.operations(US).backfill("orders", source=EU).total.copied_events == 5
        assert items(fabric, US) == whole
        fabric.settle()
        assert len(ids(fabric, US)) == 12


def test_what_was_begun_is_seen_from_every_region() -> None:
    with LocalFabric(definition(), handlers={"all": ignore}) as fabric:
        publish(fabric, 3)
        report = fabric.operations(EU).backfill("orders", source=US)
        fabric.settle()
        assert fabric.operations(US).backfills.all() == [report.backfill]


def test_a_source_that_is_gone_leaves_a_backfill_that_goes_on_later() -> None:
    with LocalFabric(definition(), handlers={"all": ignore}) as fabric:
        publish(fabric, 10)
        fabric.faults.stop(US)
        operations = fabric.operations(EU)
        with pytest.raises(OutcomeUnknownError, match="us-east-1 is stopped"):
            operations.backfill("orders", source=US)
        (begun,) = operations.backfills.all()
        assert begun.state is BackfillState.RUNNING
        fabric.faults.heal()
        assert run_backfill(operations.backfills, begun.id).total.copied_events == 10
        assert items(fabric, EU) == items(fabric, US)


def test_what_cannot_be_done_is_refused() -> None:
    with LocalFabric(definition(), handlers={"all": ignore}) as fabric:
        with pytest.raises(BackfillError, match=r"found '0\.1', allowed: LANE"):
            fabric.operations(EU).backfill("orders", source=US, lanes=["0.1"])
        with pytest.raises(BackfillError, match="which is the target too"):
            fabric.operations(EU).backfill("orders", source=EU)
