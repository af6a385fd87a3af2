"""The CDK's command line, `scripts/cdk`, which is installed into the folder build of this clone."""

import os
import sys

from eventfabric.cdk.command_line import cdk_command
from eventfabric.cdk.tools import InstallError
from scripts.install import ROOT


def main() -> None:
    """Replace this process by the CDK's command line, with the same arguments."""
    try:
        command = cdk()
    except InstallError as error:
        raise SystemExit(f"scripts/cdk: {error}") from error
    os.execv(command[0], [*command, *sys.argv[1:]])


def cdk() -> list[str]:
    """Return the command that runs the CDK, after installing it if needed. Raises InstallError."""
    return cdk_command(ROOT / "build")


if __name__ == "__main__":
    main()
