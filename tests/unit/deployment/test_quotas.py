"""Definitions that no account takes are refused, with the number that is too large. Quotas to raise are told."""

from dataclasses import replace

import pytest

from eventfabric.definition.file import parse_definition
from eventfabric.definition.schema import Definition
from eventfabric.deployment import dashboard, quotas
from eventfabric.deployment.alarms import alarms_of, alarms_of_region
from eventfabric.deployment.people import operator
from eventfabric.deployment.permissions import of_function
from eventfabric.deployment.quotas import bytes_of_log, characters_of, check_quotas, quotas_to_raise
from eventfabric.errors import DefinitionError, Problem
from eventfabric.topology import Topology

REGION = "us-east-1"


def definition_of(streams: int) -> Definition:
    text = f'[fabric]\nname = "shop"\nregions = ["{REGION}"]\n'
    text += "".join(f"[streams.s{number}]\n" for number in range(streams))
    return parse_definition(text + '[subscriptions.billing]\nstream = "s0"\nhandler = "a.b:c"\n')


def problems(definition: Definition) -> list[Problem]:
    try:
        check_quotas(definition, where="here")
    except DefinitionError as error:
        return list(error.problems)
    return []


DEFINITION = definition_of(2)
TOPOLOGY = Topology(DEFINITION)
OPERATOR = quotas.POLICY_FRAME_CHARACTERS + characters_of(operator(TOPOLOGY, TOPOLOGY.stream("s0")))
LONGEST_ROLE = max(
    characters_of(of_function(TOPOLOGY, function)) + 1_200 for function in TOPOLOGY.functions(REGION)
)


@pytest.mark.parametrize(
    ("bound", "reached", "path", "refused"),
    [
        ("MANAGED_POLICY_CHARACTERS_MAX", OPERATOR, "streams.s0.regions", f"{OPERATOR:,} characters"),
        ("ROLE_CHARACTERS_MAX", LONGEST_ROLE, "streams", f"{LONGEST_ROLE:,} characters"),
        ("TEMPLATE_BYTES_MAX", bytes_of_log(TOPOLOGY), "streams", f"{bytes_of_log(TOPOLOGY):,} bytes"),
        ("STACK_RESOURCES_MAX", 74, "streams", "74 resources in shop-cell-us-east-1"),
    ],
)
def test_a_bound_is_kept_and_the_number_beyond_it_is_named(
    monkeypatch: pytest.MonkeyPatch, bound: str, reached: int, path: str, refused: str
) -> None:
    monkeypatch.setattr(quotas, bound, reached)
    assert problems(DEFINITION) == []
    monkeypatch.setattr(quotas, bound, reached - 1)
    assert any(problem.path == path and refused in problem.found for problem in problems(DEFINITION))


@pytest.mark.parametrize(
    ("bound", "reached", "said"),
    [
        ("ROLES_MAX", 11, "11 roles in the account"),
        ("ROLE_POLICIES_MAX", 2, "2 managed policies for a role"),
        ("REGION_STACKS_MAX", 6, "6 stacks in us-east-1"),
        ("REGION_ALARMS_MAX", len(alarms_of(TOPOLOGY, REGION)), "alarms in us-east-1"),
    ],
)
def test_a_quota_to_raise_is_told_beyond_it_and_not_at_it(
    monkeypatch: pytest.MonkeyPatch, bound: str, reached: int, said: str
) -> None:
    monkeypatch.setattr(quotas, bound, reached)
    assert list(quotas_to_raise(DEFINITION)) == []
    monkeypatch.setattr(quotas, bound, reached - 1)
    [text] = quotas_to_raise(DEFINITION)
    assert said in text
    assert f"{reached - 1:,}" in text


def test_a_gradual_deployment_takes_a_role_and_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    gradual = replace(DEFINITION.subscriptions["billing"].function, deployment="linear10")
    subscription = replace(DEFINITION.subscriptions["billing"], function=gradual)
    definition = replace(DEFINITION, subscriptions={"billing": subscription})
    monkeypatch.setattr(quotas, "ROLES_MAX", 11)
    monkeypatch.setattr(quotas, "REGION_ALARMS_MAX", len(alarms_of(TOPOLOGY, REGION)))
    roles, alarms = quotas_to_raise(definition)
    assert roles.startswith("12 roles")
    assert alarms.startswith(f"{len(alarms_of(TOPOLOGY, REGION)) + 1} alarms")


def test_so_many_streams_that_a_stack_cannot_hold_them_are_refused() -> None:
    """Each stream has a table and two policies in the log, beside the check and the ledger, and alarms in the watch."""
    definition = definition_of(167)
    texts = [problem.found for problem in problems(definition)]
    assert any(f"{7 + 3 * 167} resources in shop-log-us-east-1" in text for text in texts)
    alarms = len(alarms_of_region(Topology(definition), REGION))
    assert (alarms >= quotas.STACK_RESOURCES_MAX) == any("shop-watch" in text for text in texts)


def test_a_dashboard_of_too_many_metrics_is_told_and_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    count = sum(dashboard.metrics_of(TOPOLOGY, dashboard.body_of(TOPOLOGY)))
    monkeypatch.setattr(dashboard, "METRICS_MAX", count)
    assert list(quotas_to_raise(DEFINITION)) == []
    monkeypatch.setattr(dashboard, "METRICS_MAX", count - 1)
    [text] = quotas_to_raise(DEFINITION)
    assert f"{count:,} metrics on the dashboard shop" in text
    assert problems(DEFINITION) == []
