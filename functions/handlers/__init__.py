"""One thin file for each Lambda function: it names what `eventfabric.runtime` wires up, and decides nothing."""
