"""Tables and keys outlive their stacks, which nobody deletes by mistake."""

import json

from tests.infra.synthesis import Synthesised

TABLE = "AWS::DynamoDB::GlobalTable"


def test_tables_and_keys_are_retained(synthesised: Synthesised) -> None:
    """Keys go again with a creation that fails. Tables, which are protected from deletion, would hold that up."""
    for kind, policy in (
        (TABLE, "Retain"),
        ("AWS::KMS::Key", "RetainExceptOnCreate"),
        ("AWS::KMS::Alias", "RetainExceptOnCreate"),
    ):
        resources = list(synthesised.resources(kind))
        assert resources
        for name, body in resources:
            assert (body["DeletionPolicy"], body["UpdateReplacePolicy"]) == (policy, "Retain"), name


def test_stacks_that_hold_data_are_protected_from_deletion_and_no_others(synthesised: Synthesised) -> None:
    manifest = json.loads((synthesised.folder / "manifest.json").read_text())["artifacts"]
    protected = {
        name for name in synthesised.templates if manifest[name]["properties"].get("terminationProtection")
    }
    assert protected == {name for name in synthesised.templates if "-keys-" in name or "-log-" in name}
    kinds = {TABLE, "AWS::KMS::Key"}
    holding = {
        name
        for name, template in synthesised.templates.items()
        if kinds & {body["Type"] for body in template["Resources"].values()}
    }
    assert holding == protected


def test_what_is_retained_can_be_adopted_as_the_page_says(synthesised: Synthesised) -> None:
    """CloudFormation adopts what has a literal name; a key is named by whoever adopts it."""
    named = {TABLE: "TableName", "AWS::KMS::Alias": "AliasName"}
    for stack, template in synthesised.templates.items():
        retained = [
            body
            for body in template["Resources"].values()
            if body.get("DeletionPolicy", "").startswith("Retain") and not body["Type"].startswith("Custom::")
        ]
        for body in retained:
            if body["Type"] != "AWS::KMS::Key":
                assert isinstance(body["Properties"][named[body["Type"]]], str), stack
        keys = [body["Type"] for body in retained if body["Type"].startswith("AWS::KMS::")]
        assert sorted(keys) == (["AWS::KMS::Alias", "AWS::KMS::Key"] if "-keys-" in stack else []), stack
        if keys:
            assert len(template["Resources"]) == len(keys), "an import takes all that is in the stack"
