"""Settings of functions: each key at its bounds and beyond, rules between keys, and how defaults are filled in."""

import json
from typing import Any

import pytest

from eventfabric import limits
from eventfabric.definition.file import parse_definition
from eventfabric.definition.functions import FunctionSettings, Pollers, Vpc
from eventfabric.definition.schema import from_json, to_json
from eventfabric.topology import Topology
from tests.support.refused_definitions import refusal

HEAD = """
[fabric]
name = "shop"
regions = ["us-east-1", "eu-west-1"]
account_concurrency = 100000
"""
STREAMS = """
[streams.orders]
[streams.local]
regions = ["us-east-1"]
"""
LAYER = "arn:aws:lambda:{}:111122223333:layer:metrics:7"
SUBNET, GROUP = "subnet-0123456789abcdef0", "sg-0123456789abcdef0"


def text_of(defaults: str = "", own: str = "", *, stream: str = "orders") -> str:
    """Write a definition with inline tables of settings."""
    subscription = f'[subscriptions.billing]\nstream = "{stream}"\nhandler = "a.b:c"\n'
    return f"{HEAD}[functions]\n{defaults}\n{STREAMS}{subscription}[subscriptions.billing.function]\n{own}\n"


def resolved(defaults: str = "", own: str = "", *, stream: str = "orders") -> FunctionSettings:
    return parse_definition(text_of(defaults, own, stream=stream)).subscriptions["billing"].function


def vpc_of(*regions: str) -> str:
    tables = (
        f'{region} = {{ subnet_ids = ["{SUBNET}"], security_group_ids = ["{GROUP}"] }}' for region in regions
    )
    return f"vpc = {{ {', '.join(tables)} }}"


def layers_of(*regions: str, versions: int = 1) -> str:
    layers = [f"{LAYER.format(region)}{version}" for region in regions for version in range(versions)]
    return f"layers = {json.dumps(layers)}"


def environment_of(size: int) -> str:
    """Write an environment that is so many bytes as JSON."""
    return (
        f'environment = {{ NAME = "{"x" * (size - len(json.dumps({"NAME": ""}, separators=(",", ":"))))}" }}'
    )


@pytest.mark.parametrize("where", ["functions", "subscriptions.billing.function"])
@pytest.mark.parametrize(
    ("key", "least", "most"),
    [
        ("memory_megabytes", 512, 10_240),
        ("timeout_seconds", 30, 900),
        ("maximum_concurrency", 2, 1_000),
        ("reserved_concurrency", 2, 99_900),
        ("provisioned_pollers.minimum", 2, 200),
        ("provisioned_pollers.maximum", 2, 2_000),
    ],
)
def test_a_number_is_allowed_up_to_its_bounds(key: str, least: int, most: int, where: str) -> None:
    def text(value: object) -> str:
        line = f"{key} = {value}"
        return text_of(line) if where == "functions" else text_of(own=line)

    for right in (least, most):
        parse_definition(text(right))
    for wrong in (least - 1, most + 1, 0, -1, "true", f"{least}.0", f'"{least}"'):
        problem = refusal(text(wrong))
        assert problem.path == f"{where}.{key}"
        assert str(least) in problem.allowed
        assert str(most) in problem.allowed


@pytest.mark.parametrize("days", [1, 90, 3653])
def test_days_of_logs_are_those_of_cloudwatch(days: int) -> None:
    assert resolved(f"log_days = {days}").log_days == days


@pytest.mark.parametrize("days", [0, 2, 91, 3654, -1])
def test_other_days_are_refused_with_those_there_are(days: int) -> None:
    problem = refusal(text_of(f"log_days = {days}"))
    assert (problem.path, problem.found) == ("functions.log_days", str(days))
    assert all(str(allowed) in problem.allowed for allowed in limits.LOG_DAYS)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('architecture = "arm"', "architecture"),
        ('deployment = "linear5"', "deployment"),
        ('tracing = "true"', "tracing"),
        ("layers = 'x'", "layers"),
        ('layers = ["arn:aws:lambda:us-east-1:111122223333:layer:metrics"]', "layers[0]"),
        ('layers = ["arn:aws:lambda:us-east-1:111122223333:layer:metrics:0"]', "layers[0]"),
        (vpc_of("us-east-1", "eu-west-1", "europe"), "vpc.europe"),
        (f'vpc = {{ us-east-1 = {{ subnet_ids = ["{SUBNET}"] }} }}', "vpc.us-east-1.security_group_ids"),
        (
            f'vpc = {{ us-east-1 = {{ subnet_ids = [], security_group_ids = ["{GROUP}"] }} }}',
            "vpc.us-east-1.subnet_ids",
        ),
        (
            f'vpc = {{ us-east-1 = {{ subnet_ids = ["{GROUP}"], security_group_ids = ["{GROUP}"] }} }}',
            "vpc.us-east-1.subnet_ids[0]",
        ),
        ("concurrency = 2", "concurrency"),
    ],
)
def test_a_value_of_another_form_is_refused(line: str, path: str) -> None:
    assert refusal(text_of(line)).path == f"functions.{path}"


@pytest.mark.parametrize("name", ["CURRENCY", "a1", "AWS_LAMBDA_EXEC_WRAPPER", "HTTP_PROXY", "AWSX"])
def test_a_variable_of_ones_own_is_set(name: str) -> None:
    assert resolved(own=f'environment = {{ {name} = "x" }}').environment == {name: "x"}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "AWS_REGION",
            "AWS_ACCESS_KEY_ID",
            "AWS_ENDPOINT_URL_SQS",
            "AWS_LAMBDA_FUNCTION_NAME",
            "aws_profile",
        ),
        *("EVENTFABRIC_DEFINITION", "EVENTFABRIC_X", "LAMBDA_TASK_ROOT", "_HANDLER", "_X_AMZN_TRACE_ID"),
        *("A", "1A", "A-B", "A B", ""),
    ],
)
def test_a_variable_of_lambda_or_of_the_fabric_is_refused(name: str) -> None:
    problem = refusal(text_of(own=f'environment = {{ "{name}" = "x" }}'))
    assert problem.path.startswith("subscriptions.billing.function.environment.")
    assert "AWS_" in problem.allowed


WRONG_KINDS = {
    '"hunter2\\u0000b"': "a text",
    '["hunter2"]': "a list",
    '{ own = "hunter2" }': "a table",
    "45054": "a number",
    "4505.4": "a number",
    "true": "a truth value",
    "4505-04-04": "a date or time",
}


@pytest.mark.parametrize(("value", "kind"), WRONG_KINDS.items())
@pytest.mark.parametrize("where", ["functions", "subscriptions.billing.function"])
def test_a_variable_is_text_that_an_environment_can_hold_and_is_never_shown(
    value: str, kind: str, where: str
) -> None:
    line = f"environment = {{ NAME = {value} }}"
    problem = refusal(text_of(line) if where == "functions" else text_of(own=line))
    assert (problem.path, problem.found) == (f"{where}.environment.NAME", kind)


@pytest.mark.parametrize("value", ['"NAME=hunter2"', '["NAME=hunter2"]', '[{ NAME = "hunter2" }]', "45054"])
def test_an_environment_that_is_no_table_is_not_shown(value: str) -> None:
    problem = refusal(text_of(f"environment = {value}"))
    assert problem.path == "functions.environment"
    assert problem.found == WRONG_KINDS.get(value, "a text" if value.startswith('"') else "a list")


def test_an_environment_is_bounded_with_the_fabrics_own() -> None:
    most = limits.ENVIRONMENT_BYTES_MAX
    assert resolved(own=environment_of(most)).environment["NAME"]
    default = 'environment = { OTHER = "x" }'
    for text in (text_of(own=environment_of(most + 1)), text_of(default, environment_of(most - 5))):
        problem = refusal(text)
        assert (problem.path, str(most) in problem.allowed) == (
            "subscriptions.billing.function.environment",
            True,
        )
    assert refusal(text_of(environment_of(most + 1))).path == "functions.environment"


def test_the_largest_environment_fits_beside_what_the_fabric_sets() -> None:
    text = text_of(own=environment_of(limits.ENVIRONMENT_BYTES_MAX)).replace("billing", "b" * 28)
    deployed = Topology(parse_definition(text)).deliver_function("b" * 28, "us-east-1").deployed_environment
    assert len(json.dumps(deployed, separators=(",", ":")).encode()) <= 4096


def test_what_a_subscription_does_not_say_is_the_fabrics() -> None:
    defaults = 'memory_megabytes = 1024\ntimeout_seconds = 60\nlog_days = 7\ntracing = true\narchitecture = "x86_64"\n'
    assert resolved(defaults) == FunctionSettings(
        memory_megabytes=1024, timeout_seconds=60, log_days=7, tracing=True, architecture="x86_64"
    )
    own = resolved(defaults, "timeout_seconds = 120\ntracing = false\nlog_days = 90")
    assert own == FunctionSettings(memory_megabytes=1024, architecture="x86_64")


def test_variables_of_both_are_set_and_the_subscriptions_value_wins() -> None:
    own = resolved(
        'environment = { A1 = "fabric", B1 = "fabric" }', 'environment = { B1 = "own", C1 = "own" }'
    )
    assert own.environment == {"A1": "fabric", "B1": "own", "C1": "own"}


def test_an_empty_value_of_a_subscription_takes_the_default_away() -> None:
    regions = ("us-east-1", "eu-west-1")
    defaults = f"{vpc_of(*regions)}\n{layers_of(*regions)}"
    assert set(resolved(defaults).vpc) == set(regions)
    assert resolved(defaults).layers_in("eu-west-1") == [LAYER.format("eu-west-1") + "0"]
    own = resolved(defaults, "vpc = {}\nlayers = []")
    assert (own.vpc, own.layers) == ({}, ())


def test_each_region_of_the_function_has_subnets_and_layers() -> None:
    assert resolved(own=vpc_of("us-east-1"), stream="local").vpc == {
        "us-east-1": Vpc(subnet_ids=(SUBNET,), security_group_ids=(GROUP,))
    }
    for line, key in ((vpc_of("us-east-1"), "vpc"), (layers_of("us-east-1"), "layers")):
        assert refusal(text_of(line)).path == f"functions.{key}"
        assert refusal(text_of(own=line)).path == f"subscriptions.billing.function.{key}"
        parse_definition(text_of(own=line, stream="local"))
    both = ("us-east-1", "eu-west-1")
    for line, key in ((vpc_of(*both), "vpc.eu-west-1"), (layers_of(*both), "layers[1]")):
        problem = refusal(text_of(own=line, stream="local"))
        assert (problem.path, "us-east-1" in problem.allowed) == (
            f"subscriptions.billing.function.{key}",
            True,
        )


def test_a_region_has_at_most_five_layers_each_once() -> None:
    both = ("us-east-1", "eu-west-1")
    assert len(resolved(layers_of(*both, versions=5)).layers) == 10
    problem = refusal(text_of(own=layers_of("us-east-1", versions=6), stream="local"))
    assert (problem.path, problem.found) == ("subscriptions.billing.function.layers", "6 in us-east-1")
    twice = json.dumps([LAYER.format("us-east-1")] * 2)
    assert refusal(text_of(own=f"layers = {twice}", stream="local")).path.endswith("layers[1]")


def test_subnets_and_groups_are_listed_once() -> None:
    line = f'vpc.us-east-1 = {{ subnet_ids = ["{SUBNET}", "{SUBNET}"], security_group_ids = ["{GROUP}"] }}'
    problem = refusal(text_of(own=line, stream="local"))
    assert problem.path == "subscriptions.billing.function.vpc.us-east-1.subnet_ids[1]"


def test_pollers_and_a_maximum_exclude_each_other() -> None:
    pollers, most = "provisioned_pollers = { maximum = 5 }", "maximum_concurrency = 5"
    both = f"{pollers}\n{most}"
    assert refusal(text_of(both)).path == "functions.provisioned_pollers"
    assert refusal(text_of(own=both)).path == "subscriptions.billing.function.provisioned_pollers"
    own = resolved(pollers, most)
    assert (own.maximum_concurrency, own.provisioned_pollers) == (5, None)
    own = resolved(most, pollers)
    assert (own.maximum_concurrency, own.provisioned_pollers) == (None, Pollers(minimum=2, maximum=5))


def test_pollers_are_at_most_as_many_as_at_least() -> None:
    assert resolved(own="provisioned_pollers = { minimum = 9, maximum = 9 }").provisioned_pollers
    problem = refusal(text_of(own="provisioned_pollers = { minimum = 9, maximum = 8 }"))
    assert problem.path == "subscriptions.billing.function.provisioned_pollers.maximum"


@pytest.mark.parametrize(
    ("defaults", "own", "path"),
    [
        ("reserved_concurrency = 4\nmaximum_concurrency = 5", "", "functions.reserved_concurrency"),
        (
            "",
            "reserved_concurrency = 4\nmaximum_concurrency = 5",
            "subscriptions.billing.function.reserved_concurrency",
        ),
        (
            "maximum_concurrency = 5",
            "reserved_concurrency = 4",
            "subscriptions.billing.function.reserved_concurrency",
        ),
        (
            "reserved_concurrency = 4",
            "maximum_concurrency = 5",
            "subscriptions.billing.function.maximum_concurrency",
        ),
    ],
)
def test_a_queue_has_no_more_invocations_than_are_reserved(defaults: str, own: str, path: str) -> None:
    assert refusal(text_of(defaults, own)).path == path
    parse_definition(text_of(defaults.replace("= 4", "= 5"), own.replace("= 4", "= 5")))


OWN = "subscriptions.billing.function"


@pytest.mark.parametrize(
    ("pollers", "needed"),
    [("", 128), ("minimum = 200", 128), ("maximum = 13", 128), ("maximum = 12", 120), ("maximum = 2", 20)],
)
@pytest.mark.parametrize(
    ("reserved_by", "pollers_by", "path"),
    [
        ("own", "own", f"{OWN}.reserved_concurrency"),
        ("own", "defaults", f"{OWN}.reserved_concurrency"),
        ("defaults", "own", f"{OWN}.provisioned_pollers"),
        ("defaults", "defaults", "functions.reserved_concurrency"),
    ],
)
def test_pollers_start_no_more_invocations_than_are_reserved(
    reserved_by: str, pollers_by: str, path: str, pollers: str, needed: int
) -> None:
    """One poller has ten invocations under way, and 64 lanes of two Regions are in one invocation each."""

    def text(reserved: int) -> str:
        lines: dict[str, list[str]] = {"defaults": [], "own": []}
        lines[reserved_by].append(f"reserved_concurrency = {reserved}")
        lines[pollers_by].append(f"provisioned_pollers = {{ {pollers} }}")
        return text_of(**{where: "\n".join(given) for where, given in lines.items()})

    parse_definition(text(needed))
    problem = refusal(text(needed - 1))
    assert problem.path == path
    assert f"at least {needed} reserved" in problem.allowed


def test_a_maximum_of_ones_own_takes_the_pollers_of_the_fabric_away() -> None:
    defaults = "reserved_concurrency = 5\nprovisioned_pollers = {}"
    assert resolved(defaults, "maximum_concurrency = 5").invocations_max == 5


def test_lanes_are_those_of_the_stream_in_its_own_regions() -> None:
    keys = "reserved_concurrency = {}\nprovisioned_pollers = {{}}"
    parse_definition(text_of(own=keys.format(64), stream="local"))
    assert refusal(text_of(own=keys.format(63), stream="local")).path == f"{OWN}.reserved_concurrency"


def test_a_queue_takes_as_many_invocations_as_are_reserved() -> None:
    assert resolved().invocations_max == 50
    assert resolved("reserved_concurrency = 40").invocations_max == 40
    assert resolved("reserved_concurrency = 4000").invocations_max == 1000
    assert resolved("reserved_concurrency = 40\nmaximum_concurrency = 7").invocations_max == 7
    assert resolved("reserved_concurrency = 128\nprovisioned_pollers = {}").invocations_max is None


def test_settings_reach_the_functions_with_the_definition() -> None:
    definition = parse_definition(text_of(vpc_of("us-east-1", "eu-west-1"), 'environment = { A1 = "x" }'))
    assert from_json(to_json(definition)) == definition


def test_the_topology_has_what_the_settings_say() -> None:
    topology = Topology(
        parse_definition(text_of("log_days = 7", 'timeout_seconds = 900\nenvironment = { A1 = "x" }'))
    )
    made: Any = topology.deliver_function("billing", "us-east-1")
    assert (made.timeout_seconds, made.environment["A1"], made.settings.log_days) == (900, "x", 7)
    assert topology.subscription("billing").queue.visibility_timeout_seconds == 5400
    assert topology.subscription("billing").timers.visibility_timeout_seconds == 720
    for own in topology.functions("us-east-1")[:4]:
        assert (own.settings.log_days, "A1" in own.environment) == (7, False)
    assert topology.architectures == ["arm64"]


def test_each_architecture_that_a_function_has_gets_a_zip() -> None:
    both = Topology(parse_definition(text_of(own='architecture = "x86_64"')))
    assert both.architectures == ["arm64", "x86_64"]
    only = Topology(parse_definition(text_of('architecture = "x86_64"')))
    assert only.architectures == ["x86_64"]


@pytest.mark.parametrize(("lanes", "megabytes"), [(1024, 512), (4096, 1_769)])
def test_passes_over_many_lanes_get_a_whole_processor(lanes: int, megabytes: int) -> None:
    topology = Topology(
        parse_definition(f"""
        [fabric]
        name = "shop"
        regions = ["us-east-1", "eu-west-1"]
        [streams.orders]
        lanes = {lanes}
        [subscriptions.billing]
        stream = "orders"
        handler = "a:b"
        [subscriptions.audit]
        stream = "orders"
        handler = "a:b"
    """)
    )
    assert topology.reconcile_function("us-east-1").memory_megabytes == megabytes
