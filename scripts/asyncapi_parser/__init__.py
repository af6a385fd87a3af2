"""The parser of the AsyncAPI standard, over documents that `eventfabric catalogue` writes."""
