"""Start the emulator, having taught its CloudFormation to import global tables, as AWS does.

It imports AWS::DynamoDB::Table only, and keeps a global table as a table of that name, too. This runs in the emulator's
own environment, so it imports nothing of this project.
"""

import runpy

from ministack.services.cloudformation import changesets, provisioners  # type: ignore[import-not-found]  # its own

GLOBAL, REGIONAL = "AWS::DynamoDB::GlobalTable", "AWS::DynamoDB::Table"


def teach() -> None:
    """Have a global table found and imported as a table of one Region is."""
    handlers, lookups = provisioners._RESOURCE_HANDLERS, changesets._IMPORT_LOOKUPS
    assert "import" not in handlers[GLOBAL], "the emulator imports them itself by now"
    handlers[GLOBAL]["import"] = handlers[REGIONAL]["import"]
    lookups[GLOBAL] = lookups[REGIONAL]


if __name__ == "__main__":
    teach()
    runpy.run_module("ministack.app", run_name="__main__", alter_sys=True)
