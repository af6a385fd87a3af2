"""Figures of a function as CloudWatch has them: which are asked for, and what is made of the answer."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from eventfabric.aws.function_figures import figures_of
from eventfabric.errors import LastingError
from eventfabric.model.function_figures import FunctionFigures


class Session:
    """A session whose CloudWatch gives one answer."""

    def __init__(self, answer: dict[str, list[float]] | ClientError) -> None:
        self._answer = answer
        self.asked: dict[str, Any] = {}

    def client(self, service: str, **settings: object) -> "Session":
        assert (service, settings["region_name"]) == ("cloudwatch", "us-east-1")
        return self

    def get_metric_data(self, **asked: Any) -> dict[str, Any]:
        if isinstance(self._answer, ClientError):
            raise self._answer
        self.asked = asked
        return {
            "MetricDataResults": [{"Id": name, "Values": values} for name, values in self._answer.items()]
        }


def asked(session: Session) -> FunctionFigures:
    return figures_of(
        session,  # type: ignore[arg-type]  # all that is called of one
        "us-east-1",
        fabric="shop",
        function="shop-billing",
        subscription="billing",
    )


def test_invocations_are_the_most_throttles_are_added_and_of_limits_the_newest_counts() -> None:
    session = Session({"invocations": [3, 7, 2], "throttles": [1, 2], "limit": [4.0, 16.0]})
    assert asked(session) == FunctionFigures(invocations=7, throttles=3, limit=4)
    queries = session.asked["MetricDataQueries"]
    metrics = [query["MetricStat"]["Metric"] for query in queries]
    assert [(metric["MetricName"], metric["Dimensions"][-1]["Value"]) for metric in metrics] == [
        ("ConcurrentExecutions", "shop-billing"),
        ("Throttles", "shop-billing"),
        ("ConcurrencyLimit", "billing"),
    ]


def test_what_cloudwatch_does_not_have_is_not_known() -> None:
    assert asked(Session({"invocations": [], "throttles": [], "limit": []})) == FunctionFigures()


def test_an_operator_who_may_not_ask_is_told_so() -> None:
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetMetricData")
    with pytest.raises(LastingError):
        asked(Session(denied))
