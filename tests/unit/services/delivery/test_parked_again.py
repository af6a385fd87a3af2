"""A key that is parked, freed and parked again is not what it was, even where no transaction fences a commit."""

import pytest

from eventfabric.model import ParkedChange, RaceLost
from tests.support.failing_handlers import FEW, Failing, fabric_of, named
from tests.support.memory_fabric import HOME, LANE


@pytest.mark.parametrize("durability", ["replicated", "quorum"])
def test_who_read_a_parked_key_before_it_was_freed_does_not_free_it_when_it_is_parked_again(
    durability: str,
) -> None:
    fabric = fabric_of(Failing({"a1": 1, "a2": 1}), *named("a1"), durability=durability, **FEW)
    fabric.deliver()
    slow = fabric.ledger.state(fabric.key_of(LANE))
    fabric.deliver_all()
    fabric.put(*named("a2"))
    fabric.deliver()
    (again,) = fabric.parked().values()
    read = slow.cursor(HOME)
    change = ParkedChange(slow.parked[HOME][again.id], None)
    assert isinstance(fabric.ledger.commit(fabric.key_of(LANE), read, read, parked=[change]), RaceLost)
    assert fabric.parked() == {again.key: again}
