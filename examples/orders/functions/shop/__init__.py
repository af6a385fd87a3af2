"""A shop: its checkout, which publishes, and its invoices, which follow from what was published."""
