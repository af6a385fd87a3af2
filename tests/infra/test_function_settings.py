"""Settings of functions in the templates: defaults of the fabric, and a subscription's own values."""

import re
from typing import Any

import pytest

from eventfabric import limits
from tests.infra.synthesis import Synthesised

FUNCTION, MAPPING = "AWS::Lambda::Function", "AWS::Lambda::EventSourceMapping"
HOME = "us-east-1"
OF_THE_FABRIC = ("relay", "timer", "reconcile", "backfill")
INTERFACES = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
}
OWN = {"EVENTFABRIC_CATALOGUE", "EVENTFABRIC_DEFINITION", "EVENTFABRIC_SUBSCRIPTION"}


def function(synthesis: Synthesised, name: str, region: str = HOME) -> dict[str, Any]:
    [made] = [
        properties
        for properties in synthesis.properties(FUNCTION, stack=synthesis.running(region))
        if properties["FunctionName"] == f"shop_dev-{name}"
    ]
    return dict(made)


def mapping(synthesis: Synthesised, queue: str) -> dict[str, Any]:
    """Return the mapping of a queue."""
    [made] = [
        properties
        for place, body in synthesis.resources(MAPPING, stack=synthesis.running(HOME))
        if (properties := body["Properties"])["EventSourceArn"].startswith(f"<{queue}Queue")
    ]
    return dict(made)


def statements(synthesis: Synthesised, name: str) -> list[dict[str, Any]]:
    """Return the statements of the policy of a function's role."""
    role = function(synthesis, name)["Role"].strip("<>").partition(".")[0]
    [policy] = [
        properties["PolicyDocument"]["Statement"]
        for properties in synthesis.properties("AWS::IAM::Policy", stack=synthesis.running(HOME))
        if properties["Roles"] == [f"<{role}>"]
    ]
    return list(policy)


def actions(statement: dict[str, Any]) -> set[str]:
    given = statement["Action"]
    return {given} if isinstance(given, str) else set(given)


def test_a_subscription_has_the_fabrics_defaults(tuned: Synthesised) -> None:
    plain = function(tuned, "plain")
    variables = plain["Environment"]["Variables"]
    assert (plain["MemorySize"], plain["Timeout"]) == (512, 60)
    assert {name: value for name, value in variables.items() if name not in OWN} == {
        "CURRENCY": "EUR",
        "LANGUAGE": "en",
    }
    assert plain["Layers"] == ["arn:aws:lambda:us-east-1:111122223333:layer:metrics:7"]
    assert plain["VpcConfig"] == {
        "SubnetIds": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
        "SecurityGroupIds": ["sg-0123456789abcdef0"],
    }
    assert (plain["Architectures"], plain["TracingConfig"]) == (["x86_64"], {"Mode": "Active"})
    assert "ReservedConcurrentExecutions" not in plain


def test_a_subscriptions_own_values_win(tuned: Synthesised) -> None:
    own = function(tuned, "own")
    variables = own["Environment"]["Variables"]
    assert (own["MemorySize"], own["Timeout"]) == (1769, 900)
    assert {name: value for name, value in variables.items() if name not in OWN} == {
        "CURRENCY": "USD",
        "LANGUAGE": "en",
        "EXTRA": "",
    }
    assert own["Architectures"] == ["arm64"]
    assert own["ReservedConcurrentExecutions"] == 90
    assert not {"Layers", "VpcConfig", "TracingConfig"} & own.keys()


def test_a_region_has_its_own_layers_and_subnets(tuned: Synthesised) -> None:
    plain = function(tuned, "plain", "eu-west-1")
    assert plain["Layers"] == ["arn:aws:lambda:eu-west-1:111122223333:layer:metrics:9"]
    assert plain["VpcConfig"]["SubnetIds"] == ["subnet-abcdef01"]


@pytest.mark.parametrize("name", OF_THE_FABRIC)
def test_the_fabrics_own_functions_take_what_an_account_may_ask_and_nothing_of_handlers(
    tuned: Synthesised, name: str
) -> None:
    own = function(tuned, name)
    declared = {made.name: made for made in tuned.topology.functions("us-east-1")}[f"shop_dev-{name}"]
    assert own["VpcConfig"]["SecurityGroupIds"] == ["sg-0123456789abcdef0"]
    assert (own["Architectures"], own["TracingConfig"]) == (["x86_64"], {"Mode": "Active"})
    assert (own["MemorySize"], own["Timeout"]) == (declared.memory_megabytes, declared.timeout_seconds)
    assert own["Timeout"] != 60
    assert own["Environment"]["Variables"].keys() <= OWN
    assert "Layers" not in own


def test_logs_are_kept_as_long_as_the_function_says(tuned: Synthesised) -> None:
    days = {
        group["LogGroupName"]: group["RetentionInDays"]
        for group in tuned.properties("AWS::Logs::LogGroup", stack=tuned.running(HOME))
    }
    assert days.pop("/aws/lambda/shop_dev-own") == 365
    assert len(days) == 10  # functions, the three that serve the deployment, the state machine
    assert set(days.values()) == {30}


def test_doorbells_stay_invisible_for_six_times_the_time_out(tuned: Synthesised) -> None:
    seconds = {
        queue["QueueName"]: queue["VisibilityTimeout"]
        for queue in tuned.properties("AWS::SQS::Queue", stack=tuned.running(HOME))
    }
    assert (seconds["shop_dev-plain.fifo"], seconds["shop_dev-own.fifo"]) == (360, 5400)
    assert seconds["shop_dev-timers"] == 720


def test_a_queue_has_the_invocations_or_the_pollers_that_its_subscription_says(tuned: Synthesised) -> None:
    plain, own, reserved = (mapping(tuned, f"Doorbells{name}") for name in ("plain", "own", "reserved"))
    assert plain["ScalingConfig"] == {"MaximumConcurrency": 20}
    assert reserved["ScalingConfig"] == {"MaximumConcurrency": 5}
    assert own["ProvisionedPollerConfig"] == {"MinimumPollers": 3, "MaximumPollers": 9}
    assert "ScalingConfig" not in own
    timers = mapping(tuned, "Timers")
    assert timers["ScalingConfig"] == {"MaximumConcurrency": limits.TIMER_CONCURRENCY}
    assert "ProvisionedPollerConfig" not in timers


def reserved(synthesis: Synthesised) -> dict[str, int]:
    """Return what is reserved for the fabric's own functions, by the end of their names."""
    return {
        name: properties["ReservedConcurrentExecutions"]
        for properties in synthesis.properties(FUNCTION)
        if "ReservedConcurrentExecutions" in properties
        if (name := properties["FunctionName"].rpartition("-")[2]) in OF_THE_FABRIC
    }


def test_no_backlog_takes_the_invocations_of_relay_timer_and_reconciliation(tuned: Synthesised) -> None:
    assert reserved(tuned) == {
        "relay": limits.RELAY_CONCURRENCY,
        "timer": limits.TIMER_CONCURRENCY,
        "reconcile": limits.RECONCILE_CONCURRENCY,
    }


def test_nothing_is_reserved_in_an_account_that_has_too_little(wide: Synthesised) -> None:
    assert reserved(wide) == {}


def test_lambda_and_not_the_functions_code_may_make_network_interfaces(tuned: Synthesised) -> None:
    [allowed, denied] = [
        statement for statement in statements(tuned, "plain") if actions(statement) >= INTERFACES
    ]
    assert (allowed["Effect"], denied["Effect"]) == ("Allow", "Deny")
    assert "Condition" not in allowed
    arn = "arn:aws:lambda:us-east-1:123456789012:function:shop_dev-plain"
    assert denied["Condition"] == {"ArnEquals": {"lambda:SourceFunctionArn": arn}}
    assert not any(actions(statement) & INTERFACES for statement in statements(tuned, "own"))


def test_a_function_that_is_traced_may_send_traces(tuned: Synthesised) -> None:
    traces = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
    assert any(traces <= actions(statement) for statement in statements(tuned, "plain"))
    assert not any(traces & actions(statement) for statement in statements(tuned, "own"))


def test_every_name_of_the_templates_carries_the_stage(tuned: Synthesised) -> None:
    keys = {
        "AWS::DynamoDB::GlobalTable": "TableName",
        "AWS::SQS::Queue": "QueueName",
        FUNCTION: "FunctionName",
        "AWS::Logs::LogGroup": "LogGroupName",
        "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
        "AWS::KMS::Alias": "AliasName",
        "AWS::StepFunctions::StateMachine": "StateMachineName",
        "AWS::Scheduler::Schedule": "Name",
        "AWS::CloudWatch::Alarm": "AlarmName",
        "AWS::CloudWatch::Dashboard": "DashboardName",
    }
    assert all(name.endswith("-dev") for name in tuned.templates)
    for kind, key in keys.items():
        names = [properties[key] for properties in tuned.properties(kind)]
        assert names
        assert all(name.rpartition("/")[2].startswith("shop_dev") for name in names)
    named = {
        (body["Type"], key)
        for template in tuned.templates.values()
        for body in template["Resources"].values()
        for key in body.get("Properties", {})
        if key.endswith("Name") and key not in ("FunctionName", "TableName", "MetricName")
    }
    group = "AWS::CodeDeploy::DeploymentGroup"
    of_others = {("AWS::IAM::Policy", "PolicyName"), ("AWS::Lambda::Alias", "Name")}
    of_others |= {(group, "ApplicationName"), (group, "DeploymentConfigName")}
    assert named - of_others <= {*keys.items()}


def test_a_version_takes_over_gradually_where_its_subscription_says_so(tuned: Synthesised) -> None:
    for region in tuned.topology.regions:
        (group,) = tuned.properties("AWS::CodeDeploy::DeploymentGroup", stack=tuned.running(region))
        assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaLinear10PercentEvery1Minute"
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
        assert group["AlarmConfiguration"]["Enabled"]
        aliases = dict(tuned.resources("AWS::Lambda::Alias", stack=tuned.running(region)))
        shifted = [name for name, body in aliases.items() if "UpdatePolicy" in body]
        assert ["-own-" in name for name in shifted] == [True]
        (policy,) = [aliases[name]["UpdatePolicy"] for name in shifted]
        assert set(policy) == {"CodeDeployLambdaAliasUpdate"}


def test_a_deployment_goes_back_if_the_new_version_and_no_other_fails(tuned: Synthesised) -> None:
    (alarm,) = tuned.properties("AWS::CloudWatch::Alarm", stack=tuned.running(HOME))
    dimensions = {part["Name"]: part["Value"] for part in alarm["Dimensions"]}
    assert (alarm["MetricName"], dimensions["Resource"]) == ("Errors", "shop_dev-own:live")
    assert re.fullmatch(r"<.*CurrentVersion.*\.Version>", dimensions["ExecutedVersion"])
    assert alarm["TreatMissingData"] == "notBreaching"
