"""A shop: its checkout, which publishes orders, and the handlers of what follows from an order."""
