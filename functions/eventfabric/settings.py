"""Settings of functions. This is the only module that reads the environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, environ
from pathlib import Path

from eventfabric.definition.schema import Definition, from_json, name_in_stage
from eventfabric.errors import DefinitionError, Problem, SettingError
from eventfabric.limits import NAME_CHARACTERS_MAX, STAGE_CHARACTERS_MAX
from eventfabric.resources import (
    DEPLOYED_SCHEMAS,
    ENVIRONMENT_CATALOGUE,
    ENVIRONMENT_CODE_FOLDER,
    ENVIRONMENT_CODE_VERSION,
    ENVIRONMENT_DEFINITION,
    ENVIRONMENT_ENDPOINT,
    ENVIRONMENT_FUNCTION,
    ENVIRONMENT_REGION,
    ENVIRONMENT_STAGE,
    ENVIRONMENT_SUBSCRIPTION,
)

_PLACES = ("infra/fabric.toml", "fabric.toml")
_PROJECT = "pyproject.toml"
_FABRIC = rf"[a-z][a-z0-9-]{{0,{NAME_CHARACTERS_MAX - 1}}}(_[a-z][a-z0-9]{{0,{STAGE_CHARACTERS_MAX - 1}}})?"


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
    catalogue: str = ""
    """Where the declarations of its stream ended when it was deployed; empty: nobody says so."""
    schemas: Path = Path(DEPLOYED_SCHEMAS)
    """Folder of the schemas of event types, if there is one."""

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
            catalogue=environment.get(ENVIRONMENT_CATALOGUE, ""),
            schemas=Path(environment.get(ENVIRONMENT_CODE_FOLDER, ""), DEPLOYED_SCHEMAS),
        )


def _in_the_zip(environment: Mapping[str, str]) -> Path:
    """Return the path of a function's definition in its zip, which Lambda unpacks into a folder of its choice."""
    return Path(environment.get(ENVIRONMENT_CODE_FOLDER, ""), environment[ENVIRONMENT_DEFINITION])


def definition_path(environment: Mapping[str, str] = environ, *, folder: Path = Path()) -> Path:
    """Find the definition file of a project: the rule of SDK, command line, deployment and pytest's fixtures.

    It is what EVENTFABRIC_DEFINITION names. Else it is looked for in `folder`, by default the current one, then around
    it up to the project's, which has a pyproject.toml or .git. In each it is what `definition` names in the table
    `[tool.eventfabric]` of pyproject.toml, else infra/fabric.toml, else fabric.toml. DefinitionError if there is none.
    """
    named = environment.get(ENVIRONMENT_DEFINITION)
    if named:
        return folder / named
    folders = _up_to_the_project(folder)
    for candidate in folders:
        configured = _configured(candidate / _PROJECT)
        if configured:
            return candidate / configured
        for place in _PLACES:
            if (candidate / place).is_file():
                return candidate / place
    reached = f"in {folders[0]}" if folders[0] != Path() else "here"
    allowed = (
        f"{ENVIRONMENT_DEFINITION} names a file, or [tool.eventfabric] in {_PROJECT} does, "
        f"or {' or '.join(_PLACES)} exists {reached}"
    )
    if len(folders) > 1:
        allowed += f" or in a folder around it, up to {folders[-1]}"
    raise DefinitionError([Problem("definition", "none", allowed)])


def definition_at(
    path: str | PathLike[str],
    *,
    stage: str | None = None,
    check_handlers: bool = False,
    environment: Mapping[str, str] = environ,
) -> Definition:
    """Read a project's definition file: in `stage`, else in that of EVENTFABRIC_STAGE, else in its own.

    SDK, command line, deployment and pytest's fixtures all read by this. Errors as `read_definition`, which see.
    """
    from eventfabric.definition.file import read_definition  # functions read no file

    stage = stage or environment.get(ENVIRONMENT_STAGE) or None
    return read_definition(Path(path), stage=stage, check_handlers=check_handlers)


def _up_to_the_project(folder: Path) -> list[Path]:
    """List a folder and those around it, up to the one of its project; only the folder, if it is in no project."""
    folders = [folder]
    if _is_project(folder):
        return folders
    for outer in folder.resolve().parents:
        folders.append(outer)
        if _is_project(outer):
            return folders
    return [folder]


def _is_project(folder: Path) -> bool:
    return (folder / _PROJECT).is_file() or (folder / ".git").exists()


def _configured(file: Path) -> str | None:
    """Return the definition that a pyproject.toml names, if any. DefinitionError."""
    if not file.is_file():
        return None
    import tomllib  # functions have no such file, and each import is paid for at their cold start

    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DefinitionError([Problem(str(file), f"a syntax error ({error})", "TOML")]) from error
    tool = tables.get("tool")
    own = tool.get("eventfabric", {}) if isinstance(tool, dict) else {}
    named = own.get("definition") if isinstance(own, dict) else own
    if named is not None and not isinstance(named, str):
        raise DefinitionError([Problem(f"{file}: tool.eventfabric.definition", repr(named), "a file's name")])
    unknown = sorted(own.keys() - {"definition"}) if isinstance(own, dict) else []
    if unknown:
        raise DefinitionError(
            [Problem(f"{file}: tool.eventfabric.{unknown[0]}", "an unknown key", "definition")]
        )
    return named


def fabric_named(name: str, environment: Mapping[str, str] = environ) -> str:
    """Return a fabric's name with its stage: that in the name, such as shop_dev, else that of EVENTFABRIC_STAGE.

    SettingError if a fabric or a stage cannot have such a name.
    """
    stage = environment.get(ENVIRONMENT_STAGE) or None
    full = name if "_" in name else name_in_stage(name, stage)
    if not re.fullmatch(_FABRIC, full):
        raise SettingError(
            "fabric", full, "a fabric's name, such as shop, or one with its stage, such as shop_dev"
        )
    return full


def region_named(environment: Mapping[str, str] = environ) -> str | None:
    """Return the Region that the environment names, if any."""
    return environment.get(ENVIRONMENT_REGION) or environment.get("AWS_DEFAULT_REGION")
