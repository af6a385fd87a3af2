"""The functions' zip of a definition: staged in a folder, and checked. Needs no CDK."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from eventfabric import limits
from eventfabric.cdk.bytecode import compiler_for
from eventfabric.cdk.staging import Schemas, stage
from eventfabric.cdk.twin import check_twin
from eventfabric.cdk.wheels import platform_named, unpacked_wheels
from eventfabric.definition.schema import Definition
from eventfabric.deployment.handler_checks import check_handlers
from eventfabric.deployment.needed_schemas import check_schemas, types_without_schemas
from eventfabric.deployment.shipped import lock_for
from eventfabric.deployment.zip_modules import StagedModules
from eventfabric.errors import SettingError


@dataclass(frozen=True)
class FunctionsZip:
    """The content of the zip: a folder, the hash of its content, its size, and warnings, by what they are about."""

    path: Path
    hash: str
    size_bytes: int
    """Unpacked, as Lambda's limit counts it."""
    warnings: Mapping[str, str] = field(default_factory=dict)


def functions_zip(
    definition: Definition,
    *,
    functions: Path | None,
    schemas: Schemas | None = None,
    target: Path,
    cache: Path,
    platform: str,
    architecture: str = "arm64",
    where: str,
) -> FunctionsZip:
    """Fill the folder `target`, with handlers from the folder `functions`, for functions of an architecture.

    `schemas`: those of event types, which go into the zip, with what validates by them if a subscription needs that.
    Wheels come from the folder `cache`, or are fetched into it. Raises EventFabricError: `where`, the handlers of a
    definition that stands there, what they need, or the library itself cannot be deployed.
    """
    chosen = platform_named(platform, architecture)
    compiler = compiler_for(chosen.python)
    schemas = schemas or {}
    check_schemas(definition, schemas, where=where)
    lock = lock_for(definition, schemas)
    wheels = unpacked_wheels(functions, cache=cache, platform=chosen, lock=lock, compiler=compiler)
    digest = stage(
        definition, functions=functions, target=target, wheels=wheels, schemas=schemas, compiler=compiler
    )
    size_bytes = _size_bytes(target)
    check_handlers(definition, StagedModules(target, functions), functions=functions, where=where)
    unknown = check_twin(
        definition, target, functions=functions, cache=cache, platform=chosen, lock=lock, where=where
    )
    warnings = {
        "bytecode": "" if compiler else _without_bytecode(chosen.python),
        "handlers": unknown,
        "layers": _with_layers(definition, size_bytes),
        "schemas": "; ".join(types_without_schemas(definition, schemas)),
    }
    return FunctionsZip(target, digest, size_bytes, {about: text for about, text in warnings.items() if text})


def _size_bytes(folder: Path) -> int:
    """Return the size of all files. SettingError: Lambda would refuse them."""
    size_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if size_bytes > limits.ZIP_UNPACKED_BYTES_MAX:
        raise SettingError(
            "the functions' zip",
            f"{size_bytes:,} bytes unpacked",
            f"at most {limits.ZIP_UNPACKED_BYTES_MAX:,}, layers included: require less in requirements.txt",
        )
    return size_bytes


def _with_layers(definition: Definition, size_bytes: int) -> str:
    """Warn of layers that may have no room beside a large zip. Their size is known to AWS alone."""
    left_bytes = limits.ZIP_UNPACKED_BYTES_MAX - size_bytes
    if left_bytes >= size_bytes or not any(own.function.layers for own in definition.subscriptions.values()):
        return ""
    return (
        f"The functions' zip has {size_bytes:,} bytes unpacked, which leaves {left_bytes:,} for a function's layers: "
        "Lambda counts both, and refuses functions with more."
    )


def _without_bytecode(python: str) -> str:
    return (
        f"The functions' zip has no bytecode: no Python {python} was found on PATH, in pyenv or in uv. "
        f"Each cold start compiles what it imports, which takes most of a second. Install Python {python} here."
    )
