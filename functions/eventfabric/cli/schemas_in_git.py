"""Schemas as a commit has them: what those of the folder are compared with where there is no account."""

import subprocess
from pathlib import Path

from eventfabric.contracts.document import SchemaDocument, read_schema
from eventfabric.contracts.folder import type_of_file
from eventfabric.errors import InvalidSchemaError, SettingError


def schemas_at(commit: str, folder: Path) -> dict[str, dict[str, SchemaDocument]]:
    """Read the schemas that a folder has in a commit, by stream and type. What is no schema there is left out.

    SettingError: git is not there, the folder is in no repository, or the commit is unknown.
    """
    where = folder.parent
    if commit.startswith("-"):
        raise SettingError("--against", f"git:{commit}", "git: and a commit, branch or tag")
    _git(where, commit, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    listed = _git(where, commit, "ls-tree", "-r", "-z", "--name-only", commit, "--", f"{folder.name}/")
    documents: dict[str, dict[str, SchemaDocument]] = {}
    for name in filter(None, listed.decode("utf-8", "surrogateescape").split("\0")):
        parts = Path(name).parts
        type_ = type_of_file(parts[-1])
        if len(parts) != 3 or type_ is None:
            continue
        try:
            text = _git(where, commit, "show", f"{commit}:./{name}")
            documents.setdefault(parts[1], {})[type_] = read_schema(text, where=f"{commit}:{name}")
        except InvalidSchemaError:
            continue  # nothing could be registered from it
    return documents


def _git(folder: Path, commit: str, *arguments: str) -> bytes:
    """Return what git prints. SettingError."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, check=True, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError as error:
        raise SettingError("--against", f"git:{commit}", "deployed, where git is not installed") from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().partition("\n")[0] or "unknown"
        allowed = f"a commit that git knows here ({reason:.200})"
        raise SettingError("--against", f"git:{commit}", allowed) from error
    return done.stdout
