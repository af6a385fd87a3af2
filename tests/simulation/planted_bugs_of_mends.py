"""Planted bugs in what operators do to a lane of which something is lost: they restore it, or skip it."""

from typing import Final

from tests.simulation.planting import Bug

OF_MENDS: Final = [
    Bug(
        "restored without a look behind",
        "a record that continues the one before it is put back, whatever the one behind it was computed of",
        "eventfabric.services.operations.restore:_bound",
        "elif not behind.extends(last.chain):",
        "elif False:",
        by="replica_divergence",
        seed=3,
        profile="mends",
    ),
    Bug(
        "one skipped too many",
        "a skip leads past the first event behind what is lost, too",
        "eventfabric.model.record:skip_at",
        "count=until.sequence - tail.sequence",
        "count=until.sequence - tail.sequence + 1",
        by="wrong_skip",
        seed=4,
        profile="mends",
    ),
    Bug(
        "skipped while another has it",
        "a skip does not ask the other Regions for what is missing",
        "eventfabric.services.operations.skip:Skip.look",
        "for region in self._elsewhere:",
        "for region in ():",
        by="wrong_skip",
        seed=4,
        profile="mends",
    ),
]
