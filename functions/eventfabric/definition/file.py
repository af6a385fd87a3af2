"""Reading a definition from TOML: validation, defaults, and a single error that lists everything that is wrong.

Functions in Lambda do not read it: they get what `schema.to_json` makes of the result.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from os.path import realpath
from pathlib import Path
from typing import Final

from eventfabric.contracts.document import SchemaDocument
from eventfabric.contracts.folder import SchemaFolder
from eventfabric.definition import checks
from eventfabric.definition.annotations import KeyPath
from eventfabric.definition.facts import BrokenRule, Facts
from eventfabric.definition.marks import TABLE_PLACE
from eventfabric.definition.reference import allowed, annotation_at, keys, kind_of, shown, tables_with
from eventfabric.definition.schema import Definition, TableActions, full_name
from eventfabric.definition.validation import FaultyKey, KeyFault, validated
from eventfabric.deprecations import deprecated_keys, warn_once
from eventfabric.errors import DefinitionError, Problem

_LEVELS_MAX: Final = 12
_PLAIN: Final = f"numbers of at most 64 bits, and tables and lists at most {_LEVELS_MAX} deep"
_SECTIONS: Final = ("fabric", "streams", "subscriptions")


def read_definition(
    path: str | Path,
    *,
    stage: str | None = None,
    check_handlers: bool = False,
    search_path: Sequence[str | Path] | None = None,
) -> Definition:
    """Read and resolve the definition in a TOML file. DefinitionError lists everything that is wrong with it.

    `stage` takes the place of the file's own. `settings.definition_at` is for whoever serves a project, whose
    environment may name a stage.

    With `check_handlers`, handlers and exception types must exist on `search_path` (default: the folder `functions`
    beside the file's own folder or beside the file, then `sys.path`). They are looked up, never imported.
    """
    file = Path(path)
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DefinitionError(
            [Problem(str(file), f"no readable file ({reason})", "a definition in TOML")]
        ) from error
    except UnicodeDecodeError as error:
        raise DefinitionError(
            [Problem(str(file), f"bytes that are not UTF-8 ({error.reason})", "UTF-8")]
        ) from error
    default = [*handler_folders(file), *sys.path]
    folders = [str(entry) for entry in search_path or default] if check_handlers else None
    return _parse(text, where=str(file), search_path=folders, of_account=True, stage=stage)


def handler_folders(path: str | Path) -> list[Path]:
    """List the folders in which the project of a definition file may keep its handlers, the likelier one first."""
    folder = Path(realpath(path)).parent
    return [folder.parent / "functions", folder / "functions"]


def handler_folder(path: str | Path) -> Path | None:
    """Return the folder of handlers in the project of a definition file: the likelier one that exists."""
    return next((folder for folder in handler_folders(path) if folder.is_dir()), None)


def schemas_beside(path: str | Path, definition: Definition) -> dict[str, dict[str, SchemaDocument]]:
    """Read the schemas in the folder beside a definition's file, by stream and type; none if there is no folder.

    InvalidSchemaError lists all that is wrong with them, also schemas of streams that the definition does not have.
    """
    folder = SchemaFolder.beside(path)
    return {} if folder is None else folder.documents(streams=definition.streams)


def parse_definition(text: str, *, where: str = "<text>") -> Definition:
    """Parse and resolve a definition. DefinitionError lists everything that is wrong with it, at `where`.

    Regions may be any: what an AWS account would refuse is not checked.
    """
    return _parse(text, where=where, search_path=None, of_account=False)


def _parse(
    text: str, *, where: str, search_path: Sequence[str] | None, of_account: bool, stage: str | None = None
) -> Definition:
    raw = _tables(text, where)
    for part in deprecated_keys(raw):
        warn_once(f"{where}: {part}")
    if stage is not None and isinstance(fabric := raw.get("fabric"), dict):
        fabric["stage"] = stage
    definition, faulty = validated(_with_names(raw))
    broken = [*_stray_names(raw), *_broken_keys(raw, faulty)]
    facts = Facts(raw, frozenset(problem.path for problem in broken))
    broken += checks.broken_rules(facts)
    if of_account:
        broken += checks.impossible_quorums(facts)
    if search_path is not None:
        broken += checks.broken_references(facts, search_path)
    if broken or definition is None:
        in_order = sorted(broken, key=lambda problem: _place(raw, problem.path))
        raise DefinitionError(
            [Problem(_dotted(path), found, allowed) for path, found, allowed in in_order], where=where
        )
    return _resolved(definition, facts)


def _tables(text: str, where: str) -> dict[str, object]:
    try:
        return _bounded(tomllib.loads(text))
    except RecursionError:
        raise DefinitionError(
            [Problem("the file", "tables or lists too deep", _PLAIN)], where=where
        ) from None
    except tomllib.TOMLDecodeError as error:
        reason, _, position = str(error).removesuffix(")").partition(" (at ")
        line = re.search(r"line (\d+)", position)
        number = int(line[1]) if line else text.count("\n") + 1
        problem = Problem(position or "the file", f"a syntax error ({reason})", "TOML 1.0")
        raise DefinitionError([problem], where=f"{where}:{number}") from error
    except ValueError as error:  # a number has more digits than Python reads
        raise DefinitionError([Problem("the file", str(error), _PLAIN)], where=where) from error


def _bounded(raw: dict[str, object]) -> dict[str, object]:
    """Return the tables, unless depth or numbers go beyond what a definition can contain. Raises ValueError."""
    level: list[object] = [raw]
    for _ in range(_LEVELS_MAX):
        inner: list[object] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise ValueError("a whole number of more than 64 bits")
        level = inner
        if not level:
            return raw
    raise ValueError(f"tables or lists more than {_LEVELS_MAX} deep")


def _named(raw: Mapping[str, object]) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Yield section, name and content of each table that has a name."""
    for section in _SECTIONS[1:]:
        tables = raw.get(section)
        for name, table in tables.items() if isinstance(tables, dict) else ():
            if isinstance(table, dict):
                yield section, name, table


def _with_names(raw: Mapping[str, object]) -> dict[str, object]:
    """Add to each table its own name, as the dataclasses need it."""
    filled: dict[str, object] = dict(raw)
    for section, name, table in _named(raw):
        tables = filled[section]
        filled[section] = {**(tables if isinstance(tables, dict) else {}), name: {**table, "name": name}}
    return filled


def _stray_names(raw: Mapping[str, object]) -> Iterator[BrokenRule]:
    for section, name, table in _named(raw):
        if "name" in table:
            yield BrokenRule(
                (section, name, "name"), shown(table["name"]), "no such key: the name is the table's"
            )


def _resolved(definition: Definition, facts: Facts) -> Definition:
    streams = {
        name: replace(stream, regions=stream.regions or definition.fabric.regions)
        for name, stream in definition.streams.items()
    }
    subscriptions = {}
    for name, subscription in definition.subscriptions.items():
        given = facts.given("subscriptions", name, "function")
        subscriptions[name] = replace(
            subscription,
            tables=None if subscription.tables is None else _full_names(subscription.tables, definition),
            region=subscription.region or streams[subscription.stream].regions[0]
            if subscription.deliver == "one"
            else None,
            function=subscription.function.over(
                definition.functions, given=given if isinstance(given, dict) else ()
            ),
        )
    return replace(definition, streams=streams, subscriptions=subscriptions)


def _full_names(tables: Mapping[str, TableActions], definition: Definition) -> dict[str, TableActions]:
    """Put the fabric's name with its stage where names of tables have a place for it."""
    return {
        name.replace(TABLE_PLACE, full_name(definition.fabric)): actions for name, actions in tables.items()
    }


# --- problems of single keys, in words ---


def _broken_keys(raw: Mapping[str, object], faulty: Sequence[FaultyKey]) -> Iterator[BrokenRule]:
    for path, fault in faulty:
        match fault:
            case KeyFault.UNKNOWN:
                known = [key.name for key in keys(annotation_at(path[:-1]))]
                yield BrokenRule(
                    path, "an unknown key", checks.one_of(str(path[-1]), known, tables=tables_with(path))
                )
            case KeyFault.MISSING:
                yield BrokenRule(path, "nothing", allowed(annotation_at(path)))
            case KeyFault.WRONG:
                value = _value(raw, path)
                text = kind_of(value) if _is_in_environment(path) else shown(value)
                yield BrokenRule(path, text, allowed(annotation_at(path)))


def _is_in_environment(path: KeyPath) -> bool:
    """Tell if a value is a function's variables, or of them: these are shown to nobody. Their names may be."""
    return "environment" in (path[1:2] if path[0] == "functions" else path[3:4]) and path[-1] != "[key]"


def _value(raw: object, path: KeyPath) -> object:
    value = raw
    for key in path:
        if key == "[key]":
            return path[-2]
        if isinstance(value, dict):
            value = value.get(str(key))
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
    return value


def _dotted(path: KeyPath) -> str:
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif key != "[key]":
            text += ("." if text else "") + (key if re.fullmatch(r"[\w-]+", key) else json.dumps(key))
    return text


def _place(raw: Mapping[str, object], path: KeyPath) -> tuple[int, ...]:
    """Sort key that lists problems in the order of the file. A key that a table lacks comes at the table's end."""
    places: list[int] = []
    table: object = raw
    for key in path:
        keys = list(table) if isinstance(table, dict) else []
        places.append(key if isinstance(key, int) else keys.index(key) if key in keys else len(keys))
        table = table.get(str(key)) if isinstance(table, dict) else None
    return tuple(places)
