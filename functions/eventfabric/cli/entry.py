"""The entry point of `eventfabric`, which every installation has: the commands themselves need the extra `cli`."""

import sys

from eventfabric.cli.exit_codes import BAD_INPUT
from eventfabric.errors import MissingExtraError
from eventfabric.extras import needing


def main() -> None:
    """Run the command line, or say what it needs."""
    try:
        with needing("cli", "the command line"):
            from eventfabric.cli.main import main as run
    except MissingExtraError as error:
        print(f"eventfabric: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    run()
