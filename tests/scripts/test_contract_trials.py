"""Trials of the differ: cases of public test sets in the forms in which these are written."""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.contract_trials.__main__ import main
from scripts.contract_trials.cases import change_cases, subschema_cases, tally
from scripts.contract_trials.drafts import modern
from scripts.contract_trials.suite import run_suite

TEST = """
import unittest
from jsonsubschema import isSubschema

class TestNumbers(unittest.TestCase):
    def test_wider(self):
        with self.subTest("one way"):
            self.assertTrue(isSubschema({"type": "integer"}, {"type": "number"}))
        with self.subTest("the other way"):
            self.assertFalse(isSubschema({"type": "number"}, {"type": "integer"}))
"""


def change(original: Any, update: Any, *, is_compatible: bool) -> dict[str, Any]:
    return {"original_schema": original, "update_schema": update, "compatible": is_compatible}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"items": [{}], "additionalItems": False}, {"prefixItems": [{}], "items": False}),
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"maximum": 1, "exclusiveMaximum": False}, {"maximum": 1}),
        ({"definitions": {"a": {"id": "x"}}}, {"$defs": {"a": {}}}),
        ({"$ref": "#/definitions/a", "type": "string"}, {"$ref": "#/$defs/a"}),
        (
            {"dependencies": {"a": ["b"], "c": {}}},
            {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"c": {}}},
        ),
        ({"unheard": 1, "properties": {"a": {"unheard": 1}}}, {"properties": {"a": {}}}),
        (True, True),
    ],
)
def test_schemas_of_older_drafts_are_said_in_the_new_words(old: Any, new: Any) -> None:
    assert modern(old) == new


def test_tests_of_a_subschema_checker_are_asked_of_the_differ(tmp_path: Path) -> None:
    (tmp_path / "test_numbers.py").write_text(TEST, encoding="utf-8")
    cases = subschema_cases(tmp_path)
    assert [(case.reader["type"], case.is_accepted) for case in cases] == [
        ("number", True),
        ("integer", False),
    ]
    assert tally("cases", cases)


def test_an_incompatible_pair_that_passes_is_wrong(tmp_path: Path) -> None:
    changes = [
        change({"type": "integer"}, {"type": "number"}, is_compatible=True),
        change({"type": "integer"}, {"type": "string"}, is_compatible=False),
        change({"type": "string"}, {"not": {"const": "a"}}, is_compatible=False),
    ]
    file = tmp_path / "changes.json"
    file.write_text(json.dumps(changes), encoding="utf-8")
    assert main(["--changes", str(tmp_path)]) == 0
    file.write_text(json.dumps([change({}, {}, is_compatible=False)]), encoding="utf-8")
    assert main(["--changes", str(tmp_path)]) == 1
    assert not tally("changes", change_cases(tmp_path))


def test_the_suite_is_asked_of_the_validator_and_the_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tests = [{"data": 1, "valid": True}, {"data": "a", "valid": False}]
    groups = [
        {"description": "integers", "schema": {"type": "integer"}, "tests": tests},
        {"description": "numbers", "schema": {"type": "number"}, "tests": tests},
        {"description": "remote", "schema": {"$ref": "https://example.com"}, "tests": tests},
    ]
    file = tmp_path / "type.json"
    file.write_text(json.dumps(groups), encoding="utf-8")
    assert run_suite(tmp_path)
    figures = capsys.readouterr().out
    assert "registrable: 2" in figures
    assert "documents, the differ: agreed: 4" in figures
    groups[0]["tests"] = [{"data": 1, "valid": False}]
    file.write_text(json.dumps(groups), encoding="utf-8")
    assert not run_suite(tmp_path)


def test_random_pairs_are_tried(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--pairs", "20", "--documents", "10"])
    assert "refuted: 0" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--suite", "nowhere"], ["--pairs", "many"]])
def test_wrong_arguments_end_with_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "scripts/contracts: error:" in capsys.readouterr().err
