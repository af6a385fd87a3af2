"""Commands of AWS's command line on the pages: operations, options and values are those of the service models."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from botocore import xform_name
from botocore.session import Session

from infra.app import ROOT

PAGES = sorted(ROOT.glob("docs/*.md"))
OF_ALL = {"endpoint-url", "output", "profile", "query", "region"}
"""Options of every command."""
OTHER_NAMES = {"deploy": "codedeploy"}
"""Services by the names that only the command line gives them."""
NO_ALIAS = re.compile(r"Specify the key ID or key ARN of the KMS key\.")
"""A sentence about a key that may not be named by its alias."""


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield each command by the name of its page, as words; several of a line one by one."""
    for page in PAGES:
        for text in re.findall(
            r"`(aws [a-z][^`]+)`|^(aws [a-z].+)$", page.read_text(encoding="utf-8"), re.MULTILINE
        ):
            line = re.sub(r"\s+", " ", "".join(text)).partition(" > ")[0].partition(" #")[0]
            yield page.name, shlex.split(line.replace("...", ""))


@cache
def model(service: str) -> Any:
    return Session().get_service_model(OTHER_NAMES.get(service, service))


@pytest.mark.parametrize(
    ("page", "words"),
    list(commands()),
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else None,
)
def test_a_command_is_the_services(page: str, words: list[str]) -> None:
    _, service, name, *rest = words
    operations = {xform_name(operation, "-"): operation for operation in model(service).operation_names}
    operation = model(service).operation_model(operations[name])
    members = {xform_name(member, "-"): shape for member, shape in operation.input_shape.members.items()}
    options = [word[2:] for word in rest if word.startswith("--")]
    flags = {f"no-{member}" for member, shape in members.items() if shape.type_name == "boolean"}
    assert {*options} <= OF_ALL | members.keys() | flags
    required = {xform_name(member, "-") for member in operation.input_shape.required_members}
    if options:  # some sentences name a command alone
        assert required <= {option.removeprefix("no-") for option in options}
    for option, value in pairwise(rest):
        if value.startswith("alias/") and option.startswith("--"):
            assert not NO_ALIAS.search(re.sub("<[^>]+>", "", members[option[2:]].documentation)), option


def test_there_are_commands() -> None:
    assert len(list(commands())) > 20
