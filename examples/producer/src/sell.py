"""Sells a seat: `python src/sell.py SHOW SEAT GUEST`. Exit codes: 0 sold; 1 taken, or not sold; 2 wrong input."""

import argparse
import sys
from pathlib import Path

from cinema.box_office import SeatTaken, sell
from eventfabric import EventFabricError, Fabric

DEFINITION = Path(__file__).parents[1] / "fabric.toml"


def main() -> int:
    """Sell a seat, in the Region of the environment."""
    parser = argparse.ArgumentParser(description="Sell a seat.")
    for name in ("show", "seat", "guest"):
        parser.add_argument(name)
    wanted = parser.parse_args()
    try:
        fabric = Fabric.from_definition(DEFINITION)
        receipt = sell(fabric, wanted.show, wanted.seat, wanted.guest)
    except SeatTaken as taken:
        print(f"seat {taken} is taken", file=sys.stderr)
        return 1
    except EventFabricError as error:
        print(f"not sold: {error}", file=sys.stderr)
        return 1
    print(f"sold: event {receipt.event_id}, lane {receipt.lane}, sequence {receipt.sequence}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
