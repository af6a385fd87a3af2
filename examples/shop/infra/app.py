"""The CDK app: the fabric of fabric.toml, and what extension.py beside it declares."""

import sys

from eventfabric.cdk.app import run

sys.exit(run())
