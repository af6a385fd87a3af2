"""Orders and invoices: how they are published, and what handlers read."""

from dataclasses import dataclass
from typing import Final

ORDER_PLACED: Final = "OrderPlaced"
INVOICE_ISSUED: Final = "InvoiceIssued"


@dataclass(frozen=True)
class Order:
    """An order, in the stream `orders`. The key of its event is the customer."""

    number: str
    cents: int
    currency: str


@dataclass(frozen=True)
class Invoice:
    """The invoice for one order, in the stream `invoices`. The key of its event is the customer."""

    order: str
    customer: str
    cents: int
