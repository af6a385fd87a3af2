"""Folders of schemas that a producer names: a wrong one is refused, and never makes types unchecked."""

from pathlib import Path

import pytest

from eventfabric import Fabric
from eventfabric.errors import InvalidEventError, SettingError
from eventfabric.sdk.connecting import schema_checks
from eventfabric.testing.memory.faults import Fault, Faults
from tests.support.schema_folders import PLACED, checks, written
from tests.unit.sdk.test_declared_fabric import READS, Shop, topology


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, which is the current folder, with schemas in `infra/schemas`."""
    written(tmp_path / "infra/schemas", {"orders/placed": PLACED})
    (tmp_path / "infra/fabric.toml").write_text(
        '[fabric]\nname = "shop"\nregions = ["us-east-1"]\n[streams.orders]\n[streams.payments]\n'
    )
    (tmp_path / "infra/circle").symlink_to("circle")
    written(tmp_path / "case", {"Orders/placed": PLACED, "payments/paid": PLACED})
    written(tmp_path / "upper", {"ORDERS/placed": PLACED})
    written(tmp_path / "others", {"order/placed": PLACED})
    (tmp_path / "new").mkdir()
    (tmp_path / "new/.keep").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


NOT_OF_SCHEMAS = ["", "nowhere", "infra/fabric.toml", "infra/circle", "infra/schemas/orders", "upper"]


@pytest.mark.parametrize("path", [*NOT_OF_SCHEMAS, ".", "infra", "case", "others"])
def test_a_folder_that_is_not_that_of_the_definitions_streams_is_refused(project: Path, path: str) -> None:
    with pytest.raises(SettingError, match="schemas"):
        Fabric.from_definition("infra/fabric.toml", schemas=path)


@pytest.mark.parametrize("path", NOT_OF_SCHEMAS)
def test_a_folder_that_can_be_no_fabrics_is_refused_before_anything_is_called(
    project: Path, path: str
) -> None:
    with pytest.raises(SettingError, match="schemas"):
        Fabric.connect("shop", region="us-east-1", endpoint_url="http://127.0.0.1:9", schemas=path)


@pytest.mark.parametrize("path", ["infra/schemas", "new"])
def test_a_folder_of_some_of_the_streams_is_taken_and_so_is_one_that_is_empty(
    project: Path, path: str
) -> None:
    Fabric.from_definition("infra/fabric.toml", region="us-east-1", schemas=path)
    Fabric.connect("shop", region="us-east-1", schemas=path)
    assert schema_checks(path) is not None


def test_a_folder_is_that_of_the_process_when_it_was_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schemas = schema_checks("infra/schemas")
    assert schemas is not None
    monkeypatch.chdir(project / "new")
    assert schemas.of("orders", "placed") is not None
    assert schemas.of("orders", "shipped") is None


@pytest.mark.parametrize("name", ["payments", "Orders", "ORDERS"])
def test_a_producer_that_knows_the_fabric_by_name_is_refused_at_the_first_event(
    tmp_path: Path, name: str
) -> None:
    shop = Shop(topology("billing"), schemas=checks(tmp_path, {f"{name}/placed": PLACED}))
    for _ in range(2):
        with pytest.raises(SettingError, match="schemas"):
            shop.publish()


def test_one_whose_folder_has_another_stream_of_the_fabric_publishes_after_one_read_more(
    tmp_path: Path,
) -> None:
    schemas = checks(tmp_path, {"payments/paid": PLACED})
    shop = Shop(topology("billing", others=["payments"]), schemas=schemas)
    for _ in range(2):
        shop.publish()
    assert shop.reads.count(READS) == 2
    with pytest.raises(InvalidEventError):
        shop.producer.publish("payments", key="k", type="paid")


def test_what_a_producer_cannot_read_may_be_a_stream(tmp_path: Path) -> None:
    unread = Faults(
        lambda name, number, of_name: Fault.LOST_REQUEST if name == READS and of_name > 1 else None
    )
    shop = Shop(topology("billing"), faults=unread, schemas=checks(tmp_path, {"payments/placed": PLACED}))
    shop.publish()
