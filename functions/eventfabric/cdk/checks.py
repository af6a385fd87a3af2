"""Checks of what an AWS account would refuse, although the definition is valid: Regions."""

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
