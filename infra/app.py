"""The sample's CDK app, `python -m infra.app`: infra/fabric.toml, or another definition that the context names."""

import json
import sys
from pathlib import Path
from typing import Any

from eventfabric.cdk.app import run

ROOT = Path(__file__).resolve().parent.parent
WHEELS = ROOT / "build" / "wheels"


def main() -> int:
    """Synthesise the app. If the definition cannot be deployed: a message on standard error, and exit code 1."""
    return run(ROOT / "infra" / "fabric.toml", context=context(), cache=WHEELS)


def context() -> dict[str, Any]:
    """Read the context of cdk.json, so that synthesis without the CDK's command line gives the same result."""
    context: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text())["context"]
    return context


if __name__ == "__main__":
    sys.exit(main())
