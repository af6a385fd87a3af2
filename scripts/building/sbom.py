"""Software bill of materials of the functions, as CycloneDX 1.6 in JSON: their lock, and what metadata adds to it.

Equal inputs give equal bytes. docs/decisions/0051-what-a-release-consists-of.md says why no library writes it.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, metadata, requires
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from eventfabric.topology import LAMBDA_PYTHON

DISTRIBUTION: Final = "eventfabric-aws"
LICENCE: Final = "Apache-2.0"
_PIN: Final = re.compile(r"^([\w.-]+)==([^\s\\;]+)")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_CLASSIFIED: Final = "License :: OSI Approved :: "


class LockError(Exception):
    """A lock cannot be read."""


@dataclass(frozen=True)
class Pin:
    """A package in a lock: its version, and the digest of each file that may be installed for it."""

    name: str
    version: str
    digests: tuple[str, ...]

    @property
    def url(self) -> str:
        """Its package URL."""
        return _url(self.name, self.version)


def pins_in(lock: str) -> list[Pin]:
    """Read a lock with hashes, in the form of pip's requirements. LockError if a package has no version or hash."""
    pins = []
    for block in re.split(r"\n(?=\S)", lock.strip()):
        if block.startswith("#"):
            continue
        pinned = _PIN.match(block)
        digests = _HASH.findall(block)
        if pinned is None or not digests:
            raise LockError(f"lock: found {block.splitlines()[0]!r}, allowed: name==version and its hashes")
        pins.append(Pin(canonicalize_name(pinned[1]), pinned[2], tuple(sorted(digests))))
    return sorted(pins, key=lambda pin: pin.name)


def bill_of_materials(
    version: str, pins: Iterable[Pin], direct: Iterable[str], *, optional: Iterable[Pin] = (), seconds: int
) -> str:
    """Return the document for a version of the library.

    Args:
        version: the library's.
        pins: all packages that its functions need.
        direct: the requirements of the library itself.
        optional: further packages, that only some functions need.
        seconds: time of the release, since 1970.
    """
    own = {pin.name: pin for pin in pins}
    known = {**{pin.name: pin for pin in optional}, **own}
    root = _url(DISTRIBUTION, version)
    edges = {root: _needed(direct, known)}
    edges |= {pin.url: _needed(_requirements_of(pin), known) for pin in known.values()}
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "library",
                "bom-ref": root,
                "name": DISTRIBUTION,
                "version": version,
                "licenses": [{"license": {"id": LICENCE}}],
                "purl": root,
            },
        },
        "components": [_component(pin, is_optional=pin.name not in own) for pin in known.values()],
        "dependencies": [{"ref": url, "dependsOn": needed} for url, needed in sorted(edges.items())],
    }
    number = uuid5(NAMESPACE_URL, json.dumps(document, sort_keys=True))
    return json.dumps({**document, "serialNumber": f"urn:uuid:{number}"}, indent=2, sort_keys=True) + "\n"


def _component(pin: Pin, *, is_optional: bool) -> dict[str, Any]:
    hashes = [{"alg": "SHA-256", "content": digest} for digest in pin.digests]
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": pin.url,
        "name": pin.name,
        "version": pin.version,
        "purl": pin.url,
        # A release has a file for each platform: none of the digests is that of the component as such.
        "externalReferences": [
            {
                "type": "distribution",
                "url": pin.url,
                "hashes": hashes,
                "comment": "the files that may be installed",
            }
        ],
    }
    if is_optional:
        component["scope"] = "optional"
    licences = _licences_of(pin)
    return {**component, "licenses": licences} if licences else component


def _licences_of(pin: Pin) -> list[dict[str, Any]]:
    """Return what a package's metadata says of its licence; nothing if it is not installed here in that version."""
    try:
        about = metadata(pin.name)
    except PackageNotFoundError:
        return []
    if about["Version"] != pin.version:
        return []
    # A field that is not there is None, or an error where another package has put its own reader in the way.
    if "License-Expression" in about:
        return [{"expression": about["License-Expression"]}]
    classified = [
        name.removeprefix(_CLASSIFIED)
        for name in about.get_all("Classifier", [])
        if name.startswith(_CLASSIFIED)
    ]
    stated = about["License"].strip() if "License" in about else ""
    # Some have the whole text of their licence in this field.
    names = classified or ([stated] if stated and "\n" not in stated else [])
    return [{"license": {"name": name}} for name in names]


def _requirements_of(pin: Pin) -> list[str]:
    try:
        return requires(pin.name) or []
    except PackageNotFoundError:
        return []


def _needed(requirements: Iterable[str], known: Mapping[str, Pin]) -> list[str]:
    """Return the URLs of the packages that these requirements mean, for functions."""
    platform = {"python_version": LAMBDA_PYTHON, "python_full_version": f"{LAMBDA_PYTHON}.0"}
    environment = {**platform, "sys_platform": "linux", "platform_system": "Linux", "extra": ""}
    parsed = map(Requirement, requirements)
    names = {
        canonicalize_name(needed.name)
        for needed in parsed
        if needed.marker is None or needed.marker.evaluate(environment)
    }
    return sorted(known[name].url for name in names if name in known)


def _url(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version}"
