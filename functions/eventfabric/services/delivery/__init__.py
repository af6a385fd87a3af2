"""Handing a lane's events to a subscription: from a doorbell to the commit of the cursor."""
