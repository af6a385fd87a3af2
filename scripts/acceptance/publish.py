"""A producer of its own process: `python -m scripts.acceptance.publish DEFINITION REGION TYPE FIRST COUNT KEYS`.

Publishes COUNT events with rising numbers, in turn for each of the comma-separated KEYS; prints one line a receipt.
"""

import json
import sys

from eventfabric import Fabric


def main() -> None:
    """Publish one after the other, so that the order of each key is that of the numbers."""
    definition, region, type_, first, count, keys = sys.argv[1:]
    fabric = Fabric.from_definition(definition, region=region)
    names = keys.split(",")
    for number in range(int(first), int(first) + int(count)):
        for key in names:
            receipt = fabric.publish("orders", key=key, type=type_, data={"number": number})
            print(
                json.dumps(
                    {"key": key, "number": number, "lane": str(receipt.lane), "sequence": receipt.sequence}
                )
            )


if __name__ == "__main__":
    main()
