"""Remedies for a changed end of a type: a deployment only where that is not refused."""

import pytest

from eventfabric.model.deprecation import DeprecatedType
from eventfabric.services.catalogue.changes import MemberChange
from eventfabric.services.operations.remedies import DEPLOY, SUNSET, of_stream
from tests.support.subscribed_stream import topology


def ending(**sunsets: str | None) -> tuple[DeprecatedType, ...]:
    return tuple(
        DeprecatedType(type=name, since="2026-01-01", sunset=sunset or "") for name, sunset in sunsets.items()
    )


@pytest.mark.parametrize(
    ("before", "after", "deploys", "days"),
    [
        (ending(placed="2999-06-01"), ending(placed="2999-05-31"), False, ["2999-06-01"]),
        (
            ending(placed="2999-06-01", paid="2999-07-01", sent="2999-08-01"),
            ending(placed="2999-05-31", paid="2999-06-30", sent="2999-08-01"),
            False,
            ["2999-06-01", "2999-07-01"],
        ),
        (ending(placed="2999-06-01"), ending(placed="2999-06-02"), True, []),
        (ending(placed="2999-06-01"), ending(placed=None), True, []),
        (ending(placed="2999-06-01"), (), True, []),
        ((), ending(placed="2999-06-01"), True, ["2999-06-01"]),
        (ending(placed=None), ending(placed="2999-06-01", paid="2999-05-01"), True, ["2999-05-01"]),
    ],
)
def test_a_deployment_is_advised_only_if_no_sunset_is_brought_forward(
    before: tuple[DeprecatedType, ...], after: tuple[DeprecatedType, ...], deploys: bool, days: list[str]
) -> None:
    change = MemberChange("", "deprecated", before, after)
    advice = of_stream(change, topology().definition.fabric, ())
    assert (DEPLOY in advice) is deploys
    assert advice.endswith(SUNSET) is bool(days)
    assert [day for day in ("2999-05-01", "2999-06-01", "2999-07-01", "2999-08-01") if day in advice] == days
