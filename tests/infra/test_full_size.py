"""A hundred subscriptions of ten streams in four Regions fit under every bound of AWS, with the longest names."""

import json
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from parliament import analyze_policy_string

from eventfabric.definition.file import read_definition
from eventfabric.deployment import quotas
from eventfabric.deployment.people import operator, publisher
from eventfabric.deployment.permissions import of_function
from eventfabric.deployment.quotas import characters_of, check_quotas, quotas_to_raise
from eventfabric.topology import Topology
from infra.app import ROOT
from tests.infra.grants import MANAGED_POLICY, POLICY
from tests.infra.one_of_each import definition_of, one_of_each
from tests.infra.synthesis import Synthesised, resolved

FULL = definition_of(100, regions=4, streams=10)
EXPLAINED = {
    ("RESOURCE_MISMATCH", "states:DescribeExecution"): "Its list has executions of express machines only.",
    ("RESOURCE_MISMATCH", "states:ListExecutions"): "Its list has executions of a map only.",
    (
        "INVALID_ARN",
        "",
    ): "References to resources of the stack are text here, and ARNs when they are deployed.",
}
"""Findings of parliament about a kind of action, and why they stay."""


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    return one_of_each(FULL, Path(tmp_path_factory.mktemp("full")))


def documents(synthesised: Synthesised, kind: str) -> dict[str, list[dict[str, Any]]]:
    """Return the documents of policies of a type: by role for those within roles, else by the policy."""
    made: dict[str, list[dict[str, Any]]] = {}
    for stack, template in synthesised.templates.items():
        for logical_id, body in template["Resources"].items():
            if body["Type"] == kind:
                properties = resolved(body["Properties"], template)
                of = properties["Roles"][0] if kind == POLICY else logical_id
                made.setdefault(f"{stack}/{of}", []).append(properties["PolicyDocument"])
    return made


def characters(document: dict[str, Any]) -> int:
    return len(json.dumps(document, separators=(",", ":")))


def test_all_of_it_is_allowed_and_needs_no_quota_raised() -> None:
    check_quotas(FULL, where="here")
    assert list(quotas_to_raise(FULL)) == []


def test_no_stack_has_too_many_resources_nor_too_long_a_name(full: Synthesised) -> None:
    assert len(full.templates) == 6
    for name, template in full.templates.items():
        assert len(template["Resources"]) <= quotas.STACK_RESOURCES_MAX, name
        assert len(name) <= quotas.STACK_NAME_CHARACTERS_MAX


def test_no_template_is_too_large_nor_larger_than_estimated(full: Synthesised) -> None:
    sizes = {path.name: path.stat().st_size for path in full.folder.glob("*.template.json")}
    assert max(sizes.values()) <= quotas.TEMPLATE_BYTES_MAX
    log = sizes[f"{full.topology.stack_name('log', full.topology.home)}.template.json"]
    assert log <= quotas.bytes_of_log(full.topology) <= 1.5 * log


def test_no_policy_is_too_long(full: Synthesised) -> None:
    managed = documents(full, MANAGED_POLICY)
    assert len(managed) == 2 * len(FULL.streams)
    for name, [document] in managed.items():
        assert characters(document) <= quotas.MANAGED_POLICY_CHARACTERS_MAX, name
    by_role = documents(full, POLICY)
    assert by_role
    for name, of_role in by_role.items():
        assert sum(map(characters, of_role)) <= quotas.ROLE_CHARACTERS_MAX, name


def test_one_subscription_more_changes_no_policy_but_its_own() -> None:
    before, after = (Topology(definition_of(count, regions=4, streams=10)) for count in (99, 100))
    for name, stream in before.streams.items():
        for person in (publisher, operator):
            assert person(before, stream) == person(after, after.stream(name))
    for region in before.regions:
        those = {function.name: function for function in after.functions(region)}
        for function in before.functions(region):
            assert of_function(before, function) == of_function(after, those.pop(function.name))
        assert len(those) == 1


@pytest.mark.parametrize("shape", ["1 x 1 x 1", "sample", "33", "100 x 4 x 10"])
def test_cfn_lint_finds_no_error_in_any_kind_of_stack(
    shape: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A fabric of more subscriptions has more stacks, and equal ones: one of each kind is looked at.

    An embedded fabric has the templates of the sample, as test_embedding holds.
    """
    match shape:
        case "1 x 1 x 1":
            made = one_of_each(definition_of(1), tmp_path)
        case "33":
            made = one_of_each(definition_of(33, regions=2), tmp_path)
        case "sample":
            made = one_of_each(read_definition(ROOT / "infra" / "fabric.toml"), tmp_path)
        case _:
            made = request.getfixturevalue("full")
    assert errors_in(made.templates) == []


def test_cfn_lint_finds_no_error_in_tables_and_cells_of_quorum_streams(wide: Synthesised) -> None:
    kinds = ("log", "cell")
    assert (
        errors_in({f"wide-{kind}-us-east-1": wide.templates[f"wide-{kind}-us-east-1"] for kind in kinds})
        == []
    )


def errors_in(templates: dict[str, Any]) -> list[str]:
    settings = ManualArgs(regions=["us-east-1"], ignore_checks=["W"])
    return [
        f"{name}: {error.rule.id} {error.message}"
        for name, template in templates.items()
        for error in lint(json.dumps(template), config=settings)
    ]


def test_every_finding_about_a_policy_is_explained(full: Synthesised) -> None:
    documents_of_all = [
        document
        for kind in (POLICY, MANAGED_POLICY)
        for made in documents(full, kind).values()
        for document in made
    ]
    findings = {
        (finding.issue, finding.detail[0]["action"] if finding.issue == "RESOURCE_MISMATCH" else "")
        for document in documents_of_all
        for finding in analyze_policy_string(json.dumps(document)).findings
    }
    assert findings == set(EXPLAINED)


def test_the_estimate_of_a_policy_is_no_shorter_than_the_policy(full: Synthesised) -> None:
    topology = full.topology
    stream = next(iter(topology.streams.values()))
    longest = max(characters(document) for [document] in documents(full, MANAGED_POLICY).values())
    estimates = [characters_of(person(topology, stream)) for person in (publisher, operator)]
    assert longest <= quotas.POLICY_FRAME_CHARACTERS + max(estimates)
