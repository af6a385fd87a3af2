"""Checks of what an AWS account would refuse, although the definition is valid: Regions and code signing configs."""

import re
from collections.abc import Iterator

from aws_cdk import region_info

from eventfabric.definition.checks import QUORUM_ALLOWED, can_be_quorum
from eventfabric.definition.schema import Definition
from eventfabric.errors import DefinitionError, Problem


def check_regions(definition: Definition, *, where: str) -> None:
    """Refuse Regions into which the definition cannot be deployed. DefinitionError lists all of them."""
    problems = [*_unknown(definition), *_impossible_quorums(definition)]
    if problems:
        raise DefinitionError(problems, where=where)


def signing_configs(given: object, definition: Definition) -> dict[str, str]:
    """Parse the code signing configs of the context, by Region. There must be none, or one for each Region.

    A function takes only a config of its own Region. `given` are ARNs, as a list or as a text with commas between them.
    Raises DefinitionError.
    """
    texts = given.split(",") if isinstance(given, str) else given or []
    arns = [str(text).strip() for text in texts] if isinstance(texts, list | tuple) else [str(texts)]
    if not arns:
        return {}
    arn_by_region = {match[1]: match[0] for match in map(_SIGNING_CONFIG.fullmatch, arns) if match}
    if len(arn_by_region) != len(arns) or set(arn_by_region) != set(definition.fabric.regions):
        shape = "arn:...:lambda:<Region>:<account>:code-signing-config:csc-..."
        regions = ", ".join(definition.fabric.regions)
        allowed = f"one {shape} for each of {regions}, with commas between them"
        raise DefinitionError([Problem("code_signing_config", ", ".join(arns), allowed)], where="context")
    return arn_by_region


_SIGNING_CONFIG = re.compile(r"arn:[a-z-]+:lambda:([a-z0-9-]+):\d{12}:code-signing-config:csc-[0-9a-z]+")


def _impossible_quorums(definition: Definition) -> Iterator[Problem]:
    """Yield what is refused where a definition is read from a file, and not where one is made by a program."""
    for name, stream in definition.streams.items():
        if stream.durability == "quorum" and not can_be_quorum(stream.regions):
            yield Problem(f"streams.{name}.regions", ", ".join(stream.regions), QUORUM_ALLOWED)


def _unknown(definition: Definition) -> Iterator[Problem]:
    partitions: dict[str, str] = {}
    for place, region in enumerate(definition.fabric.regions):
        partition = region_info.RegionInfo.get(region).partition
        path = f"fabric.regions[{place}]"
        if partition is None:
            yield Problem(path, f'"{region}"', "a Region of AWS that this version of aws-cdk-lib knows")
            continue
        partitions[region] = partition
        home = next(iter(partitions))
        if partition != partitions[home]:
            yield Problem(
                path,
                f'"{region}", of partition {partition}',
                f"a Region of {partitions[home]}, as {home}: AWS replicates no table between partitions "
                "(docs/backfill.md joins them)",
            )
