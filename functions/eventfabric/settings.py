"""Settings of functions. This is the only module that reads the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import environ
from pathlib import Path

from eventfabric.definition.schema import Definition, from_json
from eventfabric.environment import (
    ENVIRONMENT_CODE_FOLDER,
    ENVIRONMENT_CODE_VERSION,
    ENVIRONMENT_DEFINITION,
    ENVIRONMENT_ENDPOINT,
    ENVIRONMENT_FUNCTION,
    ENVIRONMENT_REGION,
    ENVIRONMENT_SUBSCRIPTION,
)
from eventfabric.errors import DefinitionError, Problem

_PLACES = ("infra/fabric.toml", "fabric.toml")


@dataclass(frozen=True)
class Settings:
    """Everything that the environment tells a function."""

    definition: Definition
    region: str
    subscription: str | None
    endpoint_url: str | None
    code_version: str = ""
    function: str = ""
    """Name of the function."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = environ) -> "Settings":
        """Return the settings of a function. DefinitionError names what is missing."""
        missing = [name for name in (ENVIRONMENT_DEFINITION, ENVIRONMENT_REGION) if not environment.get(name)]
        if missing:
            raise DefinitionError([Problem(name, "nothing", "set by the deployment") for name in missing])
        return cls(
            definition=from_json(_in_the_zip(environment).read_bytes()),
            region=environment[ENVIRONMENT_REGION],
            subscription=environment.get(ENVIRONMENT_SUBSCRIPTION),
            endpoint_url=environment.get(ENVIRONMENT_ENDPOINT),
            code_version=environment.get(ENVIRONMENT_CODE_VERSION, ""),
            function=environment.get(ENVIRONMENT_FUNCTION, ""),
        )


def _in_the_zip(environment: Mapping[str, str]) -> Path:
    """Return the path of a function's definition in its zip, which Lambda unpacks into a folder of its choice."""
    return Path(environment.get(ENVIRONMENT_CODE_FOLDER, ""), environment[ENVIRONMENT_DEFINITION])


def definition_path(environment: Mapping[str, str] = environ, *, folder: Path = Path()) -> Path:
    """Return the definition file that the environment names, else infra/fabric.toml or fabric.toml in a folder, by
    default the current one. DefinitionError if there is none.
    """
    named = environment.get(ENVIRONMENT_DEFINITION)
    if named:
        return folder / named
    for place in _PLACES:
        if (folder / place).is_file():
            return folder / place
    raise DefinitionError(
        [
            Problem(
                "definition",
                "none",
                f"{ENVIRONMENT_DEFINITION} names a file, or {' or '.join(_PLACES)} exists "
                f"{'here' if folder == Path() else f'in {folder}'}",
            )
        ]
    )


def region_named(environment: Mapping[str, str] = environ) -> str | None:
    """Return the Region that the environment names, if any."""
    return environment.get(ENVIRONMENT_REGION) or environment.get("AWS_DEFAULT_REGION")
