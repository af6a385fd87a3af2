"""Random changes that the differ calls compatible: no document of a producer is refused by two validators."""

from typing import Any

import jsonschema
import pytest

from eventfabric.contracts.differ import differences
from eventfabric.contracts.lint import schema_problems
from tests.support.random_pairs import PairTrial, random_pair

PAIRS, DOCUMENTS = 100, 50


@pytest.mark.parametrize("beyond", [False, True], ids=["decided subset", "all of JSON Schema"])
def test_no_document_refutes_a_pair_that_is_called_compatible(beyond: bool) -> None:
    compatible, documents = 0, 0
    for seed in range(PAIRS):
        reader, writer = random_pair(seed, beyond=beyond)
        assert schema_problems(reader) == []
        if not differences(reader, writer):
            trial = PairTrial(reader, writer, seed)
            assert trial.refuted_by(DOCUMENTS) is None, (seed, reader, writer)
            compatible += 1
            documents += trial.published
    assert compatible > PAIRS / 3
    assert documents > compatible * DOCUMENTS / 3


@pytest.mark.parametrize("seed", range(20))
def test_both_validators_agree_about_random_documents(seed: int) -> None:
    reader, writer = random_pair(seed, beyond=True)
    trial = PairTrial(reader, writer, seed)
    second = jsonschema.Draft202012Validator(reader)
    for document in trial.documents(20):
        assert trial.is_accepted(document) == second.is_valid(document)


def test_a_trial_finds_a_document_that_a_reader_refuses() -> None:
    reader: Any = {"properties": {"a": {"type": "integer"}}}
    trial = PairTrial(reader, {"properties": {"a": {"type": "number"}}}, 1)
    assert trial.refuted_by(500) is not None


def test_a_pair_depends_on_its_seed_alone() -> None:
    assert random_pair(7, beyond=True) == random_pair(7, beyond=True)
    assert random_pair(7, beyond=True) != random_pair(8, beyond=True)
