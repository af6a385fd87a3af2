"""The producer: sells seats, each of them once."""

from eventfabric import Fabric, Receipt
from eventfabric.errors import TransactionRefusedError

SEATS = "example-seats"


class SeatTaken(Exception):
    """Somebody else has bought the seat."""


def sell(fabric: Fabric, show: str, seat: str, guest: str) -> Receipt:
    """Sell a seat. Its row and the event are written together; if the seat is taken, neither is.

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
