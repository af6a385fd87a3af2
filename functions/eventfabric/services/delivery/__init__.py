"""Delivery: from the relay's doorbell to the commit, by way of the subscription's handler."""
