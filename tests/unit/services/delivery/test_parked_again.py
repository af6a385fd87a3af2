"""A key that is parked, freed and parked again is not what it was, even where no transaction fences a commit."""

import pytest

from eventfabric.model.commit import RaceLost
from eventfabric.model.parked import ParkedChange
from tests.support.failing_handlers import FEW, Failing, named, world_of
from tests.support.memory_fabric import HOME, LANE


@pytest.mark.parametrize("durability", ["replicated", "quorum"])
def test_who_read_a_parked_key_before_it_was_freed_does_not_free_it_when_it_is_parked_again(
    durability: str,
) -> None:
    world = world_of(Failing({"a1": 1, "a2": 1}), *named("a1"), durability=durability, **FEW)
    world.deliver()
    slow = world.ledger.state(world.key_of(LANE))
    world.deliver_all()
    world.put(*named("a2"))
    world.deliver()
    (again,) = world.parked().values()
    read = slow.cursor(HOME)
    change = ParkedChange(slow.parked[HOME][again.id], None)
    assert isinstance(world.ledger.commit(world.key_of(LANE), read, read, parked=[change]), RaceLost)
    assert world.parked() == {again.key: again}
