"""Contents of the templates: queues, tables, functions and mappings as topology declares them, and nothing else."""

import json
from pathlib import Path
from typing import Any

from eventfabric import limits
from eventfabric.cdk.stacks.log import owning_region
from eventfabric.deployment.permissions import Resource
from eventfabric.deployment.state_machine import backfill_state_machine
from eventfabric.resources import CHECKED_VERSION, ENVIRONMENT_CATALOGUE, QueueTopology, TableTopology
from eventfabric.topology import DELIVER_ENTRY, RECONCILE_MINUTES
from infra.app import ROOT, context
from tests.infra.grants import arn
from tests.infra.synthesis import ASSEMBLY, REPORT, Synthesised, declare

QUEUE = "AWS::SQS::Queue"
TABLE = "AWS::DynamoDB::GlobalTable"
FUNCTION = "AWS::Lambda::Function"
MAPPING = "AWS::Lambda::EventSourceMapping"


def by_name(resources: list[dict[str, Any]], key: str) -> dict[str, dict[str, Any]]:
    named = {resource[key]: resource for resource in resources}
    assert len(named) == len(resources), "a name twice"
    return named


def cell(synthesised: Synthesised, region: str) -> str:
    return f"{synthesised.topology.fabric}-cell-{region}"


def test_no_template_breaks_a_rule_of_cloudformation(synthesised: Synthesised) -> None:
    report = json.loads((synthesised.folder / REPORT).read_text())
    broken = {
        (plugin["pluginName"], violation["ruleName"])
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
    }
    assert broken == set()


def test_every_table_of_the_topology_is_there_once_and_no_other(synthesised: Synthesised) -> None:
    topology = synthesised.topology
    for region in topology.regions:
        stack = f"{topology.fabric}-log-{region}"
        made = {table["TableName"] for table in synthesised.properties(TABLE, stack=stack)}
        assert made == {t.name for t in topology.tables if owning_region(topology, t) == region}
    assert len(synthesised.properties(TABLE)) == len(topology.tables)


def test_tables_have_the_keys_regions_streams_and_expiry_that_topology_says(synthesised: Synthesised) -> None:
    made = by_name(synthesised.properties(TABLE), "TableName")
    for table in synthesised.topology.tables:
        _is_as_declared(made[table.name], table)


def _is_as_declared(made: dict[str, Any], table: TableTopology) -> None:
    types = {
        attribute["AttributeName"]: attribute["AttributeType"] for attribute in made["AttributeDefinitions"]
    }
    assert types == {"pk": "S", "sk": table.sort_key_type}
    assert [(k["AttributeName"], k["KeyType"]) for k in made["KeySchema"]] == [
        ("pk", "HASH"),
        ("sk", "RANGE"),
    ]
    assert [replica["Region"] for replica in made["Replicas"]] == list(table.regions)
    assert made["StreamSpecification"] == {"StreamViewType": table.stream_view}
    expiry = made.get("TimeToLiveSpecification", {"AttributeName": None, "Enabled": False})
    assert expiry == {"AttributeName": table.expiry_attribute, "Enabled": table.expiry_attribute is not None}
    assert made.get("MultiRegionConsistency") == ("STRONG" if table.is_quorum else None)


def test_every_replica_is_protected_recoverable_and_encrypted_with_its_own_regions_key(
    synthesised: Synthesised,
) -> None:
    for table in synthesised.properties(TABLE):
        assert table["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS"}
        for replica in table["Replicas"]:
            assert replica["DeletionProtectionEnabled"] is True
            assert replica["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
            key = replica["SSESpecification"]["KMSMasterKeyId"]
            assert key == f"arn:aws:kms:{replica['Region']}:123456789012:{synthesised.topology.key_alias}"


def test_every_region_has_a_key_that_is_rotated_under_the_alias(synthesised: Synthesised) -> None:
    topology = synthesised.topology
    for region in topology.regions:
        stack = f"{topology.fabric}-keys-{region}"
        [key], [alias] = (
            synthesised.properties("AWS::KMS::Key", stack=stack),
            synthesised.properties("AWS::KMS::Alias", stack=stack),
        )
        assert key["EnableKeyRotation"] is True
        assert alias["AliasName"] == topology.key_alias


def test_every_queue_of_the_topology_is_there_in_each_region_of_its_stream_and_no_other(
    synthesised: Synthesised,
) -> None:
    topology = synthesised.topology
    for region in topology.regions:
        made = by_name(synthesised.properties(QUEUE, stack=synthesised.running(region)), "QueueName")
        declared = {topology.relay_dead_name, topology.reconcile_dead_name}
        for subscription in topology.subscriptions_in(region):
            for queue in (subscription.queue, topology.timers):
                declared |= {queue.name, queue.dead_letter_name}
        assert set(made) == declared


def test_every_queue_has_a_dead_letter_queue_that_takes_from_it_alone(synthesised: Synthesised) -> None:
    topology = synthesised.topology
    for region in topology.regions:
        stack = synthesised.running(region)
        made = by_name(synthesised.properties(QUEUE, stack=stack), "QueueName")
        ids = {
            body["Properties"]["QueueName"]: name for name, body in synthesised.resources(QUEUE, stack=stack)
        }
        for subscription in topology.subscriptions_in(region):
            for queue in (subscription.queue, topology.timers):
                redrive = made[queue.name]["RedrivePolicy"]
                dead_id = ids[queue.dead_letter_name].partition("/")[2]
                assert redrive == {
                    "deadLetterTargetArn": f"<{dead_id}.Arn>",
                    "maxReceiveCount": queue.receive_count_max,
                }
                source = f"arn:aws:sqs:{region}:123456789012:{queue.name}"
                assert made[queue.dead_letter_name]["RedriveAllowPolicy"] == {
                    "redrivePermission": "byQueue",
                    "sourceQueueArns": [source],
                }
        for name in (topology.relay_dead_name, topology.reconcile_dead_name):
            assert made[name]["RedriveAllowPolicy"] == {"redrivePermission": "denyAll"}


def test_fifo_queues_are_high_throughput_as_topology_says_and_the_others_are_not_fifo(
    synthesised: Synthesised,
) -> None:
    topology = synthesised.topology
    for subscription in topology.subscriptions.values():
        for made in synthesised.properties(QUEUE):
            if made["QueueName"] in (subscription.queue.name, subscription.queue.dead_letter_name):
                settings = {
                    name: made[name]
                    for name in (
                        "FifoQueue",
                        "DeduplicationScope",
                        "FifoThroughputLimit",
                        "VisibilityTimeout",
                    )
                }
                assert {k: str(v).lower() for k, v in settings.items()} == {
                    k: v.lower() for k, v in subscription.queue.attributes.items()
                }
            elif made["QueueName"] == subscription.timers.name:
                assert "FifoQueue" not in made


def test_a_message_stays_invisible_for_six_times_as_long_as_its_function_may_run(
    synthesised: Synthesised,
) -> None:
    topology = synthesised.topology
    for region in topology.regions:
        stacks = synthesised.running(region)
        queues = {
            f"<{name.partition('/')[2]}.Arn>": body["Properties"]
            for name, body in synthesised.resources(QUEUE, stack=stacks)
        }
        functions = synthesised.live_functions(region)
        for mapping in synthesised.properties(MAPPING, stack=stacks):
            queue = queues.get(mapping["EventSourceArn"])
            if queue is not None:
                assert queue["VisibilityTimeout"] >= 6 * functions[mapping["FunctionName"]]["Timeout"]


def test_queues_are_encrypted_with_the_fabrics_key_and_take_requests_over_tls_only(
    synthesised: Synthesised,
) -> None:
    for stack in (stack for region in synthesised.topology.regions for stack in synthesised.running(region)):
        secured = set()
        for policy in synthesised.properties("AWS::SQS::QueuePolicy", stack=stack):
            [statement] = policy["PolicyDocument"]["Statement"]
            assert statement["Effect"] == "Deny"
            assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
            secured |= set(policy["Queues"])
        for name, body in synthesised.resources(QUEUE, stack=stack):
            assert body["Properties"]["KmsMasterKeyId"].endswith(synthesised.topology.key_alias)
            assert f"<{name.partition('/')[2]}>" in secured


def test_every_function_of_the_topology_is_there_and_no_other_but_the_lookups(
    synthesised: Synthesised,
) -> None:
    topology = synthesised.topology
    for region in topology.regions:
        made = by_name(synthesised.properties(FUNCTION, stack=synthesised.running(region)), "FunctionName")
        for name in (topology.lookup_name, topology.start_name):
            assert len(made.pop(name)["Code"]["ZipFile"].encode()) < 4096
        functions = [*topology.functions(region), topology.catalogue_function(region)]
        assert set(made) == {function.name for function in functions}
        for function in functions:
            properties = made[function.name]
            assert properties["Handler"] == function.entry
            environment = properties["Environment"]["Variables"]
            checked = environment.pop(ENVIRONMENT_CATALOGUE, None)
            assert checked == (f"<Allowed.{CHECKED_VERSION}>" if function.entry == DELIVER_ENTRY else None)
            assert environment == function.deployed_environment
            assert properties["Timeout"] == function.timeout_seconds
            assert properties["MemorySize"] == function.memory_megabytes
            assert properties["RecursiveLoop"] == ("Allow" if function.may_recur else "Terminate")
            assert (properties["Runtime"], properties["Architectures"]) == ("python3.13", ["arm64"])


def test_all_functions_of_all_regions_run_the_same_code(synthesised: Synthesised) -> None:
    assets = {
        property["Code"]["S3Key"]
        for property in synthesised.properties(FUNCTION)
        if "S3Key" in property["Code"]
    }
    assert len(assets) == 1


def test_each_queue_invokes_its_function_and_reports_what_failed(synthesised: Synthesised) -> None:
    topology = synthesised.topology
    for region in topology.regions:
        stack = synthesised.running(region)
        names = {
            f"<{name.partition('/')[2]}.Arn>": body["Properties"]["QueueName"]
            for name, body in synthesised.resources(QUEUE, stack=stack)
        } | {
            alias: function["FunctionName"] for alias, function in synthesised.live_functions(region).items()
        }
        mapped = {}
        for mapping in synthesised.properties(MAPPING, stack=stack):
            assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
            if mapping["EventSourceArn"] in names:
                mapped[names[mapping["EventSourceArn"]]] = names[mapping["FunctionName"]]
                assert mapping["BatchSize"] == limits.DOORBELL_BATCH_MAX
        declared = {}
        for subscription in topology.subscriptions_in(region):
            declared[subscription.queue.name] = subscription.function_name
            declared[subscription.timers.name] = topology.timer_function(region).name
        assert mapped == declared


def test_the_relay_reads_each_stream_of_its_region_from_the_start_by_an_arn_looked_up_there(
    synthesised: Synthesised,
) -> None:
    topology = synthesised.topology
    for region in topology.regions:
        stack = cell(synthesised, region)
        tables = {
            f"<{name.partition('/')[2]}.StreamArn>": body["Properties"]["TableName"]
            for name, body in synthesised.resources("Custom::EventFabricStreamArn", stack=stack)
        }
        assert set(tables.values()) == {stream.table.name for stream in topology.streams_in(region)}
        relayed = [m for m in synthesised.properties(MAPPING, stack=stack) if m["EventSourceArn"] in tables]
        assert {tables[mapping["EventSourceArn"]] for mapping in relayed} == set(tables.values())
        for mapping in relayed:
            assert mapping["StartingPosition"] == "TRIM_HORIZON"
            assert mapping["BisectBatchOnFunctionError"] is True
            assert mapping["BatchSize"] == limits.RELAY_BATCH_MAX
            assert "OnFailure" in mapping["DestinationConfig"]
            [only] = mapping["FilterCriteria"]["Filters"]
            assert json.loads(only["Pattern"]) == {"eventName": ["INSERT"]}


def test_no_stack_refers_to_another(synthesised: Synthesised) -> None:
    for name, template in synthesised.templates.items():
        assert "Fn::ImportValue" not in json.dumps(template), name
        assert not template.get("Outputs"), name


def test_a_cell_that_goes_before_another_regions_stacks_goes_alone_as_the_guide_says(
    synthesised: Synthesised,
) -> None:
    """The manifest has the CDK deploy all that a stack depends on first, wherever it is."""
    manifest = json.loads((synthesised.folder / "manifest.json").read_text())["artifacts"]
    topology = synthesised.topology
    crossing = [
        (region, other)
        for region in topology.regions
        for other in manifest[cell(synthesised, region)]["dependencies"]
        if other in synthesised.templates and not other.endswith(region)
    ]
    assert bool(crossing) == (len(topology.regions) > 1)
    guide = (ROOT / "docs" / "deploy.md").read_text()
    assert "deploy --exclusively" in guide
    assert "destroy --exclusively" in guide


def test_a_pass_of_reconciliation_waits_for_no_longer_than_until_the_next(synthesised: Synthesised) -> None:
    for region in synthesised.topology.regions:
        stack = cell(synthesised, region)
        settings = [
            properties
            for properties in synthesised.properties("AWS::Lambda::EventInvokeConfig", stack=stack)
            if properties.get("MaximumRetryAttempts") == 0
        ]
        assert [own["MaximumEventAgeInSeconds"] for own in settings] == [60 * RECONCILE_MINUTES]


def test_names_of_queues_and_functions_are_equal_in_all_regions_of_a_stream(shop: Synthesised) -> None:
    queue = shop.topology.subscription("billing").queue
    assert isinstance(queue, QueueTopology)
    assert sum(property["QueueName"] == queue.name for property in shop.properties(QUEUE)) == len(
        shop.topology.regions
    )


def test_the_state_machine_of_the_template_is_the_one_that_is_declared_nulls_included(
    synthesised: Synthesised,
) -> None:
    topology = synthesised.topology
    for region in topology.regions:
        stack = cell(synthesised, region)
        [machine] = synthesised.properties("AWS::StepFunctions::StateMachine", stack=stack)
        written = json.loads(machine["DefinitionString"])
        function = written["States"]["Begin"]["Parameters"]["FunctionName"]
        [named] = [
            body["Properties"]["FunctionName"]
            for name, body in synthesised.resources(FUNCTION, stack=stack)
            if f"<{name.partition('/')[2]}.Arn>" == function
        ]
        assert named == topology.backfill_function(region).name
        assert written == backfill_state_machine(function)
        assert written["States"]["Copy"]["ResultPath"] is None


def test_what_a_mapping_invokes_was_started_in_the_version_that_its_alias_names(
    synthesised: Synthesised,
) -> None:
    topology = synthesised.topology
    for region in topology.regions:
        starter = Resource("lambda", region, f"function:{topology.start_name}")
        [own_starter] = [
            f"<{name.partition('/')[2]}.Arn>"
            for name, body in synthesised.resources(FUNCTION, stack=cell(synthesised, region))
            if body["Properties"]["FunctionName"] == topology.start_name
        ]
        for stack in synthesised.running(region):
            resources = synthesised.templates[stack]["Resources"]
            [(started, check)] = synthesised.resources("Custom::EventFabricStart", stack=stack)
            is_own = stack == cell(synthesised, region)
            assert check["Properties"]["ServiceToken"] == (own_starter if is_own else arn(starter))
            versions = set()
            for name, body in synthesised.resources("AWS::Lambda::Alias", stack=stack):
                assert started.partition("/")[2] in resources[name.partition("/")[2]]["DependsOn"]
                versions.add(body["Properties"]["FunctionVersion"].removesuffix(".Version>") + ">")
            assert sorted(check["Properties"]["Versions"]) == sorted(versions)
        mappings = synthesised.properties(MAPPING, stack=synthesised.running(region))
        live = synthesised.live_functions(region)
        invoked = {live[mapping["FunctionName"]]["FunctionName"] for mapping in mappings}
        assert invoked == {function["FunctionName"] for function in live.values()}


def test_a_stack_can_be_deleted_when_what_started_its_functions_is_gone(synthesised: Synthesised) -> None:
    """CloudFormation asks no custom resource that is retained to undo anything."""
    checks = list(synthesised.resources("Custom::EventFabricStart"))
    assert len(checks) == sum(map(len, map(synthesised.running, synthesised.topology.regions)))
    assert {body["DeletionPolicy"] for _, body in checks} == {"Retain"}


def test_a_version_changes_with_what_its_function_is_and_not_without(
    shop: Synthesised, tmp_path: Path
) -> None:
    """CloudFormation starts what it takes for another version, and nothing else."""
    import aws_cdk as cdk

    app = cdk.App(analytics_reporting=False, context=context(), outdir=str(tmp_path / ASSEMBLY))
    stacks = declare(app, shop.definition, tmp_path / "code")
    stacks.functions["shop-billing"][shop.topology.home].function.add_environment("CURRENCY", "EUR")
    app.synth()
    before, after = (
        {name for name, _ in synthesised.resources("AWS::Lambda::Version")}
        for synthesised in (shop, Synthesised(shop.definition, tmp_path / ASSEMBLY))
    )
    [old], [new] = before - after, after - before
    assert "Deliverbilling" in old
    assert "Deliverbilling" in new
