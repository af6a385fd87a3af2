"""A definition in a file asks for nothing that an account would refuse: three Regions of one set for a quorum."""

from pathlib import Path

import pytest

from eventfabric.definition.file import read_definition
from eventfabric.errors import DefinitionError


@pytest.mark.parametrize("check_handlers", [False, True])
def test_a_file_asks_for_no_quorum_that_aws_does_not_make(check_handlers: bool, tmp_path: Path) -> None:
    """Three Regions of one set: found before anything is deployed, by whoever reads the file."""
    path = tmp_path / "fabric.toml"
    text = '[fabric]\nname = "shop"\nregions = [{}]\n[streams.orders]\ndurability = "quorum"\n'
    for regions, is_possible in (
        ('"us-east-1", "us-east-2", "us-west-2"', True),
        ('"eu-west-1", "eu-west-3", "eu-central-1"', True),
        ('"eu-central-1", "eu-north-1", "us-east-2"', False),
        ('"eu-west-1", "eu-west-2", "us-east-1"', False),
    ):
        path.write_text(text.format(regions))
        if is_possible:
            assert (
                read_definition(path, check_handlers=check_handlers).streams["orders"].durability == "quorum"
            )
            continue
        with pytest.raises(DefinitionError, match=r"streams\.orders\.regions.*three of one of these sets"):
            read_definition(path, check_handlers=check_handlers)
