"""A producer in its own process: `python -m scripts.acceptance.publish DEFINITION REGION TYPE FIRST COUNT KEYS`.

Publishes COUNT events with rising numbers for each of the comma-separated KEYS, the keys taking turns. Prints each
receipt on a line. Needs nothing but the library, of whatever version.
"""

import json
import sys

from eventfabric import Fabric
from eventfabric.errors import IndeterminateAppendError


def main() -> None:
    """Publish one event after the other, so that the events of a key are in the order of their numbers."""
    definition, region, type_, first, count, keys = sys.argv[1:]
    fabric = Fabric.from_definition(definition, region=region)
    names = keys.split(",")
    for number in range(int(first), int(first) + int(count)):
        for key in names:
            # For new projects, of this version or the one before, an order worth 10 ** number points.
            cents = 100 * 10**number
            order = {"order": f"{key}-{number}", "customer": key, "cents": cents, "total_cents": cents}
            data = {"number": str(number), **order}
            try:
                receipt = fabric.publish("orders", key=key, type=type_, data=data)
            except IndeterminateAppendError as error:
                [receipt] = fabric.publish_again(error)
            print(
                json.dumps(
                    {"key": key, "number": number, "lane": str(receipt.lane), "sequence": receipt.sequence}
                )
            )


if __name__ == "__main__":
    main()
