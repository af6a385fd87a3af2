"""Policies allow what deployment/permissions.py declares, and nothing besides; roles trust only whoever uses them."""

import json
from collections import Counter
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from eventfabric.cdk.stacks.log import owning_region
from eventfabric.deployment.declarations import of_catalogue, of_log_catalogue
from eventfabric.deployment.people import operator, publisher
from eventfabric.deployment.permissions import Resource, of_schedule
from eventfabric.deployment.permissions import of_function as permissions_of
from eventfabric.resources import FABRIC_TAG, QUEUE_TAG
from tests.infra.grants import (
    MANAGED_POLICY,
    ROLE,
    Grant,
    arn,
    declared,
    logging,
    policies,
    policies_of_role,
)
from tests.infra.synthesis import ACCOUNT, Synthesised

FUNCTION = "AWS::Lambda::Function"
SCHEDULE = "AWS::Scheduler::Schedule"
MACHINE = "AWS::StepFunctions::StateMachine"
TRUSTED = {
    FUNCTION: "lambda.amazonaws.com",
    SCHEDULE: "scheduler.amazonaws.com",
    MACHINE: "states.amazonaws.com",
}
"""Service that assumes a role, by the type of resource that uses it."""


def role_of(kind: str, properties: Mapping[str, Any]) -> str:
    """The logical id of the role that a resource uses."""
    match kind:
        case "AWS::Lambda::Function":
            arn = properties["Role"]
        case "AWS::Scheduler::Schedule":
            arn = properties["Target"]["RoleArn"]
        case _:
            arn = properties["RoleArn"]
    return str(arn).removeprefix("<").removesuffix(".Arn>")


def roles_in_use(synthesised: Synthesised) -> dict[str, list[tuple[str, str]]]:
    """Return type and name of the resources that use each role, by its stack and logical id."""
    used: dict[str, list[tuple[str, str]]] = {}
    for kind in TRUSTED:
        for name, body in synthesised.resources(kind):
            stack = name.partition("/")[0]
            used.setdefault(f"{stack}/{role_of(kind, body['Properties'])}", []).append((kind, name))
    return used


def function_roles(synthesised: Synthesised, region: str) -> dict[str, tuple[str, str]]:
    """Stack and role of each function of a Region, by the function's name."""
    return {
        body["Properties"]["FunctionName"]: (name.partition("/")[0], role_of(FUNCTION, body["Properties"]))
        for name, body in synthesised.resources(FUNCTION, stack=synthesised.running(region))
    }


def conditions(grant: Grant) -> dict[str, dict[str, list[str]]]:
    written: dict[str, dict[str, list[str]]] = json.loads(grant.conditions)
    return written


def test_no_policy_allows_an_action_by_a_wildcard(synthesised: Synthesised) -> None:
    grants = list(policies(synthesised))
    assert grants
    assert [(grant.logical_id, g) for grant in grants for g in grant.grants if "*" in g.action] == []


def test_a_wildcard_among_the_resources_has_its_reason_written_beside_it(synthesised: Synthesised) -> None:
    wild = [
        (permission, grant)
        for permission in policies(synthesised)
        for grant in permission.grants
        if "*" in grant.resource
    ]
    assert wild
    unexplained = [
        f"{permission.stack}/{permission.logical_id}: {grant.action} on {grant.resource}"
        for permission, grant in wild
        if not permission.acknowledged.get(grant.resource)
    ]
    assert unexplained == []


def test_only_what_has_no_name_of_its_own_is_named_by_a_wildcard(synthesised: Synthesised) -> None:
    streams = tuple(f"dynamodb:{name}" for name in ("DescribeStream", "GetRecords", "GetShardIterator"))
    lists = "dynamodb:ListStreams"
    nameless = ("logs:", "xray:", "kms:", "states:", "cloudwatch:GetMetricData", *streams, lists)
    for permission in policies(synthesised):
        for grant in permission.grants:
            if "*" in grant.resource:
                is_restored = grant.resource.endswith("-restored*")  # who restores a table names it
                is_version = grant.action == "lambda:InvokeFunction" and grant.resource.endswith(":*")
                is_stack = grant.action == "cloudformation:DescribeStacks" and grant.resource.endswith("/*")
                is_nameless = grant.action.startswith(nameless) or is_restored or is_version or is_stack
                tags = conditions(grant).get("StringLike", {}).get("aws:ResourceTag/eventfabric-queue", [])
                fabric = f"{synthesised.topology.fabric}/"
                keys = conditions(grant).get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys", [])
                # A table has the same name in each of its Regions. An operator's rights are on certain keys of it, and
                # the catalogue looks at all lanes of a Region that goes, and writes nothing.
                is_limited = bool(keys) or grant.action == "dynamodb:Query"
                is_replica = (
                    ":dynamodb:*:" in grant.resource and grant.resource.count("*") == 1 and is_limited
                )
                is_declaration = bool(keys) and all(key.startswith("@") for key in keys)
                is_tagged = grant.action.startswith("sqs:") and bool(tags)
                assert all(tag.startswith(fabric) for tag in tags), grant
                assert is_nameless or is_tagged or is_replica or is_declaration, (
                    f"{permission.logical_id}: {grant}"
                )
                if grant.action == lists:  # it knows no resources, so nothing else would allow it
                    assert grant.resource == "*"
            if grant.action.startswith("kms:"):
                of = conditions(grant)["StringEquals"]["aws:ResourceTag/eventfabric"]
                assert of == [synthesised.topology.fabric]


def test_each_function_may_do_what_permissions_declare_and_write_its_log_and_nothing_else(
    synthesised: Synthesised,
) -> None:
    topology = synthesised.topology
    for region in topology.regions:
        roles = function_roles(synthesised, region)
        for function in topology.functions(region):
            wanted = declared(permissions_of(topology, function)) | logging(region, function.name)
            made = policies_of_role(synthesised, *roles[function.name])
            assert sorted(wanted - made) == [], f"{function.name} lacks"
            assert sorted(made - wanted) == [], f"{function.name} has besides"


def test_the_lookup_may_describe_the_tables_of_its_region_and_nothing_else(synthesised: Synthesised) -> None:
    topology = synthesised.topology
    for region in topology.regions:
        role = function_roles(synthesised, region)[topology.lookup_name]
        tables = [Resource("dynamodb", region, f"table/{s.table.name}") for s in topology.streams_in(region)]
        made = policies_of_role(synthesised, *role)
        wanted = {Grant("dynamodb:DescribeTable", arn(table)) for table in tables}
        assert made == wanted | logging(region, topology.lookup_name)


def test_the_trial_may_invoke_versions_of_the_fabric_and_look_at_its_stacks_and_nothing_else(
    synthesised: Synthesised,
) -> None:
    topology = synthesised.topology
    for region in topology.regions:
        made = policies_of_role(synthesised, *function_roles(synthesised, region)[topology.start_name])
        versions = arn(Resource("lambda", region, f"function:{topology.fabric}-*:*"))
        stacks = [
            arn(Resource("cloudformation", region, f"stack/{topology.fabric}-{kind}-{region}/*"))
            for kind in ("cell", "Subscription-*")
        ]
        wanted = {Grant("cloudformation:DescribeStacks", stack) for stack in stacks}
        wanted.add(Grant("lambda:InvokeFunction", versions))
        assert made == wanted | logging(region, topology.start_name)
        for stack in synthesised.running(region):
            own = arn(Resource("cloudformation", region, f"stack/{stack}/id"))
            assert any(fnmatchcase(own, pattern) for pattern in stacks)


def test_the_catalogue_may_read_declarations_and_write_those_of_its_region_and_nothing_else(
    synthesised: Synthesised,
) -> None:
    topology = synthesised.topology
    for region in topology.regions:
        function = topology.catalogue_function(region)
        made = policies_of_role(synthesised, *function_roles(synthesised, region)[function.name])
        assert made == declared(of_catalogue(topology, region)) | logging(region, function.name)
        written = [grant for grant in made if grant.action == "dynamodb:PutItem"]
        assert [conditions(grant)["ForAllValues:StringLike"] for grant in written] == [
            {"dynamodb:LeadingKeys": [f"@{region}/*"]}
        ]
        assert {grant.action for grant in made if grant.action.startswith("dynamodb:")} == {
            "dynamodb:PutItem",
            "dynamodb:Query",
        }


def test_the_catalogue_of_the_tables_may_read_and_nothing_else(synthesised: Synthesised) -> None:
    topology = synthesised.topology
    for region in topology.regions:
        tables = [table for table in topology.tables if owning_region(topology, table) == region]
        name = topology.catalogue_function(region, of_log=True).name
        stack = topology.stack_name("log", region)
        roles = {
            body["Properties"]["FunctionName"]: role_of(FUNCTION, body["Properties"])
            for _, body in synthesised.resources(FUNCTION, stack=stack)
        }
        assert set(roles) == ({name} if tables else set())
        if tables:
            made = policies_of_role(synthesised, stack, roles[name])
            assert made == declared(of_log_catalogue(topology, tables, region)) | logging(region, name)
            reading = ("dynamodb:Query", "cloudformation:DescribeStacks", "kms:", "logs:")
            assert [grant for grant in made if not grant.action.startswith(reading)] == []


def test_publishers_and_operators_may_do_what_permissions_declare_and_nothing_else(
    synthesised: Synthesised,
) -> None:
    topology = synthesised.topology
    names = Counter(property["ManagedPolicyName"] for property in synthesised.properties(MANAGED_POLICY))
    people = {"publisher": publisher, "operator": operator}
    tables = [stream.table.name for stream in topology.streams.values()]
    assert names == Counter(f"{table}-{person}" for table in tables for person in people)
    for stream in topology.streams.values():
        stack = f"{topology.fabric}-log-{owning_region(topology, stream.table)}"
        for person, statements in people.items():
            [logical_id] = [
                name.partition("/")[2]
                for name, body in synthesised.resources(MANAGED_POLICY, stack=stack)
                if body["Properties"]["ManagedPolicyName"] == f"{stream.table.name}-{person}"
            ]
            [made] = [own.grants for own in policies(synthesised) if own.logical_id == logical_id]
            assert made == declared(statements(topology, stream)), logical_id


def test_queues_have_the_tags_by_which_policies_recognise_them_and_keys_that_of_the_fabric(
    synthesised: Synthesised,
) -> None:
    topology = synthesised.topology
    declared_tags: dict[str, str | None] = dict.fromkeys(
        [
            *(topology.relay_dead_name, topology.reconcile_dead_name),
            *(topology.timers.name, topology.timers.dead_letter_name),
        ]
    )
    for subscription in topology.subscriptions.values():
        declared_tags |= subscription.queue_tags
    for queue in synthesised.properties("AWS::SQS::Queue"):
        assert tags_of(queue).get(QUEUE_TAG) == declared_tags[queue["QueueName"]]
    for key in synthesised.properties("AWS::KMS::Key"):
        assert tags_of(key)[FABRIC_TAG] == topology.fabric


def tags_of(properties: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in properties["Tags"]}


def test_no_policy_of_one_stream_reaches_the_log_of_another_nor_its_state(synthesised: Synthesised) -> None:
    topology = synthesised.topology
    others_logs = {
        stream.name: {f"table/{other.table.name}" for other in topology.streams.values() if other != stream}
        for stream in topology.streams.values()
    }
    of_one_stream = {
        f"{stream.name}: {person}": (stream, declared(statements(topology, stream)))
        for stream in topology.streams.values()
        for person, statements in (("publisher", publisher), ("operator", operator))
    }
    for region in topology.regions:
        roles = function_roles(synthesised, region)
        for subscription in topology.subscriptions_in(region):
            made = policies_of_role(synthesised, *roles[subscription.function_name])
            of_one_stream[f"{subscription.name} in {region}"] = (
                topology.stream(subscription.definition.stream),
                made,
            )
    for who, (stream, grants) in of_one_stream.items():
        for grant in grants:
            if grant.action == "cloudwatch:GetMetricData":  # it knows no resources
                continue
            name = grant.resource.split(":", 5)[5]
            assert not any(name == log or name.startswith(f"{log}/") for log in others_logs[stream.name]), who
            if grant.action.startswith("dynamodb:") and name == f"table/{topology.ledger.name}":
                keys = json.loads(grant.conditions)["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
                assert all(key.partition("/")[0] in (stream.name, "backfill") for key in keys), who


def test_every_role_is_used_once_and_trusts_the_service_of_what_uses_it_alone(
    synthesised: Synthesised,
) -> None:
    used = roles_in_use(synthesised)
    assert {name for name, _ in synthesised.resources(ROLE)} == set(used)
    for name, body in synthesised.resources(ROLE):
        [(kind, _)] = used[name]
        [statement] = body["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Action"] == "sts:AssumeRole"
        assert statement["Effect"] == "Allow"
        assert statement["Principal"] == {"Service": TRUSTED[kind]}
        if kind == FUNCTION:
            assert "Condition" not in statement  # Lambda tells no source
            continue
        source = {"aws:SourceAccount": ACCOUNT}
        if kind == SCHEDULE:
            region = name.partition("/")[0].removeprefix(f"{synthesised.topology.fabric}-cell-")
            source["aws:SourceArn"] = arn(Resource("scheduler", region, "schedule-group/default"))
        assert statement["Condition"] == {"StringEquals": source}


def test_the_schedule_and_the_state_machine_may_invoke_their_own_function_and_no_other(
    synthesised: Synthesised,
) -> None:
    topology = synthesised.topology
    for region in topology.regions:
        stack = f"{topology.fabric}-cell-{region}"
        functions = {
            body["Properties"]["FunctionName"]: f"<{name.partition('/')[2]}.Arn>"
            for name, body in synthesised.resources(FUNCTION, stack=stack)
        }
        for kind, function in (
            (SCHEDULE, topology.reconcile_function(region)),
            (MACHINE, topology.backfill_function(region)),
        ):
            [(_, body)] = synthesised.resources(kind, stack=stack)
            grants = policies_of_role(synthesised, stack, role_of(kind, body["Properties"]))
            invoked = {grant.resource for grant in grants if grant.action.startswith("lambda:")}
            assert invoked == {functions[function.name]}
            if kind == SCHEDULE:
                declared_besides = declared(of_schedule(topology, region))
                assert grants - declared_besides == {Grant("lambda:InvokeFunction", functions[function.name])}
                assert declared_besides <= grants
                queue = body["Properties"]["Target"]["DeadLetterConfig"]["Arn"]
                [named] = [
                    made["Properties"]["QueueName"]
                    for name, made in synthesised.resources("AWS::SQS::Queue", stack=stack)
                    if f"<{name.partition('/')[2]}.Arn>" == queue
                ]
                assert named == topology.reconcile_dead_name


def test_the_state_machine_starts_stops_and_logs_its_own_executions_and_nothing_else(
    synthesised: Synthesised,
) -> None:
    topology = synthesised.topology
    name = topology.backfill_machine_name
    for region in topology.regions:
        stack = f"{topology.fabric}-cell-{region}"
        [(_, body)] = synthesised.resources(MACHINE, stack=stack)
        grants = policies_of_role(synthesised, stack, role_of(MACHINE, body["Properties"]))
        machine, runs = (
            arn(Resource("states", region, f"{kind}:{name}")) for kind in ("stateMachine", "execution")
        )
        of_states = {(g.action, g.resource) for g in grants if g.action.startswith("states:")}
        assert of_states == {
            ("states:StartExecution", machine),
            ("states:DescribeExecution", f"{runs}:*"),
            ("states:DescribeExecution", f"{runs}/*"),
            ("states:RedriveExecution", f"{runs}/*"),
            ("states:StopExecution", f"{runs}:*"),
            ("states:StopExecution", f"{runs}/*"),
        }
        everywhere = {grant.action for grant in grants if grant.resource == "*"}
        assert {action.partition(":")[0] for action in everywhere} == {"logs", "xray"}
        assert not any("Create" in a and "Delivery" not in a for a in everywhere)


def test_a_key_is_used_by_whom_policies_of_its_own_account_allow_it(synthesised: Synthesised) -> None:
    for key in synthesised.properties("AWS::KMS::Key"):
        [statement, of_logs] = key["KeyPolicy"]["Statement"]
        assert "AWS" not in of_logs["Principal"]
        assert statement["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
