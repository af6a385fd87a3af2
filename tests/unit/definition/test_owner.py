"""Who deploys a fabric: each refusal is one sentence with what, where, and what is allowed."""

import pytest

from eventfabric.definition.file import parse_definition
from eventfabric.errors import DefinitionError

FABRIC = '[fabric]\nname = "shop"\nregions = ["us-east-1"]\n'
STREAM = "[streams.orders]\n"


@pytest.mark.parametrize(
    ("owners", "said"),
    [
        (
            'former_owner = "ann"\n',
            'fabric.former_owner: found "ann" without `owner`, allowed: no such key, or',
        ),
        (
            'owner = "ann"\nformer_owner = "ann"\n',
            'fabric.former_owner: found "ann" as in `owner`, allowed: ',
        ),
        ('owner = " "\nformer_owner = "ann"\n', 'fabric.owner: found " ", allowed: 1 to 128 printable ASCII'),
    ],
)
def test_a_fabric_is_handed_over_by_somebody_to_somebody_else(owners: str, said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_definition(FABRIC + owners + STREAM)
    [problem] = caught.value.problems
    assert str(problem).startswith(said)


def test_whoever_takes_a_fabric_over_names_both() -> None:
    fabric = parse_definition(FABRIC + 'owner = "ann"\nformer_owner = "bob"\n' + STREAM).fabric
    assert (fabric.owner, fabric.former_owner) == ("ann", "bob")
