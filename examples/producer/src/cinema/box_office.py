"""The box office: it sells each seat once, and cancels shows."""

from typing import Final

from eventfabric import Fabric, Receipt
from eventfabric.errors import TransactionRefusedError

SEATS: Final = "cinema-seats"


class SeatTaken(Exception):
    """Somebody else has bought the seat."""


def sell(fabric: Fabric, show: str, seat: str, guest: str) -> Receipt:
    """Sell a seat. Its row and the event are written together; if the seat is taken, neither is. Raises SeatTaken.

    IndeterminateTransactionError: the reply was lost for good. `commit()` of the same transaction settles the sale.
    """
    transaction = fabric.transaction()
    try:
        with transaction:
            row = {"id": f"{show}/{seat}", "guest": guest}
            transaction.put(SEATS, row, condition="attribute_not_exists(id)")
            transaction.publish("sales", key=show, type="SeatSold", data={"seat": seat, "guest": guest})
    except TransactionRefusedError as refused:
        raise SeatTaken(seat) from refused
    (receipt,) = transaction.receipts
    return receipt


def cancel(fabric: Fabric, show: str) -> Receipt:
    """Publish that a show is cancelled. The key is the show, so that all sales before are handled before."""
    return fabric.publish("sales", key=show, type="ShowCancelled", data={"show": show})
