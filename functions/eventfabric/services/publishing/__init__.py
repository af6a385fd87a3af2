"""Publishing: append to a lane, or append in one transaction with other writes."""
