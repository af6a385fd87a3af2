"""`eventfabric deploy --adopt`: retained resources come back into their stacks, or one message says why they do not.

Tables and keys are moto's. Its CloudFormation needs more than is installed here, so stacks are only listed; and the
CDK's command line is a program that notes its arguments.
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, WaiterError
from moto import mock_aws

from eventfabric.aws import clients
from eventfabric.cdk import command_line
from eventfabric.cdk.assembly import stacks_in
from eventfabric.cli import exit_codes
from eventfabric.cli.adoption import adoptions, delete_failed
from tests.support.command_line import CommandLine

REGION, ACCOUNT, ALIAS = "us-east-1", "123456789012", "alias/shop"
TABLES = ("shop-orders", "shop-ledger")
CDK = """
import json, sys
with open("cdk.txt", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
sys.exit(int(open("exit.txt").read()))
"""
DEPLOY = ("deploy", "--adopt", "--all", "--app", "cdk.out")


def table(name: str, *, sort_key_type: str = "N") -> dict[str, Any]:
    return {
        "Type": "AWS::DynamoDB::Table",
        "DeletionPolicy": "Retain",
        "Properties": {
            "TableName": name,
            "AttributeDefinitions": [
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": sort_key_type},
            ],
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            "BillingMode": "PAY_PER_REQUEST",
            "Tags": [{"Key": "eventfabric", "Value": "shop"}],
        },
    }


TAG = {"Key": "eventfabric", "Value": "shop"}
LOGS = {"Service": f"logs.{REGION}.amazonaws.com"}
POLICY = {"Statement": [{"Effect": "Allow", "Action": "kms:*", "Resource": "*", "Principal": LOGS}]}
KEY = {
    "Type": "AWS::KMS::Key",
    "DeletionPolicy": "RetainExceptOnCreate",
    "Properties": {"Tags": [TAG], "KeyPolicy": POLICY},
}
KEYS: dict[str, Any] = {
    "Key": KEY,
    "Alias": {
        "Type": "AWS::KMS::Alias",
        "DeletionPolicy": "Retain",
        "Properties": {"AliasName": ALIAS, "TargetKeyId": {"Fn::GetAtt": ["Key", "Arn"]}},
    },
}
LOG: dict[str, Any] = {
    "Orders": table(TABLES[0]),
    "Ledger": table(TABLES[1]),
    "Policy": {"Type": "AWS::IAM::ManagedPolicy", "Properties": {}},
}
STACKS = {"shop-keys": KEYS, "shop-log": LOG}


@dataclass
class Stacks:
    """CloudFormation in one Region, in as far as stacks are listed and deleted. Also a session that has it."""

    held: dict[str, dict[str, str]] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    protected: set[str] = field(default_factory=set)
    ids: dict[str, str] = field(default_factory=dict)
    in_use: str = ""

    def client(self, service: str, *, region_name: str) -> Any:
        assert region_name == REGION
        return self if service == "cloudformation" else client(service)

    def create(self, name: str, held: dict[str, str], *, status: str = "CREATE_COMPLETE") -> None:
        self.held[name], self.statuses[name] = held, status
        self.protected.add(name)
        self.ids[name] = f"{self.ids.get(name, name)}-"

    def _named(self, name_or_id: str) -> str:
        for name in self.statuses:
            if name_or_id in (name, self.ids[name]):
                return name
        message = f"Stack with id {name_or_id} does not exist"
        raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "any operation")

    def describe_stacks(self, *, StackName: str) -> dict[str, Any]:
        name = self._named(StackName)
        stack = {"StackName": name, "StackId": self.ids[name], "StackStatus": self.statuses[name]}
        return {"Stacks": [{**stack, "StackStatusReason": self.in_use}]}

    def get_paginator(self, operation: str) -> "Stacks":
        assert operation == "list_stack_resources"
        return self

    def paginate(self, *, StackName: str) -> Iterator[dict[str, Any]]:
        for logical_id, physical_id in self.held[StackName].items():
            status = "DELETE_SKIPPED" if physical_id == "skipped" else "CREATE_COMPLETE"
            names = {"LogicalResourceId": logical_id, "PhysicalResourceId": physical_id}
            yield {"StackResourceSummaries": [{**names, "ResourceStatus": status}]}

    def update_termination_protection(self, *, StackName: str, EnableTerminationProtection: bool) -> None:
        assert not EnableTerminationProtection
        self.protected.discard(self._named(StackName))

    def delete_stack(self, *, StackName: str) -> None:
        name = self._named(StackName)
        assert name not in self.protected
        if self.in_use:
            self.statuses[name] = "DELETE_FAILED"
        else:
            del self.statuses[name]

    def get_waiter(self, name: str) -> "Stacks":
        assert name == "stack_delete_complete"
        return self

    def wait(self, *, StackName: str) -> None:
        if StackName in [self.ids[name] for name in self.statuses]:
            raise WaiterError("StackDeleteComplete", "a terminal failure state", {})


@pytest.fixture(autouse=True)
def stacks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stacks]:
    stacks = Stacks()
    monkeypatch.setattr(clients, "session_for", lambda endpoint_url, *, profile: stacks)
    with mock_aws(config={"core": {"mock_credentials": False}}):
        yield stacks


@pytest.fixture
def cli(cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line in a folder with an assembly, and a program in place of the CDK's."""
    monkeypatch.chdir(tmp_path)
    write_assembly(Path("cdk.out"), STACKS)
    Path("cdk.py").write_text(CDK)
    Path("exit.txt").write_text("0")
    monkeypatch.setattr(command_line, "cdk_command", lambda: [sys.executable, "cdk.py"])

    def replaced(program: str, arguments: list[str], environment: dict[str, str]) -> None:
        with Path("cdk.txt").open("a") as file:
            file.write(json.dumps(arguments[2:]) + "\n")
        raise SystemExit(0)

    monkeypatch.setattr("os.execve", replaced)
    return cli


def write_assembly(folder: Path, stacks: dict[str, dict[str, Any]], *, account: str = ACCOUNT) -> None:
    folder.mkdir()
    artifacts = {}
    for name, resources in stacks.items():
        (folder / f"{name}.json").write_text(json.dumps({"Resources": resources}))
        artifacts[name] = {
            "type": "aws:cloudformation:stack",
            "environment": f"aws://{account}/{REGION}",
            "properties": {"templateFile": f"{name}.json", "stackName": name},
        }
    (folder / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))


def called() -> list[list[str]]:
    """The CDK's commands that were run, the last of which took the place of the process."""
    path = Path("cdk.txt")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def client(service: Any) -> Any:
    return boto3.client(service, region_name=REGION)


def make_key(alias: str | None = ALIAS, *, fabric: str = "shop") -> str:
    tags = [{"TagKey": "eventfabric", "TagValue": fabric}]
    made = client("kms").create_key(Tags=tags, Policy=json.dumps(POLICY))
    key_id: str = made["KeyMetadata"]["KeyId"]
    if alias is not None:
        client("kms").create_alias(AliasName=alias, TargetKeyId=key_id)
    return key_id


def make_table(
    name: str, *, sort_key_type: str = "N", fabric: str | None = "shop", key: str | None = None
) -> None:
    settings = dict(table(name, sort_key_type=sort_key_type)["Properties"])
    settings["Tags"] = [{"Key": "eventfabric", "Value": fabric}] if fabric else []
    if key is not None:
        arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key}"
        settings["SSESpecification"] = {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": arn}
    client("dynamodb").create_table(**settings)


def make_all() -> str:
    key = make_key()
    for name in TABLES:
        make_table(name, key=key)
    return key


def put_item(name: str) -> None:
    client("dynamodb").put_item(TableName=name, Item={"pk": {"S": "a"}, "sk": {"N": "1"}})


def test_what_is_retained_is_imported_and_then_the_same_assembly_is_deployed(cli: CommandLine) -> None:
    key = make_all()
    put_item(TABLES[0])
    result = cli.run(*DEPLOY, "--profile-of-nobody", "-c", "a=b", "--require-approval", "never")
    assert result.code == 0, result.err
    assert all(name in result.out for name in (key, ALIAS, *TABLES))
    keys, log, deploy = called()
    assert [keys[:4], log[:4]] == [["import", name, "--force", "--app"] for name in ("shop-keys", "shop-log")]
    assert keys[4:-1] == log[4:-1] == [keys[4], "--resource-mapping-inline"]
    assert not Path(keys[4]).exists()
    assert json.loads(keys[-1]) == {"Key": {"KeyId": key}, "Alias": {"AliasName": ALIAS}}
    assert json.loads(log[-1]) == {"Orders": {"TableName": TABLES[0]}, "Ledger": {"TableName": TABLES[1]}}
    passed_on = ["--all", "--profile-of-nobody", "--require-approval", "never"]
    assert deploy == ["deploy", *passed_on, "--app", "cdk.out"]


def test_an_app_is_synthesised_once(cli: CommandLine) -> None:
    assert cli.run("deploy", "--adopt", "--stage", "dev", "--app", "python app.py", "-c", "a=b").code == 0
    synth = ["synth", "--quiet", "--app", "python app.py", "--output", "cdk.out", "--context", "a=b"]
    assert called() == [synth, ["deploy", "--app", "cdk.out"]]


def test_a_dry_run_changes_nothing(cli: CommandLine) -> None:
    make_all()
    result = cli.run(*DEPLOY, "--dry-run")
    assert (result.code, called()) == (0, [])
    assert all(name in result.out for name in (ALIAS, *TABLES))
    assert cli.refused("deploy", "--dry-run", code=exit_codes.BAD_INPUT)


def test_what_is_in_its_stack_is_left_there(cli: CommandLine, stacks: Stacks) -> None:
    key = make_all()
    stacks.create("shop-log", {"Ledger": TABLES[1], "Orders": "skipped"})
    stacks.create("shop-keys", {"Key": key, "Alias": ALIAS})
    assert cli.run(*DEPLOY, "--dry-run").out == f"into stack shop-log: {TABLES[0]}\n"


def test_an_alias_alone_comes_back_to_its_key(cli: CommandLine, stacks: Stacks) -> None:
    stacks.create("shop-keys", {"Key": make_key()})
    assert cli.run(*DEPLOY, "--dry-run").out == f"into stack shop-keys: {ALIAS}\n"


def test_nothing_is_adopted_where_nothing_is(cli: CommandLine) -> None:
    assert "nothing to adopt" in cli.run(*DEPLOY).out
    assert called() == [["deploy", "--all", "--app", "cdk.out"]]


def test_a_stack_that_could_not_be_created_makes_room(cli: CommandLine, stacks: Stacks) -> None:
    make_key()
    stacks.create("shop-keys", {}, status="ROLLBACK_COMPLETE")
    assert (cli.run(*DEPLOY, "--dry-run").code, "shop-keys" in stacks.statuses) == (0, True)
    assert (cli.run(*DEPLOY).code, "shop-keys" in stacks.statuses) == (0, False)
    assert [words[:2] for words in called()] == [["import", "shop-keys"], ["deploy", "--all"]]


@pytest.mark.usefixtures("cli")
def test_a_stack_that_somebody_made_after_the_failed_one_was_seen_is_not_deleted(stacks: Stacks) -> None:
    make_key()
    stacks.create("shop-keys", {}, status="ROLLBACK_COMPLETE")

    def client_of(service: str, region: str) -> Any:
        return stacks.client(service, region_name=region)

    [adoption] = adoptions(stacks_in(Path("cdk.out")), client_of)
    stacks.create("shop-keys", {})
    with pytest.raises(ClientError):
        delete_failed(adoption, client_of)
    assert stacks.statuses["shop-keys"] == "CREATE_COMPLETE"


def test_a_stack_that_can_neither_be_created_nor_deleted_is_named(cli: CommandLine, stacks: Stacks) -> None:
    make_key()
    stacks.create("shop-keys", {}, status="ROLLBACK_FAILED")
    stacks.in_use = "a policy is attached to a role"
    result = cli.run(*DEPLOY)
    assert all(part in result.err for part in ("shop-keys", "DELETE_FAILED", stacks.in_use))
    assert (result.code, called()) == (exit_codes.BAD_INPUT, [])


@pytest.mark.parametrize(("app", "failed"), [("cdk.out", "import"), ("a.py", "synth")])
def test_a_command_of_the_cdk_that_fails_ends_all(cli: CommandLine, app: str, failed: str) -> None:
    make_all()
    Path("exit.txt").write_text("3")
    result = cli.run("deploy", "--adopt", "--app", app)
    assert (result.code, [words[0] for words in called()]) == (3, [failed])
    assert f"cdk {failed} failed; " in result.err
    assert ("nothing was adopted" in result.err) == (failed == "synth")


def delete_later(stacks: Stacks) -> None:
    client("kms").schedule_key_deletion(KeyId=make_all())


def disable(stacks: Stacks) -> None:
    client("kms").disable_key(KeyId=make_all())


def without_alias(stacks: Stacks) -> None:
    make_all()
    client("kms").delete_alias(AliasName=ALIAS)


def alias_of_another_key(stacks: Stacks) -> None:
    make_all()
    client("kms").update_alias(AliasName=ALIAS, TargetKeyId=make_key(None))


def another_key_in_the_stack(stacks: Stacks) -> None:
    make_all()
    stacks.create("shop-keys", {"Key": "another"})


def key_of_another_fabric(stacks: Stacks) -> None:
    make_key(fabric="shop-or")


def key_without_a_policy_of_its_own(stacks: Stacks) -> None:
    client("kms").put_key_policy(KeyId=make_key(), PolicyName="default", Policy='{"Statement": []}')


def another_fabric(stacks: Stacks) -> None:
    make_table(TABLES[0], fabric="shop-or")


def no_fabric(stacks: Stacks) -> None:
    make_table(TABLES[0], fabric=None)


def another_key_schema(stacks: Stacks) -> None:
    make_table(TABLES[0], sort_key_type="S")


def a_lost_table(stacks: Stacks) -> None:
    make_table(TABLES[1])
    put_item(TABLES[1])


def a_stack_half_updated(stacks: Stacks, status: str = "UPDATE_ROLLBACK_FAILED") -> None:
    make_table(TABLES[0])
    stacks.create("shop-log", {}, status=status)


@pytest.mark.parametrize(
    ("happened", "said"),
    [
        (delete_later, "aws kms cancel-key-deletion"),
        (disable, "aws kms enable-key"),
        (without_alias, "aws kms create-alias"),
        (alias_of_another_key, "aws kms update-alias"),
        (another_key_in_the_stack, "in stack shop-keys already"),
        (key_of_another_fabric, "aws kms tag-resource"),
        (key_without_a_policy_of_its_own, "aws kms put-key-policy"),
        (another_fabric, "eventfabric=shop-or"),
        (no_fabric, "no tag eventfabric"),
        (another_key_schema, "'sk RANGE': 'S'"),
        (a_lost_table, "no such table, while shop-ledger has items"),
        (a_stack_half_updated, "aws cloudformation continue-update-rollback"),
        (lambda stacks: a_stack_half_updated(stacks, "DELETE_FAILED"), "cloudformation delete-stack"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_done(
    cli: CommandLine, stacks: Stacks, happened: Callable[[Stacks], None], said: str
) -> None:
    happened(stacks)
    assert said in cli.refused(*DEPLOY, code=exit_codes.BAD_INPUT)
    assert called() == []


def test_a_table_that_was_never_made_is_no_loss_beside_empty_ones(cli: CommandLine) -> None:
    make_table(TABLES[1])
    assert cli.run(*DEPLOY, "--dry-run").out == f"into stack shop-log: {TABLES[1]}\n"


def test_another_account_is_not_asked_what_it_has(cli: CommandLine, tmp_path: Path) -> None:
    write_assembly(tmp_path / "elsewhere", STACKS, account="999999999999")
    complaint = cli.refused("deploy", "--adopt", "--app", "elsewhere", code=exit_codes.BAD_INPUT)
    assert "999999999999" in complaint
