"""The JSON-Schema-Test-Suite against the validator, and against the differ: a document is a schema of one constant."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eventfabric.contracts.closing import closed, closed_suffices
from eventfabric.contracts.differ import differences
from eventfabric.contracts.lint import schema_problems
from eventfabric.contracts.validator import SchemaValidator


@dataclass(frozen=True)
class _Group:
    """A schema of the suite, and its documents, each with the right answer."""

    name: str
    schema: Any
    documents: tuple[tuple[Any, bool], ...]


def run_suite(folder: Path) -> bool:
    """Run all files of a folder and print figures. Returns if no answer is wrong."""
    groups = list(_groups(folder))
    registrable = [group for group in groups if not schema_problems(group.schema)]
    refused = Counter(schema_problems(group.schema)[0].found for group in groups if group not in registrable)
    print(
        f"schemas: {len(groups):,}; registrable: {len(registrable):,}; refused: {dict(refused.most_common())}"
    )
    counts: Counter[str] = Counter()
    for group in registrable:
        _try_documents(group, counts)
    for group in registrable:
        for other in registrable:
            if group.name.split(":")[0] == other.name.split(":")[0]:
                _try_pair(group, other, counts)
    for name, count in sorted(counts.items()):
        print(f"  {name}: {count:,}")
    return not any("wrong" in name for name in counts)


def _groups(folder: Path) -> Iterator[_Group]:
    for file in sorted(folder.glob("*.json")):
        for entry in json.loads(file.read_text(encoding="utf-8")):
            documents = tuple((test["data"], test["valid"]) for test in entry["tests"])
            yield _Group(f"{file.name}: {entry['description']}", entry["schema"], documents)


def _try_documents(group: _Group, counts: Counter[str]) -> None:
    """Ask the validator about each document, and the differ about producers who publish nothing else."""
    validator = SchemaValidator(group.schema)
    for document, is_valid in group.documents:
        is_right = validator.accepts(document) == is_valid
        counts["documents, the validator: " + ("agreed" if is_right else "wrong")] += 1
        known = differences(group.schema, {"const": document})
        verdict = "agreed"
        if known and all(difference.is_undecided for difference in known):
            verdict = "undecided"
        elif (not known) != is_valid:
            verdict = "wrong"
            print(f"wrong: {group.name}: {json.dumps(group.schema)} {json.dumps(document)} is {is_valid}")
        counts[f"documents, the differ: {verdict}"] += 1


def _try_pair(reader: _Group, writer: _Group, counts: Counter[str]) -> None:
    """Hold the documents of a writer's schema against a reader that is called compatible."""
    known = differences(reader.schema, writer.schema)
    verdict = "incompatible" if known else "compatible"
    if known and all(difference.is_undecided for difference in known):
        verdict = "undecided"
    counts[f"pairs of schemas: {verdict}"] += 1
    if known:
        return
    counts["pairs of schemas: compatible, one validation at publish"] += closed_suffices(writer.schema)
    validators = [SchemaValidator(schema) for schema in (closed(writer.schema), writer.schema)]
    accepts = SchemaValidator(reader.schema).accepts
    for document, _ in writer.documents:
        if all(validator.accepts(document) for validator in validators):
            counts["documents of compatible pairs: " + ("accepted" if accepts(document) else "wrong")] += 1
            if not accepts(document):
                print(
                    f"wrong: {json.dumps(reader.schema)} {json.dumps(writer.schema)} {json.dumps(document)}"
                )
