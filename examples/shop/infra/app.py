"""The CDK app: the fabric of fabric.toml, and what extension.py beside it declares."""

import sys
from pathlib import Path

from eventfabric.cdk.app import run

sys.exit(run(Path(__file__).with_name("fabric.toml")))
