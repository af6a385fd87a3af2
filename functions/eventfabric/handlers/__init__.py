"""Lambda functions, one thin file each: it imports what `eventfabric.runtime` wires up, and decides nothing."""
