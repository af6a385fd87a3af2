"""Bugs in conditions of who goes by declarations, and proves them, each with the test that it makes fail."""

from collections.abc import Callable

from tests.handlers import test_declared_targets as targets
from tests.simulation.planting import Bug
from tests.simulation.planting import bug_in_a_condition as bug
from tests.unit.services.proof import test_declarations_proofs as proofs

OF_DECLARATIONS: list[tuple[Bug, Callable[[], None]]] = [
    (
        bug(
            "a handler publishes into the lanes of its zip",
            "eventfabric.sdk.publications:DeliveryPublications.publish",
            "publications.as_known(target)",
            "target",
        ),
        targets.test_lanes_are_those_that_are_declared_and_not_those_of_the_zip,
    ),
    (
        bug(
            "a handler publishes in a Region that closed while it ran",
            "eventfabric.services.publishing.targets:PreparedRecords.made",
            "self._check()",
            "pass",
        ),
        lambda: targets.test_a_region_that_closes_meanwhile_costs_no_attempt_and_takes_nothing(
            "exactly_once"
        ),
    ),
    (
        bug(
            "a handler's stream is looked at when a process starts, and never again",
            "eventfabric.runtime.declared:_Target.now",
            "if declared is not self._declared:",
            "if self._declared is None:",
        ),
        targets.test_a_retention_that_is_declared_later_holds_from_the_next_minute_on,
    ),
    (
        bug(
            "copies of declarations are not compared",
            "eventfabric.services.proof.declarations:DeclarationsProver._compared",
            "if not (has_hole or tail.is_of_same_log(copy)):",
            "if False:",
        ),
        proofs.test_another_history_with_right_chains_is_contradicted_by_the_other_region,
    ),
]
