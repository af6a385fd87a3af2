"""Log groups under the fabric's key, if a definition says so: what their templates say, and what the key allows."""

import json
from fnmatch import fnmatchcase

from tests.infra.synthesis import ACCOUNT, PARTITION, Synthesised

GROUP = "AWS::Logs::LogGroup"


def test_every_log_group_is_under_the_key_of_its_region(tuned: Synthesised) -> None:
    for region in tuned.topology.regions:
        groups = tuned.properties(GROUP, stack=tuned.running(region))
        assert (
            len(groups) == len(tuned.topology.functions(region)) + 4
        )  # three lookups, and the state machine
        key = f"arn:{PARTITION}:kms:{region}:{ACCOUNT}:{tuned.topology.key_alias}"
        assert {group.get("KmsKeyId") for group in groups} == {key}


def test_log_groups_are_left_to_aws_by_default(synthesised: Synthesised) -> None:
    groups = synthesised.properties(GROUP)
    assert groups
    assert not any("KmsKeyId" in group for group in groups)


def test_a_key_admits_logs_of_its_region_and_fabric_alone(tuned: Synthesised, shop: Synthesised) -> None:
    for synthesis in (tuned, shop):  # whether log groups use it now or did so before
        for region in synthesis.topology.regions:
            [key] = synthesis.properties("AWS::KMS::Key", stack=synthesis.topology.stack_name("keys", region))
            [statement] = [
                statement
                for statement in key["KeyPolicy"]["Statement"]
                if "Service" in statement["Principal"]
            ]
            assert statement["Principal"] == {"Service": f"logs.{region}.amazonaws.com"}
            assert "kms:CreateGrant" not in statement["Action"]
            allowed = statement["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]
            for other in (tuned, shop):
                for group in other.properties(GROUP, stack=other.running(region)):
                    arn = f"arn:{PARTITION}:logs:{region}:{ACCOUNT}:log-group:{group['LogGroupName']}"
                    is_allowed = any(fnmatchcase(arn, pattern) for pattern in allowed)
                    assert is_allowed == (other is synthesis), arn


def test_a_key_is_there_before_the_log_groups_that_need_it(tuned: Synthesised) -> None:
    manifest = tuned.folder / "manifest.json"
    artifacts = json.loads(manifest.read_text())["artifacts"]

    def before(name: str) -> set[str]:
        direct = {other for other in artifacts[name].get("dependencies", []) if other in artifacts}
        return direct.union(*(before(other) for other in direct))

    for region in tuned.topology.regions:
        for stack in tuned.running(region):
            assert tuned.topology.stack_name("keys", region) in before(stack)
