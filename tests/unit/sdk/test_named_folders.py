"""Folders of schemas that a producer names: a wrong one is refused, and never makes types unchecked."""

from pathlib import Path

import pytest

from eventfabric import Fabric
from eventfabric.errors import SettingError
from eventfabric.sdk.connecting import schema_checks
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


@pytest.mark.parametrize("name", ["Orders", "ORDERS"])
def test_a_folder_with_a_streams_name_in_other_case_is_refused_at_the_first_event(
    tmp_path: Path, name: str
) -> None:
    shop = Shop(topology("billing"), schemas=checks(tmp_path, {f"{name}/placed": PLACED}))
    for _ in range(2):
        with pytest.raises(SettingError, match="schemas"):
            shop.publish()


@pytest.mark.parametrize("others", [["payments"], []])
def test_one_whose_folder_has_other_streams_alone_publishes_whether_these_are_declared_or_not(
    tmp_path: Path, others: list[str]
) -> None:
    schemas = checks(tmp_path, {"payments/paid": PLACED})
    shop = Shop(topology("billing", others=others), schemas=schemas)
    for _ in range(2):
        shop.publish()
    assert shop.reads.count(READS) == 1
