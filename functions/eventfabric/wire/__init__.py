"""Model to bytes and items, and back; one file an item or message."""
